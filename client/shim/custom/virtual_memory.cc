#include "client/shim/virtual_memory.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <span>
#include <vector>

#include "client/shim/call.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/base/number_of.h"
#include "common/libcuda/shareable_handle.h"
#include "common/libcuda/virtual_memory.h"

// Virtual memory management. Where other processes of the lease have the memory, it is released when the call returns:
// they may be told.

namespace outboard::custom {

using namespace shim;

namespace {

using Answer = VirtualMemory::Answer;

// None of these calls needs a context: body(Process&, VirtualMemory&).
template <class Body>
CUresult Healthy(Body body) {
  return Local([&](Process& process) -> CUresult {
    if (!process.contexts().healthy()) return process.contexts().error();
    return body(process, process.memory().virtual_memory());
  });
}

bool IsDevice(Process& process, CUdevice device) {
  return device >= 0 && static_cast<size_t>(device) < process.worker().devices.size();
}

// What is wrong with the properties of an allocation.
CUresult Check(Process& process, const CUmemAllocationProp& props) {
  const CUresult refused = CheckAllocationProps(props);
  if (refused != CUDA_SUCCESS) return refused;
  return IsDevice(process, props.location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

// Whether what `answer` was about has happened in the worker. Where the driver accepts for sure, an error is one of
// earlier work that the call was the first to wait for.
bool IsDone(Answer answer, CUresult result) {
  return result == CUDA_SUCCESS || (answer == Answer::kCertain && !NotCarriedOut(result));
}

}  // namespace

CUresult cuMemAddressReserve(CUdeviceptr* ptr, size_t size, size_t alignment, CUdeviceptr addr,
                             unsigned long long flags) {
  return Healthy([&](Process& process, VirtualMemory& memory) -> CUresult {
    if (ptr == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = AllocateReserved(
        ptr, size, [&](CUdeviceptr* out) { return remote::cuMemAddressReserve(out, size, alignment, addr, flags); },
        [&](CUdeviceptr address) { return process.memory().ReserveRange(address, size); },
        // The worker keeps it reserved, so it is not given again.
        [](CUdeviceptr) { return CUDA_SUCCESS; });
    if (result == CUDA_SUCCESS) memory.AddRange(*ptr, size);
    return result;
  });
}

CUresult cuMemAddressFree(CUdeviceptr ptr, size_t size) {
  return Healthy([&](Process& process, VirtualMemory& memory) -> CUresult {
    if (!memory.TakeRange(ptr, size)) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = remote::cuMemAddressFree(ptr, size);
    if (NotCarriedOut(result)) {
      memory.AddRange(ptr, size);
    } else {
      process.memory().ReleaseRange(ptr, size);
    }
    return result;
  });
}

CUresult cuMemCreate(CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp* prop,
                     unsigned long long flags) {
  return Healthy([&](Process& process, VirtualMemory& memory) -> CUresult {
    if (handle == nullptr || prop == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = Check(process, *prop); refused != CUDA_SUCCESS) return refused;
    const CUmemAllocationProp granted = GrantedProps(*prop);
    const CUresult result = remote::cuMemCreate(handle, size, &granted, flags);
    if (result == CUDA_SUCCESS) memory.AddMemory(*handle, size, granted, process.memory().NextId());
    return result;
  });
}

CUresult cuMemRelease(CUmemGenericAllocationHandle handle) {
  return Healthy([&](Process&, VirtualMemory& memory) -> CUresult {
    const bool is_shared = memory.IsShared(handle);
    switch (memory.Release(handle)) {
      case VirtualMemory::Left::kNothing:
        return remote::cuMemRelease(handle, !is_shared);
      case VirtualMemory::Left::kMemory:
        return CUDA_SUCCESS;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult cuMemExportToShareableHandle(void* shareableHandle, CUmemGenericAllocationHandle handle,
                                      CUmemAllocationHandleType handleType, unsigned long long flags) {
  return Healthy([&](Process&, VirtualMemory& memory) -> CUresult {
    if (shareableHandle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckShareableType(handleType, flags); refused != CUDA_SUCCESS) return refused;
    const auto props = memory.PropsOf(handle);
    if (!props || (NumberOf(props->requestedHandleTypes) & NumberOf(handleType)) == 0) return CUDA_ERROR_INVALID_VALUE;
    auto share = memory.ShareOf(handle);
    if (!share) {
      share.emplace();
      const CUresult result = remote::outboardMemExport(handle, &*share);
      if (result != CUDA_SUCCESS) return result;
      memory.SetShare(handle, *share);
    }
    const int descriptor = MakeShareable(std::as_bytes(std::span(&*share, 1)));
    if (descriptor < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    std::memcpy(shareableHandle, &descriptor, sizeof descriptor);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemImportFromShareableHandle(CUmemGenericAllocationHandle* handle, void* osHandle,
                                        CUmemAllocationHandleType shHandleType) {
  return Healthy([&](Process& process, VirtualMemory& memory) -> CUresult {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckShareableType(shHandleType, 0); refused != CUDA_SUCCESS) return refused;
    OutboardShare share;
    if (!ReadShareable(osHandle, std::as_writable_bytes(std::span(&share, 1)))) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard lock(memory.import_mutex());
    if (const auto known = memory.Import(share)) {
      *handle = *known;
      return CUDA_SUCCESS;
    }
    size_t bytes = 0;
    CUmemAllocationProp props{};
    props.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.requestedHandleTypes = shHandleType;
    props.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    const CUresult result = remote::outboardMemImport(handle, &bytes, &props.location.id, share);
    if (result == CUDA_SUCCESS) memory.AddMemory(*handle, bytes, props, process.memory().NextId(), share);
    return result;
  });
}

CUresult cuMemRetainAllocationHandle(CUmemGenericAllocationHandle* handle, void* addr) {
  return Healthy([&](Process&, VirtualMemory& memory) -> CUresult {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto retained = memory.Retain(reinterpret_cast<CUdeviceptr>(addr));
    if (!retained) return CUDA_ERROR_INVALID_VALUE;
    *handle = *retained;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAllocationPropertiesFromHandle(CUmemAllocationProp* prop, CUmemGenericAllocationHandle handle) {
  return Healthy([&](Process&, VirtualMemory& memory) -> CUresult {
    const auto props = memory.PropsOf(handle);
    if (prop == nullptr || !props) return CUDA_ERROR_INVALID_VALUE;
    *prop = *props;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemGetAllocationGranularity(size_t* granularity, const CUmemAllocationProp* prop,
                                       CUmemAllocationGranularity_flags option) {
  return Healthy([&](Process& process, VirtualMemory&) -> CUresult {
    if (granularity == nullptr || prop == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = Check(process, *prop); refused != CUDA_SUCCESS) return refused;
    const CUmemAllocationProp granted = GrantedProps(*prop);
    return remote::cuMemGetAllocationGranularity(granularity, &granted, option);
  });
}

CUresult cuMemMap(CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return Healthy([&](Process& process, VirtualMemory& memory) -> CUresult {
    if (offset != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const Answer answer = memory.MayMap(ptr, size, handle);
    if (answer == Answer::kNo) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = remote::cuMemMap(ptr, size, offset, handle, flags, answer == Answer::kCertain);
    if (IsDone(answer, result)) memory.Map(ptr, size, handle, process.memory().NextId());
    return result;
  });
}

CUresult cuMemUnmap(CUdeviceptr ptr, size_t size) {
  return Healthy([&](Process&, VirtualMemory& memory) -> CUresult {
    // Taken out first: as soon as the worker has unmapped them, another thread may map there.
    const auto mappings = memory.TakeMappings(ptr, size);
    if (mappings.empty()) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = remote::cuMemUnmap(ptr, size);
    if (NotCarriedOut(result)) {
      memory.PutBack(mappings);
      return result;
    }
    const bool is_shared = std::any_of(mappings.begin(), mappings.end(),
                                       [&](const VirtualMapping& mapping) { return memory.IsShared(mapping.memory); });
    for (const CUmemGenericAllocationHandle unused : memory.Forget(mappings)) {
      remote::cuMemRelease(unused, !is_shared);
    }
    return result;
  });
}

CUresult cuMemSetAccess(CUdeviceptr ptr, size_t size, const CUmemAccessDesc* desc, size_t count) {
  return Healthy([&](Process& process, VirtualMemory& memory) -> CUresult {
    if (desc == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; ++i) {
      if (const CUresult refused = CheckAccess(desc[i]); refused != CUDA_SUCCESS) return refused;
      if (!IsDevice(process, desc[i].location.id)) return CUDA_ERROR_INVALID_DEVICE;
    }
    const Answer answer = memory.MaySetAccess(ptr, size, desc, count);
    if (answer == Answer::kNo) return CUDA_ERROR_INVALID_VALUE;
    const CUresult result = remote::cuMemSetAccess(ptr, size, desc, count, answer == Answer::kCertain);
    if (IsDone(answer, result)) memory.SetAccess(ptr, size, desc, count);
    return result;
  });
}

CUresult cuMemGetAccess(unsigned long long* flags, const CUmemLocation* location, CUdeviceptr ptr) {
  return Healthy([&](Process& process, VirtualMemory& memory) -> CUresult {
    if (flags == nullptr || location == nullptr || NumberOf(location->type) != CU_MEM_LOCATION_TYPE_DEVICE) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!IsDevice(process, location->id)) return CUDA_ERROR_INVALID_DEVICE;
    const auto mapping = memory.Find(ptr);
    if (!mapping) return CUDA_ERROR_INVALID_VALUE;
    *flags = mapping->AccessOf(location->id);
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::custom
