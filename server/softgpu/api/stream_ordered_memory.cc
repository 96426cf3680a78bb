#include <memory>
#include <mutex>
#include <utility>

#include "server/softgpu/api/memory_pool.h"
#include "server/softgpu/api/operation.h"
#include "server/softgpu/api/stream_call.h"

// Stream ordered memory allocator: allocations and frees. In a capture they become nodes, whose memory is the graph's
// and no pool's. The pools are in memory_pool_calls.cc.

using namespace outboard::softgpu::api;

namespace {

// What adds a node that allocates memory of the device.
auto MakeAllocNode(Driver& driver, const Device& device, size_t bytes, CUdeviceptr* address) {
  return [=, &driver, &device](outboard::graphs::Content* content) {
    CUDA_MEM_ALLOC_NODE_PARAMS params{};
    params.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    params.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, device.ordinal};
    params.bytesize = bytes;
    OperationPtr operation;
    const CUresult result = MakeAlloc(driver, params, &operation);
    if (result != CUDA_SUCCESS) return result;
    *address = std::get<AllocOperation>(operation->what).memory->params().dptr;
    *content = std::move(operation);
    return CUDA_SUCCESS;
  };
}

// The memory stays until the stream gets there.
CUresult FreeGraphMemory(Driver& driver, GraphMemory& memory, Stream& stream) {
  std::shared_ptr<outboard::graphs::Memory> held;
  {
    std::lock_guard lock(driver.graphs.mutex);
    if (!memory.MayBeFreedByCall()) return CUDA_ERROR_INVALID_VALUE;
    held = memory.Free();
  }
  stream.SubmitAlways([held]() mutable { held.reset(); });
  return CUDA_SUCCESS;
}

// Allocates from the pool that find(Driver&, Context&) gives; a null one is CUDA_ERROR_INVALID_VALUE.
template <class FindPool>
CUresult Allocate(CUdeviceptr* dptr, size_t bytes, CUstream hStream, DefaultStream null_means, FindPool find) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    Driver& driver = context.driver;
    const std::shared_ptr<MemoryPool> pool = find(driver, context);
    if (!dptr || bytes == 0 || !pool) return CUDA_ERROR_INVALID_VALUE;
    if (const auto captured = driver.graphs.captures.Add(stream, MakeAllocNode(driver, pool->device, bytes, dptr)))
      return *captured;
    auto address = pool->Allocate(bytes, stream);
    if (!address && driver.pools.ReleaseUnused(pool->device)) address = pool->Allocate(bytes, stream);
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
  return Allocate(dptr, bytes, hStream, null_means, [&](Driver& driver, Context&) {
    const auto found = driver.handles.Find<MemoryPool>(pool);
    return found && found->role == MemoryPool::Role::kImported ? nullptr : found;
  });
}

CUresult Free(CUdeviceptr dptr, CUstream hStream, DefaultStream null_means) {
  return StreamCall(hStream, null_means, [&](Context& context, Stream& stream) -> CUresult {
    if (dptr == 0) return CUDA_SUCCESS;  // as free() does; cuSPARSE asks for it
    Driver& driver = context.driver;
    const auto free_node = [&](outboard::graphs::Content* content) {
      OperationPtr operation;
      const CUresult result = MakeFree(driver, dptr, &operation);
      if (result == CUDA_SUCCESS) *content = std::move(operation);
      return result;
    };
    if (const auto captured = driver.graphs.captures.Add(stream, free_node)) return *captured;
    if (const auto found = driver.allocations.Find(dptr); found && found->begin == dptr) {
      if (const auto memory = found->info.graph_memory.lock()) return FreeGraphMemory(driver, *memory, stream);
    }
    // From now on the address is nobody's, as far as later calls go.
    const auto is_its = [](const auto& range) { return range.info.pool != nullptr || range.info.IsPlain(); };
    const auto taken = driver.allocations.Take(dptr, is_its);
    if (!taken) return CUDA_ERROR_INVALID_VALUE;
    if (taken->info.pool) {
      taken->info.pool->FreeAsync(dptr, taken->size, stream);
    } else {
      stream.SubmitAlways([device = taken->info.device, dptr] { device->memory->Free(dptr); });
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
