#include "common/libcuda/handles.h"

#include <mutex>
#include <new>
#include <utility>

namespace outboard {
namespace {

// From the top: 0, 1 (which makes the value non-canonical), 5 bits of kind, 33 of generation, 24 of slot.
constexpr int kSlotBits = 24;
constexpr int kGenerationBits = 33;
constexpr int kKindBits = 5;
constexpr int kKindShift = kSlotBits + kGenerationBits;
static_assert(kKindShift + kKindBits == 62 && static_cast<int>(Kind::kResourceDesc) < 1 << kKindBits);
constexpr uint64_t kMark = uint64_t{1} << 62;
constexpr uint64_t kMaxSlots = uint64_t{1} << kSlotBits;
constexpr uint64_t kLastGeneration = (uint64_t{1} << kGenerationBits) - 1;

uint64_t Pack(Kind kind, uint64_t generation, uint64_t slot) {
  return kMark | uint64_t{static_cast<uint8_t>(kind)} << kKindShift | generation << kSlotBits | slot;
}

}  // namespace

void HandleTable::AddObject(Kind kind, const std::shared_ptr<Object>& object) {
  std::unique_lock lock(mutex_);
  if (free_.empty()) {
    if (slots_.size() >= kMaxSlots) throw std::bad_alloc();
    slots_.emplace_back();
    free_.reserve(slots_.capacity());  // so that Vacate never has to allocate
    free_.push_back(static_cast<uint32_t>(slots_.size() - 1));
  }
  const uint32_t index = free_.back();
  free_.pop_back();
  Slot& slot = slots_[index];
  slot.kind = kind;
  slot.object = object;
  object->handle_ = reinterpret_cast<void*>(Pack(kind, slot.generation, index));
}

const HandleTable::Slot* HandleTable::SlotOf(Kind kind, const void* handle) const {
  const auto value = reinterpret_cast<uint64_t>(handle);
  const uint64_t index = value & (kMaxSlots - 1);
  if (index >= slots_.size()) return nullptr;
  const Slot& slot = slots_[index];
  if (!slot.object || slot.kind != kind || value != Pack(kind, slot.generation, index)) return nullptr;
  return &slot;
}

std::shared_ptr<Object> HandleTable::FindObject(Kind kind, const void* handle) const {
  std::shared_lock lock(mutex_);
  const Slot* slot = SlotOf(kind, handle);
  return slot ? slot->object : nullptr;
}

std::shared_ptr<Object> HandleTable::RemoveObject(Kind kind, const void* handle) {
  std::unique_lock lock(mutex_);
  const Slot* slot = SlotOf(kind, handle);
  return slot ? Vacate(slots_[slot - slots_.data()]) : nullptr;
}

std::vector<std::shared_ptr<Object>> HandleTable::RemoveOwnedBy(const void* owner) {
  std::vector<std::shared_ptr<Object>> removed;
  std::unique_lock lock(mutex_);
  for (Slot& slot : slots_) {
    if (slot.object && slot.object->owner() == owner) removed.push_back(Vacate(slot));
  }
  return removed;
}

std::shared_ptr<Object> HandleTable::Vacate(Slot& slot) {
  // A slot whose generations are used up is left alone for good, so that no value ever comes back.
  if (slot.generation < kLastGeneration) {
    ++slot.generation;
    free_.push_back(static_cast<uint32_t>(&slot - slots_.data()));
  }
  return std::move(slot.object);
}

}  // namespace outboard
