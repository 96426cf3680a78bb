// Seconds of an addition of two vectors, and whether every element is right.

#include "cuda_ok.h"
#include "problem.h"

using bench::kVectorLength;

__global__ void VectorAdd(const float* a, const float* b, float* c, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) c[i] = a[i] + b[i];
}

int main() {
  const size_t kBytes = kVectorLength * sizeof(float);
  std::vector<float> a(kVectorLength), b(kVectorLength), c(kVectorLength);
  for (int i = 0; i < kVectorLength; ++i) {
    a[i] = bench::Element(i, 3);
    b[i] = bench::Element(i, 4);
  }
  float *device_a, *device_b, *device_c;
  bench::Ok(cudaMalloc(&device_a, kBytes));
  bench::Ok(cudaMalloc(&device_b, kBytes));
  bench::Ok(cudaMalloc(&device_c, kBytes));
  bench::Ok(cudaMemcpy(device_a, a.data(), kBytes, cudaMemcpyHostToDevice));
  bench::Ok(cudaMemcpy(device_b, b.data(), kBytes, cudaMemcpyHostToDevice));
  std::vector<double> seconds = bench::Repeat([&] {
    VectorAdd<<<(kVectorLength + 255) / 256, 256>>>(device_a, device_b, device_c, kVectorLength);
    bench::Ok(cudaGetLastError());
    bench::Ok(cudaDeviceSynchronize());
  });
  bench::Ok(cudaMemcpy(c.data(), device_c, kBytes, cudaMemcpyDeviceToHost));
  for (int i = 0; i < kVectorLength; ++i) {
    if (c[i] != a[i] + b[i]) bench::Fail("an element of the sum", c[i], a[i] + b[i]);
  }
  bench::Print("vecadd", seconds);
  return 0;
}
