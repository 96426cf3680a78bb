#include <sched.h>

#include <vector>

#include "tests/unit/softgpu_api/driver_under_test.h"

// Calls about contexts, devices, streams and pointers that need little each.

namespace outboard::softgpu::api {
namespace {

class SmallCallsTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuMemAlloc_v2(&memory_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(memory_, 0, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&other_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event_, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }
  void TearDown() override {
    Release();
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuEventDestroy_v2(event_), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamDestroy_v2(other_), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamDestroy_v2(stream_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(memory_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  // Holds a stream until Release.
  void Hold(CUstream stream) { ASSERT_EQ(cuStreamWaitValue32_v2(stream, memory_, 1, 0), CUDA_SUCCESS); }
  void Release() {
    CUstream releasing;
    EXPECT_EQ(cuStreamCreate(&releasing, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamWriteValue32_v2(releasing, memory_, 1, 0), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamDestroy_v2(releasing), CUDA_SUCCESS);
  }

  template <class Query>
  bool StaysBusy(Query query) {
    for (int i = 0; i < 2000; ++i) {
      if (query() != CUDA_ERROR_NOT_READY) return false;
      sched_yield();
    }
    return true;
  }

  CUdeviceptr memory_ = 0;
  CUstream stream_ = nullptr, other_ = nullptr;
  CUevent event_ = nullptr;
};

TEST_F(SmallCallsTest, AnEventOfAContextIsBehindAllItsStreams) {
  Hold(other_);
  ASSERT_EQ(cuCtxRecordEvent(context_, event_), CUDA_SUCCESS);
  EXPECT_TRUE(StaysBusy([&] { return cuEventQuery(event_); }));
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_SUCCESS) << "no stream waits for the others";
  Release();
  EXPECT_EQ(cuEventSynchronize(event_), CUDA_SUCCESS);
}

TEST_F(SmallCallsTest, AContextWaitsForAnEventInAllItsStreams) {
  CUcontext waiting;
  CUstream stream;
  Hold(other_);
  ASSERT_EQ(cuEventRecord(event_, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxCreate_v2(&waiting, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxWaitEvent(waiting, event_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);  // a later one too
  CUdeviceptr theirs;
  ASSERT_EQ(cuMemAlloc_v2(&theirs, 4), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(theirs, 1, 1, stream), CUDA_SUCCESS);
  EXPECT_TRUE(StaysBusy([&] { return cuStreamQuery(stream); }));
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  Release();
  ASSERT_EQ(cuCtxPushCurrent_v2(waiting), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy_v2(waiting), CUDA_SUCCESS);
}

TEST_F(SmallCallsTest, ContextsKeepTheirFlags) {
  unsigned flags = 0;
  CUsharedconfig config{};
  ASSERT_EQ(cuCtxSetFlags(CU_CTX_SCHED_YIELD), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetFlags(&flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, unsigned{CU_CTX_SCHED_YIELD});
  EXPECT_EQ(cuCtxSetFlags(3), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuCtxSetFlags(0), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSetSharedMemConfig(CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetSharedMemConfig(&config), CUDA_SUCCESS);
  EXPECT_EQ(config, CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE) << "a wish without effect";
}

TEST_F(SmallCallsTest, AContextIsNoneOfGraphics) {
  size_t enabled = 7;
  EXPECT_EQ(cuCtxGetLimit(&enabled, CU_LIMIT_CIG_ENABLED), CUDA_SUCCESS);
  EXPECT_EQ(enabled, 0u);
  EXPECT_EQ(cuCtxSetLimit(CU_LIMIT_CIG_ENABLED, 1), CUDA_ERROR_UNSUPPORTED_LIMIT);
}

TEST_F(SmallCallsTest, ADeviceInItsOldWords) {
  CUdevprop properties{};
  int major = 0, minor = -1, threads = 0;
  ASSERT_EQ(cuDeviceGetProperties(&properties, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuDeviceGetAttribute(&threads, CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK, 0), CUDA_SUCCESS);
  EXPECT_EQ(properties.maxThreadsPerBlock, threads);
  EXPECT_EQ(properties.SIMDWidth, 32);
  EXPECT_EQ(properties.maxThreadsDim[2], 64);
  ASSERT_EQ(cuDeviceComputeCapability(&major, &minor, 0), CUDA_SUCCESS);
  EXPECT_EQ(major, 13);
  EXPECT_EQ(minor, 0);
}

TEST_F(SmallCallsTest, StreamsKeepTheirAttributes) {
  CUstreamAttrValue value{}, got{};
  ASSERT_EQ(cuStreamGetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &got), CUDA_SUCCESS);
  EXPECT_EQ(got.syncPolicy, CU_SYNC_POLICY_AUTO);
  value.syncPolicy = CU_SYNC_POLICY_YIELD;
  ASSERT_EQ(cuStreamSetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCopyAttributes(other_, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamGetAttribute(other_, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &got), CUDA_SUCCESS);
  EXPECT_EQ(got.syncPolicy, CU_SYNC_POLICY_YIELD);
  value.syncPolicy = static_cast<CUsynchronizationPolicy>(9);
  EXPECT_EQ(cuStreamSetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY, &value),
            CUDA_ERROR_INVALID_VALUE);
  value.accessPolicyWindow = {};
  value.accessPolicyWindow.hitRatio = 2;
  EXPECT_EQ(cuStreamSetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value), CUDA_ERROR_INVALID_VALUE);
  value.accessPolicyWindow.hitRatio = 0.5f;
  value.accessPolicyWindow.num_bytes = 77;
  ASSERT_EQ(cuStreamSetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW, &value), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamGetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW, &got), CUDA_SUCCESS);
  EXPECT_EQ(got.accessPolicyWindow.num_bytes, 77u);
  EXPECT_EQ(cuStreamSetAttribute(stream_, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value), CUDA_ERROR_INVALID_VALUE)
      << "one of launches";
}

// With the attribute, calls without Async in their name wait. (Without it they may.)
TEST_F(SmallCallsTest, SyncMemopsMakesSynchronousCallsWait) {
  CUdeviceptr target;
  ASSERT_EQ(cuMemAlloc_v2(&target, 64), CUDA_SUCCESS);
  unsigned on = 1, got = 7;
  const auto holds_up = [&](CUresult (*call)(CUdeviceptr, CUdeviceptr)) {
    EXPECT_EQ(cuMemsetD32_v2(memory_, 0, 1), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    CUstream blocking, releasing;
    EXPECT_EQ(cuStreamCreate(&blocking, CU_STREAM_DEFAULT), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamCreate(&releasing, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    Hold(blocking);
    // Lets it go on when the call has had the time to return.
    const auto wait = [](void*) {
      for (int i = 0; i < 2000; ++i) sched_yield();
    };
    EXPECT_EQ(cuLaunchHostFunc(releasing, wait, nullptr), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamWriteValue32_v2(releasing, memory_, 1, 0), CUDA_SUCCESS);
    EXPECT_EQ(call(target, memory_ + 128), CUDA_SUCCESS);
    const bool waited = cuStreamQuery(CU_STREAM_LEGACY) == CUDA_SUCCESS;
    EXPECT_EQ(cuStreamDestroy_v2(blocking), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamDestroy_v2(releasing), CUDA_SUCCESS);
    return waited;
  };
  ASSERT_EQ(cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, target + 8), CUDA_SUCCESS);
  ASSERT_EQ(cuPointerGetAttribute(&got, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, target), CUDA_SUCCESS);
  EXPECT_EQ(got, 1u);
  EXPECT_TRUE(holds_up([](CUdeviceptr to, CUdeviceptr) { return cuMemsetD8_v2(to, 1, 4); }));
  EXPECT_TRUE(holds_up([](CUdeviceptr to, CUdeviceptr from) { return cuMemcpyDtoD_v2(to, from, 4); }));
  EXPECT_TRUE(holds_up([](CUdeviceptr to, CUdeviceptr from) { return cuMemcpy(from, to, 4); }));
  EXPECT_EQ(cuMemFree_v2(target), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
