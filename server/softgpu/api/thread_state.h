#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace outboard::softgpu::api {

class Context;
class Driver;
class GreenContext;
class Stream;

// What is current in a thread, or what a CUcontext means: a context, or a green one and the primary context that it is
// of.
struct CurrentContext {
  std::shared_ptr<Context> context;
  std::shared_ptr<GreenContext> green;  // null for an ordinary one

  CUcontext cu() const;
  bool active() const;
  // As captures know it.
  const void* identity() const;
};

// What the application's handle means, whether it is active or not. False for what is none.
bool LookUpContext(Driver& driver, CUcontext handle, CurrentContext* found);

// The same for a call that names a context: CUDA_ERROR_INVALID_CONTEXT for what is none,
// CUDA_ERROR_CONTEXT_IS_DESTROYED for one that is not active.
CUresult FindContext(Driver& driver, CUcontext handle, CurrentContext* found);

// What CUDA keeps per host thread. Thread-confined.
struct ThreadState {
  std::vector<CurrentContext> contexts;  // the stack; the last one is current
  CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  bool in_host_function = false;  // the host thread: no CUDA call may come from it

  // Per-thread default streams by the id of their context's activation. They are marked abandoned when the thread ends.
  std::vector<std::pair<uint64_t, std::shared_ptr<Stream>>> default_streams;

  ~ThreadState();
};

// Lives as PerThread says.
ThreadState& ThisThread();

}  // namespace outboard::softgpu::api
