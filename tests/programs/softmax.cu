// Softmax of each row, one block for a row.

#include <algorithm>

#include "check_runtime.h"

constexpr int kThreads = 128;

// The same result in every thread. `scratch` has kThreads elements.
template <class Op>
__device__ float ReduceBlock(float value, float* scratch, Op op) {
  scratch[threadIdx.x] = value;
  __syncthreads();
  for (int half = kThreads / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) scratch[threadIdx.x] = op(scratch[threadIdx.x], scratch[threadIdx.x + half]);
    __syncthreads();
  }
  float result = scratch[0];
  __syncthreads();
  return result;
}

struct Larger {
  __device__ float operator()(float a, float b) const { return fmaxf(a, b); }
};
struct Plus {
  __device__ float operator()(float a, float b) const { return a + b; }
};

__global__ void Softmax(const float* in, float* out, int columns) {
  __shared__ float scratch[kThreads];
  const float* row = in + size_t(blockIdx.x) * columns;
  float largest = -INFINITY;
  for (int i = threadIdx.x; i < columns; i += kThreads) largest = fmaxf(largest, row[i]);
  largest = ReduceBlock(largest, scratch, Larger());
  float sum = 0;
  for (int i = threadIdx.x; i < columns; i += kThreads) sum += expf(row[i] - largest);
  sum = ReduceBlock(sum, scratch, Plus());
  for (int i = threadIdx.x; i < columns; i += kThreads)
    out[size_t(blockIdx.x) * columns + i] = expf(row[i] - largest) / sum;
}

int main() {
  const int kRows = 60, kColumns = 1000;
  std::vector<float> in = check::Random(5).Values<float>(kRows * kColumns, -20, 20), want(in.size());
  for (int row = 0; row < kRows; ++row) {
    const float* from = &in[row * kColumns];
    double largest = *std::max_element(from, from + kColumns), sum = 0;
    for (int i = 0; i < kColumns; ++i) sum += std::exp(from[i] - largest);
    for (int i = 0; i < kColumns; ++i) want[row * kColumns + i] = float(std::exp(from[i] - largest) / sum);
  }

  check::DeviceArray<float> device_in(in), device_out(in.size());
  Softmax<<<kRows, kThreads>>>(device_in.get(), device_out.get(), kColumns);
  check::Finished();

  std::vector<float> got = device_out.Read();
  check::NearAll("softmax", got, want, 1e-5, 1e-12);
  check::Digest digest;
  digest.Add(got);
  return check::Pass("softmax", digest);
}
