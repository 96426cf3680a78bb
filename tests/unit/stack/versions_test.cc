#include <cstring>
#include <utility>

#include "tests/unit/stack/stack.h"

// Contexts, devices, streams and events by the versions of calls that other tests do not use, through the whole stack.

namespace outboard::stack {
namespace {

class VersionsTest : public StackTest {
 protected:
  static CUcontext Current() {
    CUcontext current = nullptr;
    EXPECT_EQ(cuCtxGetCurrent(&current), CUDA_SUCCESS);
    return current;
  }
  static unsigned ApiVersion(CUcontext context) {
    unsigned version = 0;
    EXPECT_EQ(cuCtxGetApiVersion(context, &version), CUDA_SUCCESS);
    return version;
  }
};

TEST_F(VersionsTest, EachCreatesAContextThatIsCurrent) {
  CUcontext first = nullptr, third = nullptr, fourth = nullptr;
  CUctxCreateParams parameters{};
  ASSERT_EQ(cuCtxCreate(&first, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(Current(), first);
  EXPECT_EQ(ApiVersion(first), 3010u);
  ASSERT_EQ(cuCtxCreate_v3(&third, nullptr, 0, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(Current(), third);
  EXPECT_EQ(ApiVersion(third), 3020u);
  EXPECT_EQ(cuCtxDestroy(third), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxCreate_v4(&third, nullptr, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxCreate_v4(&fourth, &parameters, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(Current(), fourth);
  for (const CUcontext made : {fourth, third, first}) {
    EXPECT_EQ(Current(), made);
    EXPECT_EQ(cuCtxDestroy(made), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxDestroy(made), CUDA_ERROR_INVALID_CONTEXT);
  }
  EXPECT_EQ(Current(), context_);
}

TEST_F(VersionsTest, NoContextHasAnExecutionAffinity) {
  CUcontext made = nullptr;
  CUexecAffinityParam affinity{};
  CUctxCigParam graphics{};
  CUctxCreateParams of_affinity{}, of_graphics{};
  of_affinity.execAffinityParams = &affinity;
  of_affinity.numExecAffinityParams = 1;
  of_graphics.cigParams = &graphics;
  EXPECT_EQ(cuCtxCreate_v3(&made, &affinity, 1, 0, 0), CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY);
  EXPECT_EQ(cuCtxCreate_v4(&made, &of_affinity, 0, 0), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuCtxCreate_v4(&made, &of_graphics, 0, 0), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(made, nullptr);
  EXPECT_EQ(Current(), context_);
}

TEST_F(VersionsTest, ContextsThatAreNamedInsteadOfCurrent) {
  CUcontext other = nullptr;
  CUdevice device = -1;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetDevice_v2(&device, context_), CUDA_SUCCESS);
  EXPECT_EQ(device, 0);
  EXPECT_EQ(cuCtxGetDevice_v2(&device, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  const uint64_t before = RoundTrips();
  EXPECT_EQ(cuCtxSynchronize_v2(context_), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize_v2(nullptr), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips() - before, 2u);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxGetDevice_v2(&device, other), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxSynchronize_v2(other), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxGetDevice_v2(nullptr, context_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(VersionsTest, AStackOfContexts) {
  CUcontext popped = nullptr;
  ASSERT_EQ(cuCtxPopCurrent(&popped), CUDA_SUCCESS);
  EXPECT_EQ(popped, context_);
  EXPECT_EQ(Current(), nullptr);
  EXPECT_EQ(cuCtxPopCurrent(nullptr), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(cuCtxPushCurrent(nullptr), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuCtxPushCurrent(context_), CUDA_SUCCESS);
  EXPECT_EQ(Current(), context_);
}

TEST_F(VersionsTest, APrimaryContextEndsByReleaseAndByReset) {
  const auto is_active = [] {
    unsigned flags = 0;
    int active = -1;
    EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
    return active;
  };
  CUcontext primary = nullptr;
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary, 1), CUDA_SUCCESS);
  EXPECT_EQ(is_active(), 1);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(1), CUDA_SUCCESS);
  EXPECT_EQ(is_active(), 0);
  EXPECT_EQ(cuDevicePrimaryCtxRelease(1), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxReset(1), CUDA_SUCCESS);
  EXPECT_EQ(is_active(), 0);
  EXPECT_EQ(cuDevicePrimaryCtxReset(2), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(VersionsTest, ADeviceIsTheSameByEach) {
  CUuuid first, second;
  unsigned bytes = 0;
  ASSERT_EQ(cuDeviceGetUuid(&first, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuDeviceGetUuid_v2(&second, 1), CUDA_SUCCESS);
  EXPECT_EQ(std::memcmp(&first, &second, sizeof first), 0);
  EXPECT_EQ(cuDeviceGetUuid(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGetUuid(&first, 2), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDeviceTotalMem(&bytes, 0), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 32u << 20);
  EXPECT_EQ(cuDeviceTotalMem(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceTotalMem(&bytes, -1), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(VersionsTest, StreamsAndEventsEnd) {
  CUstream stream = nullptr;
  CUevent event = nullptr;
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  EXPECT_EQ(cuStreamDestroy(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy(event), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  EXPECT_EQ(cuStreamDestroy(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuEventDestroy(event), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(VersionsTest, AStreamTellsWhereItBelongsAndThatNothingIsCaptured) {
  CUstream stream = nullptr;
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  CUcontext owner = nullptr;
  CUgreenCtx green = reinterpret_cast<CUgreenCtx>(&owner);
  EXPECT_EQ(cuStreamGetCtx_v2(stream, &owner, &green), CUDA_SUCCESS);
  EXPECT_EQ(owner, context_);
  EXPECT_EQ(green, nullptr);
  EXPECT_EQ(cuStreamGetCtx_v2(stream, &owner, nullptr), CUDA_ERROR_INVALID_VALUE);

  constexpr auto kNone = CU_STREAM_CAPTURE_STATUS_NONE, kOther = CU_STREAM_CAPTURE_STATUS_ACTIVE;
  CUstreamCaptureStatus status = kOther;
  EXPECT_EQ(cuStreamGetCaptureInfo(stream, &status, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(std::exchange(status, kOther), kNone);
  EXPECT_EQ(cuStreamGetCaptureInfo_v2(stream, &status, nullptr, nullptr, nullptr, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(std::exchange(status, kOther), kNone);
  EXPECT_EQ(cuStreamGetCaptureInfo_v3(stream, &status, nullptr, nullptr, nullptr, nullptr, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(status, kNone);
  EXPECT_EQ(cuStreamGetCaptureInfo(stream, nullptr, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamGetCaptureInfo_v3(stream, &status, nullptr, nullptr, nullptr, nullptr, nullptr),
            CUDA_ERROR_INVALID_HANDLE);
}

}  // namespace
}  // namespace outboard::stack
