// The driver API without the runtime: a module from PTX, its functions and variables, launches with both kinds of
// parameters, memory, streams and events.

#include <numeric>

#include "driver_session.h"

namespace {

constexpr unsigned kCount = 3000;

class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes) { check::Ok(cuMemAlloc(&address_, bytes)); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() { (void)cuMemFree(address_); }
  CUdeviceptr get() const { return address_; }

 private:
  CUdeviceptr address_ = 0;
};

std::vector<int> ReadInts(CUdeviceptr from, size_t count) {
  std::vector<int> values(count);
  check::Ok(cuMemcpyDtoH(values.data(), from, count * sizeof(int)));
  return values;
}

void Device(CUdevice device) {
  int count = 0, major = 0, threads = 0, version = 0;
  check::Ok(cuDeviceGetCount(&count));
  check::True("there is a device", count >= 1);
  check::Ok(cuDeviceGetAttribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device));
  check::True("compute capability is at least 7", major >= 7);
  check::Ok(cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, device));
  check::Equal("threads of a block", threads, 1024);
  char name[100] = {};
  check::Ok(cuDeviceGetName(name, sizeof(name), device));
  check::True("the device has a name", name[0] != '\0');
  size_t bytes = 0;
  check::Ok(cuDeviceTotalMem(&bytes, device));
  check::True("the device has memory", bytes > 0);
  check::Ok(cuDriverGetVersion(&version));
  check::True("the driver is as new as the header", version >= CUDA_VERSION / 1000 * 1000);
  check::Expect("device -1", cuDeviceGet(&device, -1), CUDA_ERROR_INVALID_DEVICE);
  check::Expect("a device too many", cuDeviceGet(&device, count), CUDA_ERROR_INVALID_DEVICE);
}

void Launches(CUmodule module) {
  std::vector<int> in(kCount), want(kCount);
  std::iota(in.begin(), in.end(), -100);
  DeviceMemory device_in(kCount * sizeof(int)), device_out(kCount * sizeof(int));
  check::Ok(cuMemcpyHtoD(device_in.get(), in.data(), kCount * sizeof(int)));
  CUfunction affine = GetFunction(module, "Affine");

  CUdeviceptr from = device_in.get(), to = device_out.get();
  int factor = 3;
  unsigned count = kCount;
  void* parameters[] = {&from, &to, &factor, &count};
  check::Ok(cuLaunchKernel(affine, (kCount + 63) / 64, 1, 1, 64, 1, 1, 0, nullptr, parameters, nullptr));
  factor = 999;  // the launch has taken its parameters
  check::Ok(cuCtxSynchronize());
  for (unsigned i = 0; i < kCount; ++i) want[i] = in[i] * 3 + 10;
  check::EqualAll("result of a launch with kernelParams", ReadInts(to, kCount), want);

  // A variable of the module, written between launches.
  CUdeviceptr bias = 0;
  size_t bias_bytes = 0;
  check::Ok(cuModuleGetGlobal(&bias, &bias_bytes, module, "bias"));
  check::Equal("size of the variable", bias_bytes, sizeof(int));
  check::Equal("initial value of the variable", ReadInts(bias, 1)[0], 10);
  int new_bias = -4;
  check::Ok(cuMemcpyHtoD(bias, &new_bias, sizeof(new_bias)));

  struct {
    CUdeviceptr from, to;
    int factor;
    unsigned count;
  } buffer = {device_in.get(), device_out.get(), 5, kCount};
  size_t buffer_bytes = sizeof(buffer);
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &buffer_bytes,
                   CU_LAUNCH_PARAM_END};
  check::Ok(cuLaunchKernel(affine, (kCount + 63) / 64, 1, 1, 64, 1, 1, 0, nullptr, nullptr, extra));
  check::Ok(cuCtxSynchronize());
  for (unsigned i = 0; i < kCount; ++i) want[i] = in[i] * 5 - 4;
  check::EqualAll("result of a launch with extra", ReadInts(to, kCount), want);

  char a = -7;
  double b = 2.25;
  short c = -3000;
  float d = 1.125f;
  unsigned char e = 250;
  void* mixed[] = {&a, &b, &c, &d, &to, &e};
  check::Ok(cuLaunchKernel(GetFunction(module, "Mixed"), 1, 1, 1, 1, 1, 1, 0, nullptr, mixed, nullptr));
  std::vector<long long> results(5);
  check::Ok(cuMemcpyDtoH(results.data(), to, sizeof(long long) * results.size()));
  check::EqualAll<long long>("parameter", results, {-7, 9, -3000, 9, 250});

  size_t offset = 0, bytes = 0;
  check::Ok(cuFuncGetParamInfo(GetFunction(module, "Mixed"), 4, &offset, &bytes));
  check::Equal("offset of the fifth parameter", offset, size_t(24));
  check::Equal("size of the fifth parameter", bytes, size_t(8));
  check::Expect("a seventh parameter", cuFuncGetParamInfo(GetFunction(module, "Mixed"), 6, &offset, &bytes),
                CUDA_ERROR_INVALID_VALUE);

  std::vector<float> floats(32, 0.5f);
  check::Ok(cuMemcpyHtoD(from, floats.data(), 32 * sizeof(float)));
  void* weighted[] = {&from, &to};
  check::Ok(cuLaunchKernel(GetFunction(module, "WeightedSum"), 1, 1, 1, 32, 1, 1, 32 * sizeof(float), nullptr, weighted,
                           nullptr));
  float sum = 0;
  check::Ok(cuMemcpyDtoH(&sum, to, sizeof(sum)));
  check::Equal("weighted sum", sum, 40.0f);

  check::Expect("a launch with 2048 threads",
                cuLaunchKernel(affine, 1, 1, 1, 2048, 1, 1, 0, nullptr, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  check::Expect("a launch of nothing", cuLaunchKernel(nullptr, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr),
                CUDA_ERROR_INVALID_HANDLE);
  check::Ok(cuCtxSynchronize());

  int threads = 0, ptx_version = 0;
  check::Ok(cuFuncGetAttribute(&threads, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, affine));
  check::Ok(cuFuncGetAttribute(&ptx_version, CU_FUNC_ATTRIBUTE_PTX_VERSION, affine));
  check::Equal("threads of a block", threads, 1024);
  check::Equal("PTX version", ptx_version, 75);
  int blocks = 0;
  check::Ok(cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, affine, 64, 0));
  check::True("a block fits on a multiprocessor", blocks > 0);
}

