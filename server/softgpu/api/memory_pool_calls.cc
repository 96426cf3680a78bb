#include "server/softgpu/api/cuda_api.h"

#include <bit>
#include <cstring>
#include <mutex>
#include <span>

#include "common/base/number_of.h"
#include "common/libcuda/memory_pools.h"
#include "common/libcuda/shareable_handle.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory_pool.h"

// Stream ordered memory allocator: the pools, and which of them a device allocates from.

using namespace outboard::softgpu::api;
using outboard::CheckPoolLocation;
using outboard::CheckPoolProps;
using outboard::CheckShareableType;
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
    const uint64_t max_bytes = poolProps->maxSize == 0 ? UINT64_MAX : poolProps->maxSize;
    const bool shareable = NumberOf(poolProps->handleTypes) == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
    return Answer(pool, driver.pools.Create(*device, max_bytes, shareable));
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  return PoolCall(pool, [](Driver& driver, const auto& found) -> CUresult {
    if (found->role == MemoryPool::Role::kDefault) return CUDA_ERROR_INVALID_VALUE;
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
    if (!found || &found->device != &device || found->role == MemoryPool::Role::kImported) {
      return CUDA_ERROR_INVALID_VALUE;
    }
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

CUresult cuMemPoolExportToShareableHandle(void* handle_out, CUmemoryPool pool, CUmemAllocationHandleType handleType,
                                          unsigned long long flags) {
  return PoolCall(pool, [&](Driver&, const auto& found) -> CUresult {
    if (!handle_out || found->role != MemoryPool::Role::kShareable) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckShareableType(handleType, flags); refused != CUDA_SUCCESS) return refused;
    const ShareablePool shared{.device = found->device.uuid(), .number = found->number};
    const int descriptor = outboard::MakeShareable(std::as_bytes(std::span(&shared, 1)));
    if (descriptor < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    std::memcpy(handle_out, &descriptor, sizeof descriptor);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool* pool_out, void* handle, CUmemAllocationHandleType handleType,
                                            unsigned long long flags) {
  return Call([&](Driver& driver) -> CUresult {
    if (!pool_out) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckShareableType(handleType, flags); refused != CUDA_SUCCESS) return refused;
    ShareablePool shared;
    const bool is_descriptor = outboard::ReadShareable(handle, std::as_writable_bytes(std::span(&shared, 1)));
    if (!is_descriptor || std::memcmp(shared.magic, ShareablePool().magic, sizeof shared.magic) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Device* const device = driver.FindDevice(shared.device);
    const auto pool = device ? driver.pools.Import(*device, shared.number) : nullptr;
    return pool ? Answer(pool_out, pool) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemPoolExportPointer(CUmemPoolPtrExportData* shareData_out, CUdeviceptr ptr) {
  return Call([&](Driver& driver) -> CUresult {
    const auto found = driver.allocations.Find(ptr);
    if (!shareData_out || !found || found->begin != ptr || !found->info.pool) return CUDA_ERROR_INVALID_VALUE;
    const auto pointer = found->info.pool->Export(ptr, found->size);
    if (!pointer) return CUDA_ERROR_INVALID_VALUE;
    *shareData_out = std::bit_cast<CUmemPoolPtrExportData>(*pointer);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolImportPointer(CUdeviceptr* ptr_out, CUmemoryPool pool, CUmemPoolPtrExportData* shareData) {
  return PoolCall(pool, [&](Driver& driver, const auto& found) -> CUresult {
    if (!ptr_out || !shareData) return CUDA_ERROR_INVALID_VALUE;
    const auto pointer = std::bit_cast<PoolPointer>(*shareData);
    std::lock_guard lock(driver.ipc_mutex);
    const auto address = found->Open(pointer);
    if (!address) return CUDA_ERROR_INVALID_VALUE;
    const Allocation info{&found->device, nullptr, nullptr, driver.NextId(), false, found};
    if (!driver.allocations.Add(*address, pointer.bytes, info)) {
      found->Free(*address, pointer.bytes);  // this process has it already
      return CUDA_ERROR_INVALID_VALUE;
    }
    *ptr_out = *address;
    return CUDA_SUCCESS;
  });
}
