#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "tests/unit/softgpu_api/graph_fixture.h"

// Graphs: nodes of each type, what they depend on, copies of graphs, and wrong use. Graphs are run to see what they do.

namespace outboard::softgpu::api {
namespace {

class GraphTest : public GraphFixture {
 protected:
  void SetUp() override {
    GraphFixture::SetUp();
    ASSERT_EQ(cuGraphCreate(&graph_, 0), CUDA_SUCCESS);
  }

  void TearDown() override {
    EXPECT_EQ(cuGraphDestroy(graph_), CUDA_SUCCESS);
    GraphFixture::TearDown();
  }

  CUDA_MEMSET_NODE_PARAMS FillParams(unsigned index, uint32_t value, size_t width = 1) {
    return {Word(index), 0, value, 4, width, 1};
  }

  CUgraph graph_ = nullptr;
};

void CUDA_CB Increment(void* data) { ++*static_cast<uint32_t*>(data); }

TEST_F(GraphTest, RunsNodesOfEachTypeInOrder) {
  CUgraphNode fill, copy, host, empty, child, last;
  const auto fill_params = FillParams(0, 5, 2);
  ASSERT_EQ(cuGraphAddMemsetNode(&fill, graph_, nullptr, 0, &fill_params, context_), CUDA_SUCCESS);
  CUgraphNode kernel = AddStore(graph_, 1, 6, {fill});
  const auto copy_params = ReadParams(0, 0, 2);
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, graph_, &kernel, 1, &copy_params, context_), CUDA_SUCCESS);
  const CUDA_HOST_NODE_PARAMS host_params{&Increment, &words_[1]};
  ASSERT_EQ(cuGraphAddHostNode(&host, graph_, &copy, 1, &host_params), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEmptyNode(&empty, graph_, &host, 1), CUDA_SUCCESS);
  CUgraph inner;
  ASSERT_EQ(cuGraphCreate(&inner, 0), CUDA_SUCCESS);
  AddStore(inner, 2, 7);
  ASSERT_EQ(cuGraphAddChildGraphNode(&child, graph_, &empty, 1, inner), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(inner), CUDA_SUCCESS);  // the node has its own
  CUDA_MEMCPY3D back = ReadParams(0, 3);
  std::swap(back.dstMemoryType, back.srcMemoryType);
  back.srcHost = &words_[1];
  back.dstDevice = Word(3);
  ASSERT_EQ(cuGraphAddMemcpyNode(&last, graph_, &child, 1, &back, context_), CUDA_SUCCESS);

  const CUgraphNodeType types[] = {CU_GRAPH_NODE_TYPE_MEMSET, CU_GRAPH_NODE_TYPE_KERNEL, CU_GRAPH_NODE_TYPE_MEMCPY,
                                   CU_GRAPH_NODE_TYPE_HOST,   CU_GRAPH_NODE_TYPE_EMPTY,  CU_GRAPH_NODE_TYPE_GRAPH,
                                   CU_GRAPH_NODE_TYPE_MEMCPY};
  const auto nodes = Nodes(graph_);
  EXPECT_EQ(nodes, (std::vector{fill, kernel, copy, host, empty, child, last}));
  for (size_t i = 0; i < nodes.size(); ++i) EXPECT_EQ(TypeOfNode(nodes[i]), types[i]);
  RunGraph(graph_);
  EXPECT_EQ(Words(4), (std::vector<uint32_t>{5, 6, 7, 7}));
}