void Modules() {
  CUmodule module = nullptr, again = nullptr;
  CUfunction function = nullptr;
  CUdeviceptr address = 0, other_address = 0;
  check::Expect("text that is no PTX",
                cuModuleLoadData(&module, ".version 7.0\n.target sm_75\n.address_size 64\nnonsense\n"),
                CUDA_ERROR_INVALID_PTX);
  module = LoadDriverKernels();
  check::Expect("a function that is not there", cuModuleGetFunction(&function, module, "Absent"), CUDA_ERROR_NOT_FOUND);
  check::Expect("a variable that is not there", cuModuleGetGlobal(&address, nullptr, module, "absent"),
                CUDA_ERROR_NOT_FOUND);
  // The same image twice has variables twice.
  again = LoadDriverKernels();
  check::Ok(cuModuleGetGlobal(&address, nullptr, module, "bias"));
  check::Ok(cuModuleGetGlobal(&other_address, nullptr, again, "bias"));
  check::True("each module has its own variable", address != other_address);
  check::Ok(cuModuleUnload(again));
  check::Ok(cuModuleUnload(module));

  // A library's kernels belong to no context until they are asked for.
  CUlibrary library = nullptr;
  CUkernel kernel = nullptr;
  unsigned kernels = 0;
  check::Ok(cuLibraryLoadData(&library, kDriverKernels, nullptr, nullptr, 0, nullptr, nullptr, 0));
  check::Ok(cuLibraryGetKernelCount(&kernels, library));
  check::Equal("kernels of the library", kernels, 5u);
  check::Ok(cuLibraryGetKernel(&kernel, library, "Store"));
  check::Ok(cuKernelGetFunction(&function, kernel));
  DeviceMemory memory(sizeof(unsigned));
  CUdeviceptr to = memory.get();
  unsigned value = 321;
  void* parameters[] = {&to, &value};
  check::Ok(cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  check::Equal("value stored by a library's kernel", ReadInts(to, 1)[0], 321);
  value = 654;
  check::Ok(cuLaunchKernel(reinterpret_cast<CUfunction>(kernel), 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr));
  check::Equal("value stored through the kernel's handle", ReadInts(to, 1)[0], 654);
  check::Ok(cuLibraryUnload(library));
}

void Memory() {
  const size_t kBytes = 5000;
  DeviceMemory memory(kBytes), other(kBytes);
  CUdeviceptr base = 0;
  size_t bytes = 0;
  check::Ok(cuMemGetAddressRange(&base, &bytes, memory.get() + 777));
  check::Equal("start of the allocation", base, memory.get());
  check::True("the allocation has at least the size asked for", bytes >= kBytes);
  check::Expect("range of an address in none", cuMemGetAddressRange(&base, &bytes, 0x1000), CUDA_ERROR_NOT_FOUND);

  CUmemorytype type{};
  CUcontext owner = nullptr, current = nullptr;
  check::Ok(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, memory.get() + 10));
  check::Equal("kind of memory", int(type), int(CU_MEMORYTYPE_DEVICE));
  check::Ok(cuPointerGetAttribute(&owner, CU_POINTER_ATTRIBUTE_CONTEXT, memory.get()));
  check::Ok(cuCtxGetCurrent(&current));
  check::True("the context that allocated", owner == current);
  CUdeviceptr start = 0;
  check::Ok(cuPointerGetAttribute(&start, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, memory.get() + 10));
  check::Equal("start by attribute", start, memory.get());
  int pageable = 0;
  check::Expect(
      "kind of pageable memory",
      cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, reinterpret_cast<CUdeviceptr>(&pageable)),
      CUDA_ERROR_INVALID_VALUE);

  check::Ok(cuMemsetD32(memory.get(), 0x01020304, 100));
  check::Ok(cuMemsetD16(memory.get() + 8, 0xabcd, 3));
  check::Ok(cuMemsetD8(memory.get() + 21, 0xee, 2));
  check::Ok(cuMemcpyDtoD(other.get() + 4, memory.get(), 400));
  std::vector<unsigned char> got(28), want(28);
  check::Ok(cuMemcpyDtoH(got.data(), other.get() + 4, got.size()));
  for (int i = 0; i < 28; ++i) want[i] = 4 - i % 4;
  for (int i = 8; i < 14; ++i) want[i] = i % 2 == 0 ? 0xcd : 0xab;
  want[21] = want[22] = 0xee;
  check::EqualAll("filled byte", got, want);

  void* pinned = nullptr;
  check::Ok(cuMemHostAlloc(&pinned, kBytes, 0));
  check::Ok(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, reinterpret_cast<CUdeviceptr>(pinned)));
  check::Equal("kind of pinned memory", int(type), int(CU_MEMORYTYPE_HOST));
  check::Ok(cuMemFreeHost(pinned));
  check::Expect("an allocation of nothing", cuMemAlloc(&base, 0), CUDA_ERROR_INVALID_VALUE);
  check::Expect("a free of a part", cuMemFree(memory.get() + 8), CUDA_ERROR_INVALID_VALUE);
  check::Expect("a copy beyond the end of an allocation", cuMemcpyDtoH(got.data(), memory.get() + (1ull << 40), 4),
                CUDA_ERROR_INVALID_VALUE);
}

