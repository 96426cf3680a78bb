#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <mutex>

#include "common/graphs/exec.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {

// An executable graph that a stream runs as one piece of work.
//
// Guarded by Graphs::mutex, but for Launch, which takes it itself.
class GraphExec final : public graphs::Exec {
 public:
  using graphs::Exec::Exec;

  // Queues one run of the graph in `stream`, as one piece of work: behind what is in the stream and behind the earlier
  // launches. CUDA_ERROR_INVALID_VALUE when it would allocate what is allocated, or free what is not. The caller does
  // not hold Graphs::mutex. The stream does not capture.
  CUresult Launch(Stream& stream);

 private:
  class Plan;

  std::mutex launch_mutex_;  // taken before Graphs::mutex
  Point last_;               // of the latest launch; guarded by launch_mutex_
};

}  // namespace outboard::softgpu::api
