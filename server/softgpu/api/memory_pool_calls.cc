#include "server/softgpu/api/cuda_api.h"

#include "common/base/number_of.h"
#include "common/libcuda/memory_pools.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory_pool.h"

// Stream ordered memory allocator: the pools, and which of them a device allocates from.

using namespace outboard::softgpu::api;
using outboard::CheckPoolLocation;
using outboard::CheckPoolProps;
using outboard::NumberOf;

namespace {

// Runs `body` with the device of that number: (Driver&, Device&).
template <class Body>
CUresult DeviceCall(CUdevice ordinal, Body body) {
  return Call([&](Driver& driver) -> CUresult {
    Device* device = driver.FindDevice(ordinal);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    return body(driver, *device);
  });
}

// Runs `body` with a pool: (Driver&, const std::shared_ptr<MemoryPool>&).
template <class Body>
CUresult PoolCall(CUmemoryPool handle, Body body) {
  return Call([&](Driver& driver) -> CUresult {
    const auto pool = driver.handles.Find<MemoryPool>(handle);
    if (!pool) return CUDA_ERROR_INVALID_VALUE;
    return body(driver, pool);
  });
}

CUresult Answer(CUmemoryPool* out, const std::shared_ptr<MemoryPool>& pool) {
  *out = static_cast<CUmemoryPool>(pool->handle());
  return CUDA_SUCCESS;
}

// Kernels of the pool's own device always have access.
CUresult SetAccess(Driver& driver, const std::shared_ptr<MemoryPool>& pool, const CUmemAccessDesc& access) {
  if (NumberOf(access.location.type) != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
  const Device* device = driver.FindDevice(access.location.id);
  if (!device) return CUDA_ERROR_INVALID_DEVICE;
  const auto flags = NumberOf(access.flags);
  const bool may = flags == CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  if (!may && flags != CU_MEM_ACCESS_FLAGS_PROT_NONE) return CUDA_ERROR_INVALID_VALUE;
  if (device == &pool->device) return may ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  driver.pools.SetAccess(pool, *device, may);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* poolProps) {
  return Call([&](Driver& driver) -> CUresult {
    if (!pool || !poolProps) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckPoolProps(*poolProps); refused != CUDA_SUCCESS) return refused;
    Device* device = driver.FindDevice(poolProps->location.id);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    return Answer(pool, driver.pools.Create(*device, poolProps->maxSize == 0 ? UINT64_MAX : poolProps->maxSize));
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  return PoolCall(pool, [](Driver& driver, const auto& found) -> CUresult {
    if (found->is_default) return CUDA_ERROR_INVALID_VALUE;
    driver.pools.Destroy(found);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolTrimTo(CUmemoryPool pool, size_t minBytesToKeep) {
  return PoolCall(pool, [&](Driver&, const auto& found) {
    found->TrimTo(minBytesToKeep);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return PoolCall(pool, [&](Driver&, const auto& found) {
    return value ? found->Set(NumberOf(attr), value) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return PoolCall(pool, [&](Driver&, const auto& found) {
    return value ? found->Get(NumberOf(attr), value) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemPoolSetAccess(CUmemoryPool pool, const CUmemAccessDesc* map, size_t count) {
  return PoolCall(pool, [&](Driver& driver, const auto& found) -> CUresult {
    if (!map || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      if (const CUresult result = SetAccess(driver, found, map[i]); result != CUDA_SUCCESS) return result;
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags* flags, CUmemoryPool memPool, CUmemLocation* location) {
  return PoolCall(memPool, [&](Driver& driver, const auto& found) -> CUresult {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    if (NumberOf(location->type) != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    const Device* device = driver.FindDevice(location->id);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    const bool may = device == &found->device || found->HasAccess(*device);
    *flags = may ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool_out, CUdevice dev) {
  return DeviceCall(dev, [&](Driver& driver, Device& device) -> CUresult {
    return pool_out ? Answer(pool_out, driver.pools.Default(device)) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice dev) {
  return DeviceCall(dev, [&](Driver& driver, Device& device) -> CUresult {
    return pool ? Answer(pool, driver.pools.Current(device)) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool) {
  return DeviceCall(dev, [&](Driver& driver, Device& device) -> CUresult {
    const auto found = driver.handles.Find<MemoryPool>(pool);
    if (!found || &found->device != &device) return CUDA_ERROR_INVALID_VALUE;
    driver.pools.SetCurrent(found);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool* pool_out, CUmemLocation* location, CUmemAllocationType type) {
  return Call([&](Driver&) -> CUresult {
    const CUresult refused = CheckPoolLocation(location, type);
    return refused == CUDA_SUCCESS ? cuDeviceGetDefaultMemPool(pool_out, location->id) : refused;
  });
}

CUresult cuMemGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  return Call([&](Driver&) -> CUresult {
    const CUresult refused = CheckPoolLocation(location, type);
    return refused == CUDA_SUCCESS ? cuDeviceGetMemPool(pool, location->id) : refused;
  });
}

CUresult cuMemSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
  return Call([&](Driver&) -> CUresult {
    const CUresult refused = CheckPoolLocation(location, type);
    return refused == CUDA_SUCCESS ? cuDeviceSetMemPool(location->id, pool) : refused;
  });
}
