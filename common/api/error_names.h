#pragma once

#include <cuda.h>

namespace outboard {

// What cuGetErrorName and cuGetErrorString say of a code. The texts of common codes are those that programs print and
// compare with.
struct ErrorText {
  CUresult code;
  const char* name;  // "CUDA_ERROR_INVALID_VALUE"
  const char* text;  // "invalid argument"
};

// Null for a number that is no code. What it points to lives forever.
const ErrorText* FindError(unsigned number);

}  // namespace outboard
