#pragma once

#include <cuda.h>

#include <string_view>
#include <vector>

#include "client/shim/modules_image.h"

namespace outboard::shim {

// The options of a load, whose array holds numbers that go in, and buffers and numbers that come out. Thread-confined.
class JitOptions {
 public:
  // The arrays stay the caller's and must live as long as this object.
  JitOptions(unsigned count, const CUjit_option* options, void** values)
      : count_(count), options_(options), values_(values) {}

  // CUDA_ERROR_INVALID_VALUE when an option does not exist or the arrays are missing, CUDA_ERROR_NOT_SUPPORTED for
  // options whose values lead into memory of this process.
  CUresult Check() const;

  // What travels: the options that go in. After a successful Check.
  struct Inputs {
    std::vector<CUjit_option> options;
    std::vector<unsigned long long> values;
    unsigned count() const { return static_cast<unsigned>(options.size()); }
  };
  Inputs TakeInputs() const;

  // Fills the outputs: the time, and the logs with what the worker's compiler said in this thread's last load or, when
  // the load did not get there, the result's message. Says on stderr why it failed when the application gave no log.
  void Report(const CodeResult& result, float milliseconds) const;

 private:
  struct Log {
    CUjit_option buffer, size;
  };

  void** Find(CUjit_option option) const;
  // Null, and *capacity 0, when the application gave none.
  char* LogBuffer(const Log& log, size_t* capacity) const;
  void FillLog(const Log& log, std::string_view text) const;

  const unsigned count_;
  const CUjit_option* const options_;
  void** const values_;
};

}  // namespace outboard::shim
