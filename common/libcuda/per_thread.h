#pragma once

#include <pthread.h>

namespace outboard {

// The calling thread's T: made at the thread's first use and gone when the thread ends. The main thread's stays until
// the process ends, since the runtime's exit handlers still call the driver.
template <class T>
T& PerThread() {
  static thread_local T* mine = nullptr;
  if (mine == nullptr) {
    // A key, not a destructor of thread_local: exit() runs the latter for the main thread before the exit handlers.
    static const pthread_key_t key = [] {
      pthread_key_t made;
      pthread_key_create(&made, [](void* state) {
        mine = nullptr;
        delete static_cast<T*>(state);
      });
      return made;
    }();
    mine = new T;
    pthread_setspecific(key, mine);
  }
  return *mine;
}

}  // namespace outboard
