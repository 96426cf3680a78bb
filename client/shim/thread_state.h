#pragma once

#include <cuda.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "client/session/session.h"

namespace outboard::shim {

// What CUDA keeps per thread, on the client's side. Thread-confined.
struct ThreadState {
  // A current context, and the one that memory and modules belong to when it is: of a green one the primary context.
  struct Current {
    CUcontext context;
    CUcontext home;
  };

  client::Lane lane;              // lane.context is that of contexts.back(), or 0
  std::vector<Current> contexts;  // the stack of current contexts (cuCtxPushCurrent)
  bool in_host_function = false;  // runs one now: no CUDA call is permitted
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

// The context that is at home where the current one is: itself, or the primary context of a green one. Null when there
// is none.
CUcontext CurrentHome();

// Lets the calling thread's commands run in a context, beside the application's own stack of contexts, while it lives.
class InContext {
 public:
  explicit InContext(CUcontext context) : lane_(ThisThread().lane), before_(lane_.context) {
    lane_.context = reinterpret_cast<uint64_t>(context);
  }
  ~InContext() { lane_.context = before_; }
  InContext(const InContext&) = delete;
  InContext& operator=(const InContext&) = delete;

 private:
  client::Lane& lane_;
  const uint64_t before_;
};

// Puts `context` on top of the stack; a null home is itself.
void PushContext(CUcontext context, CUcontext home = nullptr);

// Takes the top off the stack and returns it; null, and nothing happens, when the stack is empty.
CUcontext PopContext();

// Replaces the top of the stack by `context` (null: pops it), as cuCtxSetCurrent does.
void SetCurrentContext(CUcontext context, CUcontext home = nullptr);

}  // namespace outboard::shim
