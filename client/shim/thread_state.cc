#include "client/shim/thread_state.h"

#include <pthread.h>

namespace outboard::shim {
namespace {

thread_local ThreadState* this_thread = nullptr;

// A key, not a destructor of thread_local: exit() runs the latter for the main thread before the exit handlers.
pthread_key_t MakeKey() {
  pthread_key_t key;
  pthread_key_create(&key, [](void* state) {
    this_thread = nullptr;
    delete static_cast<ThreadState*>(state);
  });
  return key;
}

void StackChanged(ThreadState& thread) {
  thread.lane.context = thread.contexts.empty() ? 0 : reinterpret_cast<uint64_t>(thread.contexts.back());
}

}  // namespace

ThreadState& ThisThread() {
  if (this_thread == nullptr) {
    static const pthread_key_t key = MakeKey();
    this_thread = new ThreadState;
    pthread_setspecific(key, this_thread);
  }
  return *this_thread;
}

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
