#pragma once

#include <cuda.h>

#include <functional>
#include <vector>

// Wrong uses of the driver API, each with the code that it gives and the sentence of the CUDA driver API manual (or its
// general rule) that says so. None of them sticks: a later call is not affected. Of the calls' ABIs those with a suffix
// are used, so whoever includes this defines __CUDA_API_VERSION_INTERNAL.

namespace wrong_uses {

struct Outcome {
  const char* about;
  const char* what;
  CUresult got, expected;
  const char* manual;
};
using Report = std::function<void(const Outcome& outcome)>;

// In a process that has not called cuInit.
void BeforeInit(const Report& report);
// In the primary context of device 0, which no thread has current before and after.
void AfterInit(const Report& report);

}  // namespace wrong_uses
