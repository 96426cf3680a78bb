// Sums and maxima by shuffles within warps, then one warp over the warps' results.

#include <algorithm>
#include <numeric>

#include "check_runtime.h"

constexpr unsigned kFullWarp = 0xffffffff;

struct Sum {
  template <class T>
  __host__ __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Maximum {
  template <class T>
  __host__ __device__ T operator()(T a, T b) const {
    return a < b ? b : a;
  }
};

template <class T, class Op>
__device__ T ReduceWarp(T value, Op op) {
  for (int distance = 16; distance > 0; distance /= 2) value = op(value, __shfl_down_sync(kFullWarp, value, distance));
  return value;
}

// One result for each block. `neutral` changes no result of `op`.
template <class T, class Op>
__global__ void ReduceBlocks(const T* values, int count, T neutral, Op op, T* results) {
  __shared__ T of_warp[32];
  T value = neutral;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    value = op(value, values[i]);
  value = ReduceWarp(value, op);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  if (lane == 0) of_warp[warp] = value;
  __syncthreads();
  if (warp != 0) return;
  value = lane < blockDim.x / 32 ? of_warp[lane] : neutral;
  value = ReduceWarp(value, op);
  if (lane == 0) results[blockIdx.x] = value;
}

template <class T, class Op>
T Reduce(const std::vector<T>& values, T neutral, Op op, check::Digest* digest) {
  const int kBlocks = 12, kThreads = 256;
  check::DeviceArray<T> device_values(values), device_results(kBlocks);
  ReduceBlocks<<<kBlocks, kThreads>>>(device_values.get(), int(values.size()), neutral, op, device_results.get());
  check::Finished();
  std::vector<T> results = device_results.Read();
  digest->Add(results);
  return std::accumulate(results.begin(), results.end(), neutral, op);
}

int main() {
  const int kCount = 200001;
  check::Random random(3);
  check::Digest digest;

  std::vector<int> ints = random.Values<int>(kCount, -1e6, 1e6);
  check::Equal("maximum of int", Reduce(ints, INT32_MIN, Maximum(), &digest),
               *std::max_element(ints.begin(), ints.end()));

  std::vector<long long> longs(ints.begin(), ints.end());
  for (long long& value : longs) value *= 1000003;
  check::Equal("sum of long long", Reduce(longs, 0ll, Sum(), &digest),
               std::accumulate(longs.begin(), longs.end(), 0ll));

  std::vector<float> floats = random.Values<float>(kCount, 0, 1);
  float sum = Reduce(floats, 0.0f, Sum(), &digest);
  check::NearAll<float>("sum of float", {sum}, {float(std::accumulate(floats.begin(), floats.end(), 0.0))}, 1e-5, 0);

  std::vector<double> doubles(floats.begin(), floats.end());
  double precise = Reduce(doubles, 0.0, Sum(), &digest);
  check::NearAll<double>("sum of double", {precise}, {std::accumulate(doubles.begin(), doubles.end(), 0.0)}, 1e-12, 0);
  return check::Pass("reduce_shuffle", digest);
}
