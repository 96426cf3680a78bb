#pragma once

#include <cuda.h>

#include <cstddef>

#include "client/shim/modules_function.h"

namespace outboard::shim {

// cuFuncGetParamInfo and cuKernelGetParamInfo.
inline CUresult ParamInfo(const Function& function, size_t index, size_t* offset, size_t* size) {
  if (!function.knows_params()) return CUDA_ERROR_NOT_SUPPORTED;
  if (offset == nullptr || index >= function.params().size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = function.params()[index].offset;
  if (size != nullptr) *size = function.params()[index].size;
  return CUDA_SUCCESS;
}

}  // namespace outboard::shim
