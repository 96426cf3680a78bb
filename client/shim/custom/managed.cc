#include "client/shim/custom.gen.h"
#include "client/shim/memory_call.h"

// Unified addressing: calls on managed memory. There is none, so no address that they are given can be right.

namespace outboard::custom {

using namespace shim;

namespace {

CUresult NotManaged() {
  Process& process = Process::Get();
  Current current;
  const CUresult result = FindCurrent(process, &current);
  return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
}

}  // namespace

CUresult cuMemPrefetchAsync(CUdeviceptr, size_t, CUdevice, CUstream) { return NotManaged(); }
CUresult cuMemPrefetchAsync_v2(CUdeviceptr, size_t, CUmemLocation, unsigned int, CUstream) { return NotManaged(); }
CUresult cuMemAdvise(CUdeviceptr, size_t, CUmem_advise, CUdevice) { return NotManaged(); }
CUresult cuMemAdvise_v2(CUdeviceptr, size_t, CUmem_advise, CUmemLocation) { return NotManaged(); }
CUresult cuMemRangeGetAttribute(void*, size_t, CUmem_range_attribute, CUdeviceptr, size_t) { return NotManaged(); }
CUresult cuMemRangeGetAttributes(void**, size_t*, CUmem_range_attribute*, size_t, CUdeviceptr, size_t) {
  return NotManaged();
}

}  // namespace outboard::custom
