#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/unit/stack/stack.h"

// The calls that build, ask about and change graphs, through the whole stack: what an executable graph then does shows
// that the worker's is the same.

namespace outboard::stack {
namespace {

class GraphCallsTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    add_ = GetFunction("add");
    ASSERT_EQ(cuMemAlloc_v2(&device_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&other_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event_, CU_EVENT_DEFAULT), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphCreate(&graph_, 0), CUDA_SUCCESS);
    Clear();
  }

  void TearDown() override {
    EXPECT_EQ(cuGraphDestroy(graph_), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(device_), CUDA_SUCCESS);
    StackTest::TearDown();
  }

  CUdeviceptr Word(unsigned index) const { return device_ + index * 4; }

  void Clear() {
    ASSERT_EQ(cuMemsetD8_v2(device_, 0, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  std::vector<uint32_t> Words(size_t count) {
    std::vector<uint32_t> values(count);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), device_, count * 4), CUDA_SUCCESS);
    return values;
  }

  // What the words are after one launch.
  std::vector<uint32_t> WordsAfter(CUgraphExec exec, size_t count) {
    Clear();
    EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    return Words(count);
  }

  CUgraphExec Instantiate(CUgraph graph) {
    CUgraphExec exec = nullptr;
    EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
    return exec;
  }

  static CUDA_MEMSET_NODE_PARAMS Fill(CUdeviceptr address, uint32_t value) { return {address, 0, value, 4, 1, 1}; }

  // Word = value.
  CUgraphNode FillNode(CUgraph graph, unsigned word, uint32_t value, const std::vector<CUgraphNode>& after = {}) {
    const CUDA_MEMSET_NODE_PARAMS params = Fill(Word(word), value);
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddMemsetNode(&node, graph, after.data(), after.size(), &params, context_), CUDA_SUCCESS);
    return node;
  }

  // A kernel: word to = word a + word b.
  struct Sum {
    CUdeviceptr a, b, to;
    unsigned count = 1;
    void* arguments[4] = {&a, &b, &to, &count};

    Sum(CUdeviceptr a, CUdeviceptr b, CUdeviceptr to) : a(a), b(b), to(to) {}
    Sum(const Sum&) = delete;
    Sum& operator=(const Sum&) = delete;
    template <class Params>
    Params As(CUfunction function) {
      Params params{};
      params.func = function;
      params.gridDimX = params.gridDimY = params.gridDimZ = 1;
      params.blockDimX = params.blockDimY = params.blockDimZ = 1;
      params.kernelParams = arguments;
      return params;
    }
  };
  Sum SumOf(unsigned to, unsigned a, unsigned b) const { return {Word(a), Word(b), Word(to)}; }

  CUgraphNode SumNode(CUgraph graph, unsigned to, unsigned a, unsigned b, const std::vector<CUgraphNode>& after = {}) {
    Sum sum = SumOf(to, a, b);
    const auto params = sum.As<CUDA_KERNEL_NODE_PARAMS>(add_);
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddKernelNode_v2(&node, graph, after.data(), after.size(), &params), CUDA_SUCCESS);
    return node;
  }

  // A copy of one row of host memory to a word.
  CUDA_MEMCPY3D ToDevice(const void* from, unsigned word, size_t bytes) const {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = from;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = Word(word);
    copy.WidthInBytes = bytes;
    copy.Height = copy.Depth = 1;
    return copy;
  }

  // Of word number 0 and the following ones.
  CUDA_MEMCPY3D ToHost(void* to, size_t width, size_t height, size_t device_pitch, size_t host_pitch) const {
    CUDA_MEMCPY3D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = Word(0);
    copy.srcPitch = device_pitch;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = to;
    copy.dstPitch = host_pitch;
    copy.WidthInBytes = width;
    copy.Height = height;
    copy.Depth = 1;
    return copy;
  }

  static CUstreamBatchMemOpParams Write(CUdeviceptr address, uint32_t value) {
    CUstreamBatchMemOpParams write{};
    write.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    write.writeValue.address = address;
    write.writeValue.value = value;
    return write;
  }

  CUfunction add_ = nullptr;
  CUdeviceptr device_ = 0;
  CUstream stream_ = nullptr, other_ = nullptr;
  CUevent event_ = nullptr;
  CUgraph graph_ = nullptr;
};

