#include <cstring>
#include <optional>
#include <span>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/graph_memory.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/memory_pools.h"
#include "client/shim/remote.gen.h"
#include "common/base/number_of.h"
#include "common/libcuda/memory_pools.h"
#include "common/libcuda/shareable_handle.h"

// Stream ordered memory allocator. In a capture its allocations and frees become nodes, whose memory is the graph's and
// no pool's.

namespace outboard::custom {

using namespace shim;
using Sharing = MemoryPools::Sharing;

namespace {

// What an allocation in the stream becomes if that captures; nullopt if it does not. `device` is none for a pool that
// does not exist.
std::optional<CUresult> CaptureAllocation(Process& process, std::optional<CUdevice> device, CUdeviceptr* dptr,
                                          size_t bytes, CUstream stream) {
  return CaptureInstead(process, stream, [&](graphs::OperationPtr* operation) -> CUresult {
    if (dptr == nullptr || !device) return CUDA_ERROR_INVALID_VALUE;
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_MEM_ALLOC;
    params.alloc.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    params.alloc.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, *device};
    params.alloc.bytesize = bytes;
    const CUresult result = MakeOperation(process, &params, operation);
    if (result == CUDA_SUCCESS) *dptr = params.alloc.dptr;
    return result;
  });
}

std::optional<CUresult> CaptureFree(Process& process, CUdeviceptr address, CUstream stream) {
  return CaptureInstead(process, stream, [&](graphs::OperationPtr* operation) {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_MEM_FREE;
    params.free.dptr = address;
    return MakeOperation(process, &params, operation);
  });
}

// `allocate` has the worker allocate in the stream: (CUdeviceptr*). The memory is of `pool`, null for the default one,
// of `device`.
template <class Allocate>
CUresult AllocateFrom(CUdevice device, CUmemoryPool pool, CUdeviceptr* dptr, size_t bytes, CUstream stream,
                      Allocate allocate) {
  if (dptr == nullptr) return allocate(nullptr);
  return AllocateReserved(
      dptr, bytes, allocate,
      [&](CUdeviceptr address) { return Process::Get().memory().AddPooled(address, bytes, device, pool); },
      [&](CUdeviceptr address) { return remote::outboardMemPoolSetAside(address, bytes, stream); });
}

// The values of these attributes are ints, those of all others 64 bits.
bool IsSwitch(unsigned attribute) {
  switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
      return true;
    default:
      return false;
  }
}

// Whether the driver sets an attribute to this value for sure.
bool CanBeSet(unsigned attribute, uint64_t value) {
  switch (attribute) {
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
      return true;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
      return value == 0;
    default:
      return IsSwitch(attribute);
  }
}

}  // namespace

CUresult cuMemAllocAsync(CUdeviceptr* dptr, size_t bytesize, CUstream hStream) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const auto captured = CaptureAllocation(process, current.device, dptr, bytesize, hStream)) return *captured;
  const CUmemoryPool pool = process.memory_pools().CurrentOrNull(current.device);
  return AllocateFrom(current.device, pool, dptr, bytesize, hStream,
                      [&](CUdeviceptr* address) { return remote::cuMemAllocAsync(address, bytesize, hStream); });
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  auto device = process.memory_pools().DeviceOf(pool);
  if (process.memory_pools().SharingOf(pool) == Sharing::kImported) device.reset();
  if (const auto captured = CaptureAllocation(process, device, dptr, bytesize, hStream)) return *captured;
  return AllocateFrom(device.value_or(current.device), pool, dptr, bytesize, hStream, [&](CUdeviceptr* address) {
    return remote::cuMemAllocFromPoolAsync(address, bytesize, pool, hStream);
  });
}

CUresult cuMemFreeAsync(CUdeviceptr dptr, CUstream hStream) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (dptr == 0) return remote::cuMemFreeAsync(dptr, hStream, false);  // which frees nothing, captured or not
  if (const auto captured = CaptureFree(process, dptr, hStream)) return *captured;
  Memory& memory = process.memory();
  if (const auto of_graph = memory.FindOfGraph(dptr)) return of_graph->FreeByCall(hStream);
  if (IsOfCurrentContext(hStream)) {
    // Taken out first: another thread may get the same address as soon as the worker has freed it.
    const auto range = memory.TakeDevice(dptr);
    const CUresult result = remote::cuMemFreeAsync(dptr, hStream, range && !NeedsRoom(process, *range));
    if (range && IsStillThere(process, *range, result)) {
      memory.PutBack(*range);
    } else if (range) {
      memory.Release(*range);
    }
    return result;
  }
  // The driver will hardly accept the stream; what it does not free is still there.
  const CUresult result = remote::cuMemFreeAsync(dptr, hStream, false);
  if (result != CUDA_SUCCESS) return result;
  if (const auto range = memory.TakeDevice(dptr)) memory.Release(*range);
  return result;
}