TEST_F(GraphTest, NodesRunBehindWhatTheyDependOn) {
  // Added in the order that is not that of the edges.
  CUgraphNode last = AddStore(graph_, 0, 3);
  CUgraphNode middle = AddStore(graph_, 0, 2);
  CUgraphNode first = AddStore(graph_, 0, 1);
  const CUgraphNode from[] = {first, middle}, to[] = {middle, last};
  ASSERT_EQ(cuGraphAddDependencies(graph_, from, to, 2), CUDA_SUCCESS);
  RunGraph(graph_);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{3}));

  CUgraphNode roots[2] = {}, sources[3] = {}, targets[3] = {};
  size_t count = 2;
  ASSERT_EQ(cuGraphGetRootNodes(graph_, roots, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(roots[0], first);
  EXPECT_EQ(roots[1], nullptr);
  count = 3;
  CUgraphEdgeData data[3];
  ASSERT_EQ(cuGraphGetEdges_v2(graph_, sources, targets, data, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(sources[0], middle);
  EXPECT_EQ(targets[0], last);
  EXPECT_EQ(sources[1], first);
  EXPECT_EQ(targets[1], middle);
  EXPECT_EQ(sources[2], nullptr);
  count = 1;
  CUgraphNode dependent;
  ASSERT_EQ(cuGraphNodeGetDependentNodes_v2(first, &dependent, nullptr, &count), CUDA_SUCCESS);
  EXPECT_EQ(dependent, middle);

  // Without the edge the order is that of the nodes' making.
  ASSERT_EQ(cuGraphRemoveDependencies_v2(graph_, from, to, nullptr, 2), CUDA_SUCCESS);
  EXPECT_TRUE(Dependencies(last).empty());
  ASSERT_EQ(cuGraphAddDependencies(graph_, &last, &first, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroyNode(middle), CUDA_SUCCESS);
  EXPECT_EQ(Nodes(graph_), (std::vector{last, first}));
  RunGraph(graph_);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{1}));
}

TEST_F(GraphTest, ANodeWaitsForAllThatItDependsOn) {
  CUgraphNode first = AddStore(graph_, 0, 1);
  CUgraphNode last = AddStore(graph_, 0, 9, {first});
  CUgraphNode second = AddStore(graph_, 0, 2, {first});
  CUgraphNode third = AddStore(graph_, 0, 3, {second});
  ASSERT_EQ(cuGraphAddDependencies(graph_, &third, &last, 1), CUDA_SUCCESS);
  RunGraph(graph_);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{9}));
}

TEST_F(GraphTest, ACycleCannotBeInstantiated) {
  CUgraphNode before = AddStore(graph_, 0, 1);
  CUgraphNode a = AddStore(graph_, 0, 1, {before});
  CUgraphNode b = AddStore(graph_, 0, 1, {a});
  ASSERT_EQ(cuGraphAddDependencies(graph_, &b, &a, 1), CUDA_SUCCESS);
  CUgraphNode after = AddStore(graph_, 0, 1, {b});
  (void)after;
  CUgraphExec exec;
  CUDA_GRAPH_INSTANTIATE_PARAMS params{};
  EXPECT_EQ(cuGraphInstantiateWithParams(&exec, graph_, &params), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(params.result_out, CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
  EXPECT_TRUE(params.hErrNode_out == a || params.hErrNode_out == b);
  CUgraphNode offender = nullptr;
  char log[8] = "xxxxxxx";
  EXPECT_EQ(cuGraphInstantiate_v2(&exec, graph_, &offender, log, sizeof log), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(offender, params.hErrNode_out);
  EXPECT_EQ(std::string(log), "The gra");
  ASSERT_EQ(cuGraphRemoveDependencies(graph_, &b, &a, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphInstantiateWithParams(&exec, graph_, &params), CUDA_SUCCESS);
  EXPECT_EQ(params.result_out, CUDA_GRAPH_INSTANTIATE_SUCCESS);
  EXPECT_EQ(params.hErrNode_out, nullptr);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphTest, KernelParametersAreTheNodes) {
  CUgraphNode node = AddStore(graph_, 0, 5);
  CUDA_KERNEL_NODE_PARAMS got;
  ASSERT_EQ(cuGraphKernelNodeGetParams_v2(node, &got), CUDA_SUCCESS);
  EXPECT_EQ(got.func, store_);
  EXPECT_EQ(got.ctx, context_);
  EXPECT_EQ(got.gridDimX, 1u);
  EXPECT_EQ(got.extra, nullptr);
  ASSERT_NE(got.kernelParams, nullptr);
  EXPECT_EQ(*static_cast<CUdeviceptr*>(got.kernelParams[0]), Word(0));
  EXPECT_EQ(*static_cast<uint32_t*>(got.kernelParams[1]), 5u);

  // What was given out may be changed in part and given back.
  uint32_t value = 6;
  void* arguments[] = {got.kernelParams[0], &value};
  got.kernelParams = arguments;
  got.blockDimX = 2;
  ASSERT_EQ(cuGraphKernelNodeSetParams_v2(node, &got), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphKernelNodeGetParams_v2(node, &got), CUDA_SUCCESS);
  EXPECT_EQ(got.blockDimX, 2u);
  RunGraph(graph_);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{6}));

  struct {
    CUdeviceptr to;
    uint32_t value, rest;
  } packed{Word(0), 7, 0};
  size_t bytes = 12;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  CUDA_KERNEL_NODE_PARAMS_v1 old{store_, 1, 1, 1, 1, 1, 1, 0, nullptr, extra};
  ASSERT_EQ(cuGraphKernelNodeSetParams(node, &old), CUDA_SUCCESS);
  packed.value = 99;
  ASSERT_EQ(cuGraphKernelNodeGetParams(node, &old), CUDA_SUCCESS);
  EXPECT_EQ(old.kernelParams, nullptr);
  ASSERT_NE(old.extra, nullptr);
  EXPECT_EQ(old.extra[0], CU_LAUNCH_PARAM_BUFFER_POINTER);
  EXPECT_EQ(*static_cast<CUdeviceptr*>(old.extra[1]), Word(0));
  EXPECT_EQ(*static_cast<size_t*>(old.extra[3]), 12u);
  RunGraph(graph_);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{7}));
}

