#include "tests/unit/softgpu_api/driver_under_test.h"

#include <array>
#include <cstring>

#include "common/interop/tables.h"
#include "server/softgpu/api/sm_resource.h"

// Green contexts, beside what tests/programs/green_contexts.cc and wrong_uses/ show.

namespace outboard::softgpu::api {
namespace {

SmSet FirstSms(size_t count) { return ~SmSet() >> (kMaxSms - count); }

TEST(SmResourceTest, GroupsAreOfTheSmallestSizeThatIsAllowed) {
  // As of 132 multiprocessors in eights: 10 are wanted, 16 are had.
  SmSet sms = FirstSms(132);
  auto groups = TakeGroups(&sms, {8, 8}, 10, 100);
  ASSERT_EQ(groups.size(), 8u);
  for (const SmSet& group : groups) EXPECT_EQ(group.count(), 16u);
  EXPECT_EQ(groups[1], FirstSms(16) << 16);
  EXPECT_EQ(sms, FirstSms(4) << 128);
  // No more than asked for; the rest stays together.
  sms = FirstSms(132);
  EXPECT_EQ(TakeGroups(&sms, {4, 2}, 0, 3).size(), 3u);
  EXPECT_EQ(sms.count(), 120u);
  sms = FirstSms(6);
  EXPECT_TRUE(TakeGroups(&sms, {8, 8}, 1, 3).empty());
  EXPECT_EQ(sms, FirstSms(6));
}

// running(p): p[1] becomes 1 if another block begins before the first has waited long enough to be sure that none does.
// It looks with a plain load, which the engine does not take for waiting: a block that waits gives way to others.
constexpr char kRunning[] = R"(
.version 7.0
.target sm_75
.address_size 64

.visible .entry running(.param .u64 p)
{
  .reg .pred %q;
  .reg .b32 %r<4>;
  .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [p];
  mov.u32 %r1, %ctaid.x;
  mov.u32 %r3, 1;
  setp.eq.u32 %q, %r1, 0;
  @%q bra FIRST;
  st.volatile.global.u32 [%rd1], %r3;
  ret;
FIRST:
  mov.u32 %r2, 0;
WAIT:
  ld.global.u32 %r1, [%rd1];
  setp.ne.u32 %q, %r1, 0;
  @%q bra SEEN;
  add.u32 %r2, %r2, 1;
  setp.lt.u32 %q, %r2, 1000000;
  @%q bra WAIT;
  ret;
SEEN:
  st.global.u32 [%rd1+4], %r3;
  ret;
}
)";

class GreenContextTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    CUdevResource whole;
    ASSERT_EQ(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM), CUDA_SUCCESS);
    unsigned count = 2;
    ASSERT_EQ(cuDevSmResourceSplitByCount(groups_.data(), &count, &whole, &rest_, kFlags, 2), CUDA_SUCCESS);
    green_ = Make(groups_[0]);
    other_ = Make(groups_[1]);
    ASSERT_EQ(cuCtxFromGreenCtx(&converted_, green_), CUDA_SUCCESS);
    stream_ = MakeStream(green_);
    ASSERT_EQ(cuMemAlloc_v2(&memory_, 64), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(memory_, 0, 64), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event_, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  }
  void TearDown() override {
    (void)cuGreenCtxDestroy(green_);
    (void)cuGreenCtxDestroy(other_);
    DriverTest::TearDown();
  }

  CUgreenCtx Make(CUdevResource resource) {
    CUdevResourceDesc desc = nullptr;
    CUgreenCtx green = nullptr;
    EXPECT_EQ(cuDevResourceGenerateDesc(&desc, &resource, 1), CUDA_SUCCESS);
    EXPECT_EQ(cuGreenCtxCreate(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM), CUDA_SUCCESS);
    return green;
  }
  CUstream MakeStream(CUgreenCtx green) {
    CUstream stream = nullptr;
    EXPECT_EQ(cuGreenCtxStreamCreate(&stream, green, CU_STREAM_NON_BLOCKING, 0), CUDA_SUCCESS);
    return stream;
  }
  // Until LetGo.
  void Hold(CUstream stream) {
    ASSERT_EQ(cuStreamWaitValue32_v2(stream, memory_, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  }
  void LetGo() {
    CUstream stream = nullptr;
    ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamWriteValue32_v2(stream, memory_, 1, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  }

  static constexpr unsigned kFlags = CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING;
  std::array<CUdevResource, 2> groups_;
  CUdevResource rest_;
  CUgreenCtx green_ = nullptr, other_ = nullptr;
  CUcontext converted_ = nullptr;
  CUstream stream_ = nullptr;
  CUdeviceptr memory_ = 0;
  CUevent event_ = nullptr;
};

TEST_F(GreenContextTest, ResourcesSayHowTheyCanBeSplit) {
  CUdevResource whole;
  ASSERT_EQ(cuDeviceGetDevResource(0, &whole, CU_DEV_RESOURCE_TYPE_SM), CUDA_SUCCESS);
  EXPECT_EQ(whole.sm.smCount, 4u);
  EXPECT_EQ(whole.sm.minSmPartitionSize, 8u) << "of compute capability 9.0 and above";
  EXPECT_EQ(whole.sm.smCoscheduledAlignment, 8u);
  unsigned count = 1;
  EXPECT_EQ(cuDevSmResourceSplitByCount(nullptr, &count, &whole, nullptr, 0, 1),
            CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION)
      << "there is not one group of 8";
  EXPECT_EQ(groups_[0].sm.smCount, 2u);
  EXPECT_EQ(groups_[0].sm.minSmPartitionSize, 2u);
  EXPECT_EQ(rest_.type, CU_DEV_RESOURCE_TYPE_INVALID) << "nothing is left";
  ASSERT_EQ(cuDevSmResourceSplitByCount(groups_.data(), &count, &whole, &rest_, kFlags, 1), CUDA_SUCCESS);
  EXPECT_EQ(rest_.sm.smCount, 2u);
  EXPECT_EQ(rest_.type, CU_DEV_RESOURCE_TYPE_SM);
}

TEST_F(GreenContextTest, ResourcesThatWereChangedAreRefused) {
  CUdevResourceDesc desc;
  CUdevResource changed = groups_[0];
  changed.sm.smCount = 3;
  EXPECT_EQ(cuDevResourceGenerateDesc(&desc, &changed, 1), CUDA_ERROR_INVALID_VALUE);
  changed = groups_[0];
  changed._internal_padding[24] ^= 4;  // the multiprocessors
  EXPECT_EQ(cuDevResourceGenerateDesc(&desc, &changed, 1), CUDA_ERROR_INVALID_VALUE);
  std::memset(&changed, 0, sizeof changed);
  changed.type = CU_DEV_RESOURCE_TYPE_SM;
  EXPECT_EQ(cuDevResourceGenerateDesc(&desc, &changed, 1), CUDA_ERROR_INVALID_VALUE);
}

// The engine has two threads for four multiprocessors.
TEST_F(GreenContextTest, AKernelHasItsPartOfTheThreads) {
  CUmodule module = nullptr;
  CUfunction running = nullptr;
  ASSERT_EQ(cuModuleLoadData(&module, kRunning), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&running, module, "running"), CUDA_SUCCESS);
  void* parameters[] = {&memory_};
  ASSERT_EQ(cuLaunchKernel(running, 32, 1, 1, 1, 1, 1, 0, stream_, parameters, nullptr), CUDA_SUCCESS);
  unsigned both[2];
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(both, memory_, sizeof both), CUDA_SUCCESS);
  EXPECT_EQ(both[0], 1u);
  EXPECT_EQ(both[1], 0u) << "two blocks of a green context with half the device ran at the same time";
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
}

