#include "client/shim/memory_pools.h"

#include "client/shim/remote.gen.h"

namespace outboard::shim {

CUresult MemoryPools::GetDefault(CUdevice device, CUmemoryPool* pool) {
  std::lock_guard lock(mutex_);  // over the question: it must be asked once
  const auto found = defaults_.find(device);
  if (found != defaults_.end()) {
    *pool = found->second;
    return CUDA_SUCCESS;
  }
  const CUresult result = remote::cuDeviceGetDefaultMemPool(pool, device);
  if (result == CUDA_SUCCESS) defaults_.emplace(device, *pool);
  return result;
}

CUresult MemoryPools::GetCurrent(CUdevice device, CUmemoryPool* pool) {
  const CUmemoryPool current = CurrentOrNull(device);
  if (current == nullptr) return GetDefault(device, pool);
  *pool = current;
  return CUDA_SUCCESS;
}

CUmemoryPool MemoryPools::CurrentOrNull(CUdevice device) const {
  std::lock_guard lock(mutex_);
  const auto found = currents_.find(device);
  return found == currents_.end() ? nullptr : found->second;
}

void MemoryPools::SetCurrent(CUdevice device, CUmemoryPool pool) {
  std::lock_guard lock(mutex_);
  currents_[device] = pool;
}

void MemoryPools::Add(CUmemoryPool pool, CUdevice device, Sharing sharing) {
  std::lock_guard lock(mutex_);
  own_.emplace(pool, Own{device, sharing});
}

void MemoryPools::Remove(CUmemoryPool pool) {
  std::lock_guard lock(mutex_);
  own_.erase(pool);
  std::erase_if(currents_, [&](const auto& current) { return current.second == pool; });
}

std::optional<CUdevice> MemoryPools::DeviceOf(CUmemoryPool pool) const {
  std::lock_guard lock(mutex_);
  if (const auto found = own_.find(pool); found != own_.end()) return found->second.device;
  for (const auto& [device, its] : defaults_) {
    if (its == pool) return device;
  }
  return std::nullopt;
}

MemoryPools::Sharing MemoryPools::SharingOf(CUmemoryPool pool) const {
  std::lock_guard lock(mutex_);
  const auto found = own_.find(pool);
  return found == own_.end() ? Sharing::kPrivate : found->second.sharing;
}

bool MemoryPools::IsOwn(CUmemoryPool pool) const {
  std::lock_guard lock(mutex_);
  return own_.count(pool) != 0;
}

}  // namespace outboard::shim
