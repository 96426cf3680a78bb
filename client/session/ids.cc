#include "client/session/ids.h"

namespace outboard::client {

using wire::HandleId;
using wire::HandleKind;

const Ids::Slot* Ids::Find(uint32_t slot) const {
  if (slot >= kMaxHandles) return nullptr;
  const Chunk* chunk = chunks_[slot / kChunkSlots].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : &(*chunk)[slot % kChunkSlots];
}

HandleId Ids::New(HandleKind kind) {
  const std::lock_guard lock(mutex_);
  uint32_t slot;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else {
    if (next_slot_ == slots_) return 0;
    std::atomic<Chunk*>& chunk = chunks_[next_slot_ / kChunkSlots];
    if (chunk.load(std::memory_order_relaxed) == nullptr) {
      owned_.push_back(std::make_unique<Chunk>());
      chunk.store(owned_.back().get(), std::memory_order_release);
    }
    // So that Release need not allocate.
    if (free_.capacity() < next_slot_) free_.reserve(2 * next_slot_);
    slot = next_slot_++;
  }
  Slot& value = (*chunks_[slot / kChunkSlots].load(std::memory_order_relaxed))[slot % kChunkSlots];
  const HandleId id = wire::MakeHandle(kind, wire::GenerationOf(value.load(std::memory_order_relaxed)) + 1, slot);
  value.store(id, std::memory_order_release);
  return id;
}

void Ids::Release(HandleId id) {
  if (wire::KindOf(id) == HandleKind::kNone) return;
  const std::lock_guard lock(mutex_);
  const uint32_t slot = wire::SlotOf(id);
  if (slot < wire::kFirstSlot || slot >= next_slot_) return;
  Slot& value = (*chunks_[slot / kChunkSlots].load(std::memory_order_relaxed))[slot % kChunkSlots];
  if (value.load(std::memory_order_relaxed) != id) return;
  value.store(wire::MakeHandle(HandleKind::kNone, wire::GenerationOf(id), slot), std::memory_order_release);
  if (wire::GenerationOf(id) < generations_) free_.push_back(slot);
}

bool Ids::IsLive(HandleKind kind, HandleId id) const {
  if (kind == HandleKind::kStream && wire::IsBuiltInStream(id)) return true;
  const HandleKind own = wire::KindOf(id);
  if (own == HandleKind::kNone) return false;
  if (own != kind && !(kind == HandleKind::kFunction && own == HandleKind::kKernel)) return false;
  const uint32_t slot = wire::SlotOf(id);
  if (slot < wire::kFirstSlot) {
    return id == wire::PrimaryContextHandle(static_cast<CUdevice>(slot)) &&
           (primary_contexts_.load(std::memory_order_acquire) >> slot & 1) != 0;
  }
  const Slot* value = Find(slot);
  return value != nullptr && value->load(std::memory_order_acquire) == id;
}

void Ids::AddPrimaryContext(CUdevice device) {
  primary_contexts_.fetch_or(uint64_t{1} << device, std::memory_order_acq_rel);
}

void Ids::RemovePrimaryContext(CUdevice device) {
  primary_contexts_.fetch_and(~(uint64_t{1} << device), std::memory_order_acq_rel);
}

}  // namespace outboard::client
