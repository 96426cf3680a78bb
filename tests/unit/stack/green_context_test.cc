#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>

#include "tests/fakes/conditional_kernels.h"
#include "tests/unit/stack/stack.h"

// Green contexts through the whole stack: what goes without waiting, what the client holds of resources, and what ends
// when. Their semantics: tests/programs/green_contexts.cc.

namespace outboard::stack {
namespace {

class GreenContextTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary_, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPushCurrent_v2(primary_), CUDA_SUCCESS);
    ASSERT_EQ(cuDeviceGetDevResource(0, &whole_, CU_DEV_RESOURCE_TYPE_SM), CUDA_SUCCESS);
    unsigned count = 2;
    ASSERT_EQ(cuDevSmResourceSplitByCount(groups_.data(), &count, &whole_, nullptr, kFlags, 2), CUDA_SUCCESS);
    CUdevResourceDesc desc = nullptr;
    ASSERT_EQ(cuDevResourceGenerateDesc(&desc, groups_.data(), 1), CUDA_SUCCESS);
    ASSERT_EQ(cuGreenCtxCreate(&green_, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxFromGreenCtx(&converted_, green_), CUDA_SUCCESS);
    ASSERT_EQ(cuGreenCtxStreamCreate(&stream_, green_, CU_STREAM_NON_BLOCKING, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&memory_, kBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event_, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  }
  void TearDown() override {
    (void)cuGreenCtxDestroy(green_);
    EXPECT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
    EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
    StackTest::TearDown();
  }

  // Work of all kinds, of which none waits.
  void Work() {
    const uint64_t before = RoundTrips();
    CUstream stream = nullptr;
    ASSERT_EQ(cuMemsetD32Async(memory_, 1, 4, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoDAsync_v2(memory_ + 64, memory_, 64, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamWaitEvent(stream_, event_, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuGreenCtxRecordEvent(green_, event_), CUDA_SUCCESS);
    ASSERT_EQ(cuGreenCtxWaitEvent(green_, event_), CUDA_SUCCESS);
    ASSERT_EQ(cuGreenCtxStreamCreate(&stream, green_, CU_STREAM_NON_BLOCKING, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32Async(memory_ + 4096, 1, 4, stream), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
    EXPECT_EQ(RoundTrips(), before);
    EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);  // the other stream's work
  }

  static constexpr unsigned kFlags = CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING;
  static constexpr size_t kBytes = 1 << 20;
  CUcontext primary_ = nullptr, converted_ = nullptr;
  CUgreenCtx green_ = nullptr;
  CUdevResource whole_;
  std::array<CUdevResource, 2> groups_;
  CUstream stream_ = nullptr;
  CUdeviceptr memory_ = 0;
  CUevent event_ = nullptr;
};

TEST_F(GreenContextTest, WorkInItsStreamsIsSentWithoutWaiting) {
  Work();
  ASSERT_EQ(cuCtxPushCurrent_v2(converted_), CUDA_SUCCESS);
  Work();
  EXPECT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
}

// A kernel of the primary context, in a green one's stream.
TEST_F(GreenContextTest, LaunchesAreSentWithoutWaiting) {
  const CUfunction add = GetFunction("add");
  unsigned count = 4;
  void* parameters[] = {&memory_, &memory_, &memory_, &count};
  ASSERT_EQ(cuMemsetD32Async(memory_, 21, 4, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuLaunchKernel(add, 1, 1, 1, 4, 1, 1, 0, stream_, parameters, nullptr), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuLaunchKernel(add, 1, 1, 1, 4, 1, 1, 0, stream_, parameters, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  unsigned sum[4] = {};
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(sum, memory_, sizeof sum), CUDA_SUCCESS);
  EXPECT_EQ(sum[3], 84u);
}

TEST_F(GreenContextTest, WhatTheDriverHidesInResourcesStaysInTheWorker) {
  const auto is_zero = [](unsigned char byte) { return byte == 0; };
  EXPECT_TRUE(
      std::all_of(std::begin(groups_[1]._internal_padding) + 8, std::end(groups_[1]._internal_padding), is_zero));
  // The same resource is the same number; one that nobody gave out is none.
  CUdevResource again;
  ASSERT_EQ(cuCtxGetDevResource(primary_, &again, CU_DEV_RESOURCE_TYPE_SM), CUDA_SUCCESS);
  EXPECT_EQ(std::memcmp(&again, &whole_, sizeof again), 0);
  CUdevResourceDesc desc = nullptr;
  unsigned count = 0;
  std::memset(again._internal_padding, 0x7f, sizeof again._internal_padding);
  EXPECT_EQ(cuDevResourceGenerateDesc(&desc, &again, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDevSmResourceSplitByCount(nullptr, &count, &again, nullptr, kFlags, 2), CUDA_ERROR_INVALID_VALUE);
  std::memset(again._internal_padding, 0, sizeof again._internal_padding);
  EXPECT_EQ(cuDevResourceGenerateDesc(&desc, &again, 1), CUDA_ERROR_INVALID_VALUE);
}

// Memory, arrays and modules that were made while it was current, and what the worker made for them.
TEST_F(GreenContextTest, WhatIsMadeInItIsThePrimaryContexts) {
  size_t before = 0, after = 0, total = 0;
  ASSERT_EQ(cuMemGetInfo_v2(&before, &total), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPushCurrent_v2(converted_), CUDA_SUCCESS);
  CUdeviceptr memory = 0;
  CUarray array = nullptr;
  const CUDA_ARRAY_DESCRIPTOR description{64, 0, CU_AD_FORMAT_FLOAT, 1};
  ASSERT_EQ(cuMemAlloc_v2(&memory, kBytes), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayCreate_v2(&array, &description), CUDA_SUCCESS);
  const CUfunction add = GetFunction("add");
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuGreenCtxDestroy(green_), CUDA_SUCCESS);
  unsigned count = 4;
  void* parameters[] = {&memory, &memory, &memory, &count};
  ASSERT_EQ(cuLaunchKernel(add, 1, 1, 1, 4, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  EXPECT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  // The worker clears memory in streams of the primary context.
  ASSERT_EQ(cuMemAlloc_v2(&memory, kBytes), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuMemGetInfo_v2(&after, &total), CUDA_SUCCESS);
  EXPECT_EQ(after, before);
}

TEST_F(GreenContextTest, MemoryMadeInItIsRefundedWithThePrimaryContexts) {
  size_t before = 0, after = 0, total = 0;
  CUdeviceptr memory = 0;
  ASSERT_EQ(cuMemGetInfo_v2(&before, &total), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPushCurrent_v2(converted_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&memory, kBytes), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuGreenCtxDestroy(green_), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary_, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemGetInfo_v2(&after, &total), CUDA_SUCCESS);
  EXPECT_EQ(after, before + kBytes) << "memory_ is gone, too";
}

TEST_F(GreenContextTest, CopiesToTheHostHaveLandedAtItsEnd) {
  void* host = nullptr;
  ASSERT_EQ(cuMemHostAlloc(&host, kBytes, 0), CUDA_SUCCESS);
  std::memset(host, 0, kBytes);
  ASSERT_EQ(cuMemsetD8Async(memory_, 0x5a, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(host, memory_, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuGreenCtxDestroy(green_), CUDA_SUCCESS);
  EXPECT_EQ(static_cast<const unsigned char*>(host)[kBytes - 1], 0x5a);
  EXPECT_EQ(cuMemFreeHost(host), CUDA_SUCCESS);
}

TEST_F(GreenContextTest, EndsWithItsPrimaryContext) {
  ASSERT_EQ(cuDevicePrimaryCtxReset_v2(0), CUDA_SUCCESS);
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary_, 0), CUDA_SUCCESS);
  CUcontext again = nullptr;
  unsigned long long id = 0;
  EXPECT_EQ(cuCtxFromGreenCtx(&again, green_), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(cuGreenCtxGetId(green_, &id), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuGreenCtxDestroy(green_), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  EXPECT_EQ(cuGreenCtxDestroy(green_), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuMemAlloc_v2(&memory_, kBytes), CUDA_SUCCESS) << "the primary context is there again";
}

// Somebody releases it more often than it was retained.
TEST_F(GreenContextTest, EndsWithThePrimaryContextsLastUser) {
  ASSERT_EQ(cuMemsetD8Async(memory_, 1, kBytes, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
  EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS) << "for the green context";
  ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary_, 0), CUDA_SUCCESS);
  CUcontext again = nullptr;
  EXPECT_EQ(cuCtxFromGreenCtx(&again, green_), CUDA_ERROR_CONTEXT_IS_DESTROYED);
  CUdevResourceDesc desc = nullptr;
  CUgreenCtx other = nullptr;
  ASSERT_EQ(cuDevResourceGenerateDesc(&desc, groups_.data(), 1), CUDA_SUCCESS);
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(cuGreenCtxCreate(&other, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM), CUDA_SUCCESS);
    EXPECT_EQ(cuGreenCtxDestroy(other), CUDA_SUCCESS);
  }
  EXPECT_EQ(cuGreenCtxDestroy(green_), CUDA_ERROR_CONTEXT_IS_DESTROYED);
}

// Its condition is the primary context's, as kernels are.
TEST_F(GreenContextTest, ConditionalNodesNameIt) {
  CUmodule kernels = nullptr;
  CUfunction count_down = nullptr;
  ASSERT_EQ(cuModuleLoadData(&kernels, fakes::kConditionalKernels), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&count_down, kernels, "count_down"), CUDA_SUCCESS);
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
  CUgraphConditionalHandle handle = 0;
  CUgraphNode node = nullptr;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphConditionalHandleCreate(&handle, graph, converted_, 1, CU_GRAPH_COND_ASSIGN_DEFAULT), CUDA_SUCCESS);
  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
  params.conditional = {handle, CU_GRAPH_COND_TYPE_WHILE, 1, nullptr, converted_};
  ASSERT_EQ(cuGraphAddNode_v2(&node, graph, nullptr, nullptr, 0, &params), CUDA_SUCCESS);
  void* arguments[] = {&handle, &memory_};
  CUDA_KERNEL_NODE_PARAMS kernel{count_down, 1, 1, 1, 1, 1, 1, 0, arguments};
  ASSERT_EQ(cuGraphAddKernelNode_v2(&node, params.conditional.phGraph_out[0], nullptr, 0, &kernel), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  unsigned left = 3;
  ASSERT_EQ(cuMemcpyHtoD_v2(memory_, &left, sizeof left), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(&left, memory_, sizeof left), CUDA_SUCCESS);
  EXPECT_EQ(left, 0u);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GreenContextTest, ACaptureInItConcernsNoOther) {
  CUgreenCtx other = nullptr;
  CUdevResourceDesc desc = nullptr;
  CUgraph graph = nullptr;
  ASSERT_EQ(cuDevResourceGenerateDesc(&desc, &groups_[1], 1), CUDA_SUCCESS);
  ASSERT_EQ(cuGreenCtxCreate(&other, desc, 0, CU_GREEN_CTX_DEFAULT_STREAM), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(memory_, 9, 1, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGreenCtxRecordEvent(other, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuGreenCtxWaitEvent(other, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(cuGreenCtxRecordEvent(green_, event_), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(cuGreenCtxDestroy(other), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