TEST_F(GraphTest, OtherParametersCanBeReadAndSet) {
  CUgraphNode fill, copy, host, record, wait;
  auto fill_params = FillParams(0, 1);
  ASSERT_EQ(cuGraphAddMemsetNode(&fill, graph_, nullptr, 0, &fill_params, context_), CUDA_SUCCESS);
  fill_params = FillParams(1, 2, 3);
  ASSERT_EQ(cuGraphMemsetNodeSetParams(fill, &fill_params), CUDA_SUCCESS);
  CUDA_MEMSET_NODE_PARAMS got_fill;
  ASSERT_EQ(cuGraphMemsetNodeGetParams(fill, &got_fill), CUDA_SUCCESS);
  EXPECT_EQ(got_fill.dst, Word(1));
  EXPECT_EQ(got_fill.width, 3u);

  auto copy_params = ReadParams(0, 0);
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, graph_, &fill, 1, &copy_params, context_), CUDA_SUCCESS);
  copy_params = ReadParams(2, 1);
  ASSERT_EQ(cuGraphMemcpyNodeSetParams(copy, &copy_params), CUDA_SUCCESS);
  CUDA_MEMCPY3D got_copy;
  ASSERT_EQ(cuGraphMemcpyNodeGetParams(copy, &got_copy), CUDA_SUCCESS);
  EXPECT_EQ(got_copy.dstHost, &words_[2]);

  CUDA_HOST_NODE_PARAMS host_params{&Increment, &words_[3]};
  ASSERT_EQ(cuGraphAddHostNode(&host, graph_, &copy, 1, &host_params), CUDA_SUCCESS);
  host_params.userData = &words_[2];
  ASSERT_EQ(cuGraphHostNodeSetParams(host, &host_params), CUDA_SUCCESS);
  CUDA_HOST_NODE_PARAMS got_host;
  ASSERT_EQ(cuGraphHostNodeGetParams(host, &got_host), CUDA_SUCCESS);
  EXPECT_EQ(got_host.userData, &words_[2]);

  CUevent other, got_event;
  ASSERT_EQ(cuEventCreate(&other, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEventRecordNode(&record, graph_, &host, 1, other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventRecordNodeSetEvent(record, event_), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventRecordNodeGetEvent(record, &got_event), CUDA_SUCCESS);
  EXPECT_EQ(got_event, event_);
  ASSERT_EQ(cuGraphAddEventWaitNode(&wait, graph_, &record, 1, other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphEventWaitNodeSetEvent(wait, event_), CUDA_SUCCESS);  // recorded by the launch itself
  ASSERT_EQ(cuGraphEventWaitNodeGetEvent(wait, &got_event), CUDA_SUCCESS);
  EXPECT_EQ(got_event, event_);
  ASSERT_EQ(cuEventDestroy_v2(other), CUDA_SUCCESS);

  words_[2] = words_[3] = 0;
  RunGraph(graph_);
  EXPECT_EQ(words_[2], 3u);
  EXPECT_EQ(words_[3], 0u);
  EXPECT_EQ(cuEventQuery(event_), CUDA_SUCCESS);
}

TEST_F(GraphTest, CopiesRowsAndLayers) {
  // Two layers of two rows of two words, out of layers of three rows of four words.
  for (uint32_t i = 0; i < 24; ++i) words_[i] = i;
  CUDA_MEMCPY3D params{};
  params.srcMemoryType = CU_MEMORYTYPE_HOST;
  params.srcHost = words_;
  params.srcXInBytes = 4;
  params.srcY = 1;
  params.srcPitch = 16;
  params.srcHeight = 3;
  params.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  params.dstDevice = device_;
  params.dstPitch = 8;
  params.dstHeight = 2;
  params.WidthInBytes = 8;
  params.Height = 2;
  params.Depth = 2;
  CUgraphNode node;
  ASSERT_EQ(cuGraphAddMemcpyNode(&node, graph_, nullptr, 0, &params, context_), CUDA_SUCCESS);
  RunGraph(graph_);
  EXPECT_EQ(Words(8), (std::vector<uint32_t>{5, 6, 9, 10, 17, 18, 21, 22}));
}

TEST_F(GraphTest, FillsRowsOfEachElementSize) {
  CUgraphNode node;
  CUDA_MEMSET_NODE_PARAMS params{device_, 8, 0x1234, 2, 2, 3};
  ASSERT_EQ(cuGraphAddMemsetNode(&node, graph_, nullptr, 0, &params, context_), CUDA_SUCCESS);
  params = {device_ + 24, 0, 0xab, 1, 3, 1};
  ASSERT_EQ(cuGraphAddMemsetNode(&node, graph_, nullptr, 0, &params, context_), CUDA_SUCCESS);
  RunGraph(graph_);
  EXPECT_EQ(Words(7), (std::vector<uint32_t>{0x12341234, 0, 0x12341234, 0, 0x12341234, 0, 0xababab}));
}

TEST_F(GraphTest, AClonedGraphIsAnotherOne) {
  CUgraphNode first = AddStore(graph_, 0, 1);
  CUgraphNode second = AddStore(graph_, 1, 2, {first});
  CUgraph clone;
  ASSERT_EQ(cuGraphClone(&clone, graph_), CUDA_SUCCESS);
  CUgraphNode copy = nullptr;
  ASSERT_EQ(cuGraphNodeFindInClone(&copy, second, clone), CUDA_SUCCESS);
  EXPECT_EQ(copy, Nodes(clone)[1]);
  EXPECT_EQ(Dependencies(copy), std::vector{Nodes(clone)[0]});
  EXPECT_EQ(cuGraphNodeFindInClone(&copy, second, graph_), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuGraphDestroyNode(copy), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphNodeFindInClone(&copy, second, clone), CUDA_ERROR_INVALID_VALUE);
  RunGraph(clone);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{1, 0}));
  RunGraph(graph_);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(cuGraphDestroy(clone), CUDA_SUCCESS);
}

