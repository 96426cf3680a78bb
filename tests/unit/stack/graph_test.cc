#include <atomic>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "client/shim/memory.h"
#include "client/shim/process.h"
#include "tests/unit/stack/stack.h"

// Captures and graphs through the whole stack: the client's model, and the driver's graphs that the worker builds of
// it.

namespace outboard::stack {
namespace {

using shim::Process;

class GraphTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    add_ = GetFunction("add");
    ASSERT_EQ(cuMemAlloc_v2(&device_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(device_, 0, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&other_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event_, CU_EVENT_DEFAULT), CUDA_SUCCESS);
    ASSERT_EQ(cuMemHostAlloc(&pinned_, 4096, 0), CUDA_SUCCESS);
    words_ = static_cast<uint32_t*>(pinned_);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  void TearDown() override {
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFreeHost(pinned_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(device_), CUDA_SUCCESS);
    StackTest::TearDown();
  }

  CUdeviceptr Word(unsigned index) const { return device_ + index * 4; }

  // Word to = word a + word b, in the stream.
  CUresult Add(unsigned to, unsigned a, unsigned b, CUstream stream) {
    CUdeviceptr addresses[] = {Word(a), Word(b), Word(to)};
    unsigned count = 1;
    void* parameters[] = {&addresses[0], &addresses[1], &addresses[2], &count};
    return cuLaunchKernel(add_, 1, 1, 1, 1, 1, 1, 0, stream, parameters, nullptr);
  }

  // A node that does the same.
  CUgraphNode AddNode(CUgraph graph, unsigned to, unsigned a, unsigned b, const std::vector<CUgraphNode>& after = {}) {
    CUgraphNode node = nullptr;
    WithParams(to, a, b, [&](const CUDA_KERNEL_NODE_PARAMS& params) {
      EXPECT_EQ(cuGraphAddKernelNode_v2(&node, graph, after.data(), after.size(), &params), CUDA_SUCCESS);
    });
    return node;
  }

  template <class Use>
  void WithParams(unsigned to, unsigned a, unsigned b, Use use) {
    CUdeviceptr addresses[] = {Word(a), Word(b), Word(to)};
    unsigned count = 1;
    void* arguments[] = {&addresses[0], &addresses[1], &addresses[2], &count};
    CUDA_KERNEL_NODE_PARAMS params{};
    params.func = add_;
    params.gridDimX = params.gridDimY = params.gridDimZ = 1;
    params.blockDimX = params.blockDimY = params.blockDimZ = 1;
    params.kernelParams = arguments;
    use(params);
  }

  CUgraphNode FillNode(CUgraph graph, unsigned word, uint32_t value, const std::vector<CUgraphNode>& after = {}) {
    const CUDA_MEMSET_NODE_PARAMS params{Word(word), 0, value, 4, 1, 1};
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddMemsetNode(&node, graph, after.data(), after.size(), &params, context_), CUDA_SUCCESS);
    return node;
  }

