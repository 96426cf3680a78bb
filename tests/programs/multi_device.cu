// Every device of the machine computes; memory and streams belong to the device that was current.

#include <algorithm>
#include <thread>

#include "check_runtime.h"

__device__ int factor = 3;

__global__ void Scale(int* values, int count) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) values[i] *= factor;
}

constexpr int kCount = 10000;

int main() {
  int devices = 0;
  check::Ok(cudaGetDeviceCount(&devices));
  std::vector<int*> memory(devices);
  std::vector<cudaStream_t> streams(devices);
  for (int device = 0; device < devices; ++device) {
    check::Ok(cudaSetDevice(device));
    check::Ok(cudaMalloc(reinterpret_cast<void**>(&memory[device]), kCount * sizeof(int)));
    check::Ok(cudaStreamCreate(&streams[device]));
    int own_factor = device + 2;  // each device has its own variable
    check::Ok(cudaMemcpyToSymbol(factor, &own_factor, sizeof(own_factor)));
    std::vector<int> start(kCount, 100 + device);
    check::Ok(cudaMemcpy(memory[device], start.data(), kCount * sizeof(int), cudaMemcpyHostToDevice));
  }
  for (int device = 0; device < devices; ++device) {
    check::Ok(cudaSetDevice(device));
    Scale<<<(kCount + 127) / 128, 128, 0, streams[device]>>>(memory[device], kCount);
    check::Ok(cudaGetLastError());
  }
  for (int device = 0; device < devices; ++device) {
    cudaPointerAttributes attributes;
    check::Ok(cudaPointerGetAttributes(&attributes, memory[device]));
    check::Equal("device of an address", attributes.device, device);
    check::Ok(cudaSetDevice(device));
    check::Ok(cudaStreamSynchronize(streams[device]));
    std::vector<int> got(kCount);
    check::Ok(cudaMemcpy(got.data(), memory[device], kCount * sizeof(int), cudaMemcpyDeviceToHost));
    check::EqualAll("value of device " + std::to_string(device), got,
                    std::vector<int>(kCount, (100 + device) * (device + 2)));
  }

  // The current device belongs to the thread: a new one begins with device 0.
  check::Ok(cudaSetDevice(devices - 1));
  std::thread([] {
    int device = -1;
    check::Ok(cudaGetDevice(&device));
    check::Equal("current device of a new thread", device, 0);
  }).join();
  int device = -1;
  check::Ok(cudaGetDevice(&device));
  check::Equal("current device", device, devices - 1);

  // From each device to the next, behind what either was given before: all of it, and then a part of each row.
  const std::vector<int> first(kCount, 100 * 2);
  for (int to = 1; to < devices; ++to) {
    check::Ok(cudaMemcpyPeer(memory[to], to, memory[to - 1], to - 1, kCount * sizeof(int)));
    std::vector<int> got(kCount);
    check::Ok(cudaMemcpy(got.data(), memory[to], kCount * sizeof(int), cudaMemcpyDeviceToHost));
    check::EqualAll("value copied to device " + std::to_string(to), got, first);
  }
  for (int to = 1; to < devices; ++to) {
    check::Ok(cudaSetDevice(to - 1));
    check::Ok(cudaMemset(memory[to - 1], 7, kCount * sizeof(int)));
    cudaMemcpy3DPeerParms copy = {};
    copy.srcDevice = to - 1;
    copy.srcPtr = make_cudaPitchedPtr(memory[to - 1], 400, 400, 100);
    copy.dstDevice = to;
    copy.dstPtr = make_cudaPitchedPtr(memory[to], 400, 400, 100);
    copy.dstPos = make_cudaPos(8, 1, 0);
    copy.extent = make_cudaExtent(40, 50, 1);
    check::Ok(cudaMemcpy3DPeer(&copy));
    std::vector<int> got(kCount), want = first;
    for (int y = 1; y < 51; ++y) std::fill_n(want.begin() + y * 100 + 2, 10, 0x07070707);
    check::Ok(cudaMemcpy(got.data(), memory[to], kCount * sizeof(int), cudaMemcpyDeviceToHost));
    check::EqualAll("value copied by rows to device " + std::to_string(to), got, want);
  }

  for (int each = 0; each < devices; ++each) {
    check::Ok(cudaSetDevice(each));
    check::Ok(cudaStreamDestroy(streams[each]));
    check::Ok(cudaFree(memory[each]));
  }
  return check::Pass("multi_device");
}
