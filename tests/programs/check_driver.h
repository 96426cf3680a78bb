#pragma once

// Checks for programs that use the CUDA driver API alone.

#include <cuda.h>

#include <string>

#include "check.h"

namespace check {

inline std::string Text(CUresult result) {
  const char* name = nullptr;
  if (cuGetErrorName(result, &name) != CUDA_SUCCESS) name = "an unknown result";
  return std::string(name) + " (" + std::to_string(static_cast<int>(result)) + ")";
}

inline void Expect(const std::string& what, CUresult got, CUresult want, Where where = Where::Here()) {
  if (got != want) Fail(where, what + " is " + Text(got) + ", expected " + Text(want));
}

inline void Ok(CUresult got, Where where = Where::Here()) {
  if (got == CUDA_SUCCESS) return;
  const char* sentence = nullptr;
  if (cuGetErrorString(got, &sentence) != CUDA_SUCCESS) sentence = "no description";
  Fail(where, Text(got) + ": " + sentence);
}

}  // namespace check