  std::vector<uint32_t> Words(size_t count) {
    std::vector<uint32_t> values(count);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), device_, count * 4), CUDA_SUCCESS);
    return values;
  }

  void Clear() {
    ASSERT_EQ(cuMemsetD8_v2(device_, 0, 64), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  static CUgraphExec Instantiate(CUgraph graph) {
    CUgraphExec exec = nullptr;
    EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
    return exec;
  }

  void Run(CUgraph graph) {
    CUgraphExec exec = Instantiate(graph);
    EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  }

  void Begin(CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED) {
    ASSERT_EQ(cuStreamBeginCapture_v2(stream_, mode), CUDA_SUCCESS);
  }

  CUgraph End() {
    CUgraph graph = nullptr;
    EXPECT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_SUCCESS);
    return graph;
  }

  CUstreamCaptureStatus Status() {
    CUstreamCaptureStatus status{};
    EXPECT_EQ(cuStreamIsCapturing(stream_, &status), CUDA_SUCCESS);
    return status;
  }

  // The capture in `stream_` was broken, and ends.
  void ExpectBroken() {
    EXPECT_EQ(Status(), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    CUgraph graph = nullptr;
    EXPECT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    EXPECT_EQ(Status(), CU_STREAM_CAPTURE_STATUS_NONE);
  }

  CUfunction add_ = nullptr;
  CUdeviceptr device_ = 0;
  CUstream stream_ = nullptr, other_ = nullptr;
  CUevent event_ = nullptr;
  void* pinned_ = nullptr;
  uint32_t* words_ = nullptr;
};

TEST_F(GraphTest, CapturedWorkRunsWhenTheGraphIsLaunched) {
  Begin();
  ASSERT_EQ(cuMemsetD32Async(Word(0), 5, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(Add(1, 0, 0, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoDAsync_v2(Word(2), Word(1), 4, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(stream_, Word(3), 9, 0), CUDA_SUCCESS);
  CUgraph graph = End();
  EXPECT_EQ(Words(4), (std::vector<uint32_t>{0, 0, 0, 0}));
  size_t count = 0;
  ASSERT_EQ(cuGraphGetNodes(graph, nullptr, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 4u);
  CUgraphExec exec = Instantiate(graph);
  for (int i = 0; i < 2; ++i) {
    Clear();
    ASSERT_EQ(cuGraphLaunch(exec, other_), CUDA_SUCCESS);
    EXPECT_EQ(Words(4), (std::vector<uint32_t>{5, 10, 10, 9}));
  }
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

// A graph is what makes many kernels cheap to launch: neither its size nor how it was made costs a launch anything.
class GraphOf500Kernels : public GraphTest {
 protected:
  static constexpr uint32_t kKernels = 500;

  void SetUp() override {
    GraphTest::SetUp();
    ASSERT_EQ(cuMemsetD32_v2(Word(1), 1, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  // Each kernel adds 1 to the first word.
  void ExpectOneMessagePerLaunch(CUgraph graph) {
    const uint64_t made = RoundTrips();
    CUgraphExec exec = Instantiate(graph);
    EXPECT_EQ(RoundTrips() - made, 1u);
    for (uint32_t i = 1; i <= 3; ++i) {
      const uint64_t commands = Commands(), round_trips = RoundTrips();
      ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
      EXPECT_EQ(Commands() - commands, 1u);
      EXPECT_EQ(RoundTrips() - round_trips, 0u);
      EXPECT_EQ(Words(1), (std::vector<uint32_t>{i * kKernels}));
    }
    EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  }
};

TEST_F(GraphOf500Kernels, MadeNodeByNodeIsLaunchedByOneMessage) {
  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  const uint64_t at_first = RoundTrips();
  std::vector<CUgraphNode> last;
  for (uint32_t i = 0; i < kKernels; ++i) last = {AddNode(graph, 0, 0, 1, last)};
  EXPECT_EQ(RoundTrips(), at_first);
  ExpectOneMessagePerLaunch(graph);
}

TEST_F(GraphOf500Kernels, CapturedIsLaunchedByOneMessage) {
  const uint64_t at_first = RoundTrips();
  Begin();
  for (uint32_t i = 0; i < kKernels; ++i) ASSERT_EQ(Add(0, 0, 1, stream_), CUDA_SUCCESS);
  CUgraph graph = End();
  EXPECT_LE(RoundTrips() - at_first, 1u);  // the stream's flags, the first time
  ExpectOneMessagePerLaunch(graph);
}

struct Sum {
  const uint32_t* words;
  uint32_t* to;
  std::atomic<int> calls{0};
};

void CUDA_CB AddWords(void* data) {
  auto& sum = *static_cast<Sum*>(data);
  *sum.to = sum.words[0] + sum.words[1];
  ++sum.calls;
}

// A copy lands before the function that reads it, and what the function writes is what the next copy reads.
TEST_F(GraphTest, HostMemoryAndHostFunctionsAreInOrder) {
  uint32_t pageable[2] = {}, result = 0, last = 0;
  Sum sum{pageable, &result};
  Begin();
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(Word(0), words_, 8, stream_), CUDA_SUCCESS);
  ASSERT_EQ(Add(1, 0, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(pageable, Word(0), 8, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuLaunchHostFunc(stream_, &AddWords, &sum), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(Word(2), &result, 4, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&last, Word(2), 4, stream_), CUDA_SUCCESS);
  CUgraph graph = End();
  CUgraphExec exec = Instantiate(graph);
  for (uint32_t i = 1; i <= 5; ++i) {
    words_[0] = 10 * i;
    words_[1] = i;
    ASSERT_EQ(cuGraphLaunch(exec, other_), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
    EXPECT_EQ(pageable[1], 11 * i);
    EXPECT_EQ(last, 21 * i);
    EXPECT_EQ(sum.calls, static_cast<int>(i));
  }
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

// Each launch has its own words on the way, and they are taken in order.
TEST_F(GraphTest, LaunchesThatAreQueuedBehindEachOther) {
  Sum sum{words_, &words_[2]};
  words_[0] = words_[1] = 1;
  CUgraph graph;
  CUgraphNode host, copy;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  const CUDA_HOST_NODE_PARAMS call{&AddWords, &sum};
  ASSERT_EQ(cuGraphAddHostNode(&host, graph, nullptr, 0, &call), CUDA_SUCCESS);
  CUDA_MEMCPY3D params{};
  params.srcMemoryType = CU_MEMORYTYPE_HOST;
  params.srcHost = &words_[2];
  params.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  params.dstDevice = Word(0);
  params.WidthInBytes = 4;
  params.Height = params.Depth = 1;
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, graph, &host, 1, &params, context_), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);  // ends when its launches have
  EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(sum.calls, 20);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{2}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphTest, WhatNothingCanWriteAnyMoreGoesWithTheLaunch) {
  Process& process = Process::Get();
  if (process.memory().streams_may_wait()) GTEST_SKIP() << "another test of this process has let a stream wait";
  Begin();
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(Word(0), words_, 8, stream_), CUDA_SUCCESS);
  CUgraph graph = End();
  CUgraphExec exec = Instantiate(graph);
  for (uint32_t i = 1; i <= 3; ++i) {
    words_[0] = i;
    words_[1] = 2 * i;
    ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    EXPECT_FALSE(process.memory().pulls().Any());
    words_[0] = words_[1] = 99;
    EXPECT_EQ(Words(2), (std::vector<uint32_t>{i, 2 * i}));
  }
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphTest, LargeCopiesTravelInPieces) {
  constexpr size_t kBytes = (5u << 20) + 12;
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, kBytes), CUDA_SUCCESS);
  std::vector<uint8_t> from(kBytes), to(kBytes);
  for (size_t i = 0; i < kBytes; ++i) from[i] = static_cast<uint8_t>(i * 7 + i / 251);
  Begin();
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(memory, from.data(), kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(to.data(), memory, kBytes, stream_), CUDA_SUCCESS);
  CUgraph graph = End();
  Run(graph);
  EXPECT_TRUE(from == to);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

TEST_F(GraphTest, PitchedCopiesLeaveTheGaps) {
  CUDA_MEMCPY3D params{};
  params.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  params.srcDevice = device_;
  params.srcPitch = 16;
  params.dstMemoryType = CU_MEMORYTYPE_HOST;
  params.dstHost = words_;
  params.dstPitch = 12;
  params.WidthInBytes = 4;
  params.Height = 3;
  params.Depth = 1;
  for (unsigned i = 0; i < 3; ++i) ASSERT_EQ(cuMemsetD32_v2(Word(4 * i), i + 1, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  for (unsigned i = 0; i < 9; ++i) words_[i] = 77;
  CUgraph graph;
  CUgraphNode node;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddMemcpyNode(&node, graph, nullptr, 0, &params, context_), CUDA_SUCCESS);
  Run(graph);
  EXPECT_EQ(std::vector<uint32_t>(words_, words_ + 9), (std::vector<uint32_t>{1, 77, 77, 2, 77, 77, 3, 77, 77}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphTest, NodesKeepWhatTheyWereGiven) {
  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  CUgraphNode node = AddNode(graph, 2, 0, 1);
  CUDA_KERNEL_NODE_PARAMS seen;
  ASSERT_EQ(cuGraphKernelNodeGetParams_v2(node, &seen), CUDA_SUCCESS);
  EXPECT_EQ(seen.func, add_);
  EXPECT_EQ(seen.blockDimX, 1u);
  CUdeviceptr to;
  std::memcpy(&to, seen.kernelParams[2], sizeof to);
  EXPECT_EQ(to, Word(2));
  CUgraphNode fill = FillNode(graph, 3, 8, {node});
  CUDA_MEMSET_NODE_PARAMS filled;
  ASSERT_EQ(cuGraphMemsetNodeGetParams(fill, &filled), CUDA_SUCCESS);
  EXPECT_EQ(filled.dst, Word(3));
  EXPECT_EQ(filled.value, 8u);
  EXPECT_EQ(cuGraphMemsetNodeGetParams(node, &filled), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphMemsetNodeGetParams(fill, &filled), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphTest, ExecutableGraphsAreChangedNodeByNodeAndAsAWhole) {
  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  CUgraphNode fill = FillNode(graph, 0, 3);
  CUgraphNode kernel = AddNode(graph, 1, 0, 0, {fill});
  CUgraphExec exec = Instantiate(graph);
  const CUDA_MEMSET_NODE_PARAMS other{Word(0), 0, 4, 4, 1, 1};
  ASSERT_EQ(cuGraphExecMemsetNodeSetParams(exec, fill, &other, context_), CUDA_SUCCESS);
  WithParams(2, 0, 0, [&](const CUDA_KERNEL_NODE_PARAMS& params) {
    ASSERT_EQ(cuGraphExecKernelNodeSetParams_v2(exec, kernel, &params), CUDA_SUCCESS);
  });
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{4, 0, 8}));

  Clear();
  CUgraphExecUpdateResultInfo info;
  ASSERT_EQ(cuGraphExecUpdate_v2(exec, graph, &info), CUDA_SUCCESS);  // back to what the graph is
  EXPECT_EQ(info.result, CU_GRAPH_EXEC_UPDATE_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{3, 6, 0}));

  Clear();
  ASSERT_EQ(cuGraphNodeSetEnabled(exec, kernel, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{3, 0, 0}));

  FillNode(graph, 4, 1);
  EXPECT_EQ(cuGraphExecUpdate_v2(exec, graph, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  EXPECT_EQ(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphTest, HostCopiesAndFunctionsOfAnExecutableGraphAreChanged) {
  uint32_t first = 1, second = 2;
  Sum one{words_, &words_[2]}, two{words_, &words_[3]};
  words_[0] = words_[1] = 5;
  CUgraph graph;
  CUgraphNode copy, host;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  CUDA_MEMCPY3D params{};
  params.srcMemoryType = CU_MEMORYTYPE_HOST;
  params.srcHost = &first;
  params.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  params.dstDevice = Word(0);
  params.WidthInBytes = 4;
  params.Height = params.Depth = 1;
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, graph, nullptr, 0, &params, context_), CUDA_SUCCESS);
  CUDA_HOST_NODE_PARAMS call{&AddWords, &one};
  ASSERT_EQ(cuGraphAddHostNode(&host, graph, &copy, 1, &call), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph);
  params.srcHost = &second;
  params.dstDevice = Word(1);
  ASSERT_EQ(cuGraphExecMemcpyNodeSetParams(exec, copy, &params, context_), CUDA_SUCCESS);
  call.userData = &two;
  ASSERT_EQ(cuGraphExecHostNodeSetParams(exec, host, &call), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(one.calls, 0);
  EXPECT_EQ(two.calls, 1);
  ASSERT_EQ(cuGraphNodeSetEnabled(exec, copy, 0), CUDA_SUCCESS);
  second = 9;
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(two.calls, 2);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphTest, GraphsInGraphsAndEvents) {
  CUgraph inner, graph;
  CUgraphNode child, record, wait, empty;
  ASSERT_EQ(cuGraphCreate(&inner, 0), CUDA_SUCCESS);
  AddNode(inner, 1, 0, 0, {FillNode(inner, 0, 2)});
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddChildGraphNode(&child, graph, nullptr, 0, inner), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEmptyNode(&empty, graph, &child, 1), CUDA_SUCCESS);
  AddNode(graph, 2, 1, 1, {empty});
  ASSERT_EQ(cuGraphAddEventRecordNode(&record, graph, &empty, 1, event_), CUDA_SUCCESS);
  CUevent never;
  ASSERT_EQ(cuEventCreate(&never, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEventWaitNode(&wait, graph, nullptr, 0, never), CUDA_SUCCESS);
  Run(graph);
  EXPECT_EQ(cuEventQuery(event_), CUDA_SUCCESS);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{2, 4, 8}));
  EXPECT_EQ(cuGraphDestroy(inner), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(never), CUDA_SUCCESS);
}

TEST_F(GraphTest, EventsForkAndJoinACapture) {
  CUevent done;
  ASSERT_EQ(cuEventCreate(&done, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  Begin();
  ASSERT_EQ(cuMemsetD32Async(Word(0), 1, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  ASSERT_EQ(Add(1, 0, 0, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(done, other_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(done), CUDA_ERROR_CAPTURED_EVENT);
  ExpectBroken();

  Begin();
  ASSERT_EQ(cuMemsetD32Async(Word(0), 1, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event_, 0), CUDA_SUCCESS);
  ASSERT_EQ(Add(1, 0, 0, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(done, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(stream_, done, 0), CUDA_SUCCESS);
  ASSERT_EQ(Add(2, 1, 1, stream_), CUDA_SUCCESS);
  CUgraph graph = End();
  Run(graph);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{1, 2, 4}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  // An event that was captured means something again when it is recorded.
  EXPECT_EQ(cuEventSynchronize(done), CUDA_ERROR_CAPTURED_EVENT);
  ASSERT_EQ(cuEventRecord(done, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventSynchronize(done), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(done), CUDA_SUCCESS);
}

TEST_F(GraphTest, WhatACaptureProhibitsBreaksIt) {
  CUdeviceptr memory;
  void* host;
  const auto expect = [&](const char* what, CUresult result, CUresult wanted) {
    EXPECT_EQ(result, wanted) << what;
    ExpectBroken();
  };
  constexpr auto kUnsupported = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  Begin();
  expect("synchronise", cuStreamSynchronize(stream_), kUnsupported);
  Begin();
  expect("query", cuStreamQuery(stream_), kUnsupported);
  Begin();
  expect("synchronise the context", cuCtxSynchronize(), kUnsupported);
  Begin();
  ASSERT_EQ(cuEventRecord(event_, other_), CUDA_SUCCESS);
  expect("wait for uncaptured work", cuStreamWaitEvent(stream_, event_, 0), CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
  Begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
  expect("allocate", cuMemAlloc_v2(&memory, 16), kUnsupported);
  Begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
  expect("allocate host memory", cuMemHostAlloc(&host, 16, 0), kUnsupported);
  Begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
  expect("query an event", cuEventQuery(event_), kUnsupported);

  // Not what the thread's own mode allows, nor what another thread does beside a capture of its own.
  Begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  ASSERT_EQ(cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
  EXPECT_EQ(mode, CU_STREAM_CAPTURE_MODE_GLOBAL);
  EXPECT_EQ(cuMemAlloc_v2(&memory, 16), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuThreadExchangeStreamCaptureMode(&mode), CUDA_SUCCESS);
  EXPECT_EQ(Status(), CU_STREAM_CAPTURE_STATUS_ACTIVE);
  EXPECT_EQ(cuGraphDestroy(End()), CUDA_SUCCESS);
}

TEST_F(GraphTest, CapturedLaunchesOfGraphsBecomeChildren) {
  Begin();
  ASSERT_EQ(cuMemsetD32Async(Word(0), 3, 1, stream_), CUDA_SUCCESS);
  CUgraph inner = End();
  CUgraphExec exec = Instantiate(inner);
  Begin();
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  ASSERT_EQ(Add(1, 0, 0, stream_), CUDA_SUCCESS);
  CUgraph graph = End();
  Run(graph);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{3, 6}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(inner), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphTest, HostMemoryIsGivenBackWhenNoLaunchReadsIt) {
  std::atomic<bool> may_go{false};
  void* memory;
  ASSERT_EQ(cuMemHostAlloc(&memory, 4096, 0), CUDA_SUCCESS);
  std::memset(memory, 1, 4096);
  Begin();
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(device_, memory, 4096, stream_), CUDA_SUCCESS);
  CUgraph graph = End();
  CUgraphExec exec = Instantiate(graph);
  ASSERT_EQ(cuLaunchHostFunc(
                stream_,
                [](void* data) {
                  while (!static_cast<std::atomic<bool>*>(data)->load()) std::this_thread::yield();
                },
                &may_go),
            CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  std::thread([&] { may_go = true; }).join();
  EXPECT_EQ(cuMemFreeHost(memory), CUDA_SUCCESS);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{0x01010101}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphTest, UserObjectsEndOnTheThreadOfHostFunctions) {
  static std::atomic<int> ended;
  ended = 0;
  CUuserObject object;
  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuUserObjectCreate(
                &object, nullptr, [](void*) { ++ended; }, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC),
            CUDA_SUCCESS);
  ASSERT_EQ(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE), CUDA_SUCCESS);
  EXPECT_EQ(ended, 0);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  // What is queued behind it runs after it.
  ASSERT_EQ(cuLaunchHostFunc(
                stream_, [](void*) {}, nullptr),
            CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(ended, 1);
}

TEST_F(GraphTest, WhatIsMissingIsRefused) {
  CUgraph graph;
  CUgraphNode node;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT;
  EXPECT_EQ(cuGraphAddNode(&node, graph, nullptr, 0, &params), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
