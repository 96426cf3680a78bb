// Every device of the machine computes; memory and streams belong to the device that was current.

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

  for (int each = 0; each < devices; ++each) {
    check::Ok(cudaSetDevice(each));
    check::Ok(cudaStreamDestroy(streams[each]));
    check::Ok(cudaFree(memory[each]));
  }
  return check::Pass("multi_device");
}
