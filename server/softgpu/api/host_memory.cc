#include "server/softgpu/api/cuda_api.h"

#include "common/libcuda/host_memory.h"

#include <sys/mman.h>

#include "server/softgpu/api/entry.h"

// Memory management: page-locked host memory. No kernel can reach it: it is what copies treat as pinned.

using namespace outboard::softgpu::api;
using outboard::HostPages;
using outboard::kHostAllocFlags;
using outboard::kHostRegisterFlags;

namespace {

CUresult AllocateHost(void** pp, size_t bytes, unsigned flags) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    if (!pp || bytes == 0 || (flags & ~kHostAllocFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (bytes > PTRDIFF_MAX) return CUDA_ERROR_OUT_OF_MEMORY;
    void* memory = mmap(nullptr, HostPages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
    driver.pinned.Add(reinterpret_cast<uint64_t>(memory), bytes,
                      Pinned{&context, context.handle(), &context.device, driver.NextId(), flags, false});
    *pp = memory;
    return CUDA_SUCCESS;
  });
}

// Waits until nothing that is queued anywhere can still touch host memory: every context may use it.
void WaitForAll(Driver& driver, const Pinned& pinned, Context& current) {
  current.Wait();
  if (pinned.context == &current) return;
  if (const auto owner = driver.handles.Find<Context>(pinned.context_handle)) owner->Wait();
}

}  // namespace

CUresult cuMemAllocHost_v2(void** pp, size_t bytesize) { return AllocateHost(pp, bytesize, 0); }

CUresult cuMemHostAlloc(void** pp, size_t bytesize, unsigned int Flags) { return AllocateHost(pp, bytesize, Flags); }

CUresult cuMemFreeHost(void* p) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    if (p == nullptr) return CUDA_SUCCESS;  // as free() does
    const auto begin = reinterpret_cast<uint64_t>(p);
    const auto found = driver.pinned.Find(begin);
    if (!found || found->begin != begin || found->info.registered) return CUDA_ERROR_INVALID_VALUE;
    WaitForAll(driver, found->info, context);
    const auto taken = driver.pinned.Take(begin, [&](const auto& range) { return range.info.id == found->info.id; });
    if (!taken) return CUDA_ERROR_INVALID_VALUE;
    munmap(p, HostPages(taken->size));
    return context.Settle();
  });
}

CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* pdptr, void* p, unsigned int Flags) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    if (!pdptr || Flags != 0 || !driver.pinned.Find(reinterpret_cast<uint64_t>(p))) return CUDA_ERROR_INVALID_VALUE;
    return CUDA_ERROR_NOT_SUPPORTED;
  });
}

CUresult cuMemHostGetFlags(unsigned int* pFlags, void* p) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto found = driver.pinned.Find(reinterpret_cast<uint64_t>(p));
    if (!pFlags || !found || found->info.registered) return CUDA_ERROR_INVALID_VALUE;
    *pFlags = found->info.flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuMemHostRegister_v2(void* p, size_t bytesize, unsigned int Flags) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    uint64_t end;
    const auto begin = reinterpret_cast<uint64_t>(p);
    if (!p || bytesize == 0 || (Flags & ~kHostRegisterFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (__builtin_add_overflow(begin, bytesize, &end)) return CUDA_ERROR_INVALID_VALUE;
    if (Flags & (CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY)) return CUDA_ERROR_NOT_SUPPORTED;
    const bool added = driver.pinned.Add(
        begin, bytesize, Pinned{&context, context.handle(), &context.device, driver.NextId(), Flags, true});
    return added ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  });
}

CUresult cuMemHostRegister(void* p, size_t bytesize, unsigned int Flags) {
  return cuMemHostRegister_v2(p, bytesize, Flags);
}

CUresult cuMemHostUnregister(void* p) {
  return UnsafeCall([&](Driver& driver, Context& context) -> CUresult {
    if (!p) return CUDA_ERROR_INVALID_VALUE;
    const auto begin = reinterpret_cast<uint64_t>(p);
    const auto found = driver.pinned.Find(begin);
    if (!found || found->begin != begin || !found->info.registered) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    WaitForAll(driver, found->info, context);
    const auto taken = driver.pinned.Take(begin, [&](const auto& range) { return range.info.id == found->info.id; });
    return taken ? context.Settle() : CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
  });
}
