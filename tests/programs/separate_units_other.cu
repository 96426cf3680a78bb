#include "separate_units.h"

extern __device__ int step_count;

__constant__ int kOffsets[4] = {10, 20, 30, 40};

__device__ int Twice(int value) {
  atomicAdd(&step_count, 1);
  return 2 * value;
}

static __global__ void Negate(int* values, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] = -values[i];
}

void LaunchNegate(int* values, int count) { Negate<<<(count + 63) / 64, 64>>>(values, count); }
