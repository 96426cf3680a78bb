#include "server/softgpu/api/thread_state.h"

#include "common/libcuda/per_thread.h"
#include "server/softgpu/api/green_context.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {

CUcontext CurrentContext::cu() const { return green ? green->cu() : context->cu(); }

bool CurrentContext::active() const { return green ? green->active() : context->active(); }

const void* CurrentContext::identity() const { return green ? static_cast<const void*>(green.get()) : context.get(); }

bool LookUpContext(Driver& driver, CUcontext handle, CurrentContext* found) {
  *found = {driver.handles.Find<Context>(handle), nullptr};
  if (found->context) return true;
  const auto converted = driver.handles.Find<ConvertedContext>(handle);
  found->green = converted ? converted->green.lock() : nullptr;
  if (found->green) found->context = found->green->context.shared_from_this();
  return found->green != nullptr;
}

CUresult FindContext(Driver& driver, CUcontext handle, CurrentContext* found) {
  if (!LookUpContext(driver, handle, found)) return CUDA_ERROR_INVALID_CONTEXT;
  return found->active() ? CUDA_SUCCESS : CUDA_ERROR_CONTEXT_IS_DESTROYED;
}

ThreadState::~ThreadState() {
  for (auto& [id, stream] : default_streams) stream->Abandon();
}

ThreadState& ThisThread() { return PerThread<ThreadState>(); }

}  // namespace outboard::softgpu::api
