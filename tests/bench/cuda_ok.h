#pragma once

#include <cuda_runtime.h>

#include "bench.h"

namespace bench {

inline void Ok(cudaError_t error, int line = __builtin_LINE()) {
  if (error == cudaSuccess) return;
  std::printf("line %d: %s: %s\n", line, cudaGetErrorName(error), cudaGetErrorString(error));
  std::exit(1);
}

}  // namespace bench