TEST_F(GraphCallsTest, EdgesAreAskedForAddedAndRemoved) {
  CUgraphNode first = FillNode(graph_, 0, 1), second = SumNode(graph_, 1, 0, 0), third = SumNode(graph_, 2, 1, 1);
  const CUgraphNode from[] = {first, second}, to[] = {second, third};
  ASSERT_EQ(cuGraphAddDependencies(graph_, from, to, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddDependencies_v2(graph_, from + 1, to + 1, nullptr, 1), CUDA_SUCCESS);
  CUgraphNode sources[3], targets[3];
  CUgraphEdgeData data[3];
  size_t count = 3;
  ASSERT_EQ(cuGraphGetEdges(graph_, sources, targets, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(sources[0], first);
  EXPECT_EQ(targets[1], third);
  ASSERT_EQ(cuGraphGetEdges_v2(graph_, sources, targets, data, &count), CUDA_SUCCESS);
  count = 3;
  CUgraphNode nodes[3];
  ASSERT_EQ(cuGraphGetRootNodes(graph_, nodes, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(nodes[0], first);
  count = 3;
  ASSERT_EQ(cuGraphNodeGetDependencies(third, nodes, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(nodes[0], second);
  ASSERT_EQ(cuGraphNodeGetDependencies_v2(second, nodes, data, &count), CUDA_SUCCESS);
  EXPECT_EQ(nodes[0], first);
  ASSERT_EQ(cuGraphNodeGetDependentNodes(first, nodes, &count), CUDA_SUCCESS);
  EXPECT_EQ(nodes[0], second);
  ASSERT_EQ(cuGraphNodeGetDependentNodes_v2(second, nodes, data, &count), CUDA_SUCCESS);
  EXPECT_EQ(nodes[0], third);
  CUgraphNodeType type;
  ASSERT_EQ(cuGraphNodeGetType(third, &type), CUDA_SUCCESS);
  EXPECT_EQ(type, CU_GRAPH_NODE_TYPE_KERNEL);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 3), (std::vector<uint32_t>{1, 2, 4}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);

  ASSERT_EQ(cuGraphRemoveDependencies(graph_, from, to, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphRemoveDependencies_v2(graph_, from + 1, to + 1, nullptr, 1), CUDA_SUCCESS);
  count = 0;
  ASSERT_EQ(cuGraphGetEdges(graph_, nullptr, nullptr, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 0u);
  ASSERT_EQ(cuGraphDestroyNode(third), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphGetNodes(graph_, nullptr, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 2u);
}

TEST_F(GraphCallsTest, InstantiationTellsOfACycleAndUploads) {
  CUgraphNode first = FillNode(graph_, 0, 1), second = SumNode(graph_, 1, 0, 0, {first});
  ASSERT_EQ(cuGraphAddDependencies(graph_, &second, &first, 1), CUDA_SUCCESS);
  CUgraphExec exec = nullptr;
  CUgraphNode offender = nullptr;
  char text[64];
  EXPECT_EQ(cuGraphInstantiate(&exec, graph_, &offender, text, sizeof text), CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(offender, nullptr);
  EXPECT_STREQ(text, "The graph has a cycle.");
  CUDA_GRAPH_INSTANTIATE_PARAMS params{};
  params.flags = CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD;
  params.hUploadStream = stream_;
  EXPECT_EQ(cuGraphInstantiateWithParams(&exec, graph_, &params), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(params.result_out, CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
  ASSERT_EQ(cuGraphRemoveDependencies(graph_, &second, &first, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiateWithParams(&exec, graph_, &params), CUDA_SUCCESS);
  EXPECT_EQ(params.result_out, CUDA_GRAPH_INSTANTIATE_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiate_v2(&exec, graph_, nullptr, nullptr, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphUpload(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{1, 2}));
  cuuint64_t flags = 99;
  ASSERT_EQ(cuGraphExecGetFlags(exec, &flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, 0u);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphCallsTest, ParametersOfNodesAreChangedBeforeTheyRun) {
  uint32_t one = 1, two = 2;
  CUgraphNode copy, fill = FillNode(graph_, 1, 5), kernel = SumNode(graph_, 9, 0, 0, {fill});
  CUDA_MEMCPY3D given = ToDevice(&one, 0, 4), copied{};
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, graph_, &fill, 1, &given, context_), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddDependencies(graph_, &copy, &kernel, 1), CUDA_SUCCESS);
  given = ToDevice(&two, 0, 4);
  ASSERT_EQ(cuGraphMemcpyNodeSetParams(copy, &given), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphMemcpyNodeGetParams(copy, &copied), CUDA_SUCCESS);
  EXPECT_EQ(copied.srcHost, &two);
  const CUDA_MEMSET_NODE_PARAMS filled = Fill(Word(1), 7);
  ASSERT_EQ(cuGraphMemsetNodeSetParams(fill, &filled), CUDA_SUCCESS);
  Sum sum = SumOf(2, 0, 1);
  const auto second = sum.As<CUDA_KERNEL_NODE_PARAMS>(add_);
  ASSERT_EQ(cuGraphKernelNodeSetParams_v2(kernel, &second), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 4), (std::vector<uint32_t>{2, 7, 9, 0}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);

  // The first version of a kernel's parameters.
  Sum other = SumOf(3, 1, 1);
  auto first = other.As<CUDA_KERNEL_NODE_PARAMS_v1>(add_);
  ASSERT_EQ(cuGraphKernelNodeSetParams(kernel, &first), CUDA_SUCCESS);
  CUDA_KERNEL_NODE_PARAMS_v1 seen{};
  ASSERT_EQ(cuGraphKernelNodeGetParams(kernel, &seen), CUDA_SUCCESS);
  EXPECT_EQ(seen.func, add_);
  EXPECT_EQ(std::memcmp(seen.kernelParams[2], &other.to, sizeof other.to), 0);
  CUgraphNode added;
  Sum last = SumOf(4, 3, 3);
  first = last.As<CUDA_KERNEL_NODE_PARAMS_v1>(add_);
  ASSERT_EQ(cuGraphAddKernelNode(&added, graph_, &kernel, 1, &first), CUDA_SUCCESS);
  exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 5), (std::vector<uint32_t>{2, 7, 0, 14, 28}));
  Sum again = SumOf(2, 3, 3);
  first = again.As<CUDA_KERNEL_NODE_PARAMS_v1>(add_);
  ASSERT_EQ(cuGraphExecKernelNodeSetParams(exec, added, &first), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 5), (std::vector<uint32_t>{2, 7, 28, 14, 0}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, NodesOfAnyTypeAreAddedAndChangedByOneCall) {
  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_MEMSET;
  params.memset = {Word(0), 0, 3, 4, 1, 1, context_};
  CUgraphNode fill, empty, sum = SumNode(graph_, 1, 0, 0);
  ASSERT_EQ(cuGraphAddNode(&fill, graph_, nullptr, 0, &params), CUDA_SUCCESS);
  params.memset.value = 4;
  ASSERT_EQ(cuGraphNodeSetParams(fill, &params), CUDA_SUCCESS);
  CUgraphNodeParams nothing{};
  nothing.type = CU_GRAPH_NODE_TYPE_EMPTY;
  ASSERT_EQ(cuGraphAddNode_v2(&empty, graph_, &fill, nullptr, 1, &nothing), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddDependencies(graph_, &empty, &sum, 1), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{4, 8}));
  params.memset.value = 5;
  ASSERT_EQ(cuGraphExecNodeSetParams(exec, fill, &params), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{5, 10}));

  unsigned is_enabled = 99;
  ASSERT_EQ(cuGraphNodeGetEnabled(exec, sum, &is_enabled), CUDA_SUCCESS);
  EXPECT_EQ(is_enabled, 1u);
  ASSERT_EQ(cuGraphNodeSetEnabled(exec, sum, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphNodeGetEnabled(exec, sum, &is_enabled), CUDA_SUCCESS);
  EXPECT_EQ(is_enabled, 0u);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{5, 0}));
  EXPECT_EQ(cuGraphNodeSetEnabled(exec, empty, 0), CUDA_ERROR_INVALID_VALUE);

  // A node that is disabled is so too where a capture has taken the graph in.
  ASSERT_EQ(cuStreamBeginCapture(stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  CUgraph captured;
  ASSERT_EQ(cuStreamEndCapture(stream_, &captured), CUDA_SUCCESS);
  CUgraphExec with_child = Instantiate(captured);
  EXPECT_EQ(WordsAfter(with_child, 2), (std::vector<uint32_t>{5, 0}));
  EXPECT_EQ(cuGraphExecDestroy(with_child), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(captured), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, OperationsOnMemory) {
  CUstreamBatchMemOpParams operations[] = {Write(Word(0), 6), Write(Word(1), 7)};
  CUDA_BATCH_MEM_OP_NODE_PARAMS params{context_, 2, operations, 0}, seen{};
  CUgraphNode node;
  ASSERT_EQ(cuGraphAddBatchMemOpNode(&node, graph_, nullptr, 0, &params), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphBatchMemOpNodeGetParams(node, &seen), CUDA_SUCCESS);
  EXPECT_EQ(seen.ctx, context_);
  ASSERT_EQ(seen.count, 2u);
  EXPECT_EQ(seen.paramArray[1].writeValue.value, 7u);
  operations[1].writeValue.value = 8;
  ASSERT_EQ(cuGraphBatchMemOpNodeSetParams(node, &params), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{6, 8}));
  operations[0].writeValue.value = 9;
  ASSERT_EQ(cuGraphExecBatchMemOpNodeSetParams(exec, node, &params), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{9, 8}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, EventsOfNodes) {
  CUevent other, seen = nullptr;
  ASSERT_EQ(cuEventCreate(&other, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  CUgraphNode record, wait;
  ASSERT_EQ(cuGraphAddEventRecordNode(&record, graph_, nullptr, 0, other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventRecordNodeSetEvent(record, event_), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventRecordNodeGetEvent(record, &seen), CUDA_SUCCESS);
  EXPECT_EQ(seen, event_);
  ASSERT_EQ(cuGraphAddEventWaitNode(&wait, graph_, &record, 1, other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventWaitNodeSetEvent(wait, event_), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventWaitNodeGetEvent(wait, &seen), CUDA_SUCCESS);
  EXPECT_EQ(seen, event_);
  CUgraphExec exec = Instantiate(graph_);
  ASSERT_EQ(cuGraphExecEventRecordNodeSetEvent(exec, record, other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphExecEventWaitNodeSetEvent(exec, wait, other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventSynchronize(other), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(other), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, ClonesAndGraphsInGraphs) {
  CUgraph inner, other, clone, embedded;
  ASSERT_EQ(cuGraphCreate(&inner, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  CUgraphNode child, found, fill = FillNode(inner, 0, 2);
  FillNode(other, 0, 3);
  ASSERT_EQ(cuGraphAddChildGraphNode(&child, graph_, nullptr, 0, inner), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphChildGraphNodeGetGraph(child, &embedded), CUDA_SUCCESS);
  EXPECT_NE(embedded, inner);
  ASSERT_EQ(cuGraphClone(&clone, inner), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphNodeFindInClone(&found, fill, clone), CUDA_SUCCESS);
  EXPECT_NE(found, fill);
  CUgraphExec exec = Instantiate(graph_), of_clone = Instantiate(clone);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{2}));
  EXPECT_EQ(WordsAfter(of_clone, 1), (std::vector<uint32_t>{2}));
  ASSERT_EQ(cuGraphExecChildGraphNodeSetParams(exec, child, other), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{3}));
  CUgraphNode offender;
  CUgraphExecUpdateResult result;
  ASSERT_EQ(cuGraphExecUpdate(exec, graph_, &offender, &result), CUDA_SUCCESS);
  EXPECT_EQ(result, CU_GRAPH_EXEC_UPDATE_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{2}));
  for (CUgraphExec each : {exec, of_clone}) EXPECT_EQ(cuGraphExecDestroy(each), CUDA_SUCCESS);
  for (CUgraph each : {inner, other, clone}) EXPECT_EQ(cuGraphDestroy(each), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, HostFunctionsOfNodes) {
  std::atomic<int> first{0}, second{0};
  const auto count = [](void* data) { ++*static_cast<std::atomic<int>*>(data); };
  CUDA_HOST_NODE_PARAMS params{count, &first}, seen{};
  CUgraphNode node;
  ASSERT_EQ(cuGraphAddHostNode(&node, graph_, nullptr, 0, &params), CUDA_SUCCESS);
  params.userData = &second;
  ASSERT_EQ(cuGraphHostNodeSetParams(node, &params), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphHostNodeGetParams(node, &seen), CUDA_SUCCESS);
  EXPECT_EQ(seen.userData, &second);
  CUgraphExec exec = Instantiate(graph_);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, CapturesGoOnInAGraphAndWhereTheyAreTold) {
  CUgraphNode first = FillNode(graph_, 0, 1);
  ASSERT_EQ(cuStreamBeginCaptureToGraph(stream_, graph_, &first, nullptr, 1, CU_STREAM_CAPTURE_MODE_RELAXED),
            CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(Word(1), 2, 1, stream_), CUDA_SUCCESS);
  CUstreamCaptureStatus status;
  cuuint64_t id = 0;
  CUgraph graph;
  const CUgraphNode* tips;
  const CUgraphEdgeData* data;
  size_t count = 0;
  ASSERT_EQ(cuStreamGetCaptureInfo(stream_, &status, &id), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
  ASSERT_EQ(cuStreamGetCaptureInfo_v2(stream_, &status, &id, &graph, &tips, &count), CUDA_SUCCESS);
  EXPECT_EQ(graph, graph_);
  ASSERT_EQ(count, 1u);
  CUgraphNode second = tips[0];
  ASSERT_EQ(cuStreamUpdateCaptureDependencies(stream_, &first, 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(Word(2), 3, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamUpdateCaptureDependencies_v2(stream_, &second, nullptr, 1, CU_STREAM_ADD_CAPTURE_DEPENDENCIES),
            CUDA_SUCCESS);
  ASSERT_EQ(cuStreamGetCaptureInfo_v3(stream_, &status, &id, &graph, &tips, &data, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 2u);
  ASSERT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_SUCCESS);
  EXPECT_EQ(graph, graph_);
  size_t before = 1;
  ASSERT_EQ(cuGraphNodeGetDependencies(second, &first, &before), CUDA_SUCCESS);
  EXPECT_EQ(before, 1u);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 3), (std::vector<uint32_t>{1, 2, 3}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, UserObjectsAreCounted) {
  static std::atomic<int> ended;
  ended = 0;
  CUuserObject object;
  ASSERT_EQ(cuUserObjectCreate(
                &object, nullptr, [](void*) { ++ended; }, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC),
            CUDA_SUCCESS);
  ASSERT_EQ(cuUserObjectRetain(object, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphRetainUserObject(graph_, object, 2, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuUserObjectRelease(object, 2), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphReleaseUserObject(graph_, object, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphReleaseUserObject(graph_, object, 2), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(ended, 0);
  ASSERT_EQ(cuGraphReleaseUserObject(graph_, object, 1), CUDA_SUCCESS);
  // What is queued behind it runs after it.
  ASSERT_EQ(cuLaunchHostFunc(
                stream_, [](void*) {}, nullptr),
            CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(ended, 1);
  EXPECT_EQ(cuUserObjectRelease(object, 1), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphCallsTest, PicturesNameTheKernels) {
  SumNode(graph_, 1, 0, 0, {FillNode(graph_, 0, 1)});
  const std::string path = testing::TempDir() + "outboard_graph_calls_test.dot";
  ASSERT_EQ(cuGraphDebugDotPrint(graph_, path.c_str(), 0), CUDA_SUCCESS);
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  std::remove(path.c_str());
  EXPECT_NE(text.find("digraph"), std::string::npos) << text;
  EXPECT_NE(text.find("add"), std::string::npos) << text;
}

// An executable graph with copies of host memory takes other sizes and rows, as one of the driver's does.
TEST_F(GraphCallsTest, CopiesOfHostMemoryBecomeLargerAndOfOtherRows) {
  std::vector<uint32_t> source(1024);
  for (uint32_t i = 0; i < source.size(); ++i) source[i] = i + 1;
  CUgraphNode write;
  CUDA_MEMCPY3D params = ToDevice(source.data(), 0, 4);
  ASSERT_EQ(cuGraphAddMemcpyNode(&write, graph_, nullptr, 0, &params, context_), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 2), (std::vector<uint32_t>{1, 0}));
  params = ToDevice(source.data(), 0, source.size() * 4);
  ASSERT_EQ(cuGraphExecMemcpyNodeSetParams(exec, write, &params, context_), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 1024), source);
  params = ToDevice(source.data() + 8, 1, 4);
  ASSERT_EQ(cuGraphExecMemcpyNodeSetParams(exec, write, &params, context_), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 3), (std::vector<uint32_t>{0, 9, 0}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphCallsTest, AnUpdateIsRefusedWholeAndUnchangedRowsAreNoObstacle) {
  std::vector<uint32_t> rows(16, 77);
  CUgraphNode read, fill = FillNode(graph_, 0, 1);
  CUDA_MEMCPY3D params = ToHost(rows.data(), 4, 2, 16, 8);
  ASSERT_EQ(cuGraphAddMemcpyNode(&read, graph_, &fill, 1, &params, context_), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{1}));
  EXPECT_EQ(std::vector<uint32_t>(rows.begin(), rows.begin() + 4), (std::vector<uint32_t>{1, 77, 0, 77}));

  // The same rows elsewhere in host memory.
  const CUDA_MEMSET_NODE_PARAMS other = Fill(Word(0), 2);
  ASSERT_EQ(cuGraphMemsetNodeSetParams(fill, &other), CUDA_SUCCESS);
  params = ToHost(rows.data() + 8, 4, 2, 16, 8);
  ASSERT_EQ(cuGraphMemcpyNodeSetParams(read, &params), CUDA_SUCCESS);
  CUgraphExecUpdateResultInfo info;
  ASSERT_EQ(cuGraphExecUpdate_v2(exec, graph_, &info), CUDA_SUCCESS);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{2}));
  EXPECT_EQ(std::vector<uint32_t>(rows.begin() + 8, rows.begin() + 12), (std::vector<uint32_t>{2, 77, 0, 77}));

  // More rows than the worker's node can become: nothing changes, the value neither.
  std::vector<uint32_t> large(2u << 18, 77);
  const CUDA_MEMSET_NODE_PARAMS third = Fill(Word(0), 3);
  ASSERT_EQ(cuGraphMemsetNodeSetParams(fill, &third), CUDA_SUCCESS);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 2u << 20), CUDA_SUCCESS);
  params = ToHost(large.data(), 2u << 20, 1, 0, 0);
  params.srcDevice = memory;
  ASSERT_EQ(cuGraphMemcpyNodeSetParams(read, &params), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecUpdate_v2(exec, graph_, &info), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
  EXPECT_EQ(info.result, CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{2}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

// Although it finds out when it has changed another node.
TEST_F(GraphCallsTest, AnUpdateThatTheWorkerRefusesChangesNothing) {
  CUevent other;
  CUgraphNode record, fill;
  ASSERT_EQ(cuEventCreate(&other, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEventRecordNode(&record, graph_, nullptr, 0, event_), CUDA_SUCCESS);
  fill = FillNode(graph_, 0, 1, {record});
  CUgraphExec exec = Instantiate(graph_);
  const CUDA_MEMSET_NODE_PARAMS changed = Fill(Word(0), 2);
  ASSERT_EQ(cuGraphMemsetNodeSetParams(fill, &changed), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventRecordNodeSetEvent(record, other), CUDA_SUCCESS);
  ASSERT_EQ(cuEventDestroy_v2(other), CUDA_SUCCESS);
  CUgraphExecUpdateResultInfo info;
  EXPECT_EQ(cuGraphExecUpdate_v2(exec, graph_, &info), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(info.result, CU_GRAPH_EXEC_UPDATE_ERROR);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{1}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

// Its memory in the worker may still be needed by a copy under way, and to give it back to the driver would wait for
// the stream, which waits for what is called next.
TEST_F(GraphCallsTest, DestroyingAnExecutableGraphWaitsForNothing) {
  uint32_t value = 4;
  CUgraphNode write;
  const CUDA_MEMCPY3D params = ToDevice(&value, 0, 4);
  ASSERT_EQ(cuGraphAddMemcpyNode(&write, graph_, nullptr, 0, &params, context_), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(WordsAfter(exec, 1), (std::vector<uint32_t>{4}));
  ASSERT_EQ(cuStreamWaitValue32_v2(stream_, Word(8), 1, CU_STREAM_WAIT_VALUE_GEQ), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(other_, Word(8), 1, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
}

// A primary context that was released takes the worker's memory for its graphs along.
TEST_F(GraphCallsTest, GraphsOfAPrimaryContextThatCameBack) {
  uint32_t value = 6, seen = 0;
  for (int round = 0; round < 2; ++round) {
    CUcontext primary;
    CUdeviceptr memory;
    CUgraph graph;
    CUgraphNode node;
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&primary, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPushCurrent_v2(primary), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&memory, 4), CUDA_SUCCESS);
    CUDA_MEMCPY3D params = ToDevice(&value, 0, 4);
    params.dstDevice = memory;
    ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphAddMemcpyNode(&node, graph, nullptr, 0, &params, primary), CUDA_SUCCESS);
    CUgraphExec exec = Instantiate(graph);
    ++value;
    ASSERT_EQ(cuGraphLaunch(exec, CU_STREAM_LEGACY), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoH_v2(&seen, memory, 4), CUDA_SUCCESS);
    EXPECT_EQ(seen, value);
    ASSERT_EQ(cuCtxPopCurrent_v2(&primary), CUDA_SUCCESS);
    ASSERT_EQ(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
    EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  }
}

}  // namespace
}  // namespace outboard::stack
