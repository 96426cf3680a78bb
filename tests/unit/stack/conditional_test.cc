#include <string>
#include <vector>

#include "tests/fakes/conditional_kernels.h"
#include "tests/unit/stack/stack.h"

// Conditional nodes through the whole stack: the handles are those of the worker's driver, and its graph is the one
// that they were made in.

namespace outboard::stack {
namespace {

class ConditionalTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuModuleLoadData(&kernels_, fakes::kConditionalKernels), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleGetFunction(&from_, kernels_, "from"), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleGetFunction(&count_down_, kernels_, "count_down"), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleGetFunction(&increment_, kernels_, "increment"), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&device_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(device_, 0, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphCreate(&graph_, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  void TearDown() override {
    EXPECT_EQ(cuGraphDestroy(graph_), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(device_), CUDA_SUCCESS);
    StackTest::TearDown();
  }

  CUdeviceptr Word(unsigned index) const { return device_ + index * 4; }

  CUgraphConditionalHandle Handle(CUgraph graph, unsigned value = 0, unsigned flags = 0) {
    CUgraphConditionalHandle handle = 0;
    EXPECT_EQ(cuGraphConditionalHandleCreate(&handle, graph, context_, value, flags), CUDA_SUCCESS);
    return handle;
  }

  std::vector<CUgraph> Add(CUgraph graph, CUgraphConditionalHandle handle, CUgraphConditionalNodeType type,
                           unsigned size = 1, const std::vector<CUgraphNode>& after = {}) {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    params.conditional = {handle, type, size, nullptr, context_};
    EXPECT_EQ(cuGraphAddNode_v2(&node_, graph, after.data(), nullptr, after.size(), &params), CUDA_SUCCESS);
    return {params.conditional.phGraph_out, params.conditional.phGraph_out + size};
  }

  CUgraphNode AddKernel(CUgraph graph, CUfunction kernel, void** arguments, const std::vector<CUgraphNode>& after) {
    CUDA_KERNEL_NODE_PARAMS params{};
    params.func = kernel;
    params.gridDimX = params.gridDimY = params.gridDimZ = 1;
    params.blockDimX = params.blockDimY = params.blockDimZ = 1;
    params.kernelParams = arguments;
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddKernelNode_v2(&node, graph, after.data(), after.size(), &params), CUDA_SUCCESS);
    return node;
  }
  CUgraphNode AddSetter(CUgraph graph, CUfunction kernel, CUgraphConditionalHandle handle, unsigned word,
                        const std::vector<CUgraphNode>& after = {}) {
    CUdeviceptr address = Word(word);
    void* arguments[] = {&handle, &address};
    return AddKernel(graph, kernel, arguments, after);
  }
  CUgraphNode AddIncrement(CUgraph graph, unsigned word, const std::vector<CUgraphNode>& after = {}) {
    CUdeviceptr address = Word(word);
    void* arguments[] = {&address};
    return AddKernel(graph, increment_, arguments, after);
  }

  // WHILE [ increment the word, count word 0 down ].
  CUgraph AddLoop(CUgraph graph, unsigned word) {
    const auto handle = Handle(graph, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
    const CUgraph body = Add(graph, handle, CU_GRAPH_COND_TYPE_WHILE)[0];
    counted_ = AddIncrement(body, word);
    AddSetter(body, count_down_, handle, 0, {counted_});
    return body;
  }

  static CUgraphExec Instantiate(CUgraph graph) {
    CUgraphExec exec = nullptr;
    EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
    return exec;
  }

  std::vector<uint32_t> Launched(CUgraphExec exec, uint32_t first, size_t count) {
    EXPECT_EQ(cuMemsetD32_v2(Word(0), first, 1), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    std::vector<uint32_t> values(count);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), device_, count * 4), CUDA_SUCCESS);
    return values;
  }

