#include "server/softgpu/api/thread_state.h"

#include "common/libcuda/per_thread.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {

ThreadState::~ThreadState() {
  for (auto& [id, stream] : default_streams) stream->Abandon();
}

ThreadState& ThisThread() { return PerThread<ThreadState>(); }

}  // namespace outboard::softgpu::api
