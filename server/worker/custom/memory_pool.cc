#include <vector>

#include "common/base/number_of.h"
#include "server/worker/allocations.h"
#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/custom/memory_location.h"
#include "server/worker/exports.h"
#include "server/worker/graph_memory.h"
#include "server/worker/memory_pools.h"
#include "server/worker/session.h"

// Stream ordered memory allocator.

namespace outboard::worker::custom {
namespace {

// allocate() is tried once more after everything was given back that nobody uses.
template <class Allocate>
CUresult AllocateOrMakeRoom(Call& call, Allocate allocate) {
  const CUresult result = allocate();
  if (result != CUDA_ERROR_OUT_OF_MEMORY || !call.session().ReleaseUnusedMemory()) return result;
  return allocate();
}

}  // namespace

CUresult cuMemAllocAsync(Call& call, CUdeviceptr* dptr, size_t bytesize, CUstream hStream) {
  return AllocateOrMakeRoom(call,
                            [&] { return call.session().memory_pools().AllocateFromCurrent(dptr, bytesize, hStream); });
}

CUresult cuMemAllocFromPoolAsync(Call& call, CUdeviceptr* dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream) {
  return AllocateOrMakeRoom(call,
                            [&] { return call.session().memory_pools().Allocate(dptr, bytesize, pool, hStream); });
}

CUresult cuMemFreeAsync(Call& call, CUdeviceptr dptr, CUstream hStream) {
  if (call.session().graph_memory().Has(dptr)) return CUDA_ERROR_INVALID_VALUE;  // the client frees it by its number
  if (call.session().exports().HasOpen(dptr)) return CUDA_ERROR_INVALID_VALUE;   // it is another process's
  MemoryPools& pools = call.session().memory_pools();
  return pools.Has(dptr) ? pools.FreeAsync(dptr, hStream) : call.session().allocations().FreeAsync(dptr, hStream);
}

CUresult cuMemPoolDestroy(Call& call, CUmemoryPool pool) { return call.session().memory_pools().Destroy(pool); }

CUresult cuMemPoolTrimTo(Call& call, CUmemoryPool pool, size_t minBytesToKeep) {
  return call.session().memory_pools().TrimTo(pool, minBytesToKeep);
}

CUresult cuMemPoolSetAccess(Call& call, CUmemoryPool pool, const CUmemAccessDesc* map, size_t count) {
  if (map == nullptr) return call.driver().cuMemPoolSetAccess(pool, map, count);
  std::vector<CUmemAccessDesc> translated(map, map + count);
  for (CUmemAccessDesc& access : translated) {
    if (const CUresult result = LocationToDriver(call, &access.location); result != CUDA_SUCCESS) return result;
  }
  return call.driver().cuMemPoolSetAccess(pool, translated.data(), count);
}

CUresult cuMemPoolGetAccess(Call& call, CUmemAccess_flags* flags, CUmemoryPool memPool, CUmemLocation* location) {
  if (location == nullptr) return call.driver().cuMemPoolGetAccess(flags, memPool, location);
  CUmemLocation translated = *location;  // the client's own goes back to it unchanged
  if (const CUresult result = LocationToDriver(call, &translated); result != CUDA_SUCCESS) return result;
  return call.driver().cuMemPoolGetAccess(flags, memPool, &translated);
}

CUresult cuDeviceGetDefaultMemPool(Call& call, CUmemoryPool* pool_out, CUdevice dev) {
  return call.session().memory_pools().GetDefault(pool_out, dev);
}

// Where the attribute is an int, it is the first half of the value.
CUresult outboardMemPoolSetAttribute(Call& call, CUmemoryPool pool, CUmemPool_attribute attribute,
                                     unsigned long long value) {
  return call.driver().cuMemPoolSetAttribute(pool, attribute, &value);
}

CUresult outboardMemPoolGetAttribute(Call& call, CUmemoryPool pool, CUmemPool_attribute attribute,
                                     unsigned long long* value) {
  return call.driver().cuMemPoolGetAttribute(pool, attribute, value);
}

CUresult outboardMemPoolCreate(Call& call, CUmemoryPool* pool, CUdevice device, size_t maxSize,
                               CUmemAllocationHandleType handleTypes) {
  const unsigned types = NumberOf(handleTypes);
  if ((types & ~unsigned{CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR}) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  return call.session().memory_pools().Create(pool, device, maxSize, handleTypes);
}

CUresult outboardMemPoolExport(Call& call, CUmemoryPool pool, OutboardShare* share) {
  return call.session().memory_pools().Export(share, pool);
}

CUresult outboardMemPoolImport(Call& call, CUmemoryPool* pool, CUdevice* device, OutboardShare share) {
  MemoryPools& pools = call.session().memory_pools();
  const CUresult result = pools.Import(pool, device, share);
  if (result != CUDA_SUCCESS || call.session().ClientDevice(*device) >= 0) return result;
  pools.Destroy(*pool);
  return CUDA_ERROR_INVALID_DEVICE;  // the client does not see it
}

CUresult outboardMemPoolExportPointer(Call& call, CUdeviceptr address, OutboardShare* share) {
  return call.session().memory_pools().ExportPointer(share, address);
}

CUresult outboardMemPoolImportPointer(Call& call, CUdeviceptr* address, size_t* bytes, CUmemoryPool pool,
                                      OutboardShare share) {
  return call.session().memory_pools().ImportPointer(address, bytes, pool, share);
}

// The worker knows how many bytes.
CUresult outboardMemPoolSetAside(Call& call, CUdeviceptr address, size_t, CUstream stream) {
  return call.session().memory_pools().SetAside(address, stream);
}

}  // namespace outboard::worker::custom