void StreamsAndEvents(CUmodule module) {
  CUstream stream = nullptr, other = nullptr;
  CUevent start = nullptr, end = nullptr;
  check::Ok(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING));
  check::Ok(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING));
  check::Ok(cuEventCreate(&start, CU_EVENT_DEFAULT));
  check::Ok(cuEventCreate(&end, CU_EVENT_DEFAULT));
  DeviceMemory memory(64);
  CUfunction store = GetFunction(module, "Store");
  CUdeviceptr first = memory.get(), second = memory.get() + 4;
  unsigned value = 111;
  void* parameters[] = {&first, &value};
  check::Ok(cuEventRecord(start, stream));
  check::Ok(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr));
  check::Ok(cuEventRecord(end, stream));
  check::Ok(cuStreamWaitEvent(other, end, 0));
  check::Ok(cuMemcpyDtoDAsync(second, first, 4, other));
  check::Ok(cuMemsetD32Async(first, 222, 1, other));
  check::Ok(cuStreamSynchronize(other));
  check::Ok(cuStreamQuery(stream));
  check::Ok(cuEventQuery(end));
  float milliseconds = -1;
  check::Ok(cuEventElapsedTime(&milliseconds, start, end));
  check::True("time between events is not negative", milliseconds >= 0);
  check::EqualAll<int>("stored value", ReadInts(first, 2), {222, 111});
  check::Ok(cuEventDestroy(start));
  check::Ok(cuEventDestroy(end));
  check::Ok(cuStreamDestroy(other));
  check::Ok(cuStreamDestroy(stream));
}

}  // namespace

int main() {
  DriverSession session;
  Device(session.device());
  CUmodule module = LoadDriverKernels();
  Launches(module);
  Modules();
  Memory();
  StreamsAndEvents(module);
  check::Ok(cuModuleUnload(module));
  return check::Pass("driver_api");
}
