#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <optional>
#include <string_view>

namespace outboard::softgpu::api {

// The options of cuModuleLoadDataEx and cuLibraryLoadData. Those that tune a compiler mean nothing here; the logs are
// filled.
class JitOptions {
 public:
  // The arrays stay the caller's and must live as long as this object.
  JitOptions(unsigned count, const CUjit_option* options, void** values)
      : count_(count), options_(options), values_(values) {}

  // False when an option does not exist or has a value that it does not take, when two are given that exclude each
  // other, or when the arrays are missing.
  bool Valid() const;

  // CU_JIT_TARGET: 75 for compute_75; nullopt when it is not among the options.
  std::optional<int> Target() const;

  // CU_JIT_LOG_VERBOSE.
  bool IsVerbose() const;

  // Whether the caller gave memory for the error log.
  bool HasErrorLog() const;

  // Writes the outputs: `error` and `info` into their logs, the sizes that these have now, and the wall time.
  void Report(std::string_view error, float milliseconds, std::string_view info = {}) const;

 private:
  void** Find(CUjit_option option) const;
  std::optional<unsigned> Number(CUjit_option option) const;
  void FillLog(CUjit_option buffer, CUjit_option size, std::string_view text) const;

  const unsigned count_;
  const CUjit_option* const options_;
  void** const values_;
};

}  // namespace outboard::softgpu::api
