// A histogram of bytes with atomics in shared memory and with atomics in global memory alone.

#include "check_runtime.h"

constexpr int kBins = 256;

__global__ void HistogramShared(const unsigned char* bytes, int count, unsigned* bins) {
  __shared__ unsigned of_block[kBins];
  for (int i = threadIdx.x; i < kBins; i += blockDim.x) of_block[i] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x)
    atomicAdd(&of_block[bytes[i]], 1);
  __syncthreads();
  for (int i = threadIdx.x; i < kBins; i += blockDim.x) atomicAdd(&bins[i], of_block[i]);
}

__global__ void HistogramGlobal(const unsigned char* bytes, int count, unsigned* bins) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) atomicAdd(&bins[bytes[i]], 1);
}

int main() {
  const int kCount = 200000;
  check::Random random(4);
  std::vector<unsigned char> bytes(kCount);
  std::vector<unsigned> want(kBins);
  for (unsigned char& byte : bytes) {
    byte = random.Bits() % 7 == 0 ? 42 : random.Bits() % kBins;  // one crowded bin
    ++want[byte];
  }

  check::DeviceArray<unsigned char> device_bytes(bytes);
  check::DeviceArray<unsigned> shared_bins(kBins), global_bins(kBins);
  shared_bins.Fill(0);
  global_bins.Fill(0);
  HistogramShared<<<10, 192>>>(device_bytes.get(), kCount, shared_bins.get());
  HistogramGlobal<<<(kCount + 255) / 256, 256>>>(device_bytes.get(), kCount, global_bins.get());
  check::Finished();

  check::EqualAll("bin, through shared memory", shared_bins.Read(), want);
  check::EqualAll("bin, in global memory", global_bins.Read(), want);
  check::Digest digest;
  digest.Add(shared_bins.Read());
  return check::Pass("histogram_atomics", digest);
}
