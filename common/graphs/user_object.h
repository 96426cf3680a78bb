#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>

#include "common/libcuda/handles.h"

namespace outboard::graphs {

class Graphs;

// A CUuserObject: something of the application's that its graphs need. When neither the application nor a graph refers
// to it any more, its handle is invalid and the thread for host functions destroys it. Thread-safe.
class UserObject : public Object {
 public:
  static constexpr Kind kKind = Kind::kUserObject;

  // With `references` > 0 of the application's.
  UserObject(Graphs& graphs, CUhostFn destroy, void* object, uint64_t references)
      : graphs_(graphs), destroy_(destroy), object_(object), references_(references) {}

  void Retain(uint64_t count) { references_.fetch_add(count, std::memory_order_relaxed); }

  // False, and nothing is changed, when there are not as many references.
  bool Release(uint64_t count);

 private:
  Graphs& graphs_;
  const CUhostFn destroy_;
  void* const object_;
  std::atomic<uint64_t> references_;  // the application's and the graphs'
};

}  // namespace outboard::graphs
