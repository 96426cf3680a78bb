// Makes each call of the driver API that crosses the wire, in a way that a driver accepts, and prints its name. Before
// and behind each it asks for the limit of the heap, which finds the call's own commands in a trace. Wants two devices.

#define __CUDA_API_VERSION_INTERNAL  // every version of a call has its own name

#include <cuda.h>
#include <cudaProfiler.h>

#include <functional>

#include "tests/programs/check_driver.h"

namespace {

constexpr char kCode[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .global .align 4 .u32 variable = 41;
.visible .entry nothing() { ret; }
)";

void Mark() {
  size_t bytes = 0;
  check::Ok(cuCtxGetLimit(&bytes, CU_LIMIT_MALLOC_HEAP_SIZE));
}

class Calls {
 public:
  void Contexts() {
    CUcontext made = nullptr;
    unsigned flags = 0;
    unsigned long long id = 0;
    int low = 0, high = 0;
    size_t limit = 0;
    CUfunc_cache cache{};
    CUsharedconfig shared{};
    Twice("cuCtxGetFlags", [&] { return cuCtxGetFlags(&flags); });
    Twice("cuCtxGetId", [&] { return cuCtxGetId(context_, &id); });
    Twice("cuCtxGetStreamPriorityRange", [&] { return cuCtxGetStreamPriorityRange(&low, &high); });
    Once("cuCtxGetLimit", [&] { return cuCtxGetLimit(&limit, CU_LIMIT_STACK_SIZE); });
    Once("cuCtxSetLimit", [&] { return cuCtxSetLimit(CU_LIMIT_STACK_SIZE, limit); });
    Once("cuCtxGetCacheConfig", [&] { return cuCtxGetCacheConfig(&cache); });
    Once("cuCtxSetCacheConfig", [&] { return cuCtxSetCacheConfig(cache); });
    Once("cuCtxGetSharedMemConfig", [&] { return cuCtxGetSharedMemConfig(&shared); });
    Once("cuCtxSetSharedMemConfig", [&] { return cuCtxSetSharedMemConfig(shared); });
    Once("cuCtxSetFlags", [&] { return cuCtxSetFlags(CU_CTX_SCHED_AUTO); });
    Once("cuCtxResetPersistingL2Cache", &cuCtxResetPersistingL2Cache, CUDA_ERROR_NOT_SUPPORTED);
    Once("cuCtxSynchronize", &cuCtxSynchronize);
    Once("cuCtxSynchronize_v2", [&] { return cuCtxSynchronize_v2(context_); });
    Once("cuProfilerStart", &cuProfilerStart);
    Once("cuProfilerStop", &cuProfilerStop);
    check::Ok(cuCtxCreate_v2(&made, 0, 0));
    Once("cuCtxDestroy", [&] { return cuCtxDestroy(made); });
    check::Ok(cuCtxCreate_v2(&made, 0, 0));
    Once("cuCtxDestroy_v2", [&] { return cuCtxDestroy_v2(made); });
  }

  // Of the second device.
  void PrimaryContexts() {
    CUcontext primary = nullptr;
    unsigned flags = 0;
    int active = 0;
    const auto retain = [&] { check::Ok(cuDevicePrimaryCtxRetain(&primary, 1)); };
    Twice("cuDevicePrimaryCtxGetState", [&] { return cuDevicePrimaryCtxGetState(1, &flags, &active); });
    Once("cuDevicePrimaryCtxSetFlags", [&] { return cuDevicePrimaryCtxSetFlags(1, flags); });
    Once("cuDevicePrimaryCtxSetFlags_v2", [&] { return cuDevicePrimaryCtxSetFlags_v2(1, flags); });
    retain();
    Once("cuDevicePrimaryCtxRelease", [] { return cuDevicePrimaryCtxRelease(1); });
    retain();
    Once("cuDevicePrimaryCtxRelease_v2", [] { return cuDevicePrimaryCtxRelease_v2(1); });
    retain();
    Once("cuDevicePrimaryCtxReset", [] { return cuDevicePrimaryCtxReset(1); });
    retain();
    Once("cuDevicePrimaryCtxReset_v2", [] { return cuDevicePrimaryCtxReset_v2(1); });
  }

