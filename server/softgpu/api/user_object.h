#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <atomic>
#include <cstdint>

#include "server/softgpu/api/handles.h"

namespace outboard::softgpu::api {

class Driver;

// A CUuserObject: something of the application's that its graphs need. When neither the application nor a graph refers
// to it any more, its handle is invalid and the host thread destroys it. Thread-safe.
class UserObject : public Object {
 public:
  static constexpr Kind kKind = Kind::kUserObject;

  // With `references` > 0 of the application's.
  UserObject(Driver& driver, CUhostFn destroy, void* object, uint64_t references)
      : driver_(driver), destroy_(destroy), object_(object), references_(references) {}

  void Retain(uint64_t count) { references_.fetch_add(count, std::memory_order_relaxed); }

  // False, and nothing is changed, when there are not as many references.
  bool Release(uint64_t count);

 private:
  Driver& driver_;
  const CUhostFn destroy_;
  void* const object_;
  std::atomic<uint64_t> references_;  // the application's and the graphs'
};

}  // namespace outboard::softgpu::api
