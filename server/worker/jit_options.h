#pragma once

#include <cuda.h>

#include <cstddef>
#include <string>
#include <vector>

#include "server/worker/uploads.h"

namespace outboard::worker {

// The options that a driver's compiler is given: those of the client that are plain numbers, and buffers of the
// worker's own for what the compiler says. Thread-compatible.
class JitOptions {
 public:
  // `values` as cuModuleLoadDataEx takes them, each in a void*. Options for the compiler's output are left out.
  // CUDA_ERROR_INVALID_VALUE for what is no option, CUDA_ERROR_NOT_SUPPORTED for one whose value leads to memory.
  CUresult Set(const CUjit_option* options, const unsigned long long* values, unsigned count);

  // Whether the option is a plain number that goes in.
  static bool IsNumber(CUjit_option option);

  // For the driver; as alive as this.
  unsigned count() const { return static_cast<unsigned>(options_.size()); }
  CUjit_option* options() { return options_.data(); }
  void** values() { return values_.data(); }

  // What the compiler has said, after the load.
  LoadLog Log() const;

 private:
  static constexpr size_t kLogBytes = 16u << 10;

  std::vector<CUjit_option> options_;
  std::vector<void*> values_;
  std::vector<char> info_, error_;
};

}  // namespace outboard::worker
