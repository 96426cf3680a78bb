// Layer normalisation of each row with scale and shift; warp shuffles in a butterfly, so that every lane has the sum.

#include "check_runtime.h"

__device__ float SumOfWarp(float value) {
  for (int mask = 16; mask > 0; mask /= 2) value += __shfl_xor_sync(0xffffffff, value, mask);
  return value;
}

// One warp for a row; blockDim is (32, rows of a block).
__global__ void LayerNorm(const float* in, const float* scale, const float* shift, float* out, int rows, int columns) {
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  const float* from = in + size_t(row) * columns;
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += 32) sum += from[i];
  float mean = SumOfWarp(sum) / columns;
  float squares = 0;
  for (int i = threadIdx.x; i < columns; i += 32) squares += (from[i] - mean) * (from[i] - mean);
  float factor = rsqrtf(SumOfWarp(squares) / columns + 1e-5f);
  for (int i = threadIdx.x; i < columns; i += 32) {
    out[size_t(row) * columns + i] = (from[i] - mean) * factor * scale[i] + shift[i];
  }
}

int main() {
  const int kRows = 61, kColumns = 770;
  check::Random random(6);
  std::vector<float> in = random.Values<float>(kRows * kColumns, -3, 5), want(in.size());
  std::vector<float> scale = random.Values<float>(kColumns, 0.5, 2), shift = random.Values<float>(kColumns, -1, 1);
  for (int row = 0; row < kRows; ++row) {
    const float* from = &in[row * kColumns];
    double mean = 0, variance = 0;
    for (int i = 0; i < kColumns; ++i) mean += from[i] / double(kColumns);
    for (int i = 0; i < kColumns; ++i) variance += (from[i] - mean) * (from[i] - mean) / kColumns;
    for (int i = 0; i < kColumns; ++i) {
      want[row * kColumns + i] = float((from[i] - mean) / std::sqrt(variance + 1e-5) * scale[i] + shift[i]);
    }
  }

  check::DeviceArray<float> device_in(in), device_scale(scale), device_shift(shift), device_out(in.size());
  const dim3 block(32, 4);
  LayerNorm<<<(kRows + 3) / 4, block>>>(device_in.get(), device_scale.get(), device_shift.get(), device_out.get(),
                                        kRows, kColumns);
  check::Finished();

  std::vector<float> got = device_out.Read();
  check::NearAll("layernorm", got, want, 1e-5, 1e-5);
  check::Digest digest;
  digest.Add(got);
  return check::Pass("layernorm", digest);
}
