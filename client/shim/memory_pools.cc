#include "client/shim/default_pools.h"

#include "client/shim/remote.gen.h"

namespace outboard::shim {

CUresult DefaultPools::Get(CUdevice device, CUmemoryPool* pool) {
  std::lock_guard lock(mutex_);  // over the question: it must be asked once
  const auto found = pools_.find(device);
  if (found != pools_.end()) {
    *pool = found->second;
    return CUDA_SUCCESS;
  }
  const CUresult result = remote::cuDeviceGetDefaultMemPool(pool, device);
  if (result == CUDA_SUCCESS) pools_.emplace(device, *pool);
  return result;
}

}  // namespace outboard::shim
