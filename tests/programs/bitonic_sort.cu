// A bitonic sort: large strides by one launch each, small ones within a block's shared memory.

#include <algorithm>

#include "check_runtime.h"

constexpr int kBlockElements = 512;

// Puts a pair into the order that its sequence asks for.
__device__ void CompareExchange(unsigned& low, unsigned& high, bool ascending) {
  if ((low > high) != ascending) return;
  unsigned kept = low;
  low = high;
  high = kept;
}

__global__ void StepGlobal(unsigned* keys, int length, int stride) {
  int thread = blockIdx.x * blockDim.x + threadIdx.x;
  int i = 2 * thread - (thread & (stride - 1));
  CompareExchange(keys[i], keys[i + stride], (i & length) == 0);
}

// All steps with strides below kBlockElements for lengths from `first_length` to `last_length`.
__global__ void StepsShared(unsigned* keys, int first_length, int last_length) {
  __shared__ unsigned part[kBlockElements];
  int start = blockIdx.x * kBlockElements;
  for (int i = threadIdx.x; i < kBlockElements; i += blockDim.x) part[i] = keys[start + i];
  for (int length = first_length; length <= last_length; length *= 2) {
    for (int stride = min(length, kBlockElements) / 2; stride > 0; stride /= 2) {
      __syncthreads();
      int i = 2 * threadIdx.x - (threadIdx.x & (stride - 1));
      CompareExchange(part[i], part[i + stride], ((start + i) & length) == 0);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < kBlockElements; i += blockDim.x) keys[start + i] = part[i];
}

int main() {
  const int kCount = 1 << 14, kThreads = kBlockElements / 2, kBlocks = kCount / kBlockElements;
  check::Random random(7);
  std::vector<unsigned> keys(kCount);
  for (unsigned& key : keys) key = random.Bits() % 50000;  // with duplicates

  check::DeviceArray<unsigned> device_keys(keys);
  StepsShared<<<kBlocks, kThreads>>>(device_keys.get(), 2, kBlockElements);
  for (int length = 2 * kBlockElements; length <= kCount; length *= 2) {
    for (int stride = length / 2; stride >= kBlockElements; stride /= 2) {
      StepGlobal<<<kBlocks, kThreads>>>(device_keys.get(), length, stride);
    }
    StepsShared<<<kBlocks, kThreads>>>(device_keys.get(), length, length);
  }
  check::Finished();

  std::sort(keys.begin(), keys.end());
  check::EqualAll("sorted key", device_keys.Read(), keys);
  check::Digest digest;
  digest.Add(device_keys.Read());
  return check::Pass("bitonic_sort", digest);
}
