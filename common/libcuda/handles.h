#pragma once

#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <vector>

namespace outboard {

enum class Kind : uint8_t {
  kContext = 1,
  kStream,
  kEvent,
  kModule,
  kFunction,
  kLibrary,
  kKernel,
  kPool,
  kLinker,
  kGraph,
  kGraphNode,
  kGraphExec,
  kUserObject,
  kAllocation,
  kArray,
  kMipmappedArray,
  kGreenContext,
  kConvertedContext,
  kResourceDesc
};

// What a handle stands for. Each class of objects names its kind as kKind.
class Object {
 public:
  virtual ~Object() = default;

  // What applications hold: CUstream, CUevent and so on. Null until the object is in a table.
  void* handle() const { return handle_; }

  // The context whose end makes this object's handle invalid; null for none. Compared, never dereferenced.
  virtual const void* owner() const { return nullptr; }

 private:
  friend class HandleTable;
  void* handle_ = nullptr;
};

// Objects by the opaque values that applications hold.
//
// A value packs kind, slot and generation, is never given out twice, and is no canonical address: who dereferences one
// faults at once. Thread-safe.
class HandleTable {
 public:
  // Gives the object its handle.
  template <class T>
  void Add(const std::shared_ptr<T>& object) {
    AddObject(T::kKind, object);
  }

  // Null for a value that is unknown, stale, or of another kind.
  template <class T>
  std::shared_ptr<T> Find(const void* handle) const {
    return std::static_pointer_cast<T>(FindObject(T::kKind, handle));
  }

  // As Find; the handle is invalid from now on.
  template <class T>
  std::shared_ptr<T> Remove(const void* handle) {
    return std::static_pointer_cast<T>(RemoveObject(T::kKind, handle));
  }

  // Makes the handles of all objects of this owner invalid. Returns the objects, so that they end where the caller
  // wants.
  std::vector<std::shared_ptr<Object>> RemoveOwnedBy(const void* owner);

 private:
  struct Slot {
    uint64_t generation = 1;
    Kind kind{};
    std::shared_ptr<Object> object;
  };

  void AddObject(Kind kind, const std::shared_ptr<Object>& object);
  std::shared_ptr<Object> FindObject(Kind kind, const void* handle) const;
  std::shared_ptr<Object> RemoveObject(Kind kind, const void* handle);
  const Slot* SlotOf(Kind kind, const void* handle) const;
  std::shared_ptr<Object> Vacate(Slot& slot);

  mutable std::shared_mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
};

}  // namespace outboard
