// What a program can ask about devices, functions, occupancy and pointers.

#include "check_runtime.h"

__constant__ int constants[100];
__device__ int device_variable;

__global__ void Plain(int* out) { *out = constants[threadIdx.x]; }

__global__ void __launch_bounds__(256) Bounded(float* out) {
  __shared__ float values[300];
  values[threadIdx.x] = out[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

// Indexed by a value that the compiler does not know, so the array lies in local memory.
__global__ void UsesLocal(int* out, int index) {
  int values[64];
  for (int i = 0; i < 64; ++i) values[(i + index) % 64] = i * index;
  out[threadIdx.x] = values[threadIdx.x % 64];
}

void Device() {
  int count = 0, current = -1;
  check::Ok(cudaGetDeviceCount(&count));
  check::True("there is a device", count >= 1);
  check::Ok(cudaGetDevice(&current));
  check::Equal("current device", current, 0);
  cudaDeviceProp properties;
  check::Ok(cudaGetDeviceProperties(&properties, 0));
  check::True("the device has a name", properties.name[0] != '\0');
  check::True("compute capability is at least 7.5", properties.major * 10 + properties.minor >= 75);
  check::Equal("warp size", properties.warpSize, 32);
  check::Equal("threads of a block", properties.maxThreadsPerBlock, 1024);
  check::True("there are multiprocessors", properties.multiProcessorCount >= 1);
  auto attribute = [](cudaDeviceAttr which) {
    int value = -1;
    check::Ok(cudaDeviceGetAttribute(&value, which, 0));
    return value;
  };
  check::Equal("attribute: major", attribute(cudaDevAttrComputeCapabilityMajor), properties.major);
  check::Equal("attribute: minor", attribute(cudaDevAttrComputeCapabilityMinor), properties.minor);
  check::Equal("attribute: multiprocessors", attribute(cudaDevAttrMultiProcessorCount), properties.multiProcessorCount);
  check::Equal("attribute: warp size", attribute(cudaDevAttrWarpSize), 32);
  check::Equal("attribute: z of a block", attribute(cudaDevAttrMaxBlockDimZ), 64);
  check::Equal("attribute: y of a grid", attribute(cudaDevAttrMaxGridDimY), 65535);
  check::Equal("attribute: shared memory of a block", attribute(cudaDevAttrMaxSharedMemoryPerBlock), 48 << 10);
  check::Equal("attribute: unified addressing", attribute(cudaDevAttrUnifiedAddressing), 1);
  size_t available = 0, total = 0;
  check::Ok(cudaMemGetInfo(&available, &total));
  check::True("there is memory, and what is free is at most the total",
              properties.totalGlobalMem > 0 && available <= total);
  char bus_id[32] = {};
  int device = -1;
  check::Ok(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), 0));
  check::Ok(cudaDeviceGetByPCIBusId(&device, bus_id));
  check::Equal("device of its bus address", device, 0);
  int driver = 0, runtime = 0;
  check::Ok(cudaDriverGetVersion(&driver));
  check::Ok(cudaRuntimeGetVersion(&runtime));
  check::Equal("runtime version", runtime, CUDART_VERSION);
  check::True("the driver is at least as new", driver / 1000 >= runtime / 1000);
}

void Functions() {
  cudaFuncAttributes attributes;
  check::Ok(cudaFuncGetAttributes(&attributes, Plain));
  check::Ok(cudaFuncSetCacheConfig(Plain, cudaFuncCachePreferL1));
  check::Equal("PTX version", attributes.ptxVersion, 75);
  check::True("binary version is at least 7.5", attributes.binaryVersion >= 75);
  check::Equal("threads of a block", attributes.maxThreadsPerBlock, 1024);
  check::True("uses registers", attributes.numRegs > 0 && attributes.numRegs <= 255);
  check::Equal("static shared memory", attributes.sharedSizeBytes, size_t(0));
  check::True("constant memory", attributes.constSizeBytes >= sizeof(constants));
  check::Ok(cudaFuncGetAttributes(&attributes, Bounded));
  check::Equal("threads of a block, bounded", attributes.maxThreadsPerBlock, 256);
  check::Equal("static shared memory, bounded", attributes.sharedSizeBytes, sizeof(float) * 300);
  check::Ok(cudaFuncGetAttributes(&attributes, UsesLocal));
  check::True("local memory", attributes.localSizeBytes >= sizeof(int) * 64);
}

void Occupancy() {
  int per_multiprocessor = 0, of_device = 0, blocks = 0, fewer = 0;
  check::Ok(cudaDeviceGetAttribute(&per_multiprocessor, cudaDevAttrMaxThreadsPerMultiProcessor, 0));
  check::Ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, Plain, 128, 0));
  check::True("blocks fit on a multiprocessor", blocks > 0 && blocks * 128 <= per_multiprocessor);
  check::Ok(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&fewer, Plain, 128, 40 << 10));
  check::True("fewer with much shared memory", fewer > 0 && fewer <= blocks);
  check::Ok(cudaOccupancyMaxPotentialBlockSize(&of_device, &blocks, Bounded, 0, 0));
  check::True("the suggested block is within the bound", blocks > 0 && blocks <= 256 && of_device > 0);
}

void Pointers() {
  check::DeviceArray<int> device(1000);
  check::PinnedArray<int> pinned(10);
  std::vector<int> pageable(10);
  cudaPointerAttributes attributes;
  check::Ok(cudaPointerGetAttributes(&attributes, device.get() + 10));
  check::Equal("kind of a device address", int(attributes.type), int(cudaMemoryTypeDevice));
  check::Equal("device of a device address", attributes.device, 0);
  check::True("its device pointer", attributes.devicePointer == device.get() + 10);
  check::Ok(cudaPointerGetAttributes(&attributes, pinned.get()));
  check::Equal("kind of a pinned address", int(attributes.type), int(cudaMemoryTypeHost));
  check::True("its host pointer", attributes.hostPointer == pinned.get());
  check::Ok(cudaPointerGetAttributes(&attributes, pageable.data()));
  check::Equal("kind of a pageable address", int(attributes.type), int(cudaMemoryTypeUnregistered));
  void* variable = nullptr;
  check::Ok(cudaGetSymbolAddress(&variable, device_variable));
  check::Ok(cudaPointerGetAttributes(&attributes, variable));
  check::Equal("kind of a device variable's address", int(attributes.type), int(cudaMemoryTypeDevice));
  check::True("allocations are aligned to 256 bytes", reinterpret_cast<size_t>(device.get()) % 256 == 0);
}

int main() {
  check::Equal("name of an error", std::string(cudaGetErrorName(cudaErrorMemoryAllocation)),
               std::string("cudaErrorMemoryAllocation"));
  Device();
  Functions();
  Occupancy();
  Pointers();
  check::DeviceArray<float> floats(std::vector<float>(256, 1));
  check::DeviceArray<int> ints(256);
  Plain<<<1, 1>>>(ints.get());
  Bounded<<<1, 256>>>(floats.get());
  UsesLocal<<<1, 256>>>(ints.get(), 3);
  check::Finished();
  return check::Pass("queries");
}
