// Relocatable device code: kernels, device functions and variables of two units that know each other only by
// declaration, linked when the program is built or loaded.

#include "check_runtime.h"
#include "separate_units.h"

#ifndef PROGRAM  // which says how it was built
#define PROGRAM "separate_units"
#endif

__device__ int step_count;  // also used by the other unit

__global__ void Walk(int* values, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = Twice(values[i]) + kOffsets[i % 4];
}

int main() {
  const int kCount = 1000;
  std::vector<int> values(kCount), want(kCount);
  const int offsets[4] = {10, 20, 30, 40};  // as the other unit defines kOffsets
  for (int i = 0; i < kCount; ++i) {
    values[i] = 3 * i - 700;
    want[i] = 2 * values[i] + offsets[i % 4];
  }
  check::DeviceArray<int> device(values);
  const int zero = 0;
  check::Ok(cudaMemcpyToSymbol(step_count, &zero, sizeof(zero)));
  Walk<<<(kCount + 127) / 128, 128>>>(device.get(), kCount);
  check::Finished();
  check::EqualAll("value", device.Read(), want);
  int steps = 0;
  check::Ok(cudaMemcpyFromSymbol(&steps, step_count, sizeof(steps)));
  check::Equal("calls counted by the other unit", steps, kCount);

  // A kernel that is defined in the other unit.
  LaunchNegate(device.get(), kCount);
  check::Finished();
  for (int& value : want) value = -value;
  check::EqualAll("negated value", device.Read(), want);

  check::Digest digest;
  digest.Add(device.Read());
  return check::Pass(PROGRAM, digest);
}