  void Devices() {
    int value = 0;
    unsigned capability = 0;
    size_t width = 0;
    const CUatomicOperation operation = CU_ATOMIC_OPERATION_INTEGER_ADD;
    Twice("cuDeviceCanAccessPeer", [&] { return cuDeviceCanAccessPeer(&value, 0, 1); });
    Twice("cuDeviceGetP2PAttribute",
          [&] { return cuDeviceGetP2PAttribute(&value, CU_DEVICE_P2P_ATTRIBUTE_ACCESS_SUPPORTED, 0, 1); });
    Twice("cuDeviceGetP2PAtomicCapabilities",
          [&] { return cuDeviceGetP2PAtomicCapabilities(&capability, &operation, 1, 0, 1); });
    Twice("cuDeviceGetTexture1DLinearMaxWidth",
          [&] { return cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 1, 0); });
  }

  void Code() {
    CUmodule module = nullptr, of_library = nullptr;
    CUlibrary library = nullptr;
    CUfunction function = nullptr;
    CUkernel kernel = nullptr;
    CUdeviceptr address = 0;
    CUfunctionLoadingState state{};
    size_t bytes = 0;
    unsigned count = 0;
    int value = 0;
    check::Ok(cuModuleLoadData(&module, kCode));
    check::Ok(cuLibraryLoadData(&library, kCode, nullptr, nullptr, 0, nullptr, nullptr, 0));
    check::Ok(cuModuleGetFunction(&function, module, "nothing"));
    check::Ok(cuLibraryGetKernel(&kernel, library, "nothing"));
    Twice("cuModuleGetFunctionCount", [&] { return cuModuleGetFunctionCount(&count, module); });
    Once("cuModuleGetGlobal_v2", [&] { return cuModuleGetGlobal_v2(&address, &bytes, module, "variable"); });
    Twice("cuLibraryGetKernelCount", [&] { return cuLibraryGetKernelCount(&count, library); });
    Once("cuLibraryGetGlobal", [&] { return cuLibraryGetGlobal(&address, &bytes, library, "variable"); });
    Once("cuLibraryGetModule", [&] { return cuLibraryGetModule(&of_library, library); });
    Twice("cuFuncGetAttribute", [&] { return cuFuncGetAttribute(&value, CU_FUNC_ATTRIBUTE_PTX_VERSION, function); });
    Twice("cuFuncSetAttribute",
         [&] { return cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024); });
    Once("cuFuncSetCacheConfig", [&] { return cuFuncSetCacheConfig(function, CU_FUNC_CACHE_PREFER_NONE); });
    Once("cuFuncSetSharedMemConfig",
         [&] { return cuFuncSetSharedMemConfig(function, CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE); });
    Once("cuFuncLoad", [&] { return cuFuncLoad(function); });
    Once("cuFuncIsLoaded", [&] { return cuFuncIsLoaded(&state, function); });
    Twice("cuKernelGetAttribute",
          [&] { return cuKernelGetAttribute(&value, CU_FUNC_ATTRIBUTE_PTX_VERSION, kernel, 0); });
    Twice("cuKernelSetAttribute",
         [&] { return cuKernelSetAttribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 1024, kernel, 0); });
    Once("cuKernelSetCacheConfig", [&] { return cuKernelSetCacheConfig(kernel, CU_FUNC_CACHE_PREFER_NONE, 0); });
    Twice("cuOccupancyMaxActiveBlocksPerMultiprocessor",
          [&] { return cuOccupancyMaxActiveBlocksPerMultiprocessor(&value, function, 32, 0); });
    Twice("cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags",
          [&] { return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&value, function, 64, 0, 0); });
    Twice("cuOccupancyAvailableDynamicSMemPerBlock",
          [&] { return cuOccupancyAvailableDynamicSMemPerBlock(&bytes, function, 1, 32); });
    Once("cuModuleUnload", [&] { return cuModuleUnload(module); });
    Once("cuLibraryUnload", [&] { return cuLibraryUnload(library); });
  }

  void Memory() {
    size_t free = 0, total = 0;
    CUdeviceptr memory = 0;
    Once("cuMemGetInfo_v2", [&] { return cuMemGetInfo_v2(&free, &total); });
    Once("cuMemAlloc_v2", [&] { return cuMemAlloc_v2(&memory, 4096); });
    Once("cuMemsetD8Async", [&] { return cuMemsetD8Async(memory, 1, 64, stream_); });
    Once("cuMemsetD16Async", [&] { return cuMemsetD16Async(memory, 1, 64, stream_); });
    Once("cuMemsetD32Async", [&] { return cuMemsetD32Async(memory, 1, 64, stream_); });
    Once("cuMemsetD2D8Async", [&] { return cuMemsetD2D8Async(memory, 128, 1, 64, 2, stream_); });
    Once("cuMemsetD2D16Async", [&] { return cuMemsetD2D16Async(memory, 128, 1, 32, 2, stream_); });
    Once("cuMemsetD2D32Async", [&] { return cuMemsetD2D32Async(memory, 128, 1, 16, 2, stream_); });
    Once("cuMemcpyDtoDAsync_v2", [&] { return cuMemcpyDtoDAsync_v2(memory + 64, memory, 64, stream_); });
    Once("cuMemFree_v2", [&] { return cuMemFree_v2(memory); });
  }

  void Arrays() {
    const CUDA_ARRAY3D_DESCRIPTOR its = {16, 16, 0, CU_AD_FORMAT_FLOAT, 1, CUDA_ARRAY3D_SURFACE_LDST};
    CUarray array = nullptr, level = nullptr;
    CUmipmappedArray mipmapped = nullptr;
    CUDA_RESOURCE_DESC resource{};
    CUDA_TEXTURE_DESC reading{};
    CUtexObject texture = 0;
    CUsurfObject surface = 0;
    Once("cuArray3DCreate_v2", [&] { return cuArray3DCreate_v2(&array, &its); });
    Once("cuMipmappedArrayCreate", [&] { return cuMipmappedArrayCreate(&mipmapped, &its, 2); });
    Once("cuMipmappedArrayGetLevel", [&] { return cuMipmappedArrayGetLevel(&level, mipmapped, 1); });
    resource.resType = CU_RESOURCE_TYPE_ARRAY;
    resource.res.array.hArray = array;
    check::Ok(cuTexObjectCreate(&texture, &resource, &reading, nullptr));
    check::Ok(cuSurfObjectCreate(&surface, &resource));
    Once("cuTexObjectDestroy", [&] { return cuTexObjectDestroy(texture); });
    Once("cuSurfObjectDestroy", [&] { return cuSurfObjectDestroy(surface); });
    Once("cuMipmappedArrayDestroy", [&] { return cuMipmappedArrayDestroy(mipmapped); });
    Once("cuArrayDestroy", [&] { return cuArrayDestroy(array); });
  }

  void Peers() {
    CUcontext other = nullptr;
    CUdeviceptr here = 0, there = 0;
    check::Ok(cuMemAlloc_v2(&here, 64));
    check::Ok(cuCtxCreate_v2(&other, 0, 1));
    check::Ok(cuMemAlloc_v2(&there, 64));
    check::Ok(cuCtxPopCurrent_v2(nullptr));
    Once("cuCtxEnablePeerAccess", [&] { return cuCtxEnablePeerAccess(other, 0); });
    Once("cuMemcpyPeer", [&] { return cuMemcpyPeer(there, other, here, context_, 64); });
    Once("cuMemcpyPeerAsync", [&] { return cuMemcpyPeerAsync(there, other, here, context_, 64, stream_); });
    Once("cuCtxDisablePeerAccess", [&] { return cuCtxDisablePeerAccess(other); });
    check::Ok(cuCtxDestroy_v2(other));
    check::Ok(cuMemFree_v2(here));
  }

  void MemoryPools() {
    CUmemoryPool of_device = nullptr, made = nullptr;
    CUmemPoolProps properties{};
    CUmemAccess_flags access{};
    CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, 0};
    CUdeviceptr memory = 0;
    properties.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location = location;
    check::Ok(cuMemPoolCreate(&made, &properties));
    const CUmemAccessDesc both = {location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    Once("cuDeviceGetDefaultMemPool", [&] { return cuDeviceGetDefaultMemPool(&of_device, 0); });
    Once("cuDeviceSetMemPool", [&] { return cuDeviceSetMemPool(0, of_device); });
    Once("cuMemAllocAsync", [&] { return cuMemAllocAsync(&memory, 64, stream_); });
    Once("cuMemFreeAsync", [&] { return cuMemFreeAsync(memory, stream_); });
    Once("cuMemAllocFromPoolAsync", [&] { return cuMemAllocFromPoolAsync(&memory, 64, made, stream_); });
    check::Ok(cuMemFreeAsync(memory, stream_));
    Once("cuMemPoolGetAccess", [&] { return cuMemPoolGetAccess(&access, made, &location); });
    Once("cuMemPoolSetAccess", [&] { return cuMemPoolSetAccess(made, &both, 1); });
    Once("cuMemPoolTrimTo", [&] { return cuMemPoolTrimTo(made, 0); });
    Once("cuMemPoolDestroy", [&] { return cuMemPoolDestroy(made); });
  }

  void VirtualMemory() {
    CUdeviceptr range = 0;
    CUmemGenericAllocationHandle memory = 0;
    CUmemAllocationProp properties{};
    size_t bytes = 0;
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    const CUmemAccessDesc both = {properties.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    Twice("cuMemGetAllocationGranularity",
          [&] { return cuMemGetAllocationGranularity(&bytes, &properties, CU_MEM_ALLOC_GRANULARITY_MINIMUM); });
    Once("cuMemAddressReserve", [&] { return cuMemAddressReserve(&range, bytes, 0, 0, 0); });
    Once("cuMemCreate", [&] { return cuMemCreate(&memory, bytes, &properties, 0); });
    Once("cuMemMap", [&] { return cuMemMap(range, bytes, 0, memory, 0); });
    Once("cuMemSetAccess", [&] { return cuMemSetAccess(range, bytes, &both, 1); });
    Once("cuMemUnmap", [&] { return cuMemUnmap(range, bytes); });
    Once("cuMemRelease", [&] { return cuMemRelease(memory); });
    Once("cuMemAddressFree", [&] { return cuMemAddressFree(range, bytes); });
  }

  // What another process shares is not there to be had.
  void Sharing() {
    CUdeviceptr memory = 0;
    CUevent event = nullptr, opened = nullptr;
    CUipcMemHandle memory_handle{};
    CUipcEventHandle event_handle{};
    check::Ok(cuMemAlloc_v2(&memory, 512));
    check::Ok(cuEventCreate(&event, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
    Once("cuIpcGetMemHandle", [&] { return cuIpcGetMemHandle(&memory_handle, memory); });
    Once(
        "cuIpcCloseMemHandle", [&] { return cuIpcCloseMemHandle(memory); }, CUDA_ERROR_INVALID_VALUE);
    Once("cuIpcGetEventHandle", [&] { return cuIpcGetEventHandle(&event_handle, event); });
    Once(
        "cuIpcOpenEventHandle", [&] { return cuIpcOpenEventHandle(&opened, event_handle); },
        CUDA_ERROR_INVALID_CONTEXT);
    check::Ok(cuEventDestroy_v2(event));
    check::Ok(cuMemFree_v2(memory));
  }

  void Events() {
    CUevent first = nullptr, second = nullptr;
    float milliseconds = 0;
    Once("cuEventCreate", [&] { return cuEventCreate(&first, 0); });
    check::Ok(cuEventCreate(&second, 0));
    Once("cuEventRecord", [&] { return cuEventRecord(first, stream_); });
    Once("cuEventRecordWithFlags", [&] { return cuEventRecordWithFlags(second, stream_, 0); });
    Once("cuStreamWaitEvent", [&] { return cuStreamWaitEvent(stream_, second, 0); });
    Once("cuCtxRecordEvent", [&] { return cuCtxRecordEvent(context_, second); });
    Once("cuCtxWaitEvent", [&] { return cuCtxWaitEvent(context_, second); });
    Once("cuEventSynchronize", [&] { return cuEventSynchronize(second); });
    Once("cuEventQuery", [&] { return cuEventQuery(second); });
    Once("cuEventElapsedTime", [&] { return cuEventElapsedTime(&milliseconds, first, second); });
    Once("cuEventElapsedTime_v2", [&] { return cuEventElapsedTime_v2(&milliseconds, first, second); });
    Once("cuEventDestroy", [&] { return cuEventDestroy(first); });
    Once("cuEventDestroy_v2", [&] { return cuEventDestroy_v2(second); });
  }

  void Streams() {
    CUstream one = nullptr, other = nullptr;
    CUstreamAttrValue value{};
    CUdevice device = 0;
    unsigned flags = 0;
    unsigned long long id = 0;
    int priority = 0;
    Once("cuStreamCreate", [&] { return cuStreamCreate(&one, 0); });
    Once("cuStreamCreateWithPriority", [&] { return cuStreamCreateWithPriority(&other, 0, 0); });
    Twice("cuStreamGetFlags", [&] { return cuStreamGetFlags(one, &flags); });
    Twice("cuStreamGetId", [&] { return cuStreamGetId(one, &id); });
    Twice("cuStreamGetPriority", [&] { return cuStreamGetPriority(one, &priority); });
    Twice("cuStreamGetDevice", [&] { return cuStreamGetDevice(one, &device); });
    value.syncPolicy = CU_SYNC_POLICY_SPIN;
    constexpr auto kPolicy = CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY;
    Once("cuStreamSetAttribute", [&] { return cuStreamSetAttribute(one, kPolicy, &value); });
    Once("cuStreamGetAttribute", [&] { return cuStreamGetAttribute(one, kPolicy, &value); });
    Once("cuStreamCopyAttributes", [&] { return cuStreamCopyAttributes(other, one); });
    Once("cuStreamSynchronize", [&] { return cuStreamSynchronize(one); });
    Once("cuStreamQuery", [&] { return cuStreamQuery(one); });
    Once("cuStreamDestroy", [&] { return cuStreamDestroy(one); });
    Once("cuStreamDestroy_v2", [&] { return cuStreamDestroy_v2(other); });
  }

  // Each word is what is waited for already.
  void Words() {
    CUdeviceptr word = 0;
    check::Ok(cuMemAlloc_v2(&word, 8));
    constexpr auto kWait = CU_STREAM_WAIT_VALUE_EQ;
    Once("cuStreamWriteValue32", [&] { return cuStreamWriteValue32(stream_, word, 1, 0); });
    Once("cuStreamWaitValue32", [&] { return cuStreamWaitValue32(stream_, word, 1, kWait); });
    Once("cuStreamWriteValue32_v2", [&] { return cuStreamWriteValue32_v2(stream_, word, 2, 0); });
    Once("cuStreamWaitValue32_v2", [&] { return cuStreamWaitValue32_v2(stream_, word, 2, kWait); });
    Once("cuStreamWriteValue64", [&] { return cuStreamWriteValue64(stream_, word, 3, 0); });
    Once("cuStreamWaitValue64", [&] { return cuStreamWaitValue64(stream_, word, 3, kWait); });
    Once("cuStreamWriteValue64_v2", [&] { return cuStreamWriteValue64_v2(stream_, word, 4, 0); });
    Once("cuStreamWaitValue64_v2", [&] { return cuStreamWaitValue64_v2(stream_, word, 4, kWait); });
    check::Ok(cuStreamSynchronize(stream_));
    check::Ok(cuMemFree_v2(word));
  }

  void GreenContexts() {
    CUdevResource resource, group;
    CUdevResourceDesc desc = nullptr;
    CUgreenCtx green = nullptr;
    CUcontext context = nullptr;
    CUstream stream = nullptr;
    CUevent event = nullptr;
    unsigned count = 1;
    unsigned long long id = 0;
    const auto sm = CU_DEV_RESOURCE_TYPE_SM;
    const unsigned flags = CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING;
    Twice("cuDeviceGetDevResource", [&] { return cuDeviceGetDevResource(0, &resource, sm); });
    check::Ok(cuDevSmResourceSplitByCount(&group, &count, &resource, nullptr, flags, 1));
    check::Ok(cuDevResourceGenerateDesc(&desc, &group, 1));
    check::Ok(cuGreenCtxCreate(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    check::Ok(cuCtxFromGreenCtx(&context, green));
    check::Ok(cuCtxPushCurrent_v2(context));
    check::Ok(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING));
    Twice("cuCtxGetDevResource", [&] { return cuCtxGetDevResource(context, &resource, sm); });
    Twice("cuGreenCtxGetDevResource", [&] { return cuGreenCtxGetDevResource(green, &resource, sm); });
    Twice("cuGreenCtxGetId", [&] { return cuGreenCtxGetId(green, &id); });
    Once("cuGreenCtxStreamCreate", [&] { return cuGreenCtxStreamCreate(&stream, green, CU_STREAM_NON_BLOCKING, 0); });
    Once("cuGreenCtxRecordEvent", [&] { return cuGreenCtxRecordEvent(green, event); });
    Once("cuGreenCtxWaitEvent", [&] { return cuGreenCtxWaitEvent(green, event); });
    check::Ok(cuStreamDestroy_v2(stream));
    check::Ok(cuEventDestroy_v2(event));
    check::Ok(cuCtxPopCurrent_v2(nullptr));
    Once("cuGreenCtxDestroy", [&] { return cuGreenCtxDestroy(green); });
  }

  Calls() {
    check::Ok(cuInit(0));
    check::Ok(cuCtxCreate_v2(&context_, 0, 0));
    check::Ok(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING));
  }
  ~Calls() { check::Ok(cuCtxDestroy_v2(context_)); }
  Calls(const Calls&) = delete;
  Calls& operator=(const Calls&) = delete;

 private:
  void Once(const char* name, const std::function<CUresult()>& call, CUresult expected = CUDA_SUCCESS) {
    Mark();
    const CUresult result = call();
    Mark();
    check::Expect(name, result, expected);
    std::printf("%s\n", name);
  }
  // For a call whose answer is kept.
  void Twice(const char* name, const std::function<CUresult()>& call) {
    Once(name, call);
    Once(name, call);
  }

  CUcontext context_ = nullptr;
  CUstream stream_ = nullptr;
};

}  // namespace

int main() {
  Calls calls;
  calls.Contexts();
  calls.PrimaryContexts();
  calls.Devices();
  calls.Code();
  calls.Memory();
  calls.Arrays();
  calls.Peers();
  calls.MemoryPools();
  calls.VirtualMemory();
  calls.Sharing();
  calls.Events();
  calls.Streams();
  calls.Words();
  calls.GreenContexts();
  return 0;
}
