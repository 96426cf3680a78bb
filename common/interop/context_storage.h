#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

namespace outboard::interop {

// What each copy of the runtime keeps in each context: one value per key. Holds handles only and follows none of them.
//
// Thread-safe. Get is on the path of nearly every runtime call: each thread remembers its last few answers, and finds
// one of them without a lock as long as nothing was put, deleted or destroyed since.
class ContextStorage {
 public:
  using Destructor = void (*)(CUcontext context, void* key, void* value);

  ContextStorage();

  // A value that the key already had is replaced; its destructor does not run. `destructor` may be null.
  void Put(CUcontext context, void* key, void* value, Destructor destructor);

  // Forgets the value without running its destructor; does nothing where there is none.
  void Delete(CUcontext context, void* key);

  // False, and *value is left alone, where there is none.
  bool Get(CUcontext context, void* key, void** value) const;

  // Forgets everything of this context, then runs the destructors in the order of the first Put, in the calling thread
  // and under no lock: they may call back.
  void ContextDestroyed(CUcontext context);

 private:
  struct Entry {
    void* key;
    void* value;
    Destructor destructor;
  };

  void Changed();

  mutable std::shared_mutex mutex_;
  std::atomic<uint64_t> version_;  // never that of another state of this or any other object; written under mutex_
  std::unordered_map<CUcontext, std::vector<Entry>> entries_;  // under mutex_
};

}  // namespace outboard::interop
