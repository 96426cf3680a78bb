// Seconds of a tiled product of two matrices, and whether every element is right to 1e-4.

#include "cuda_ok.h"
#include "problem.h"

using bench::kMatrixSide;
using bench::kTile;

__global__ void MatMul(const float* a, const float* b, float* c) {
  __shared__ float tile_a[kTile][kTile];
  __shared__ float tile_b[kTile][kTile];
  int row = blockIdx.y * kTile + threadIdx.y, column = blockIdx.x * kTile + threadIdx.x;
  float sum = 0;
  for (int start = 0; start < kMatrixSide; start += kTile) {
    tile_a[threadIdx.y][threadIdx.x] = a[row * kMatrixSide + start + threadIdx.x];
    tile_b[threadIdx.y][threadIdx.x] = b[(start + threadIdx.y) * kMatrixSide + column];
    __syncthreads();
    for (int k = 0; k < kTile; ++k) sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
    __syncthreads();
  }
  c[row * kMatrixSide + column] = sum;
}

int main() {
  const size_t kElements = kMatrixSide * kMatrixSide, kBytes = kElements * sizeof(float);
  std::vector<float> a(kElements), b(kElements), c(kElements);
  for (size_t i = 0; i < kElements; ++i) {
    a[i] = bench::Element(i, 1);
    b[i] = bench::Element(i, 2);
  }
  float *device_a, *device_b, *device_c;
  bench::Ok(cudaMalloc(&device_a, kBytes));
  bench::Ok(cudaMalloc(&device_b, kBytes));
  bench::Ok(cudaMalloc(&device_c, kBytes));
  bench::Ok(cudaMemcpy(device_a, a.data(), kBytes, cudaMemcpyHostToDevice));
  bench::Ok(cudaMemcpy(device_b, b.data(), kBytes, cudaMemcpyHostToDevice));
  const dim3 grid(kMatrixSide / kTile, kMatrixSide / kTile), block(kTile, kTile);
  std::vector<double> seconds = bench::Repeat([&] {
    MatMul<<<grid, block>>>(device_a, device_b, device_c);
    bench::Ok(cudaGetLastError());
    bench::Ok(cudaDeviceSynchronize());
  });
  bench::Ok(cudaMemcpy(c.data(), device_c, kBytes, cudaMemcpyDeviceToHost));
  bench::CheckProduct(a, b, c);
  bench::Print("matmul", seconds);
  return 0;
}
