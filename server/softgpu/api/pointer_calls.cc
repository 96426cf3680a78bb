#include "server/softgpu/api/cuda_api.h"

#include "common/base/number_of.h"
#include "common/libcuda/pointer_attributes.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/memory_pool.h"

// Unified addressing: what is known about an address.

using namespace outboard::softgpu::api;
using outboard::PointerFacts;

namespace {

PointerFacts Facts(uint64_t address, PointerFacts::Kind kind, const auto& range) {
  const auto& info = range.info;
  const auto context = static_cast<CUcontext>(info.context_handle);
  return {address, kind, range.begin, range.size, info.id, context, info.device->ordinal, info.sync_memops};
}

PointerFacts FactsOf(const Driver& driver, const Context& context, CUdeviceptr address) {
  if (const auto range = driver.allocations.Find(address)) {
    PointerFacts facts = Facts(address, PointerFacts::Kind::kDevice, *range);
    facts.can_be_shared = range->info.IsPlain();
    if (const auto& pool = range->info.pool) {
      facts.pool = static_cast<CUmemoryPool>(pool->handle());
      const bool shareable = pool->role == MemoryPool::Role::kShareable;
      facts.handle_types = shareable ? CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR : CU_MEM_HANDLE_TYPE_NONE;
    }
    return facts;
  }
  if (const auto range = driver.pinned.Find(address)) return Facts(address, PointerFacts::Kind::kHost, *range);
  return driver.virtual_memory.FactsOf(address, context.device.ordinal);
}

CUresult NotManaged() {
  return ContextCall([](Driver&, Context&) { return CUDA_ERROR_INVALID_VALUE; });
}

}  // namespace

CUresult cuPointerGetAttribute(void* data, CUpointer_attribute attribute, CUdeviceptr ptr) {
  return ContextCall([&](Driver& driver, Context& context) {
    return outboard::GetPointerAttribute(data, outboard::NumberOf(attribute), FactsOf(driver, context, ptr));
  });
}

CUresult cuPointerGetAttributes(unsigned int numAttributes, CUpointer_attribute* attributes, void** data,
                                CUdeviceptr ptr) {
  return ContextCall([&](Driver& driver, Context& context) {
    return outboard::GetPointerAttributes(numAttributes, attributes, data, FactsOf(driver, context, ptr));
  });
}

CUresult cuPointerSetAttribute(const void* value, CUpointer_attribute attribute, CUdeviceptr ptr) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    bool sync_memops = false;
    const CUresult read = outboard::ReadSyncMemops(value, outboard::NumberOf(attribute), &sync_memops);
    if (read != CUDA_SUCCESS) return read;
    const auto set = [&](auto* info) { info->sync_memops = sync_memops; };
    if (!driver.allocations.Update(ptr, set) && !driver.pinned.Update(ptr, set) &&
        !driver.virtual_memory.SetSyncMemops(ptr, sync_memops)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!sync_memops) return CUDA_SUCCESS;
    context.Wait();  // what began before has to be over
    return context.Settle();
  });
}

// There is no managed memory, so no address that the following calls are given can be right.

CUresult cuMemPrefetchAsync(CUdeviceptr, size_t, CUdevice, CUstream) { return NotManaged(); }
CUresult cuMemPrefetchAsync_ptsz(CUdeviceptr, size_t, CUdevice, CUstream) { return NotManaged(); }
CUresult cuMemPrefetchAsync_v2(CUdeviceptr, size_t, CUmemLocation, unsigned int, CUstream) { return NotManaged(); }
CUresult cuMemPrefetchAsync_v2_ptsz(CUdeviceptr, size_t, CUmemLocation, unsigned int, CUstream) { return NotManaged(); }
CUresult cuMemAdvise(CUdeviceptr, size_t, CUmem_advise, CUdevice) { return NotManaged(); }
CUresult cuMemAdvise_v2(CUdeviceptr, size_t, CUmem_advise, CUmemLocation) { return NotManaged(); }
CUresult cuMemRangeGetAttribute(void*, size_t, CUmem_range_attribute, CUdeviceptr, size_t) { return NotManaged(); }
CUresult cuMemRangeGetAttributes(void**, size_t*, CUmem_range_attribute*, size_t, CUdeviceptr, size_t) {
  return NotManaged();
}
