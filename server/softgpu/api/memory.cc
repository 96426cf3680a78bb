#include "server/softgpu/api/memory.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "common/libcuda/copy_calls.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory_pool.h"

// Memory management: allocations.

namespace outboard::softgpu::api {

std::optional<DeviceBytes> FindDeviceBytes(const Context& context, uint64_t address, uint64_t size, bool writes) {
  const Driver& driver = context.driver;
  const auto range = driver.allocations.Find(address);
  if (!range) return driver.virtual_memory.FindBytes(context.device.ordinal, address, size, writes);
  if (!range->Contains(address, size)) return std::nullopt;
  if (writes) range->info.device->memory->MarkWritten(address, size);
  return DeviceBytes{range->info.device->memory->ToHost(address), nullptr};
}

std::optional<Place> FindHostPlace(Driver& driver, const void* address, uint64_t size) {
  const auto value = reinterpret_cast<uint64_t>(address);
  for (const auto& device : driver.devices()) {
    const uint64_t base = device->memory->base();
    if (value >= base && value - base < device->memory->facts().memory_bytes) return std::nullopt;
  }
  if (driver.virtual_memory.IsReserved(value)) return std::nullopt;
  const auto range = driver.pinned.Find(value);
  const bool pinned = range && range->Contains(value, size);
  return Place{pinned ? MemoryKind::kPinned : MemoryKind::kPageable,
               static_cast<std::byte*>(const_cast<void*>(address))};
}

std::optional<Place> FindPlace(const Context& context, uint64_t address, uint64_t size, bool writes) {
  if (auto found = FindDeviceBytes(context, address, size, writes)) {
    return Place{MemoryKind::kDevice, found->bytes, context.driver.SyncsMemops(address), std::move(found->keeper)};
  }
  return FindHostPlace(context.driver, reinterpret_cast<const void*>(address), size);
}

}  // namespace outboard::softgpu::api

using namespace outboard::softgpu::api;

CUresult cuMemGetInfo_v2(size_t* free, size_t* total) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    // NVIDIA's driver does not refuse null for what is free.
    if (free) *free = context.device.memory->FreeBytes();
    if (total) *total = context.device.memory->facts().memory_bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAlloc_v2(CUdeviceptr* dptr, size_t bytesize) {
  return UnsafeCall([&](Driver&, Context& context) -> CUresult {
    if (!dptr || bytesize == 0) return CUDA_ERROR_INVALID_VALUE;
    const auto address = context.Allocate(bytesize, false);
    if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
    *dptr = *address;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemAllocPitch_v2(CUdeviceptr* dptr, size_t* pPitch, size_t WidthInBytes, size_t Height,
                            unsigned int ElementSizeBytes) {
  return UnsafeCall([&](Driver&, Context& context) -> CUresult {
    size_t pitch, bytes;
    if (!dptr || !pPitch) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result =
        outboard::PitchFor(WidthInBytes, Height, ElementSizeBytes, Device::kMaxPitchBytes, &pitch, &bytes);
    if (result != CUDA_SUCCESS) return result;
    const auto address = context.Allocate(bytes, false);
    if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
    *dptr = *address;
    *pPitch = pitch;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemFree_v2(CUdeviceptr dptr) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    if (dptr == 0) return CUDA_SUCCESS;
    const auto found = driver.allocations.Find(dptr);
    if (!found || found->begin != dptr || found->info.of_module || found->info.opened != 0)
      return CUDA_ERROR_INVALID_VALUE;
    if (const auto memory = found->info.graph_memory.lock()) {
      std::lock_guard lock(driver.graphs.mutex);
      if (!memory->MayBeFreedByCall()) return CUDA_ERROR_INVALID_VALUE;
      memory->Free();
      return CUDA_SUCCESS;
    }
    const auto owner = driver.handles.Find<Context>(found->info.context_handle);
    if (owner) owner->Wait();  // memory of a pool has none, and nobody is waited for
    const auto taken =
        driver.allocations.Take(dptr, [&](const auto& range) { return range.info.id == found->info.id; });
    if (!taken) return CUDA_ERROR_INVALID_VALUE;  // another thread was quicker
    if (taken->info.pool) {
      taken->info.pool->Free(dptr, taken->size);
      return CUDA_SUCCESS;
    }
    taken->info.device->memory->Free(dptr);
    return context.Settle();
  });
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* pbase, size_t* psize, CUdeviceptr dptr) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    if (!pbase && !psize) return CUDA_ERROR_INVALID_VALUE;
    const auto answer = [&](const auto& range) {
      if (pbase) *pbase = range.begin;
      if (psize) *psize = range.size;
      return CUDA_SUCCESS;
    };
    if (const auto range = driver.allocations.Find(dptr)) return answer(*range);
    const auto mapping = driver.virtual_memory.Find(dptr);
    return mapping ? answer(*mapping) : CUDA_ERROR_NOT_FOUND;
  });
}
