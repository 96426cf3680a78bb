#pragma once

#include <cuda.h>

#include "common/base/number_of.h"

namespace outboard {

// cuDeviceGetHostAtomicCapabilities and cuDeviceGetP2PAtomicCapabilities of a link or device that exists:
// `capability(operation)` is the mask of CUatomicOperationCapability for one of the operations.
template <class Capability>
CUresult AtomicCapabilities(unsigned* capabilities, const CUatomicOperation* operations, unsigned count,
                            Capability capability) {
  if (capabilities == nullptr || operations == nullptr || count == 0) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    if (NumberOf(operations[i]) >= CU_ATOMIC_OPERATION_MAX) return CUDA_ERROR_INVALID_VALUE;
  }
  for (unsigned i = 0; i < count; ++i) capabilities[i] = capability(operations[i]);
  return CUDA_SUCCESS;
}

}  // namespace outboard
