#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>

#include "client/shim/contexts.h"
#include "client/shim/memory.h"
#include "client/shim/memory_pools.h"
#include "client/shim/process.h"
#include "common/base/log.h"

namespace outboard::shim {

// What the calling thread's calls on memory and modules work in: its current context, or of a green one its primary
// context.
struct Current {
  CUcontext context = nullptr;
  CUdevice device = 0;
};

// What a call that works in the current context and that the client answers begins with, in the driver's order:
// initialised, not in a host function, no sticky error, a context that lives.
inline CUresult FindCurrent(Process& process, Current* current) {
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  if (const CUresult error = process.contexts().error(); error != CUDA_SUCCESS) return error;
  Contexts::Info info;
  const CUresult result = process.contexts().Resolve(&current->context, &info);
  if (result == CUDA_SUCCESS) *current = {info.home, info.device};
  return result;
}

// The largest pitch, in bytes, that a copy in this context may have.
inline uint64_t MaxPitch(Process& process, const Current& current) {
  const auto& attributes = process.worker().devices[current.device].attributes;
  constexpr size_t kIndex = CU_DEVICE_ATTRIBUTE_MAX_PITCH - 1;
  return kIndex < attributes.size() ? static_cast<uint32_t>(attributes[kIndex]) : 0;
}

// Has the worker allocate `bytes` at an address that can be reserved here: allocate(&address), then add(address), which
// is false when something of this process lies there; set_aside(address) has the worker free the memory and not give
// out the address again, so that the next try gets another one.
template <class Allocate, class Add, class SetAside>
CUresult AllocateReserved(CUdeviceptr* dptr, size_t bytes, Allocate allocate, Add add, SetAside set_aside) {
  constexpr int kMaxTries = 16;
  for (int i = 0; i < kMaxTries; ++i) {
    CUdeviceptr address = 0;
    if (const CUresult result = allocate(&address); result != CUDA_SUCCESS) return result;
    if (add(address)) {
      *dptr = address;
      return CUDA_SUCCESS;
    }
    if (const CUresult result = set_aside(address); result != CUDA_SUCCESS) return result;
  }
  Log(LogLevel::kError,
      "the GPU's driver gave %d addresses for an allocation of %zu bytes, and this process uses all of them itself; "
      "the allocation fails",
      kMaxTries, bytes);
  return CUDA_ERROR_OUT_OF_MEMORY;
}

// Whether a call's result says that it was refused before anything happened, so that what it was to end is still there.
// Other errors may be those of earlier work that the call was the first to wait for.
inline bool NotCarriedOut(CUresult result) {
  switch (result) {
    case CUDA_ERROR_NOT_INITIALIZED:
    case CUDA_ERROR_DEINITIALIZED:
    case CUDA_ERROR_INVALID_CONTEXT:
    case CUDA_ERROR_CONTEXT_IS_DESTROYED:
    case CUDA_ERROR_NOT_PERMITTED:
    case CUDA_ERROR_NOT_SUPPORTED:
      return true;
    default:
      return false;
  }
}

// Whether the slice needs room for the range to be freed: of a pool of ours other processes may have it, and keep it.
inline bool NeedsRoom(Process& process, const DeviceRange& range) {
  return range.info.exported && range.info.pool &&
         process.memory_pools().SharingOf(*range.info.pool) != MemoryPools::Sharing::kImported;
}

// Whether the worker still has a range that it was to free.
inline bool IsStillThere(Process& process, const DeviceRange& range, CUresult result) {
  return NotCarriedOut(result) || (result == CUDA_ERROR_OUT_OF_MEMORY && NeedsRoom(process, range));
}

}  // namespace outboard::shim
