#include "client/shim/thread_state.h"

#include "common/libcuda/per_thread.h"

namespace outboard::shim {
namespace {

void StackChanged(ThreadState& thread) {
  thread.lane.context = thread.contexts.empty() ? 0 : reinterpret_cast<uint64_t>(thread.contexts.back());
}

}  // namespace

ThreadState& ThisThread() { return PerThread<ThreadState>(); }

CUcontext CurrentContext() {
  const auto& stack = ThisThread().contexts;
  return stack.empty() ? nullptr : stack.back();
}

void PushContext(CUcontext context) {
  ThreadState& thread = ThisThread();
  thread.contexts.push_back(context);
  StackChanged(thread);
}

CUcontext PopContext() {
  ThreadState& thread = ThisThread();
  if (thread.contexts.empty()) return nullptr;
  const CUcontext top = thread.contexts.back();
  thread.contexts.pop_back();
  StackChanged(thread);
  return top;
}

void SetCurrentContext(CUcontext context) {
  PopContext();
  if (context != nullptr) PushContext(context);
}

}  // namespace outboard::shim