  CUmodule kernels_ = nullptr;
  CUfunction from_ = nullptr, count_down_ = nullptr, increment_ = nullptr;
  CUdeviceptr device_ = 0;
  CUstream stream_ = nullptr;
  CUgraph graph_ = nullptr;
  CUgraphNode node_ = nullptr, counted_ = nullptr;
};

TEST_F(ConditionalTest, ALoopIsLaunchedByOneMessage) {
  const uint64_t at_first = RoundTrips();
  AddLoop(graph_, 1);
  EXPECT_EQ(RoundTrips() - at_first, 1u) << "for the handle";
  CUgraphExec exec = Instantiate(graph_);
  ASSERT_EQ(cuMemsetD32_v2(Word(0), 100, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  const uint64_t commands = Commands(), round_trips = RoundTrips();
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Commands() - commands, 1u);
  EXPECT_EQ(RoundTrips() - round_trips, 0u);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 7, 2), (std::vector<uint32_t>{0, 107}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, EachTypeChoosesAtAnyDepth) {
  const auto outer = Handle(graph_), loop = Handle(graph_);
  const auto setter = AddSetter(graph_, from_, outer, 0);
  const auto cases = Add(graph_, outer, CU_GRAPH_COND_TYPE_SWITCH, 3, {setter});
  const auto inner = Handle(cases[1]);
  const auto inner_setter = AddSetter(cases[1], from_, inner, 4);
  const auto branches = Add(cases[1], inner, CU_GRAPH_COND_TYPE_IF, 2, {inner_setter});
  AddIncrement(branches[0], 1);
  AddIncrement(branches[1], 2);
  const auto before = AddSetter(cases[2], from_, loop, 0);
  const CUgraph body = Add(cases[2], loop, CU_GRAPH_COND_TYPE_WHILE, 1, {before})[0];
  AddSetter(body, count_down_, loop, 0, {AddIncrement(body, 3)});
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 0, 4), (std::vector<uint32_t>{0, 0, 0, 0}));
  EXPECT_EQ(Launched(exec, 1, 4), (std::vector<uint32_t>{1, 0, 1, 0}));
  ASSERT_EQ(cuMemsetD32_v2(Word(4), 1, 1), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 1, 4), (std::vector<uint32_t>{1, 1, 1, 0}));
  EXPECT_EQ(Launched(exec, 2, 4), (std::vector<uint32_t>{0, 1, 1, 2}));
  EXPECT_EQ(Launched(exec, 3, 4), (std::vector<uint32_t>{3, 1, 1, 2}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, AGraphIsMadeExecutableAgain) {
  AddLoop(graph_, 1);
  CUgraphExec exec = Instantiate(graph_), second = nullptr;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&second, graph_, 0), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(Launched(exec, 2, 2), (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 3, 2), (std::vector<uint32_t>{0, 5}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  // And with more in it.
  AddIncrement(graph_, 2, {node_});
  exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 1, 3), (std::vector<uint32_t>{0, 6, 1}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

void CUDA_CB CountCall(void* calls) { ++*static_cast<int*>(calls); }

TEST_F(ConditionalTest, WhatTouchesTheClientLiesOutside) {
  const CUgraph body = AddLoop(graph_, 1);
  int calls = 0;
  const CUDA_HOST_NODE_PARAMS host{&CountCall, &calls};
  CUgraphNode call;
  ASSERT_EQ(cuGraphAddHostNode(&call, graph_, &node_, 1, &host), CUDA_SUCCESS);
  uint32_t result = 0;
  CUDA_MEMCPY3D read{};
  read.dstMemoryType = CU_MEMORYTYPE_HOST;
  read.dstHost = &result;
  read.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  read.srcDevice = Word(1);
  read.WidthInBytes = 4;
  read.Height = read.Depth = 1;
  CUgraphNode copy;
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, graph_, &call, 1, &read, context_), CUDA_SUCCESS);
  for (int round = 1; round <= 3; ++round) {  // an executable graph each
    CUgraphExec exec = Instantiate(graph_);
    EXPECT_EQ(cuMemsetD32Async(Word(0), 5, 1, stream_), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);  // while it runs
    if (round < 3) continue;
    EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
    EXPECT_EQ(calls, 3);
    EXPECT_EQ(result, 15u);
  }
  testing::internal::CaptureStderr();
  CUgraphNode inside;
  void* pinned;
  ASSERT_EQ(cuMemHostAlloc(&pinned, 64, 0), CUDA_SUCCESS);
  read.dstHost = pinned;
  ASSERT_EQ(cuGraphAddMemcpyNode(&inside, body, nullptr, 0, &read, context_), CUDA_SUCCESS);
  CUgraphExec exec;
  CUDA_GRAPH_INSTANTIATE_PARAMS params{};
  EXPECT_EQ(cuGraphInstantiateWithParams(&exec, graph_, &params), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(params.hErrNode_out, inside);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("conditional node"), std::string::npos);
  EXPECT_EQ(cuMemFreeHost(pinned), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, AGraphThatStillRunsIsMadeExecutableAgain) {
  AddLoop(graph_, 1);
  int calls = 0;
  const CUDA_HOST_NODE_PARAMS host{&CountCall, &calls};
  CUgraphNode call;
  ASSERT_EQ(cuGraphAddHostNode(&call, graph_, &node_, 1, &host), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32_v2(stream_, Word(8), 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  for (int round = 0; round < 2; ++round) {
    CUgraphExec exec = Instantiate(graph_);
    ASSERT_EQ(cuMemsetD32Async(Word(0), 3, 1, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  }
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  ASSERT_EQ(cuCtxPushCurrent_v2(context_), CUDA_SUCCESS);
  EXPECT_EQ(calls, 0);
  CUstream other = nullptr;
  ASSERT_EQ(cuStreamCreate(&other, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(other, Word(8), 1, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(Launched(exec, 3, 2), (std::vector<uint32_t>{0, 9}));
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(cuStreamDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, NodesOfABodyChange) {
  AddLoop(graph_, 1);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 2, 3), (std::vector<uint32_t>{0, 2, 0}));
  CUdeviceptr elsewhere = Word(2);
  void* arguments[] = {&elsewhere};
  CUDA_KERNEL_NODE_PARAMS params{};
  ASSERT_EQ(cuGraphKernelNodeGetParams_v2(counted_, &params), CUDA_SUCCESS);
  params.kernelParams = arguments;
  ASSERT_EQ(cuGraphKernelNodeSetParams_v2(counted_, &params), CUDA_SUCCESS);
  CUgraphExecUpdateResultInfo info{};
  EXPECT_EQ(cuGraphExecUpdate_v2(exec, graph_, &info), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 2, 3), (std::vector<uint32_t>{0, 2, 2}));
  ASSERT_EQ(cuGraphNodeSetEnabled(exec, counted_, 0), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 2, 3), (std::vector<uint32_t>{0, 2, 2}));
  // A graph with a condition of its own: of another graph of the worker's driver.
  CUgraph other;
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  AddLoop(other, 1);
  EXPECT_EQ(cuGraphExecUpdate_v2(exec, other, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  EXPECT_EQ(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, AnExecutableGraphOutlivesItsGraph) {
  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  AddLoop(graph, 1);
  CUgraphExec exec = Instantiate(graph);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 4, 2), (std::vector<uint32_t>{0, 4}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
