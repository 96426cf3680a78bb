#include "client/shim/custom.gen.h"
#include "common/api/error_names.h"
#include "common/base/number_of.h"

// Error handling.

namespace outboard::custom {

CUresult cuGetErrorString(CUresult error, const char** pStr) {
  if (pStr == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const ErrorText* code = FindError(NumberOf(error));
  *pStr = code != nullptr ? code->text : nullptr;
  return code != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGetErrorName(CUresult error, const char** pStr) {
  if (pStr == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const ErrorText* code = FindError(NumberOf(error));
  *pStr = code != nullptr ? code->name : nullptr;
  return code != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace outboard::custom
