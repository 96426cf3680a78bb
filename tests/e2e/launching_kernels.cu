// Kernels that launch kernels, one of them in a function that it calls, beside one that does not. Prints what came of
// each, at the launch or when it was waited for, and what the last one wrote.

#include <cstdio>

__global__ void Child(int* value) { *value = 1; }
__device__ __noinline__ void Launch(int* value) { Child<<<1, 1>>>(value); }

__global__ void Parent(int* value) { Child<<<1, 1>>>(value); }
__global__ void ParentByCall(int* value) { Launch(value); }
__global__ void Plain(int* value) { *value = 2; }

int main() {
  int* value = nullptr;
  int read = 0;
  if (cudaMalloc(&value, sizeof *value) != cudaSuccess) return 1;
  for (void (*kernel)(int*) : {Parent, ParentByCall, Parent, Plain}) {
    kernel<<<1, 1>>>(value);
    cudaError_t error = cudaGetLastError();
    if (error == cudaSuccess) error = cudaDeviceSynchronize();
    cudaGetLastError();
    std::printf("%s\n", cudaGetErrorName(error));
  }
  if (cudaMemcpy(&read, value, sizeof read, cudaMemcpyDeviceToHost) != cudaSuccess) return 1;
  std::printf("%d\n", read);
}
