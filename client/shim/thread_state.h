#pragma once

#include <cuda.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "client/session/session.h"

namespace outboard::shim {

// What CUDA keeps per thread, on the client's side. Thread-confined.
struct ThreadState {
  client::Lane lane;                // lane.context is contexts.back(), or 0
  std::vector<CUcontext> contexts;  // the stack of current contexts (cuCtxPushCurrent)
  bool in_host_function = false;    // runs one now: no CUDA call is permitted
  CUstreamCaptureMode capture_mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::vector<std::pair<CUcontext, uint64_t>> stream_ids;  // of its default stream in each context, for captures

  // What Contexts::Accepts found out last, good for the context and the version of Contexts that it asked.
  struct {
    uint64_t context = 0;
    uint64_t version = 0;
    bool is_active = false;
  } checked;
};

// Lives as PerThread says.
ThreadState& ThisThread();

// Null when the thread has none.
CUcontext CurrentContext();

// Puts `context` on top of the stack.
void PushContext(CUcontext context);

// Takes the top off the stack and returns it; null, and nothing happens, when the stack is empty.
CUcontext PopContext();

// Replaces the top of the stack by `context` (null: pops it), as cuCtxSetCurrent does.
void SetCurrentContext(CUcontext context);

}  // namespace outboard::shim
