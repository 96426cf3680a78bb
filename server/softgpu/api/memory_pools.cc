#include "server/softgpu/api/cuda_api.h"

#include "server/softgpu/api/memory_pools.h"

#include <algorithm>

#include "server/softgpu/api/memory_pool.h"
#include "server/softgpu/device/addresses.h"

namespace outboard::softgpu::api {

// The caller holds mutex_.
std::shared_ptr<MemoryPool> MemoryPools::Add(std::shared_ptr<MemoryPool> pool) {
  handles_.Add(pool);
  pools_.push_back(pool);
  return pool;
}

std::shared_ptr<MemoryPool> MemoryPools::Create(Device& device, uint64_t max_bytes, bool shareable) {
  const auto role = shareable ? MemoryPool::Role::kShareable : MemoryPool::Role::kPrivate;
  std::lock_guard lock(mutex_);
  return Add(std::make_shared<MemoryPool>(device, role, max_bytes, shareable ? RandomSeed() : 0));
}

std::shared_ptr<MemoryPool> MemoryPools::Import(Device& device, uint64_t number) {
  std::lock_guard lock(mutex_);
  for (const auto& pool : pools_) {
    if (pool->role == MemoryPool::Role::kShareable && pool->number == number) return nullptr;
  }
  return Add(std::make_shared<MemoryPool>(device, MemoryPool::Role::kImported, 0, number));
}

void MemoryPools::Destroy(const std::shared_ptr<MemoryPool>& pool) {
  if (!handles_.Remove<MemoryPool>(pool->handle())) return;  // another thread was quicker
  {
    std::lock_guard lock(mutex_);
    std::erase(pools_, pool);
    std::erase_if(currents_, [&](const auto& current) { return current.second == pool; });
  }
  pool->Retire();
}

std::shared_ptr<MemoryPool> MemoryPools::Default(Device& device) {
  std::lock_guard lock(mutex_);
  auto& pool = defaults_[&device];
  if (!pool) pool = Add(std::make_shared<MemoryPool>(device, MemoryPool::Role::kDefault, UINT64_MAX, 0));
  return pool;
}

std::shared_ptr<MemoryPool> MemoryPools::Current(Device& device) {
  {
    std::lock_guard lock(mutex_);
    if (const auto found = currents_.find(&device); found != currents_.end()) return found->second;
  }
  return Default(device);
}

void MemoryPools::SetCurrent(const std::shared_ptr<MemoryPool>& pool) {
  std::lock_guard lock(mutex_);
  currents_[&pool->device] = pool;
}

std::vector<std::shared_ptr<MemoryPool>> MemoryPools::All() const {
  std::lock_guard lock(mutex_);
  return pools_;
}

void MemoryPools::SetAccess(const std::shared_ptr<MemoryPool>& pool, const Device& device, bool may) {
  pool->SetAccess(device, may);
  std::lock_guard lock(mutex_);
  std::erase_if(shared_, [&](const auto& each) { return each.expired() || each.lock() == pool; });
  shared_.push_back(pool);
}

void MemoryPools::AppendShared(const Device& device, std::span<const Device* const> left_out,
                               ExtentTable* extents) const {
  std::vector<std::weak_ptr<MemoryPool>> shared;
  {
    std::lock_guard lock(mutex_);
    shared = shared_;
  }
  for (const auto& each : shared) {
    const auto pool = each.lock();
    if (!pool || !pool->HasAccess(device) || std::ranges::find(left_out, &pool->device) != left_out.end()) continue;
    pool->AppendTo(extents);
  }
}

void MemoryPools::Synchronized() {
  for (const auto& pool : All()) pool->Synchronized();
}

bool MemoryPools::ReleaseUnused(const Device& device) {
  bool any = false;
  for (const auto& pool : All()) any = (&pool->device == &device && pool->TrimTo(0)) || any;
  return any;
}

}  // namespace outboard::softgpu::api