CUresult cuMemPoolCreate(CUmemoryPool* pool, const CUmemPoolProps* poolProps) {
  return Local([&](Process& process) -> CUresult {
    if (pool == nullptr || poolProps == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckPoolProps(*poolProps); refused != CUDA_SUCCESS) return refused;
    const CUdevice device = poolProps->location.id;
    const bool shareable = NumberOf(poolProps->handleTypes) != CU_MEM_HANDLE_TYPE_NONE;
    const CUresult result = remote::outboardMemPoolCreate(pool, device, poolProps->maxSize, poolProps->handleTypes);
    if (result == CUDA_SUCCESS) {
      process.memory_pools().Add(*pool, device, shareable ? Sharing::kShareable : Sharing::kPrivate);
    }
    return result;
  });
}

CUresult cuMemPoolDestroy(CUmemoryPool pool) {
  return Local([&](Process& process) -> CUresult {
    MemoryPools& pools = process.memory_pools();
    const CUresult result = remote::cuMemPoolDestroy(pool, pools.IsOwn(pool));
    // Not by the result, which may be that of an earlier call.
    const auto id = reinterpret_cast<wire::HandleId>(pool);
    if (!process.session().ids().IsLive(wire::HandleKind::kPool, id)) pools.Remove(pool);
    return result;
  });
}

CUresult cuMemPoolSetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return Local([&](Process&) -> CUresult {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const unsigned attribute = NumberOf(attr);
    uint64_t number = 0;
    std::memcpy(&number, value, IsSwitch(attribute) ? sizeof(int) : sizeof number);
    return remote::outboardMemPoolSetAttribute(pool, attr, number, CanBeSet(attribute, number));
  });
}

CUresult cuMemPoolGetAttribute(CUmemoryPool pool, CUmemPool_attribute attr, void* value) {
  return Local([&](Process&) -> CUresult {
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    unsigned long long number = 0;
    const CUresult result = remote::outboardMemPoolGetAttribute(pool, attr, &number);
    if (result == CUDA_SUCCESS) std::memcpy(value, &number, IsSwitch(NumberOf(attr)) ? sizeof(int) : sizeof number);
    return result;
  });
}

