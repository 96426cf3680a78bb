#pragma once

#include <cuda.h>

#include <cstddef>

namespace outboard {

// A kernel's parameters in one piece, as cuLaunchKernel takes them in `extra`. Null where the list does not say.
struct LaunchBuffer {
  const void* data = nullptr;
  const size_t* bytes = nullptr;
};

// Reads `extra`, not null: pairs of name and value up to an end mark. CUDA_ERROR_INVALID_VALUE for a name that does not
// exist. Does not read what the list points to.
CUresult ReadLaunchBuffer(void* const* extra, LaunchBuffer* buffer);

}  // namespace outboard
