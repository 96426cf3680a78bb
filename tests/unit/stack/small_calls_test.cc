#include <cstring>

#include "tests/unit/stack/stack.h"

// Calls about contexts, devices, streams and pointers that need little each, through the whole stack.

namespace outboard::stack {
namespace {

class SmallCallsTest : public StackTest {};

TEST_F(SmallCallsTest, AContextHasSeveralUsers) {
  CUcontext made = nullptr, attached = nullptr, current = nullptr;
  ASSERT_EQ(cuCtxCreate_v2(&made, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxAttach(&attached, 0), CUDA_SUCCESS);
  EXPECT_EQ(attached, made);
  EXPECT_EQ(cuCtxAttach(&attached, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuCtxDetach(context_), CUDA_ERROR_INVALID_CONTEXT) << "it is not current";
  EXPECT_EQ(cuCtxDetach(made), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS) << "one user is left";
  EXPECT_EQ(cuCtxDetach(made), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetCurrent(&current), CUDA_SUCCESS);
  EXPECT_EQ(current, context_);
  EXPECT_EQ(cuCtxPushCurrent_v2(made), CUDA_ERROR_INVALID_CONTEXT);
}

TEST_F(SmallCallsTest, APrimaryContextsUsersAreTheDrivers) {
  CUcontext primary = nullptr, attached = nullptr;
  unsigned flags = 0;
  int active = 0;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPushCurrent_v2(primary), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxAttach(&attached, 0), CUDA_SUCCESS);
  EXPECT_EQ(attached, primary);
  ASSERT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 1);
  ASSERT_EQ(cuCtxDetach(primary), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 0);
}

TEST_F(SmallCallsTest, ALimitIsTheContexts) {
  size_t value = 0;
  ASSERT_EQ(cuCtxSetLimit(CU_LIMIT_PRINTF_FIFO_SIZE, 2 << 20), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxGetLimit(&value, CU_LIMIT_PRINTF_FIFO_SIZE), CUDA_SUCCESS);
  EXPECT_EQ(value, size_t{2 << 20});
  EXPECT_EQ(cuCtxSetLimit(CU_LIMIT_MAX, 1), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(SmallCallsTest, FlagsOfTheContextAreAskedAnew) {
  unsigned flags = 9;
  ASSERT_EQ(cuCtxGetFlags(&flags), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetFlags(CU_CTX_SCHED_SPIN), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxGetFlags(&flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, unsigned{CU_CTX_SCHED_SPIN});
  EXPECT_EQ(cuCtxSetFlags(3), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(SmallCallsTest, PreferencesAndWhatContextsDoNotHave) {
  CUsharedconfig config{};
  CUexecAffinityParam affinity;
  int supported = 1;
  EXPECT_EQ(cuCtxSetSharedMemConfig(CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetSharedMemConfig(&config), CUDA_SUCCESS);
  EXPECT_EQ(config, CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE);
  EXPECT_EQ(cuFuncSetSharedMemConfig(GetFunction("add"), CU_SHARED_MEM_CONFIG_DEFAULT_BANK_SIZE), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxResetPersistingL2Cache(), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuCtxGetExecAffinity(&affinity, CU_EXEC_AFFINITY_TYPE_SM_COUNT), CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
  EXPECT_EQ(cuDeviceGetExecAffinitySupport(&supported, CU_EXEC_AFFINITY_TYPE_SM_COUNT, 1), CUDA_SUCCESS);
  EXPECT_EQ(supported, 0);
  EXPECT_EQ(cuDeviceGetExecAffinitySupport(&supported, CU_EXEC_AFFINITY_TYPE_SM_COUNT, 2), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(SmallCallsTest, ContextsRecordAndAwaitEvents) {
  CUevent event;
  CUcontext other = nullptr;
  ASSERT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuCtxRecordEvent(context_, event), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxWaitEvent(context_, event), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  EXPECT_EQ(cuEventSynchronize(event), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxRecordEvent(other, event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuCtxWaitEvent(other, event), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxRecordEvent(other, event), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxWaitEvent(nullptr, event), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxRecordEvent(context_, event), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(SmallCallsTest, ADeviceInItsOldWords) {
  CUdevprop properties{};
  int major = 0, minor = -1;
  size_t width = 99;
  unsigned capability = 99;
  const CUatomicOperation operation = CU_ATOMIC_OPERATION_INTEGER_ADD;
  ASSERT_EQ(cuDeviceGetProperties(&properties, 1), CUDA_SUCCESS);
  EXPECT_EQ(properties.maxThreadsPerBlock, 1024);
  EXPECT_EQ(properties.SIMDWidth, 32);
  ASSERT_EQ(cuDeviceComputeCapability(&major, &minor, 0), CUDA_SUCCESS);
  EXPECT_EQ(major * 10 + minor, 130);
  EXPECT_EQ(cuDeviceGetTexture1DLinearMaxWidth(&width, CU_AD_FORMAT_FLOAT, 1, 0), CUDA_SUCCESS);
  EXPECT_EQ(width, 1u << 28);
  EXPECT_EQ(cuDeviceGetHostAtomicCapabilities(&capability, &operation, 1, 0), CUDA_SUCCESS);
  EXPECT_EQ(capability, 0u);
  EXPECT_EQ(cuDeviceGetHostAtomicCapabilities(&capability, &operation, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetProperties(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceComputeCapability(&major, &minor, 2), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(SmallCallsTest, StreamsKeepTheirAttributes) {
  CUstream stream = nullptr, copy = nullptr;
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&copy, 0), CUDA_SUCCESS);
  CUstreamAttrValue value, got;
  std::memset(&value, 0xff, sizeof value);  // beside the attribute's own bytes there may be anything
  std::memset(&got, 0xee, sizeof got);
  value.syncPolicy = CU_SYNC_POLICY_SPIN;
  ASSERT_EQ(cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCopyAttributes(copy, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamGetAttribute(copy, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &got), CUDA_SUCCESS);
  EXPECT_EQ(got.syncPolicy, CU_SYNC_POLICY_SPIN);
  EXPECT_EQ(reinterpret_cast<unsigned char*>(&got)[sizeof got - 1], 0xee) << "nothing else is written";
  EXPECT_EQ(cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_EVENT, &value), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamGetAttribute(stream, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &got), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamGetAttribute(stream, CU_LAUNCH_ATTRIBUTE_PRIORITY, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamSetAttribute(stream, CU_LAUNCH_ATTRIBUTE_PRIORITY, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamDestroy_v2(copy), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamCopyAttributes(copy, stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
}

TEST_F(SmallCallsTest, SyncMemopsMakesSynchronousCallsWait) {
  CUdeviceptr memory = 0;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 64), CUDA_SUCCESS);
  unsigned on = 1, off = 0, got = 9;
  const auto trips = [](auto call) {
    const uint64_t before = RoundTrips();
    EXPECT_EQ(call(), CUDA_SUCCESS);
    return RoundTrips() - before;
  };
  const auto set = [&] { return cuMemsetD8_v2(memory, 1, 4); };
  const auto copy = [&] { return cuMemcpyDtoD_v2(memory, memory + 32, 4); };
  const auto copy_any = [&] { return cuMemcpy(memory + 32, memory, 4); };
  EXPECT_EQ(trips(set) + trips(copy) + trips(copy_any), 0u);
  ASSERT_EQ(cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, memory + 4), CUDA_SUCCESS);
  ASSERT_EQ(cuPointerGetAttribute(&got, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, memory), CUDA_SUCCESS);
  EXPECT_EQ(got, 1u);
  EXPECT_EQ(trips(set), 1u);
  EXPECT_EQ(trips(copy), 1u);
  EXPECT_EQ(trips(copy_any), 1u);
  EXPECT_EQ(trips([&] { return cuMemsetD8Async(memory, 1, 4, nullptr); }), 0u);
  ASSERT_EQ(cuPointerSetAttribute(&off, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, memory), CUDA_SUCCESS);
  EXPECT_EQ(trips(set), 0u);
  EXPECT_EQ(cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_CONTEXT, memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuPointerSetAttribute(nullptr, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, reinterpret_cast<CUdeviceptr>(&on)),
            CUDA_ERROR_INVALID_VALUE);
}

TEST_F(SmallCallsTest, NullIsFreedAsByFree) {
  CUstream stream = nullptr;
  CUgraph captured = nullptr;
  size_t nodes = 9;
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(0, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(0, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(0, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamEndCapture(stream, &captured), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphGetNodes(captured, nullptr, &nodes), CUDA_SUCCESS);
  EXPECT_EQ(nodes, 0u) << "a graph has nothing of it";
  EXPECT_EQ(cuGraphDestroy(captured), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS) << "the worker was asked for nothing that it refuses";
}

TEST_F(SmallCallsTest, NoMemoryIsManaged) {
  CUdeviceptr memory = 0;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 64), CUDA_SUCCESS);
  const CUmemLocation host{CU_MEM_LOCATION_TYPE_HOST, 0};
  int value = 0;
  void* data[] = {&value};
  size_t sizes[] = {sizeof value};
  CUmem_range_attribute attributes[] = {CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY};
  EXPECT_EQ(cuMemAdvise(memory, 64, CU_MEM_ADVISE_SET_READ_MOSTLY, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemAdvise_v2(memory, 64, CU_MEM_ADVISE_SET_READ_MOSTLY, host), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPrefetchAsync(memory, 64, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPrefetchAsync_v2(memory, 64, host, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemRangeGetAttribute(&value, 4, attributes[0], memory, 64), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemRangeGetAttributes(data, sizes, attributes, 1, memory, 64), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::stack
