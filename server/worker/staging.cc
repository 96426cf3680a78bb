#include "server/worker/staging.h"

namespace outboard::worker {

Staging::Staging(const driver::DriverTable& driver, CUcontext context, std::atomic<uint64_t>* total)
    : driver_(driver), context_(context), total_(total) {}

size_t Staging::KindFor(size_t bytes) {
  size_t kind = 0;
  while (kind + 1 < kKinds.size() && kKinds[kind].block_bytes < bytes) ++kind;
  return kind;
}

Block* Staging::Take(size_t bytes, bool grow) {
  const size_t kind = KindFor(bytes);
  do {
    std::lock_guard lock(mutex_);
    auto& free = free_[kind];
    if (free.empty()) continue;
    Block* const block = free.back();
    free.pop_back();
    block->users = 1;
    return block;
  } while (grow && Grow(kind));
  return nullptr;
}

bool Staging::Grow(size_t kind) {
  const auto [block_bytes, slab_bytes] = kKinds[kind];
  if (total_->fetch_add(slab_bytes, std::memory_order_relaxed) + slab_bytes > kMaxStagingBytes) {
    total_->fetch_sub(slab_bytes, std::memory_order_relaxed);
    return false;
  }
  void* slab = nullptr;
  if (driver_.cuMemHostAlloc == nullptr ||
      driver_.cuMemHostAlloc(&slab, slab_bytes, CU_MEMHOSTALLOC_PORTABLE | CU_MEMHOSTALLOC_DEVICEMAP) != CUDA_SUCCESS) {
    total_->fetch_sub(slab_bytes, std::memory_order_relaxed);
    return false;
  }
  std::lock_guard lock(mutex_);
  if (is_over_) {  // meanwhile: it goes with its context
    total_->fetch_sub(slab_bytes, std::memory_order_relaxed);
    return false;
  }
  slabs_.push_back(slab);
  bytes_ += slab_bytes;
  for (size_t offset = 0; offset < slab_bytes; offset += block_bytes) {
    blocks_.push_back({static_cast<std::byte*>(slab) + offset, block_bytes});
    free_[kind].push_back(&blocks_.back());
  }
  return true;
}

void Staging::Give(Block* block) {
  std::lock_guard lock(mutex_);
  free_[KindFor(block->size)].push_back(block);
}

CUevent Staging::TakeEvent(CUresult* result) {
  *result = CUDA_SUCCESS;
  {
    std::lock_guard lock(mutex_);
    if (!events_.empty()) {
      const CUevent event = events_.back();
      events_.pop_back();
      return event;
    }
  }
  CUevent event = nullptr;
  *result = driver_.cuEventCreate == nullptr ? CUDA_ERROR_NOT_SUPPORTED
                                             : driver_.cuEventCreate(&event, CU_EVENT_DISABLE_TIMING);
  return *result == CUDA_SUCCESS ? event : nullptr;
}

void Staging::GiveEvent(CUevent event) {
  std::lock_guard lock(mutex_);
  events_.push_back(event);
}

void Staging::Destroy() {
  std::lock_guard lock(mutex_);
  for (const CUevent event : events_) driver_.cuEventDestroy_v2(event);
  for (void* const slab : slabs_) driver_.cuMemFreeHost(slab);
  Clear();
}

void Staging::Abandon() {
  std::lock_guard lock(mutex_);
  Clear();
}

// Of what is not there any more. The caller holds the mutex.
void Staging::Clear() {
  total_->fetch_sub(bytes_, std::memory_order_relaxed);
  bytes_ = 0;
  is_over_ = true;
  events_.clear();
  slabs_.clear();
  for (auto& free : free_) free.clear();
  blocks_.clear();
}

}  // namespace outboard::worker
