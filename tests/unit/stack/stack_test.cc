#include "tests/unit/stack/stack.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

namespace outboard::stack {
namespace {

constexpr unsigned kCount = 5000;

TEST_F(StackTest, DescribesTheDevicesOfTheSlice) {
  int count = 0, threads = 0, mapped = 1;
  size_t bytes = 0;
  char name[64] = {};
  ASSERT_EQ(cuDeviceGetCount(&count), CUDA_SUCCESS);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(cuDeviceGetName(name, sizeof name, 1), CUDA_SUCCESS);
  EXPECT_STRNE(name, "");
  EXPECT_EQ(cuDeviceTotalMem_v2(&bytes, 0), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 32u << 20);  // not the device's 64 MiB
  EXPECT_EQ(cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0), CUDA_SUCCESS);
  EXPECT_EQ(threads, 1024);
  EXPECT_EQ(cuDeviceGetAttribute(&mapped, CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY, 0), CUDA_SUCCESS);
  EXPECT_EQ(mapped, 0);
  EXPECT_EQ(cuDeviceGetName(name, sizeof name, 2), CUDA_ERROR_INVALID_DEVICE);
  CUuuid first, second;
  ASSERT_EQ(cuDeviceGetUuid_v2(&first, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuDeviceGetUuid_v2(&second, 1), CUDA_SUCCESS);
  EXPECT_NE(std::memcmp(&first, &second, sizeof first), 0);
}

TEST_F(StackTest, FindsDevicesByTheirBus) {
  for (CUdevice device = 0; device < 2; ++device) {
    char bus[32] = {};
    CUdevice found = -1;
    ASSERT_EQ(cuDeviceGetPCIBusId(bus, sizeof bus, device), CUDA_SUCCESS);
    EXPECT_EQ(cuDeviceGetByPCIBusId(&found, bus), CUDA_SUCCESS);
    EXPECT_EQ(found, device);
  }
  CUdevice found = -1;
  EXPECT_EQ(cuDeviceGetByPCIBusId(&found, "ffff:ff:1f.0"), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDeviceGetByPCIBusId(&found, "nonsense"), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(StackTest, AddsVectors) {
  std::vector<int> a(kCount), b(kCount), sum(kCount, -1), want(kCount);
  std::iota(a.begin(), a.end(), 1);
  std::iota(b.begin(), b.end(), -700);
  for (unsigned i = 0; i < kCount; ++i) want[i] = a[i] + b[i];
  CUdeviceptr device_a, device_b, device_sum;
  const size_t bytes = kCount * sizeof(int);
  ASSERT_EQ(cuMemAlloc_v2(&device_a, bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&device_b, bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&device_sum, bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoD_v2(device_a, a.data(), bytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoD_v2(device_b, b.data(), bytes), CUDA_SUCCESS);
  unsigned count = kCount;
  void* parameters[] = {&device_a, &device_b, &device_sum, &count};
  ASSERT_EQ(cuLaunchKernel(GetFunction("add"), (kCount + 127) / 128, 1, 1, 128, 1, 1, 0, nullptr, parameters, nullptr),
            CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(sum.data(), device_sum, bytes), CUDA_SUCCESS);
  EXPECT_EQ(sum, want);
  EXPECT_EQ(cuMemFree_v2(device_a), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(device_b), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(device_sum), CUDA_SUCCESS);
}

TEST_F(StackTest, AThousandLaunchesAndAWaitAreOneRoundTrip) {
  CUfunction add = GetFunction("add");
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
  unsigned count = 1;
  void* parameters[] = {&memory, &memory, &memory, &count};
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
  }
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips() - before, 1u);
}

TEST_F(StackTest, AWrongLaunchFailsAtOnceAndAlone) {
  CUfunction add = GetFunction("add");
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
  unsigned count = 1;
  void* parameters[] = {&memory, &memory, &memory, &count};
  EXPECT_EQ(cuLaunchKernel(add, 1, 1, 1, 2048, 1, 1, 0, nullptr, parameters, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
}

TEST_F(StackTest, MemoryEndsWithTheSlice) {
  CUdeviceptr half, more;
  size_t free = 0, total = 0;
  ASSERT_EQ(cuMemAlloc_v2(&half, 20u << 20), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAlloc_v2(&more, 20u << 20), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(total, 32u << 20);
  EXPECT_LE(free, 12u << 20);
  EXPECT_EQ(cuMemFree_v2(half), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&more, 20u << 20), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(more), CUDA_SUCCESS);
}

TEST_F(StackTest, KeepsAStackOfContexts) {
  CUcontext second = nullptr, popped = nullptr, current = nullptr;
  ASSERT_EQ(cuCtxCreate_v2(&second, CU_CTX_SCHED_YIELD, 1), CUDA_SUCCESS);
  CUdevice device = -1;
  unsigned flags = 0, version = 0;
  EXPECT_EQ(cuCtxGetDevice(&device), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(cuCtxGetFlags(&flags), CUDA_SUCCESS);
  EXPECT_EQ(flags & CU_CTX_SCHED_MASK, unsigned{CU_CTX_SCHED_YIELD});
  EXPECT_EQ(cuCtxGetApiVersion(second, &version), CUDA_SUCCESS);
  EXPECT_EQ(version, 3020u);
  unsigned long long first_id = 0, second_id = 0;
  EXPECT_EQ(cuCtxGetId(context_, &first_id), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetId(second, &second_id), CUDA_SUCCESS);
  EXPECT_NE(first_id, second_id);
  EXPECT_EQ(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
  EXPECT_EQ(popped, second);
  EXPECT_EQ(cuCtxGetCurrent(&current), CUDA_SUCCESS);
  EXPECT_EQ(current, context_);
  EXPECT_EQ(cuCtxPushCurrent_v2(second), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy_v2(second), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetCurrent(&current), CUDA_SUCCESS);
  EXPECT_EQ(current, context_);
  EXPECT_EQ(cuCtxPushCurrent_v2(second), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxDestroy_v2(second), CUDA_ERROR_INVALID_CONTEXT);
}

TEST_F(StackTest, AContextEndsUnderAnotherThread) {
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  std::thread([&] {
    ASSERT_EQ(cuCtxSetCurrent(other), CUDA_SUCCESS);
    std::thread([&] { EXPECT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS); }).join();
    CUdevice device;
    CUdeviceptr memory;
    EXPECT_EQ(cuCtxGetDevice(&device), CUDA_ERROR_CONTEXT_IS_DESTROYED);
    EXPECT_NE(cuMemAlloc_v2(&memory, 16), CUDA_SUCCESS);
  }).join();
}

TEST_F(StackTest, ThePrimaryContextIsOne) {
  CUcontext one = nullptr, two = nullptr;
  unsigned flags = 0;
  int active = -1;
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 0);
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&one, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 1);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&two, 1), CUDA_SUCCESS);
  EXPECT_EQ(one, two);
  ASSERT_EQ(cuCtxPushCurrent_v2(one), CUDA_SUCCESS);
  CUdeviceptr memory;
  CUstream stream;
  EXPECT_EQ(cuMemAlloc_v2(&memory, 16), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 0);
  EXPECT_EQ(cuMemAlloc_v2(&memory, 16), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&two, 1), CUDA_SUCCESS);
  EXPECT_EQ(one, two);
  EXPECT_EQ(cuMemAlloc_v2(&memory, 16), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream), CUDA_ERROR_INVALID_HANDLE);  // one of its former life
  EXPECT_EQ(cuDevicePrimaryCtxReset_v2(1), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAlloc_v2(&memory, 16), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRetain(&one, 2), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(StackTest, StreamsAndEvents) {
  CUstream stream, other;
  CUevent begin, end;
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreateWithPriority(&other, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&begin, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&end, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(begin, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other, begin, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(end, other), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  ASSERT_EQ(cuEventSynchronize(end), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips() - before, 1u);
  float milliseconds = -1;
  EXPECT_EQ(cuEventElapsedTime(&milliseconds, begin, end), CUDA_SUCCESS);
  EXPECT_GE(milliseconds, 0);
  EXPECT_EQ(cuStreamQuery(stream), CUDA_SUCCESS);
  unsigned flags = 0;
  EXPECT_EQ(cuStreamGetFlags(stream, &flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, unsigned{CU_STREAM_NON_BLOCKING});
  CUcontext owner = nullptr;
  EXPECT_EQ(cuStreamGetCtx(stream, &owner), CUDA_SUCCESS);
  EXPECT_EQ(owner, context_);
  CUstreamCaptureStatus status{};
  EXPECT_EQ(cuStreamIsCapturing(stream, &status), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_NONE);
  EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuStreamIsCapturing(stream, &status), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuEventDestroy_v2(begin), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(end), CUDA_SUCCESS);
  EXPECT_EQ(cuEventRecord(end, other), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuStreamDestroy_v2(other), CUDA_SUCCESS);
}

TEST_F(StackTest, AnEventIsRecordedInItsOwnContextAlone) {
  CUevent event;
  CUstream stream;
  ASSERT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
  CUcontext other = nullptr;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuEventRecord(event, stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuEventRecord(event, nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuStreamWaitEvent(stream, event, 0), CUDA_SUCCESS);  // waiting is not recording
  EXPECT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamWaitEvent(stream, event, 0), CUDA_SUCCESS);  // whichever context is current
  EXPECT_EQ(cuCtxSetCurrent(other), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream), CUDA_ERROR_INVALID_HANDLE);  // it went with its context
  EXPECT_EQ(cuEventRecord(event, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);
}

TEST_F(StackTest, HostFunctionsRunInStreamOrderAndMayNotCall) {
  struct Seen {
    std::atomic<int> order{0};
    CUresult in_host_function = CUDA_SUCCESS, in_callback = CUDA_SUCCESS, status = CUDA_ERROR_UNKNOWN;
    CUstream stream = CU_STREAM_PER_THREAD;
  } seen;
  ASSERT_EQ(cuLaunchHostFunc(
                nullptr,
                [](void* data) {
                  auto& seen = *static_cast<Seen*>(data);
                  CUcontext context;
                  if (seen.order == 0) seen.order = 1;
                  seen.in_host_function = cuCtxGetCurrent(&context);
                },
                &seen),
            CUDA_SUCCESS);
  ASSERT_EQ(cuStreamAddCallback(
                nullptr,
                [](CUstream stream, CUresult status, void* data) {
                  auto& seen = *static_cast<Seen*>(data);
                  if (seen.order == 1) seen.order = 2;
                  seen.in_callback = cuCtxSynchronize();
                  seen.stream = stream;
                  seen.status = status;
                },
                &seen, 0),
            CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(seen.order, 2);
  EXPECT_EQ(seen.in_host_function, CUDA_ERROR_NOT_PERMITTED);
  EXPECT_EQ(seen.in_callback, CUDA_ERROR_NOT_PERMITTED);
  EXPECT_EQ(seen.status, CUDA_SUCCESS);
  EXPECT_EQ(seen.stream, nullptr);
  EXPECT_EQ(cuLaunchHostFunc(nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(StackTest, ManyLaunchesQueueUpBehindAHostFunction) {
  CUfunction add = GetFunction("add");
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4096), CUDA_SUCCESS);
  unsigned count = 1;
  void* parameters[] = {&memory, &memory, &memory, &count};
  // The function waits for the thread that launches (semantics: what the worker waits for needs no credit).
  std::atomic<bool> launched{false};
  ASSERT_EQ(cuLaunchHostFunc(
                nullptr, [](void* flag) { static_cast<std::atomic<bool>*>(flag)->wait(false); }, &launched),
            CUDA_SUCCESS);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
  }
  launched = true;
  launched.notify_all();
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
}

TEST_F(StackTest, AForkedChildHasNoSession) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int count = 0;
    CUdeviceptr memory;
    const bool is_right = cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED &&
                          cuMemAlloc_v2(&memory, 16) == CUDA_ERROR_NOT_INITIALIZED &&
                          cuCtxSynchronize() == CUDA_ERROR_NOT_INITIALIZED && cuInit(0) == CUDA_ERROR_NOT_INITIALIZED;
    _exit(is_right ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
}

// What ends a process's use of CUDA is tried in processes of its own, which start anew.
class StackDeathTest : public StackTest {
 protected:
  StackDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(StackDeathTest, AKernelsErrorSticks) {
  EXPECT_EXIT(
      {
        bool is_right =
            cuLaunchKernel(GetFunction("wild"), 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr) == CUDA_SUCCESS;
        is_right = is_right && cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS;
        CUdeviceptr memory;
        CUevent event;
        is_right = is_right && cuMemAlloc_v2(&memory, 16) == CUDA_ERROR_ILLEGAL_ADDRESS;
        is_right = is_right && cuEventCreate(&event, 0) == CUDA_ERROR_ILLEGAL_ADDRESS;
        is_right = is_right && cuCtxDestroy_v2(context_) == CUDA_ERROR_ILLEGAL_ADDRESS;
        CUcontext current = context_;
        is_right = is_right && cuCtxGetCurrent(&current) == CUDA_SUCCESS && current == nullptr;
        exit(is_right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(StackDeathTest, ALostSessionStaysLost) {
  EXPECT_EXIT(
      {
        Stack::Get().loopback.Break();
        int count = 0;
        CUdeviceptr memory;
        bool is_right = cuCtxSynchronize() == CUDA_ERROR_DEVICE_UNAVAILABLE;
        is_right = is_right && cuMemAlloc_v2(&memory, 16) == CUDA_ERROR_DEVICE_UNAVAILABLE;
        is_right = is_right && cuDeviceGetCount(&count) == CUDA_ERROR_DEVICE_UNAVAILABLE;
        exit(is_right ? 0 : 1);
      },
      testing::ExitedWithCode(0), "outboard: error: ");
}

// Destroyed after the shim's exit handler has run, as it was made before cuInit.
struct CallsAtTheEnd {
  ~CallsAtTheEnd() {
    if (!wanted) return;
    CUcontext context;
    CUdeviceptr memory;
    const CUresult local = cuCtxGetCurrent(&context), remote = cuMemAlloc_v2(&memory, 16);
    std::fprintf(stderr, "a local call returned %d and a remote one %d\n", local, remote);
  }
  bool wanted = false;
} calls_at_the_end;

TEST_F(StackDeathTest, CallsAfterTheExitHandlerReturn) {
  EXPECT_EXIT(
      {
        calls_at_the_end.wanted = true;
        exit(0);
      },
      testing::ExitedWithCode(0), "a local call returned 4 and a remote one 4");
}

}  // namespace
}  // namespace outboard::stack