CUresult cuDeviceGetDefaultMemPool(CUmemoryPool* pool_out, CUdevice dev) {
  return Local([&](Process& process) -> CUresult {
    if (pool_out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return process.memory_pools().GetDefault(dev, pool_out);
  });
}

CUresult cuDeviceGetMemPool(CUmemoryPool* pool, CUdevice dev) {
  return Local([&](Process& process) -> CUresult {
    if (pool == nullptr) return CUDA_ERROR_INVALID_VALUE;
    return process.memory_pools().GetCurrent(dev, pool);
  });
}

CUresult cuDeviceSetMemPool(CUdevice dev, CUmemoryPool pool) {
  return Local([&](Process& process) -> CUresult {
    MemoryPools& pools = process.memory_pools();
    const bool is_its = pools.DeviceOf(pool) == dev && pools.SharingOf(pool) != Sharing::kImported;
    const CUresult result = remote::cuDeviceSetMemPool(dev, pool, is_its);
    if (is_its && !NotCarriedOut(result)) pools.SetCurrent(dev, pool);
    return result;
  });
}

CUresult cuMemGetDefaultMemPool(CUmemoryPool* pool_out, CUmemLocation* location, CUmemAllocationType type) {
  return Local([&](Process&) -> CUresult {
    const CUresult refused = CheckPoolLocation(location, type);
    return refused == CUDA_SUCCESS ? custom::cuDeviceGetDefaultMemPool(pool_out, location->id) : refused;
  });
}

CUresult cuMemGetMemPool(CUmemoryPool* pool, CUmemLocation* location, CUmemAllocationType type) {
  return Local([&](Process&) -> CUresult {
    const CUresult refused = CheckPoolLocation(location, type);
    return refused == CUDA_SUCCESS ? custom::cuDeviceGetMemPool(pool, location->id) : refused;
  });
}

CUresult cuMemSetMemPool(CUmemLocation* location, CUmemAllocationType type, CUmemoryPool pool) {
  return Local([&](Process&) -> CUresult {
    const CUresult refused = CheckPoolLocation(location, type);
    return refused == CUDA_SUCCESS ? custom::cuDeviceSetMemPool(location->id, pool) : refused;
  });
}

CUresult cuMemPoolExportToShareableHandle(void* handle_out, CUmemoryPool pool, CUmemAllocationHandleType handleType,
                                          unsigned long long flags) {
  return Local([&](Process& process) -> CUresult {
    if (handle_out == nullptr || process.memory_pools().SharingOf(pool) != Sharing::kShareable) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult refused = CheckShareableType(handleType, flags); refused != CUDA_SUCCESS) return refused;
    OutboardShare share;
    if (const CUresult result = remote::outboardMemPoolExport(pool, &share); result != CUDA_SUCCESS) return result;
    const int descriptor = MakeShareable(std::as_bytes(std::span(&share, 1)));
    if (descriptor < 0) return CUDA_ERROR_OPERATING_SYSTEM;
    std::memcpy(handle_out, &descriptor, sizeof descriptor);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolImportFromShareableHandle(CUmemoryPool* pool_out, void* handle, CUmemAllocationHandleType handleType,
                                            unsigned long long flags) {
  return Local([&](Process& process) -> CUresult {
    if (pool_out == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult refused = CheckShareableType(handleType, flags); refused != CUDA_SUCCESS) return refused;
    OutboardShare share;
    if (!ReadShareable(handle, std::as_writable_bytes(std::span(&share, 1)))) return CUDA_ERROR_INVALID_VALUE;
    CUdevice device = 0;
    const CUresult result = remote::outboardMemPoolImport(pool_out, &device, share);
    if (result == CUDA_SUCCESS) process.memory_pools().Add(*pool_out, device, Sharing::kImported);
    return result;
  });
}

CUresult cuMemPoolExportPointer(CUmemPoolPtrExportData* shareData_out, CUdeviceptr ptr) {
  return Local([&](Process& process) -> CUresult {
    const auto range = process.memory().FindDevice(ptr);
    if (shareData_out == nullptr || !range || range->begin != ptr || !range->info.pool) return CUDA_ERROR_INVALID_VALUE;
    OutboardShare share;
    const CUresult result = remote::outboardMemPoolExportPointer(ptr, &share);
    if (result != CUDA_SUCCESS) return result;
    std::memset(shareData_out, 0, sizeof *shareData_out);
    static_assert(sizeof share <= sizeof *shareData_out);
    std::memcpy(shareData_out, &share, sizeof share);
    process.memory().NoteExported(ptr);
    return CUDA_SUCCESS;
  });
}

CUresult cuMemPoolImportPointer(CUdeviceptr* ptr_out, CUmemoryPool pool, CUmemPoolPtrExportData* shareData) {
  return Local([&](Process& process) -> CUresult {
    const auto device = process.memory_pools().DeviceOf(pool);
    if (ptr_out == nullptr || shareData == nullptr || !device) return CUDA_ERROR_INVALID_VALUE;
    OutboardShare share;
    std::memcpy(&share, shareData, sizeof share);
    CUdeviceptr address = 0;
    size_t bytes = 0;
    const CUresult result = remote::outboardMemPoolImportPointer(&address, &bytes, pool, share);
    if (result != CUDA_SUCCESS) return result;
    if (!process.memory().AddPooled(address, bytes, *device, pool)) {
      remote::cuMemFree_v2(address);
      Log(LogLevel::kError,
          "memory of another process's pool cannot be used: the GPU's driver has it at 0x%llx, where this process has "
          "something else; start the processes anew, so that the addresses differ",
          static_cast<unsigned long long>(address));
      return CUDA_ERROR_MAP_FAILED;
    }
    process.memory().NoteExported(address);
    *ptr_out = address;
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::custom
