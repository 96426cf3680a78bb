#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace outboard::softgpu::api {

class Context;
class Stream;

// What CUDA keeps per host thread. Thread-confined.
struct ThreadState {
  std::vector<std::shared_ptr<Context>> contexts;  // the stack; the last one is current
  CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  bool in_host_function = false;  // the host thread: no CUDA call may come from it

  // Per-thread default streams by the id of their context's activation. They are marked abandoned when the thread ends.
  std::vector<std::pair<uint64_t, std::shared_ptr<Stream>>> default_streams;

  ~ThreadState();
};

// Lives as PerThread says.
ThreadState& ThisThread();

}  // namespace outboard::softgpu::api
