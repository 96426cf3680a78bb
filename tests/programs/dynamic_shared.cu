// Shared memory sized at the launch: several arrays carved from one, different sizes for one kernel, and, by consent,
// more than 48 KiB.

#include <algorithm>

#include "check_runtime.h"

extern __shared__ double dynamic_shared[];

// Reverses a block's part through doubles, ints and bytes that lie one after another.
__global__ void Reverse(const int* in, int* out, int count) {
  __shared__ int fixed[1];
  double* doubles = dynamic_shared;
  int* ints = reinterpret_cast<int*>(doubles + count);
  unsigned char* bytes = reinterpret_cast<unsigned char*>(ints + count);
  const int* from = in + blockIdx.x * count;
  if (threadIdx.x == 0) fixed[0] = count - 1;
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    doubles[i] = from[i] * 0.5;
    ints[i] = from[i] * 3;
    bytes[i] = static_cast<unsigned char>(from[i]);
  }
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += blockDim.x) {
    int k = fixed[0] - i;
    out[blockIdx.x * count + i] = int(doubles[k] * 2) + ints[k] + bytes[k];
  }
}

int main() {
  const int kBlocks = 3;
  const size_t kBytesEach = sizeof(double) + sizeof(int) + 1;
  check::Digest digest;

  auto run = [&](int count) {
    std::vector<int> in = check::Random(count).Values<int>(kBlocks * count, -1000, 1000), want(in.size());
    for (int block = 0; block < kBlocks; ++block) {
      for (int i = 0; i < count; ++i) {
        int value = in[block * count + count - 1 - i];
        want[block * count + i] = value * 4 + static_cast<unsigned char>(value);
      }
    }
    check::DeviceArray<int> device_in(in), device_out(in.size());
    Reverse<<<kBlocks, 64, count * kBytesEach>>>(device_in.get(), device_out.get(), count);
    check::Finished();
    check::EqualAll("reversed with " + std::to_string(count) + " elements", device_out.Read(), want);
    digest.Add(device_out.Read());
  };
  for (int count : {1, 50, 1000, 3700}) run(count);

  int limit = 0;
  check::Ok(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
  check::True("a block may have at least 48 KiB", limit >= 48 << 10);
  if (limit > (48 << 10) + 1024) {
    const int count = int(std::min(limit, 64 << 10) - 512) / int(kBytesEach);
    Reverse<<<kBlocks, 64, count * kBytesEach>>>(nullptr, nullptr, 0);
    check::Expect("a launch with more than 48 KiB, without consent", cudaGetLastError(), cudaErrorInvalidValue);
    check::Ok(cudaFuncSetAttribute(Reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, int(count * kBytesEach)));
    run(count);
  }
  check::Expect("consent to more than the device has",
                cudaFuncSetAttribute(Reverse, cudaFuncAttributeMaxDynamicSharedMemorySize, limit + 1),
                cudaErrorInvalidValue);
  (void)cudaGetLastError();
  return check::Pass("dynamic_shared", digest);
}
