// Another driver, whose symbols come first in the process.

#include <cuda.h>

#define OUTBOARD_EXPORT extern "C" __attribute__((visibility("default")))

OUTBOARD_EXPORT CUresult cuInit(unsigned int) { return CUDA_ERROR_UNKNOWN; }
OUTBOARD_EXPORT CUresult cuMemFree_v2(CUdeviceptr) { return CUDA_ERROR_UNKNOWN; }