TEST_F(GraphTest, AChildGraphCanBeChangedInItsNode) {
  CUgraph inner, embedded;
  CUgraphNode child;
  ASSERT_EQ(cuGraphCreate(&inner, 0), CUDA_SUCCESS);
  AddStore(inner, 0, 1);
  ASSERT_EQ(cuGraphAddChildGraphNode(&child, graph_, nullptr, 0, inner), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphChildGraphNodeGetGraph(child, &embedded), CUDA_SUCCESS);
  EXPECT_NE(embedded, inner);
  AddStore(embedded, 1, 2);
  EXPECT_EQ(cuGraphDestroy(embedded), CUDA_ERROR_INVALID_VALUE);  // the node's
  CUgraphExec exec;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, embedded, 0), CUDA_ERROR_INVALID_VALUE);
  RunGraph(graph_);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{1, 2}));
  const CUgraphNode inside = Nodes(embedded)[0];
  ASSERT_EQ(cuGraphDestroyNode(child), CUDA_SUCCESS);
  CUgraphNodeType type;
  EXPECT_EQ(cuGraphNodeGetType(inside, &type), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphDestroy(inner), CUDA_SUCCESS);
}

TEST_F(GraphTest, AChildGraphCanBeMoved) {
  CUgraph inner, embedded;
  ASSERT_EQ(cuGraphCreate(&inner, 0), CUDA_SUCCESS);
  AddStore(inner, 0, 3);
  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_GRAPH;
  params.graph.graph = graph_;
  params.graph.ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
  CUgraphNode child;
  EXPECT_EQ(cuGraphAddNode_v2(&child, graph_, nullptr, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  params.graph.graph = inner;
  ASSERT_EQ(cuGraphAddNode_v2(&child, graph_, nullptr, nullptr, 0, &params), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphChildGraphNodeGetGraph(child, &embedded), CUDA_SUCCESS);
  EXPECT_EQ(embedded, inner);
  EXPECT_EQ(cuGraphDestroy(inner), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphAddNode_v2(&child, graph_, nullptr, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  RunGraph(graph_);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{3}));
}

TEST_F(GraphTest, NodesOfAnyTypeByOneCall) {
  CUgraphNode nodes[4];
  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_MEMSET;
  params.memset = {Word(0), 0, 4, 4, 1, 1, context_};
  ASSERT_EQ(cuGraphAddNode_v2(&nodes[0], graph_, nullptr, nullptr, 0, &params), CUDA_SUCCESS);
  uint32_t value = 5;
  CUdeviceptr to = Word(1);
  void* arguments[] = {&to, &value};
  params = {};
  params.type = CU_GRAPH_NODE_TYPE_KERNEL;
  params.kernel.func = store_;
  params.kernel.gridDimX = params.kernel.gridDimY = params.kernel.gridDimZ = 1;
  params.kernel.blockDimX = params.kernel.blockDimY = params.kernel.blockDimZ = 1;
  params.kernel.kernelParams = arguments;
  ASSERT_EQ(cuGraphAddNode(&nodes[1], graph_, nodes, 1, &params), CUDA_SUCCESS);
  value = 6;
  ASSERT_EQ(cuGraphNodeSetParams(nodes[1], &params), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphNodeSetParams(nodes[0], &params), CUDA_ERROR_INVALID_VALUE);  // a node stays of its type
  params = {};
  params.type = CU_GRAPH_NODE_TYPE_MEMCPY;
  params.memcpy.copyCtx = context_;
  params.memcpy.copyParams = ReadParams(0, 0, 2);
  ASSERT_EQ(cuGraphAddNode(&nodes[2], graph_, nodes + 1, 1, &params), CUDA_SUCCESS);
  params = {};
  params.type = CU_GRAPH_NODE_TYPE_HOST;
  params.host = {&Increment, words_};
  CUgraphEdgeData edge{};
  ASSERT_EQ(cuGraphAddNode_v2(&nodes[3], graph_, nodes + 2, &edge, 1, &params), CUDA_SUCCESS);
  RunGraph(graph_);
  EXPECT_EQ(words_[0], 5u);
  EXPECT_EQ(words_[1], 6u);

  CUgraphNode none;
  edge.type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC;
  EXPECT_EQ(cuGraphAddNode_v2(&none, graph_, nodes, &edge, 1, &params), CUDA_ERROR_NOT_SUPPORTED);
  params.reserved0[1] = 1;
  EXPECT_EQ(cuGraphAddNode(&none, graph_, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  params = {};
  params.type = CU_GRAPH_NODE_TYPE_EMPTY;
  EXPECT_EQ(cuGraphAddNode(&none, graph_, nullptr, 0, &params), CUDA_SUCCESS);
  params.reserved1[28] = 1;
  EXPECT_EQ(cuGraphAddNode(&none, graph_, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  params = {};
  params.type = CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT;
  EXPECT_EQ(cuGraphAddNode(&none, graph_, nullptr, 0, &params), CUDA_ERROR_NOT_SUPPORTED);
  params.type = static_cast<CUgraphNodeType>(15);
  EXPECT_EQ(cuGraphAddNode(&none, graph_, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphTest, DrawsItself) {
  CUgraphNode first = AddStore(graph_, 0, 1);
  CUgraphNode second;
  ASSERT_EQ(cuGraphAddEmptyNode(&second, graph_, &first, 1), CUDA_SUCCESS);
  const auto path = std::filesystem::temp_directory_path() / ("graph-" + std::to_string(getpid()) + ".dot");
  ASSERT_EQ(cuGraphDebugDotPrint(graph_, path.c_str(), 0), CUDA_SUCCESS);
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(text.find("KERNEL\\nstore"), std::string::npos) << text;
  EXPECT_NE(text.find(" -> "), std::string::npos) << text;
  std::filesystem::remove(path);
  EXPECT_EQ(cuGraphDebugDotPrint(graph_, "/nowhere/at/all", 0), CUDA_ERROR_OPERATING_SYSTEM);
  EXPECT_EQ(cuGraphDebugDotPrint(graph_, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
}

// Each row with the rule of the manual that it breaks.
TEST_F(GraphTest, WrongUse) {
  CUgraph other, stale;
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphCreate(&stale, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(stale), CUDA_SUCCESS);
  CUgraphNode a = AddStore(graph_, 0, 1), b = AddStore(graph_, 0, 1, {a}), foreign = AddStore(other, 0, 1), node;
  const CUgraphNode twice[] = {a, a}, pair_from[] = {b, a}, pair_to[] = {a, b};
  size_t count = 0;
  CUdeviceptr to = Word(0);
  uint32_t value = 1;
  void* arguments[] = {&to, &value};
  const auto kernel = [&](auto change) {
    CUDA_KERNEL_NODE_PARAMS params = StoreParams(arguments);
    change(params);
    return cuGraphAddKernelNode_v2(&node, graph_, nullptr, 0, &params);
  };
  const auto copy = [&](auto change) {
    CUDA_MEMCPY3D params = ReadParams(0, 0);
    change(params);
    return cuGraphAddMemcpyNode(&node, graph_, nullptr, 0, &params, context_);
  };
  const auto fill = [&](auto change) {
    CUDA_MEMSET_NODE_PARAMS params = FillParams(0, 1);
    change(params);
    return cuGraphAddMemsetNode(&node, graph_, nullptr, 0, &params, context_);
  };
  const CUDA_HOST_NODE_PARAMS no_function{nullptr, nullptr};
  const auto fill_params = FillParams(0, 1);
  const struct {
    const char* what;
    std::function<CUresult()> call;
    CUresult expected = CUDA_ERROR_INVALID_VALUE;
  } rows[] = {
      {"flags of a graph", [&] { return cuGraphCreate(&other, 1); }},
      {"nowhere to put a graph", [&] { return cuGraphCreate(nullptr, 0); }},
      {"a graph that is gone", [&] { return cuGraphDestroy(stale); }},
      {"a null graph", [&] { return cuGraphGetNodes(nullptr, nullptr, &count); }},
      {"a null count", [&] { return cuGraphGetNodes(graph_, nullptr, nullptr); }},
      {"one end of edges", [&] { return cuGraphGetEdges(graph_, &node, nullptr, &count); }},
      {"a stream as a node", [&] { return cuGraphDestroyNode(reinterpret_cast<CUgraphNode>(stream_)); }},
      {"a dependency named twice", [&] { return cuGraphAddEmptyNode(&node, graph_, twice, 2); }},
      {"a dependency of another graph", [&] { return cuGraphAddEmptyNode(&node, graph_, &foreign, 1); }},
      {"no array of dependencies", [&] { return cuGraphAddEmptyNode(&node, graph_, nullptr, 1); }},
      {"an edge that is there", [&] { return cuGraphAddDependencies(graph_, &a, &b, 1); }},
      {"an edge from a node to itself", [&] { return cuGraphAddDependencies(graph_, &a, &a, 1); }},
      {"an edge into another graph", [&] { return cuGraphAddDependencies(graph_, &a, &foreign, 1); }},
      {"an edge that is not there", [&] { return cuGraphRemoveDependencies(graph_, &b, &a, 1); }},
      {"a good edge and a bad one", [&] { return cuGraphAddDependencies(graph_, pair_from, pair_to, 2); }},
      {"parameters of another type", [&] { return cuGraphHostNodeSetParams(a, &no_function); }},
      {"no parameters", [&] { return cuGraphAddKernelNode_v2(&node, graph_, nullptr, 0, nullptr); }},
      {"no kernel", [&] { return kernel([](auto& p) { p.func = nullptr; }); }},
      {"no such kernel", [&] { return kernel([&](auto& p) { p.func = reinterpret_cast<CUfunction>(stream_); }); },
       CUDA_ERROR_INVALID_HANDLE},
      {"an empty grid", [&] { return kernel([](auto& p) { p.gridDimX = 0; }); }},
      {"too large a block", [&] { return kernel([](auto& p) { p.blockDimX = 2048; }); }},
      {"no arguments", [&] { return kernel([](auto& p) { p.kernelParams = nullptr; }); }},
      {"a copy of nothing", [&] { return copy([](auto& p) { p.WidthInBytes = 0; }); }},
      {"a copy past the end", [&] { return copy([](auto& p) { p.WidthInBytes = 4097; }); }},
      {"a copy of a wrong type",
       [&] { return copy([](auto& p) { p.srcMemoryType = CU_MEMORYTYPE_DEVICE, p.srcDevice = 64; }); }},
      {"rows that overlap", [&] { return copy([](auto& p) { p.Height = 2; }); }},
      {"a size that wraps", [&] { return copy([](auto& p) { p.Height = 2, p.srcPitch = p.dstPitch = SIZE_MAX; }); }},
      {"no array", [&] { return copy([](auto& p) { p.srcMemoryType = CU_MEMORYTYPE_ARRAY; }); },
       CUDA_ERROR_INVALID_HANDLE},
      {"an element of three bytes", [&] { return fill([](auto& p) { p.elementSize = 3; }); }},
      {"a misaligned fill", [&] { return fill([](auto& p) { p.dst += 2; }); }},
      {"a fill past the end", [&] { return fill([](auto& p) { p.width = 1025; }); }},
      {"no such context",
       [&] { return cuGraphAddMemsetNode(&node, graph_, nullptr, 0, &fill_params, reinterpret_cast<CUcontext>(a)); },
       CUDA_ERROR_INVALID_CONTEXT},
      {"no host function", [&] { return cuGraphAddHostNode(&node, graph_, nullptr, 0, &no_function); }},
      {"no event", [&] { return cuGraphAddEventWaitNode(&node, graph_, nullptr, 0, nullptr); }},
      {"the graph of a node without one", [&] { return cuGraphChildGraphNodeGetGraph(a, &other); }},
  };
  for (const auto& row : rows) EXPECT_EQ(row.call(), row.expected) << row.what;
  EXPECT_EQ(Nodes(graph_).size(), 2u);
  EXPECT_TRUE(Dependencies(a).empty());  // nothing of the pair with the bad edge
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
}

TEST_F(GraphTest, KernelNodesAreCooperativeIfTheyAreToldSo) {
  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  CUgraphNode node = AddStore(graph, 0, 1);
  CUkernelNodeAttrValue value{};
  ASSERT_EQ(cuGraphKernelNodeGetAttribute(node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value), CUDA_SUCCESS);
  EXPECT_EQ(value.cooperative, 0);
  value.cooperative = 1;
  ASSERT_EQ(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value), CUDA_SUCCESS);
  value.cooperative = 0;
  ASSERT_EQ(cuGraphKernelNodeGetAttribute(node, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value), CUDA_SUCCESS);
  EXPECT_EQ(value.cooperative, 1);
  RunGraph(graph);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{1}));
  EXPECT_EQ(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_PRIORITY, &value), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphKernelNodeSetAttribute(node, CU_LAUNCH_ATTRIBUTE_MAX, &value), CUDA_ERROR_INVALID_VALUE);

  // A grid whose blocks do not all fit at a time.
  CUdeviceptr to = Word(0);
  uint32_t stored = 1;
  void* arguments[] = {&to, &stored};
  CUDA_KERNEL_NODE_PARAMS params = StoreParams(arguments);
  params.gridDimX = 1 << 20;
  CUgraphNode large;
  ASSERT_EQ(cuGraphAddKernelNode_v2(&large, graph, nullptr, 0, &params), CUDA_SUCCESS);
  value.cooperative = 1;
  EXPECT_EQ(cuGraphKernelNodeSetAttribute(large, CU_LAUNCH_ATTRIBUTE_COOPERATIVE, &value),
            CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
