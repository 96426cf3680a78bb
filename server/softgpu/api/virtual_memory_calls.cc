#include "server/softgpu/api/cuda_api.h"

#include <cstring>
#include <memory>
#include <span>
#include <utility>

#include "common/base/number_of.h"
#include "common/libcuda/shareable_handle.h"
#include "common/libcuda/virtual_memory.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/virtual_memory.h"

// Virtual memory management. None of the calls needs a current context.

using namespace outboard::softgpu::api;
using outboard::CheckAccess;
using outboard::CheckAllocationProps;
using outboard::CheckShareableType;
using outboard::kVirtualGranularity;
using outboard::NumberOf;
using outboard::softgpu::PhysicalMemory;

namespace {

std::unique_ptr<PhysicalMemory> Allocate(Driver& driver, Device& device, size_t bytes) {
  auto memory = device.memory->AllocatePhysical(bytes);
  if (memory == nullptr && driver.pools.ReleaseUnused(device)) memory = device.memory->AllocatePhysical(bytes);
  return memory;
}

// What is wrong with a descriptor of cuMemSetAccess.
CUresult Check(Driver& driver, const CUmemAccessDesc& access) {
  const CUresult refused = CheckAccess(access);
  if (refused != CUDA_SUCCESS) return refused;
  return driver.FindDevice(access.location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

}  // namespace

CUresult cuMemAddressReserve(CUdeviceptr* ptr, size_t size, size_t alignment, CUdeviceptr addr,
                             unsigned long long flags) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!ptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return driver.virtual_memory.Reserve(ptr, size, alignment, addr);
  });
}

CUresult cuMemAddressFree(CUdeviceptr ptr, size_t size) {
  return HealthyCall([&](Driver& driver) { return driver.virtual_memory.FreeRange(ptr, size); });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp* prop,
                     unsigned long long flags) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!handle || !prop || flags != 0 || size == 0 || size % kVirtualGranularity != 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckAllocationProps(*prop); refused != CUDA_SUCCESS) return refused;
    Device* const device = driver.FindDevice(prop->location.id);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    auto memory = Allocate(driver, *device, size);
    if (memory == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
    driver.virtual_memory.Create(handle, outboard::GrantedProps(*prop), *device, std::move(memory));
    return CUDA_SUCCESS;
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return HealthyCall([&](Driver& driver) { return driver.virtual_memory.Release(handle); });
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (offset != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return driver.virtual_memory.Map(ptr, size, handle);
  });
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size) {
  return HealthyCall([&](Driver& driver) { return driver.virtual_memory.Unmap(ptr, size); });
}

CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc* desc, size_t count) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!desc || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      if (const CUresult result = Check(driver, desc[i]); result != CUDA_SUCCESS) return result;
    }
    return driver.virtual_memory.SetAccess(ptr, size, desc, count);
  });
}

CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr ptr) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!flags || !location) return CUDA_ERROR_INVALID_VALUE;
    if (NumberOf(location->type) != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    if (!driver.FindDevice(location->id)) return CUDA_ERROR_INVALID_DEVICE;
    return driver.virtual_memory.GetAccess(flags, location->id, ptr);
  });
}

CUresult cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* prop,
                                       CUmemAllocationGranularity_flags option) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!granularity || !prop || NumberOf(option) > CU_MEM_ALLOC_GRANULARITY_RECOMMENDED) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult refused = CheckAllocationProps(*prop); refused != CUDA_SUCCESS) return refused;
    if (!driver.FindDevice(prop->location.id)) return CUDA_ERROR_INVALID_DEVICE;
    *granularity = kVirtualGranularity;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* prop, CUmemGenericAllocationHandle handle) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    return prop ? driver.virtual_memory.PropsOf(prop, handle) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemExportToShareableHandle(void* shareableHandle, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType handleType, unsigned long long flags) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!shareableHandle) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckShareableType(handleType, flags); refused != CUDA_SUCCESS) return refused;
    ShareableMemory shared;
    if (const CUresult result = driver.virtual_memory.Export(&shared, handle); result != CUDA_SUCCESS) return result;
    const int descriptor = outboard::MakeShareable(std::as_bytes(std::span(&shared, 1)));
    if (descriptor < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    std::memcpy(shareableHandle, &descriptor, sizeof descriptor);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* osHandle,
                                        CUmemAllocationHandleType shHandleType) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!handle) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckShareableType(shHandleType, 0); refused != CUDA_SUCCESS) return refused;
    ShareableMemory shared;
    const bool is_descriptor = outboard::ReadShareable(osHandle, std::as_writable_bytes(std::span(&shared, 1)));
    if (!is_descriptor || std::memcmp(shared.magic, ShareableMemory().magic, sizeof shared.magic) != 0) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    Device* const device = driver.FindDevice(shared.device);
    return device ? driver.virtual_memory.Import(handle, shared, *device) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* addr) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!handle) return CUDA_ERROR_INVALID_VALUE;
    return driver.virtual_memory.Retain(handle, reinterpret_cast<CUdeviceptr>(addr));
  });
}
