// A grid whose blocks wait for each other, and the launch that has more blocks than the device holds at a time.

#include <cooperative_groups.h>

#include "check_runtime.h"

namespace cg = cooperative_groups;

constexpr int kRounds = 6;

// Every round each block adds what the block behind it had at the round's beginning.
__global__ void AddNeighbours(int* values, int* copies, int rounds) {
  cg::grid_group grid = cg::this_grid();
  const int block = blockIdx.x, blocks = gridDim.x;
  for (int round = 0; round < rounds; ++round) {
    if (threadIdx.x == 0) copies[block] = values[block];
    grid.sync();
    if (threadIdx.x == 0) values[block] += copies[(block + 1) % blocks];
    grid.sync();
  }
}

__global__ void CountValid(int* valid) {
  if (cg::this_grid().is_valid()) atomicAdd(valid, 1);
}

int main() {
  int supported = 0, sms = 0, per_sm = 0;
  check::Ok(cudaDeviceGetAttribute(&supported, cudaDevAttrCooperativeLaunch, 0));
  check::Equal("cooperative launches", supported, 1);
  check::Ok(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
  const int threads = 64;
  check::Ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, AddNeighbours, threads, 0));
  const int most = sms * per_sm, blocks = most < 24 ? most : 24;

  std::vector<int> values(blocks);
  for (int i = 0; i < blocks; ++i) values[i] = i * i + 1;
  check::DeviceArray<int> device(values), copies(blocks);
  int* device_values = device.get();
  int* device_copies = copies.get();
  int rounds = kRounds;
  void* arguments[] = {&device_values, &device_copies, &rounds};
  const void* kernel = reinterpret_cast<const void*>(AddNeighbours);
  check::Ok(cudaLaunchCooperativeKernel(kernel, dim3(blocks), dim3(threads), arguments, 0, nullptr));
  check::Finished();
  for (int round = 0; round < kRounds; ++round) {
    const std::vector<int> before = values;
    for (int i = 0; i < blocks; ++i) values[i] += before[(i + 1) % blocks];
  }
  check::EqualAll("values", device.Read(), values);

  check::Expect("more blocks than fit",
                cudaLaunchCooperativeKernel(kernel, dim3(most + 1), dim3(threads), arguments, 0, nullptr),
                cudaErrorCooperativeLaunchTooLarge);
  (void)cudaGetLastError();

  // There is a grid to wait for. (In an ordinary launch is_valid() may say so too, as on an H200.)
  check::DeviceArray<int> valid(1);
  valid.Fill(0);
  int* device_valid = valid.get();
  void* argument[] = {&device_valid};
  check::Ok(
      cudaLaunchCooperativeKernel(reinterpret_cast<const void*>(CountValid), dim3(2), dim3(32), argument, 0, nullptr));
  check::Finished();
  check::Equal("threads with a grid in a cooperative launch", valid.Read()[0], 64);

  check::Digest digest;
  digest.Add(values);
  return check::Pass("cooperative_launch", digest);
}
