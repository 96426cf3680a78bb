#include "client/shim/memory.h"

#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/graph_memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/libcuda/copy_calls.h"

// Memory management: device memory.

namespace outboard::custom {

using namespace shim;

CUresult cuMemAlloc_v2(CUdeviceptr* dptr, size_t bytesize) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  if (dptr == nullptr) return remote::cuMemAlloc_v2(nullptr, bytesize);
  return AllocateReserved(
      dptr, bytesize, [&](CUdeviceptr* address) { return remote::cuMemAlloc_v2(address, bytesize); },
      [&](CUdeviceptr address) {
        return process.memory().AddDevice(address, bytesize, current.context, current.device);
      },
      [](CUdeviceptr address) { return remote::outboardSetAside(address); });
}

CUresult cuMemAllocPitch_v2(CUdeviceptr* dptr, size_t* pPitch, size_t WidthInBytes, size_t Height,
                            unsigned int ElementSizeBytes) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  size_t pitch, bytes;
  if (dptr == nullptr || pPitch == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = PitchFor(WidthInBytes, Height, ElementSizeBytes, MaxPitch(process, current), &pitch, &bytes);
  if (result == CUDA_SUCCESS) result = custom::cuMemAlloc_v2(dptr, bytes);
  if (result == CUDA_SUCCESS) *pPitch = pitch;
  return result;
}

CUresult cuMemFree_v2(CUdeviceptr dptr) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  Memory& memory = process.memory();
  if (const auto of_graph = memory.FindOfGraph(dptr)) {
    Current current;
    const CUresult result = FindCurrent(process, &current);
    return result == CUDA_SUCCESS ? of_graph->FreeByCall() : result;
  }
  // Taken out first: another thread may get the same address as soon as the worker has freed it.
  const auto range = memory.TakeDevice(dptr);
  const CUresult result = remote::cuMemFree_v2(dptr);
  if (!range) return result;
  if (IsStillThere(process, *range, result)) {
    memory.PutBack(*range);
  } else {
    memory.Release(*range);
  }
  return result;
}

CUresult cuMemGetAddressRange_v2(CUdeviceptr* pbase, size_t* psize, CUdeviceptr dptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (pbase == nullptr && psize == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto answer = [&](const auto& range) {
    if (pbase != nullptr) *pbase = range.begin;
    if (psize != nullptr) *psize = range.size;
    return CUDA_SUCCESS;
  };
  if (const auto range = process.memory().FindDevice(dptr)) return answer(*range);
  const auto mapping = process.memory().virtual_memory().Find(dptr);
  return mapping ? answer(*mapping) : CUDA_ERROR_NOT_FOUND;
}

}  // namespace outboard::custom
