#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <shared_mutex>
#include <vector>

#include "common/wire/handle.h"

namespace outboard::worker {

// Whether it is PrimaryContextHandle of some device: such a handle is outside of the client's numbering.
bool IsPrimaryContext(wire::HandleId id);

// The driver's objects of one session, by the handles that the client chose. A handle is never used twice: a stale one
// is refused, not resolved to its successor.
//
// Thread-safe. Lookups copy the entry out; no lock is held while the driver runs.
class HandleTable {
 public:
  // The object of exactly this handle and kind. kFunction finds kernels too. `owner` gets what OwnerOf says.
  std::optional<void*> Find(wire::HandleKind kind, wire::HandleId id, wire::HandleId* owner = nullptr) const;

  // False when the handle is of another kind, its slot is taken or past kMaxHandles, or its generation is not newer
  // than every one that the slot has had. A primary context's handle may come back, with another object or the same
  // (PrimaryContextHandle). `owner` is the handle of the context that the object ends with, 0 for none; of one that
  // ends with another itself, as a green context does, it is that one.
  [[nodiscard]] bool Add(wire::HandleKind kind, wire::HandleId id, void* object, wire::HandleId owner = 0);
  bool Remove(wire::HandleId id);  // false when it is not in the table
  // The handle that Add was given or took instead; 0 also for what is not in the table.
  wire::HandleId OwnerOf(wire::HandleId id) const;
  // What ends with this context; gives the objects. Looks at the whole table.
  std::vector<void*> RemoveOwned(wire::HandleId owner);

  // The handle of an object; 0 when it has none. Looks at the whole table.
  wire::HandleId HandleOf(wire::HandleKind kind, void* object) const;

  // Calls visit(id, object) for all of one kind, newest first, without a lock; for cleaning up.
  void ForEach(wire::HandleKind kind, const std::function<void(wire::HandleId, void*)>& visit) const;

  // Changes whenever a context is added or removed, so that who has looked one up knows when to look again.
  uint64_t context_changes() const { return context_changes_.load(std::memory_order_acquire); }

 private:
  struct Slot {
    uint32_t generation = 0;                          // of the current or last owner
    wire::HandleKind kind = wire::HandleKind::kNone;  // kNone while free
    void* object = nullptr;
    uint64_t order = 0;  // of being added
    wire::HandleId owner = 0;
  };
  const Slot* Look(wire::HandleId id) const;  // null when the handle is not in the table
  Slot* Look(wire::HandleId id) { return const_cast<Slot*>(static_cast<const HandleTable*>(this)->Look(id)); }
  template <class Visit>
  void VisitSlots(wire::HandleKind kind, Visit visit) const;

  std::atomic<uint64_t> context_changes_{0};

  mutable std::shared_mutex mutex_;
  std::vector<Slot> slots_;
  std::vector<Slot> primary_contexts_;  // by device; their handles are outside of the client's numbering
  uint64_t added_ = 0;
};

}  // namespace outboard::worker
