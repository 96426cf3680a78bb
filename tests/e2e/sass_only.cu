// Built without PTX: prints what a launch returns, and goes on.

#include <cuda_runtime.h>

#include <cstdio>

__global__ void Store(int* value) { *value = 7; }

int main() {
  int* value = nullptr;
  cudaMalloc(&value, sizeof *value);
  Store<<<1, 1>>>(value);
  std::printf("%s\n", cudaGetErrorName(cudaGetLastError()));
  cudaMemset(value, 0, sizeof *value);
  std::printf("%s\n", cudaGetErrorName(cudaDeviceSynchronize()));
}
