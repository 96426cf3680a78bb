#include "client/shim/thread_state.h"

#include "common/libcuda/per_thread.h"

namespace outboard::shim {
namespace {

void StackChanged(ThreadState& thread) {
  thread.lane.context = thread.contexts.empty() ? 0 : reinterpret_cast<uint64_t>(thread.contexts.back().context);
}

}  // namespace

ThreadState& ThisThread() { return PerThread<ThreadState>(); }

CUcontext CurrentContext() {
  const auto& stack = ThisThread().contexts;
  return stack.empty() ? nullptr : stack.back().context;
}

CUcontext CurrentHome() {
  const auto& stack = ThisThread().contexts;
  return stack.empty() ? nullptr : stack.back().home;
}

void PushContext(CUcontext context, CUcontext home) {
  ThreadState& thread = ThisThread();
  thread.contexts.push_back({context, home == nullptr ? context : home});
  StackChanged(thread);
}

CUcontext PopContext() {
  ThreadState& thread = ThisThread();
  if (thread.contexts.empty()) return nullptr;
  const CUcontext top = thread.contexts.back().context;
  thread.contexts.pop_back();
  StackChanged(thread);
  return top;
}

void SetCurrentContext(CUcontext context, CUcontext home) {
  PopContext();
  if (context != nullptr) PushContext(context, home);
}

}  // namespace outboard::shim
