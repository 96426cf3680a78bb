#include "client/shim/context_objects.h"

namespace outboard::shim {

ContextObjects::~ContextObjects() {
  for (auto& chunk : chunks_) delete chunk.load();
}

ContextObjects::Entry* ContextObjects::Find(wire::HandleId object) const {
  const uint32_t slot = wire::SlotOf(object);
  if (wire::IsBuiltInStream(object) || slot >= kMaxHandles) return nullptr;
  Chunk* chunk = chunks_[slot / kChunk].load(std::memory_order_acquire);
  return chunk == nullptr ? nullptr : &(*chunk)[slot % kChunk];
}

void ContextObjects::Add(wire::HandleId object, CUcontext context, CUgreenCtx green) {
  const uint32_t slot = wire::SlotOf(object);
  if (slot >= kMaxHandles) return;
  auto& chunk = chunks_[slot / kChunk];
  if (chunk.load(std::memory_order_acquire) == nullptr) {
    std::lock_guard lock(mutex_);
    if (chunk.load(std::memory_order_relaxed) == nullptr) chunk.store(new Chunk, std::memory_order_release);
  }
  Entry& entry = *Find(object);
  entry.context.store(context, std::memory_order_relaxed);
  entry.green.store(green, std::memory_order_relaxed);
  entry.is_shared.store(false, std::memory_order_relaxed);
  entry.object.store(object, std::memory_order_release);
}

void ContextObjects::Remove(wire::HandleId object) {
  Entry* entry = Find(object);
  if (entry != nullptr) entry->object.compare_exchange_strong(object, 0);
}

CUcontext ContextObjects::ContextOf(wire::HandleId object) const {
  const Entry* entry = Find(object);
  if (entry == nullptr || entry->object.load(std::memory_order_acquire) != object) return nullptr;
  return entry->context.load(std::memory_order_relaxed);
}

CUgreenCtx ContextObjects::GreenOf(wire::HandleId object) const {
  const Entry* entry = Find(object);
  if (entry == nullptr || entry->object.load(std::memory_order_acquire) != object) return nullptr;
  return entry->green.load(std::memory_order_relaxed);
}

void ContextObjects::SetShared(wire::HandleId event) {
  Entry* entry = Find(event);
  if (entry != nullptr) entry->is_shared.store(true, std::memory_order_relaxed);
}

bool ContextObjects::IsShared(wire::HandleId event) const {
  const Entry* entry = Find(event);
  return entry != nullptr && entry->object.load(std::memory_order_acquire) == event &&
         entry->is_shared.load(std::memory_order_relaxed);
}

template <class Is>
std::vector<wire::HandleId> ContextObjects::TakeThose(Is is) {
  std::vector<wire::HandleId> taken;
  for (auto& slot : chunks_) {
    Chunk* chunk = slot.load(std::memory_order_acquire);
    if (chunk == nullptr) continue;
    for (Entry& entry : *chunk) {
      wire::HandleId object = entry.object.load(std::memory_order_acquire);
      if (object == 0 || !is(entry)) continue;
      if (entry.object.compare_exchange_strong(object, 0)) taken.push_back(object);
    }
  }
  return taken;
}

std::vector<wire::HandleId> ContextObjects::Take(CUcontext context) {
  return TakeThose([=](const Entry& entry) { return entry.context.load(std::memory_order_relaxed) == context; });
}

std::vector<wire::HandleId> ContextObjects::Take(CUgreenCtx green) {
  return TakeThose([=](const Entry& entry) { return entry.green.load(std::memory_order_relaxed) == green; });
}

}  // namespace outboard::shim
