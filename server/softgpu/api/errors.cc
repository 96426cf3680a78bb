#include "server/softgpu/api/cuda_api.h"

#include "common/api/error_names.h"
#include "common/base/number_of.h"

// Error handling.

CUresult cuGetErrorString(CUresult error, const char** pStr) {
  if (!pStr) return CUDA_ERROR_INVALID_VALUE;
  const outboard::ErrorText* code = outboard::FindError(outboard::NumberOf(error));
  *pStr = code ? code->text : nullptr;
  return code ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult error, const char** pStr) {
  if (!pStr) return CUDA_ERROR_INVALID_VALUE;
  const outboard::ErrorText* code = outboard::FindError(outboard::NumberOf(error));
  *pStr = code ? code->name : nullptr;
  return code ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
