#include <utility>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory_pool.h"
#include "server/softgpu/api/stream.h"

// Stream ordered memory allocator: allocations and frees, which cannot be captured: graphs have no nodes for them. The
// pools are in memory_pool_calls.cc.

using namespace outboard::softgpu::api;

namespace {

// Allocates from the pool that find(Driver&, Context&) gives; a null one is CUDA_ERROR_INVALID_VALUE.
template <class FindPool>
CUresult Allocate(CUdeviceptr* dptr, size_t bytes, CUstream hStream, DefaultStream null_means, FindPool find) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    const std::shared_ptr<MemoryPool> pool = find(driver, context);
    if (!dptr || bytes == 0 || !pool) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult refused = driver.captures.RefuseOn(*stream); refused != CUDA_SUCCESS) return refused;
    auto address = pool->Allocate(bytes, *stream);
    if (!address && driver.pools.ReleaseUnused(pool->device)) address = pool->Allocate(bytes, *stream);
    if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
    driver.allocations.Add(*address, bytes, Allocation{&pool->device, nullptr, nullptr, driver.NextId(), false, pool});
    *dptr = *address;
    return CUDA_SUCCESS;
  });
}

CUresult AllocateFromCurrent(CUdeviceptr* dptr, size_t bytes, CUstream hStream, DefaultStream null_means) {
  return Allocate(dptr, bytes, hStream, null_means,
                  [](Driver& driver, Context& context) { return driver.pools.Current(context.device); });
}

CUresult AllocateFromPool(CUdeviceptr* dptr, size_t bytes, CUmemoryPool pool, CUstream hStream,
                          DefaultStream null_means) {
  return Allocate(dptr, bytes, hStream, null_means,
                  [&](Driver& driver, Context&) { return driver.handles.Find<MemoryPool>(pool); });
}

CUresult Free(CUdeviceptr dptr, CUstream hStream, DefaultStream null_means) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult refused = driver.captures.RefuseOn(*stream); refused != CUDA_SUCCESS) return refused;
    // From now on the address is nobody's, as far as later calls go.
    const auto taken = driver.allocations.Take(dptr, [](const auto& range) { return !range.info.of_module; });
    if (!taken) return CUDA_ERROR_INVALID_VALUE;
    if (taken->info.pool) {
      taken->info.pool->FreeAsync(dptr, taken->size, *stream);
    } else {
      stream->SubmitAlways([device = taken->info.device, dptr] { device->memory->Free(dptr); });
    }
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuMemAllocAsync(CUdeviceptr* dptr, size_t bytesize, CUstream hStream) {
  return AllocateFromCurrent(dptr, bytesize, hStream, DefaultStream::kLegacy);
}

CUresult cuMemAllocAsync_ptsz(CUdeviceptr* dptr, size_t bytesize, CUstream hStream) {
  return AllocateFromCurrent(dptr, bytesize, hStream, DefaultStream::kPerThread);
}

CUresult cuMemAllocFromPoolAsync(CUdeviceptr* dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream) {
  return AllocateFromPool(dptr, bytesize, pool, hStream, DefaultStream::kLegacy);
}

CUresult cuMemAllocFromPoolAsync_ptsz(CUdeviceptr* dptr, size_t bytesize, CUmemoryPool pool, CUstream hStream) {
  return AllocateFromPool(dptr, bytesize, pool, hStream, DefaultStream::kPerThread);
}

CUresult cuMemFreeAsync(CUdeviceptr dptr, CUstream hStream) { return Free(dptr, hStream, DefaultStream::kLegacy); }

CUresult cuMemFreeAsync_ptsz(CUdeviceptr dptr, CUstream hStream) {
  return Free(dptr, hStream, DefaultStream::kPerThread);
}