TEST_F(GreenContextTest, CooperativeLaunchesFitIntoIt) {
  CUmodule module = nullptr;
  CUfunction store = nullptr;
  int per_sm = 0;
  ASSERT_EQ(cuModuleLoadData(&module, kTestPtx), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&store, module, "store"), CUDA_SUCCESS);
  ASSERT_EQ(cuOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, store, 1024, 0), CUDA_SUCCESS);
  const auto launch = [&](CUstream stream, unsigned blocks) {
    uint32_t value = 0;
    void* parameters[] = {&memory_, &value};
    return cuLaunchCooperativeKernel(store, blocks, 1, 1, 1024, 1, 1, 0, stream, parameters);
  };
  const auto most = static_cast<unsigned>(2 * per_sm);
  EXPECT_EQ(launch(stream_, most), CUDA_SUCCESS);
  EXPECT_EQ(launch(stream_, most + 1), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  EXPECT_EQ(launch(nullptr, most + 1), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
}

// Here by what the runtime has done when a context ends; in a program, by another thread.
TEST_F(GreenContextTest, ItReleasesOnlyWhatItHasRetained) {
  const auto begin_anew = [](CUcontext, void*, void*) {
    CUcontext primary;
    EXPECT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
    EXPECT_EQ(cuDevicePrimaryCtxRetain(&primary, 0), CUDA_SUCCESS);
  };
  int key;
  interop::Storage().Put(converted_, &key, nullptr, begin_anew);
  EXPECT_EQ(cuGreenCtxDestroy(green_), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  unsigned flags;
  int active = 0;
  EXPECT_EQ(cuDevicePrimaryCtxGetState(0, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 1) << "whoever retained it meanwhile still has it";
}

TEST_F(GreenContextTest, ItsDefaultStreamIsNotTheDevices) {
  CUstream blocking = nullptr;
  ASSERT_EQ(cuCtxPushCurrent_v2(converted_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&blocking, 0), CUDA_SUCCESS);
  Hold(blocking);
  // The green context's default stream waits for it, the primary context's does not.
  ASSERT_EQ(cuMemsetD32Async(memory_ + 16, 7, 1, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(nullptr), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(memory_ + 20, 8, 1, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(nullptr), CUDA_SUCCESS);
  LetGo();
  // To wait for the primary context is to wait for its green ones.
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(blocking), CUDA_SUCCESS);
  unsigned value = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, memory_ + 16, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 7u);
}

TEST_F(GreenContextTest, ToWaitForItIsNotToWaitForOthers) {
  const CUstream theirs = MakeStream(other_);
  Hold(theirs);
  EXPECT_EQ(cuCtxSynchronize_v2(converted_), CUDA_SUCCESS);
  ASSERT_EQ(cuGreenCtxRecordEvent(green_, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventSynchronize(event_), CUDA_SUCCESS);
  ASSERT_EQ(cuGreenCtxRecordEvent(other_, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(event_), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(cuGreenCtxWaitEvent(green_, event_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(memory_ + 16, 7, 1, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(cuMemsetD32_v2(memory_ + 20, 7, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(nullptr), CUDA_SUCCESS) << "the primary context's streams go on";
  LetGo();
  EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
}

TEST_F(GreenContextTest, ACaptureInItConcernsNoOther) {
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(cuGreenCtxRecordEvent(other_, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuGreenCtxWaitEvent(other_, event_), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  ASSERT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(cuGreenCtxRecordEvent(green_, event_), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

TEST_F(GreenContextTest, RetainsThePrimaryContext) {
  CUdevResource whole;
  unsigned flags = 0, count = 1;
  int active = -1;
  ASSERT_EQ(cuDeviceGetDevResource(1, &whole, CU_DEV_RESOURCE_TYPE_SM), CUDA_SUCCESS);
  CUdevResource group;
  ASSERT_EQ(cuDevSmResourceSplitByCount(&group, &count, &whole, nullptr, kFlags, 2), CUDA_SUCCESS);
  CUdevResourceDesc desc = nullptr;
  CUgreenCtx green = nullptr;
  ASSERT_EQ(cuDevResourceGenerateDesc(&desc, &group, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuGreenCtxCreate(&green, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM), CUDA_ERROR_INVALID_DEVICE);
  ASSERT_EQ(cuGreenCtxCreate(&green, desc, 1, CU_GREEN_CTX_DEFAULT_STREAM), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 1);
  ASSERT_EQ(cuGreenCtxDestroy(green), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxGetState(1, &flags, &active), CUDA_SUCCESS);
  EXPECT_EQ(active, 0);
}

TEST_F(GreenContextTest, EndsWithItsPrimaryContext) {
  ASSERT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&context_, 0), CUDA_SUCCESS);
  CUcontext again = nullptr;
  unsigned long long id = 0;
  EXPECT_EQ(cuCtxFromGreenCtx(&again, green_), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(cuGreenCtxGetId(green_, &id), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuGreenCtxDestroy(green_), CUDA_ERROR_CONTEXT_IS_DESTROYED) << "and the new one stays";
  EXPECT_EQ(cuGreenCtxDestroy(green_), CUDA_ERROR_INVALID_CONTEXT);
}

TEST_F(GreenContextTest, ItsEndWaitsForItsWork) {
  ASSERT_EQ(cuCtxPushCurrent_v2(converted_), CUDA_SUCCESS);
  for (unsigned i = 1; i <= 100; ++i) ASSERT_EQ(cuMemsetD32Async(memory_, i, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuGreenCtxDestroy(green_), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_CONTEXT_IS_DESTROYED) << "it is current";
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  unsigned value = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&value, memory_, 4), CUDA_SUCCESS);
  EXPECT_EQ(value, 100u);
}

}  // namespace
}  // namespace outboard::softgpu::api
