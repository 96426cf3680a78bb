#include "server/softgpu/api/thread_state.h"

#include <pthread.h>

#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {
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

}  // namespace

ThreadState::~ThreadState() {
  for (auto& [id, stream] : default_streams) stream->Abandon();
}

ThreadState& ThisThread() {
  if (!this_thread) {
    static const pthread_key_t key = MakeKey();
    this_thread = new ThreadState;
    pthread_setspecific(key, this_thread);
  }
  return *this_thread;
}

}  // namespace outboard::softgpu::api
