#pragma once

#include <cuda.h>

#include "common/base/number_of.h"

namespace outboard {

// What calls say of a place that memory is asked for in: CUDA_SUCCESS for a device, which location.id names and which
// may not exist; CUDA_ERROR_NOT_SUPPORTED for places that CUDA knows and slices do not have.
inline CUresult CheckMemoryLocation(const CUmemLocation& location) {
  switch (NumberOf(location.type)) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
      return CUDA_SUCCESS;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
      return CUDA_ERROR_NOT_SUPPORTED;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace outboard
