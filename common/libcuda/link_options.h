#pragma once

#include <cuda.h>

namespace outboard {

// Whether cuLinkAddData and cuLinkAddFile take an option: those of a whole link do not belong to one of its inputs
// (CUDA driver API, cuLinkAddData).
constexpr bool BelongsToLinkInput(unsigned option) {
  switch (option) {
    case CU_JIT_WALL_TIME:
    case CU_JIT_INFO_LOG_BUFFER:
    case CU_JIT_ERROR_LOG_BUFFER:
    case CU_JIT_TARGET_FROM_CUCONTEXT:
    case CU_JIT_TARGET:
      return false;
    default:
      return true;
  }
}

}  // namespace outboard
