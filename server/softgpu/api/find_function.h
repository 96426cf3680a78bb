#pragma once

#include <memory>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/library.h"

namespace outboard::softgpu::api {

// The function that a CUfunction means in the current context: its own, or that of the CUkernel which the value may be
// as well. CUDA_ERROR_INVALID_HANDLE for neither, or for a function of another context.
CUresult FindFunction(Context& context, CUfunction handle, std::shared_ptr<Function>* function);

// A call on a function in the current context: `body` takes (Function&).
template <class Body>
CUresult FunctionCall(CUfunction handle, Body body) noexcept {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    std::shared_ptr<Function> function;
    if (CUresult result = FindFunction(context, handle, &function); result != CUDA_SUCCESS) return result;
    return body(*function);
  });
}

}  // namespace outboard::softgpu::api
