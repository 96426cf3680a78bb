#include "common/libcuda/host_memory.h"

#include <sys/mman.h>

#include <cstdint>

#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"

// Memory management: page-locked host memory. The GPU is in another machine, so nothing is locked: it is the memory of
// which an application may expect that copies run while it goes on. No kernel can reach it, and
// the attributes of the device say so.

namespace outboard::custom {

using namespace shim;

namespace {

// Takes the page-locked range that begins at `p` out of the maps once nothing reads or writes it any more.
// `unknown`: what the call returns when there is no such range.
CUresult Retire(void* p, bool is_registered, CUresult unknown, HostRange* taken) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  Memory& memory = process.memory();
  const auto begin = reinterpret_cast<uint64_t>(p);
  const auto range = memory.FindHost(begin);
  if (!range || range->begin != begin || range->info.is_registered != is_registered) return unknown;
  const CUresult drained = memory.DrainHost(begin, range->size);
  if (NotCarriedOut(drained)) return drained;
  const auto found = memory.TakeHost(*range);
  if (!found) return unknown;  // another thread was quicker
  *taken = *found;
  return drained;
}

}  // namespace

CUresult cuMemHostAlloc(void** pp, size_t bytesize, unsigned int Flags) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  if (pp == nullptr || bytesize == 0 || (Flags & ~kHostAllocFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytesize > PTRDIFF_MAX) return CUDA_ERROR_OUT_OF_MEMORY;
  void* const memory = mmap(nullptr, HostPages(bytesize), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  const HostMemory info{current.context, current.device, process.memory().NextId(), Flags, false};
  if (!process.memory().AddHost(reinterpret_cast<uint64_t>(memory), bytesize, info)) {
    // The application unmapped memory that it had registered, and the addresses were used again.
    munmap(memory, HostPages(bytesize));
    return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
  }
  *pp = memory;
  return CUDA_SUCCESS;
}

CUresult cuMemAllocHost_v2(void** pp, size_t bytesize) { return custom::cuMemHostAlloc(pp, bytesize, 0); }

CUresult cuMemFreeHost(void* p) {
  HostRange range{};
  const CUresult result = Retire(p, false, p == nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE, &range);
  if (range.size != 0) munmap(p, HostPages(range.size));
  return result;
}

CUresult cuMemHostGetFlags(unsigned int* pFlags, void* p) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  const auto range = process.memory().FindHost(reinterpret_cast<uint64_t>(p));
  if (pFlags == nullptr || !range || range->info.is_registered) return CUDA_ERROR_INVALID_VALUE;
  *pFlags = range->info.flags;
  return CUDA_SUCCESS;
}

CUresult cuMemHostRegister_v2(void* p, size_t bytesize, unsigned int Flags) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  uint64_t end;
  const auto begin = reinterpret_cast<uint64_t>(p);
  if (p == nullptr || bytesize == 0 || (Flags & ~kHostRegisterFlags) != 0) return CUDA_ERROR_INVALID_VALUE;
  if (__builtin_add_overflow(begin, bytesize, &end)) return CUDA_ERROR_INVALID_VALUE;
  if ((Flags & (CU_MEMHOSTREGISTER_IOMEMORY | CU_MEMHOSTREGISTER_READ_ONLY)) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  const HostMemory info{current.context, current.device, process.memory().NextId(), Flags, true};
  return process.memory().AddHost(begin, bytesize, info) ? CUDA_SUCCESS : CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
}

CUresult cuMemHostRegister(void* p, size_t bytesize, unsigned int Flags) {
  return custom::cuMemHostRegister_v2(p, bytesize, Flags);
}

CUresult cuMemHostUnregister(void* p) {
  HostRange range{};
  if (p == nullptr) {
    Current current;
    const CUresult result = FindCurrent(Process::Get(), &current);
    return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
  }
  return Retire(p, true, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED, &range);
}

}  // namespace outboard::custom
