// A libcuda.so.1 whose device works by the clock and burns no CPU: a kernel takes as many nanoseconds as it has threads
// times 5 000, one after the other. For figures of what lies between a program and its driver; computes
// nothing.
//
// Its memory is host memory. One context, streams in order with each other. Thread-safe.

#define __CUDA_API_VERSION_INTERNAL
#include <cuda.h>
#include <cudaProfiler.h>
#include <sys/mman.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>

namespace {

constexpr int64_t kKernelNanoseconds = 5000;

int64_t Now() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

std::atomic<int64_t> device_idle_at{0};

void Work(int64_t nanoseconds) {
  const int64_t now = Now();
  int64_t idle = device_idle_at.load(), then;
  do {
    then = std::max(idle, now) + nanoseconds;
  } while (!device_idle_at.compare_exchange_weak(idle, then));
}

CUresult WaitUntil(int64_t end) {
  const timespec until = {end / 1'000'000'000, end % 1'000'000'000};
  if (end > Now()) clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
  return CUDA_SUCCESS;
}
CUresult Wait() { return WaitUntil(device_idle_at.load()); }

// When the device gets to where an event was recorded.
std::atomic<int64_t>& Time(CUevent event) { return *reinterpret_cast<std::atomic<int64_t>*>(event); }

// Objects are numbers that nobody looks behind.
template <class T>
CUresult New(T* out) {
  static std::atomic<uintptr_t> next{0x10};
  *out = reinterpret_cast<T>(next += 0x10);
  return CUDA_SUCCESS;
}
// A graph is as long as its kernels are together, one behind the other.
struct Graph {
  int64_t nanoseconds = 0;
};
template <class T>
Graph& GraphOf(T handle) {
  return *reinterpret_cast<Graph*>(handle);
}
template <class T>
CUresult NewGraph(T* out, int64_t nanoseconds) {
  return *out = reinterpret_cast<T>(new Graph{nanoseconds}), CUDA_SUCCESS;
}

int64_t KernelNanoseconds(unsigned blocks, unsigned threads) { return kKernelNanoseconds * blocks * threads; }

CUcontext const kContext = reinterpret_cast<CUcontext>(0x8);
thread_local CUcontext current = nullptr;

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

CUresult cuInit(unsigned) { return CUDA_SUCCESS; }
CUresult cuDriverGetVersion(int* version) { return *version = CUDA_VERSION, CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult, const char** text) { return *text = "an error", CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int* count) { return *count = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice* device, int) { return *device = 0, CUDA_SUCCESS; }
CUresult cuDeviceGetName(char* name, int size, CUdevice) {
  return std::strncpy(name, "Clock", static_cast<size_t>(size)), CUDA_SUCCESS;
}
CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice) { return std::memset(uuid, 7, sizeof *uuid), CUDA_SUCCESS; }
CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice) { return *bytes = size_t{1} << 30, CUDA_SUCCESS; }
CUresult cuDeviceGetPCIBusId(char* id, int size, CUdevice) {
  return std::strncpy(id, "0000:01:00.0", static_cast<size_t>(size)), CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
  *value = attribute == CU_DEVICE_ATTRIBUTE_WARP_SIZE ? 32 : 1024;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) { return *context = kContext, CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxGetState(CUdevice, unsigned* flags, int* active) {
  *flags = 0;
  *active = 1;
  return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxReset_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuDevicePrimaryCtxRelease(CUdevice) { return CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { return current = context, CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext* context) { return *context = current, CUDA_SUCCESS; }
CUresult cuCtxPushCurrent_v2(CUcontext context) { return current = context, CUDA_SUCCESS; }  // the only one there is
CUresult cuCtxPopCurrent_v2(CUcontext* context) { return *context = current, CUDA_SUCCESS; }
CUresult cuCtxGetDevice(CUdevice* device) { return *device = 0, CUDA_SUCCESS; }
CUresult cuCtxSynchronize() { return Wait(); }
CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode*) { return CUDA_SUCCESS; }
CUresult cuMemGetInfo_v2(size_t* free, size_t* total) { return *free = *total = size_t{1} << 30, CUDA_SUCCESS; }
CUresult cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  *address = reinterpret_cast<CUdeviceptr>(memory);
  return memory == MAP_FAILED ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}
CUresult cuMemFree_v2(CUdeviceptr) { return CUDA_SUCCESS; }
CUresult cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
  *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return *memory == MAP_FAILED ? CUDA_ERROR_OUT_OF_MEMORY : CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void*) { return CUDA_SUCCESS; }
CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* address, void* memory, unsigned) {
  return *address = reinterpret_cast<CUdeviceptr>(memory), CUDA_SUCCESS;
}
CUresult cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t bytes) {
  return std::memset(reinterpret_cast<void*>(address), value, bytes), CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t bytes, CUstream) {
  return cuMemsetD8_v2(address, value, bytes);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream) {
  return std::memcpy(reinterpret_cast<void*>(to), from, bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
  return cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr);
}
CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream) {
  return std::memcpy(to, reinterpret_cast<const void*>(from), bytes), CUDA_SUCCESS;
}
CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
  Wait();
  return cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr);
}
CUresult cuModuleLoadData(CUmodule* module, const void*) { return New(module); }
CUresult cuModuleLoadDataEx(CUmodule* module, const void*, unsigned, CUjit_option*, void**) { return New(module); }
CUresult cuModuleUnload(CUmodule) { return CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction* function, CUmodule, const char*) { return New(function); }
CUresult cuFuncGetAttribute(int* value, CUfunction_attribute, CUfunction) { return *value = 1024, CUDA_SUCCESS; }
CUresult cuFuncGetParamInfo(CUfunction, size_t, size_t*, size_t*) { return CUDA_ERROR_INVALID_VALUE; }
CUresult cuLaunchKernel(CUfunction, unsigned blocks, unsigned, unsigned, unsigned threads, unsigned, unsigned, unsigned,
                        CUstream, void**, void**) {
  Work(KernelNanoseconds(blocks, threads));
  return CUDA_SUCCESS;
}
CUresult cuGraphCreate(CUgraph* graph, unsigned) { return NewGraph(graph, 0); }
CUresult cuGraphAddKernelNode_v2(CUgraphNode* node, CUgraph graph, const CUgraphNode*, size_t,
                                 const CUDA_KERNEL_NODE_PARAMS* params) {
  GraphOf(graph).nanoseconds += KernelNanoseconds(params->gridDimX, params->blockDimX);
  return New(node);
}
CUresult cuGraphKernelNodeSetAttribute(CUgraphNode, CUkernelNodeAttrID, const CUkernelNodeAttrValue*) {
  return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec* launchable, CUgraph graph, unsigned long long) {
  return NewGraph(launchable, GraphOf(graph).nanoseconds);
}
CUresult cuGraphLaunch(CUgraphExec launchable, CUstream) { return Work(GraphOf(launchable).nanoseconds), CUDA_SUCCESS; }
CUresult cuGraphExecDestroy(CUgraphExec launchable) { return delete &GraphOf(launchable), CUDA_SUCCESS; }
CUresult cuGraphDestroy(CUgraph graph) { return delete &GraphOf(graph), CUDA_SUCCESS; }
CUresult cuStreamCreate(CUstream* stream, unsigned) { return New(stream); }
CUresult cuStreamCreateWithPriority(CUstream* stream, unsigned, int) { return New(stream); }
CUresult cuStreamGetId(CUstream stream, unsigned long long* id) {
  return *id = reinterpret_cast<uintptr_t>(stream), CUDA_SUCCESS;
}
CUresult cuStreamGetFlags(CUstream, unsigned* flags) { return *flags = CU_STREAM_NON_BLOCKING, CUDA_SUCCESS; }
CUresult cuStreamGetCtx(CUstream, CUcontext* context) { return *context = kContext, CUDA_SUCCESS; }
CUresult cuStreamDestroy_v2(CUstream) { return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) { return Wait(); }
CUresult cuStreamQuery(CUstream) { return Now() >= device_idle_at.load() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY; }
CUresult cuStreamWaitEvent(CUstream, CUevent, unsigned) { return CUDA_SUCCESS; }
CUresult cuStreamWaitValue32_v2(CUstream, CUdeviceptr, cuuint32_t, unsigned) { return CUDA_SUCCESS; }
CUresult cuEventCreate(CUevent* event, unsigned) {
  *event = reinterpret_cast<CUevent>(new std::atomic<int64_t>(0));
  return CUDA_SUCCESS;
}
CUresult cuEventRecord(CUevent event, CUstream) { return Time(event).store(device_idle_at.load()), CUDA_SUCCESS; }
CUresult cuEventQuery(CUevent event) { return Now() >= Time(event).load() ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY; }
CUresult cuEventSynchronize(CUevent event) { return WaitUntil(Time(event).load()); }
CUresult cuEventDestroy_v2(CUevent event) { return delete &Time(event), CUDA_SUCCESS; }
CUresult cuLaunchHostFunc(CUstream, CUhostFn function, void* data) {
  Wait();
  return function(data), CUDA_SUCCESS;
}

}  // extern "C"
#pragma GCC visibility pop
