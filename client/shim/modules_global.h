#pragma once

#include <cuda.h>

#include <cstddef>

#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "common/base/log.h"

namespace outboard::shim {

// cuModuleGetGlobal and cuLibraryGetGlobal: `ask(&address, &size)` is the remote call. The variable becomes device
// memory that the application knows, owned by the module or library.
template <class Ask>
CUresult FindGlobal(wire::HandleId owner, CUdeviceptr* dptr, size_t* bytes, Ask ask) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (dptr == nullptr && bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUdeviceptr address = 0;
  size_t size = 0;
  if (const CUresult result = ask(&address, &size); result != CUDA_SUCCESS) return result;
  if (size != 0 && !process.memory().AddDevice(address, size, current.context, current.device, owner)) {
    Log(LogLevel::kError,
        "a variable of GPU code lies at 0x%llx, where this process has memory of its own; start it again to have both "
        "placed anew",
        static_cast<unsigned long long>(address));
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  if (dptr != nullptr) *dptr = address;
  if (bytes != nullptr) *bytes = size;
  return CUDA_SUCCESS;
}

}  // namespace outboard::shim
