// C = A B through tiles in shared memory; no side is a multiple of the tile.

#include "check_runtime.h"

constexpr int kTile = 16;

__global__ void MatMul(const float* a, const float* b, float* c, int rows, int inner, int columns) {
  __shared__ float tile_a[kTile][kTile];
  __shared__ float tile_b[kTile][kTile];
  int row = blockIdx.y * kTile + threadIdx.y, column = blockIdx.x * kTile + threadIdx.x;
  float sum = 0;
  for (int start = 0; start < inner; start += kTile) {
    int from_a = start + threadIdx.x, from_b = start + threadIdx.y;
    tile_a[threadIdx.y][threadIdx.x] = row < rows && from_a < inner ? a[row * inner + from_a] : 0;
    tile_b[threadIdx.y][threadIdx.x] = from_b < inner && column < columns ? b[from_b * columns + column] : 0;
    __syncthreads();
    for (int k = 0; k < kTile; ++k) sum += tile_a[threadIdx.y][k] * tile_b[k][threadIdx.x];
    __syncthreads();
  }
  if (row < rows && column < columns) c[row * columns + column] = sum;
}

int main() {
  const int kRows = 100, kInner = 130, kColumns = 75;
  check::Random random(2);
  std::vector<float> a = random.Values<float>(kRows * kInner, -1, 1),
                     b = random.Values<float>(kInner * kColumns, -1, 1);
  std::vector<float> want(kRows * kColumns);
  for (int row = 0; row < kRows; ++row) {
    for (int column = 0; column < kColumns; ++column) {
      double sum = 0;
      for (int k = 0; k < kInner; ++k) sum += double(a[row * kInner + k]) * b[k * kColumns + column];
      want[row * kColumns + column] = float(sum);
    }
  }

  check::DeviceArray<float> device_a(a), device_b(b), device_c(kRows * kColumns);
  dim3 grid((kColumns + kTile - 1) / kTile, (kRows + kTile - 1) / kTile), block(kTile, kTile);
  MatMul<<<grid, block>>>(device_a.get(), device_b.get(), device_c.get(), kRows, kInner, kColumns);
  check::Finished();

  std::vector<float> got = device_c.Read();
  check::NearAll("C", got, want, 1e-5, 1e-5);
  check::Digest digest;
  digest.Add(got);
  return check::Pass("matmul_tiled", digest);
}
