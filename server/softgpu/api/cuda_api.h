#pragma once

// cuda.h as the driver itself must see it: every version of every call is declared under its own exported name, and
// each declaration is visible, so that defining one exports it and a wrong prototype is a compile error. Include this,
// never <cuda.h>, and before any header that includes <cuda.h> itself.

#ifdef __cuda_cuda_h__
#error "cuda.h came before cuda_api.h: the calls' names are those of applications now"
#endif
#define __CUDA_API_VERSION_INTERNAL
#pragma GCC visibility push(default)
#include <cuda.h>
#include <cudaProfiler.h>
#pragma GCC visibility pop
