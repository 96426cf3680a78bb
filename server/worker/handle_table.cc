#include "server/worker/handle_table.h"

#include <algorithm>
#include <mutex>

#include "common/base/limits.h"

namespace outboard::worker {

bool IsPrimaryContext(wire::HandleId id) {
  return wire::SlotOf(id) < kMaxDevices && id == wire::PrimaryContextHandle(static_cast<CUdevice>(wire::SlotOf(id)));
}

const HandleTable::Slot* HandleTable::Look(wire::HandleId id) const {
  const std::vector<Slot>& slots = IsPrimaryContext(id) ? primary_contexts_ : slots_;
  if (wire::SlotOf(id) >= slots.size()) return nullptr;
  const Slot& slot = slots[wire::SlotOf(id)];
  const bool is_it = slot.kind != wire::HandleKind::kNone && slot.kind == wire::KindOf(id) &&
                     slot.generation == wire::GenerationOf(id);
  return is_it ? &slot : nullptr;
}

std::optional<void*> HandleTable::Find(wire::HandleKind kind, wire::HandleId id, wire::HandleId* owner) const {
  const wire::HandleKind is = wire::KindOf(id);
  if (is != kind && !(kind == wire::HandleKind::kFunction && is == wire::HandleKind::kKernel)) return std::nullopt;
  std::shared_lock lock(mutex_);
  const Slot* slot = Look(id);
  if (slot == nullptr) return std::nullopt;
  if (owner != nullptr) *owner = slot->owner;
  return slot->object;
}

bool HandleTable::Add(wire::HandleKind kind, wire::HandleId id, void* object, wire::HandleId owner) {
  const uint32_t index = wire::SlotOf(id);
  const uint32_t generation = wire::GenerationOf(id);
  if (kind == wire::HandleKind::kNone || wire::KindOf(id) != kind || index >= kMaxHandles) return false;
  {
    std::unique_lock lock(mutex_);
    const Slot* const owning = Look(owner);
    if (owning != nullptr && owning->owner != 0) owner = owning->owner;
    const bool is_primary = IsPrimaryContext(id);
    std::vector<Slot>& slots = is_primary ? primary_contexts_ : slots_;
    if (index >= slots.size()) slots.resize(index + 1);
    Slot& slot = slots[index];
    if (!is_primary && (slot.kind != wire::HandleKind::kNone || generation <= slot.generation)) return false;
    slot = {generation, kind, object, ++added_, owner};
  }
  if (kind == wire::HandleKind::kContext) context_changes_.fetch_add(1, std::memory_order_release);
  return true;
}

bool HandleTable::Remove(wire::HandleId id) {
  {
    std::unique_lock lock(mutex_);
    Slot* slot = Look(id);
    if (slot == nullptr) return false;
    slot->kind = wire::HandleKind::kNone;
    slot->object = nullptr;
  }
  if (wire::KindOf(id) == wire::HandleKind::kContext) context_changes_.fetch_add(1, std::memory_order_release);
  return true;
}

wire::HandleId HandleTable::OwnerOf(wire::HandleId id) const {
  std::shared_lock lock(mutex_);
  const Slot* slot = Look(id);
  return slot == nullptr ? 0 : slot->owner;
}

std::vector<void*> HandleTable::RemoveOwned(wire::HandleId owner) {
  std::vector<void*> removed;
  std::unique_lock lock(mutex_);
  for (Slot& slot : slots_) {
    if (slot.kind == wire::HandleKind::kNone || slot.owner != owner) continue;
    removed.push_back(slot.object);
    if (slot.kind == wire::HandleKind::kContext) context_changes_.fetch_add(1, std::memory_order_release);
    slot.kind = wire::HandleKind::kNone;
    slot.object = nullptr;
  }
  return removed;
}

template <class Visit>
void HandleTable::VisitSlots(wire::HandleKind kind, Visit visit) const {
  for (const std::vector<Slot>* slots : {&primary_contexts_, &slots_}) {
    for (uint32_t i = 0; i < slots->size(); ++i) {
      const Slot& slot = (*slots)[i];
      if (slot.kind == kind) visit(wire::MakeHandle(kind, slot.generation, i), slot);
    }
  }
}

wire::HandleId HandleTable::HandleOf(wire::HandleKind kind, void* object) const {
  wire::HandleId found = 0;
  std::shared_lock lock(mutex_);
  VisitSlots(kind, [&](wire::HandleId id, const Slot& slot) {
    if (slot.object == object) found = id;
  });
  return found;
}

void HandleTable::ForEach(wire::HandleKind kind, const std::function<void(wire::HandleId, void*)>& visit) const {
  struct Entry {
    wire::HandleId id;
    void* object;
    uint64_t order;
  };
  std::vector<Entry> entries;
  {
    std::shared_lock lock(mutex_);
    VisitSlots(kind, [&](wire::HandleId id, const Slot& slot) { entries.push_back({id, slot.object, slot.order}); });
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.order > b.order; });
  for (const Entry& entry : entries) visit(entry.id, entry.object);
}

}  // namespace outboard::worker
