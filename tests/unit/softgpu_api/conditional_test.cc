#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/fakes/conditional_kernels.h"
#include "tests/unit/softgpu_api/graph_fixture.h"

// Conditional nodes: what they choose, what they may have and where they may be. Words of device memory are the
// conditions' sources and count what ran.

namespace outboard::softgpu::api {
namespace {

class ConditionalTest : public GraphFixture {
 protected:
  void SetUp() override {
    GraphFixture::SetUp();
    ASSERT_EQ(cuModuleLoadData(&kernels_, fakes::kConditionalKernels), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphCreate(&graph_, 0), CUDA_SUCCESS);
  }

  void TearDown() override {
    EXPECT_EQ(cuGraphDestroy(graph_), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleUnload(kernels_), CUDA_SUCCESS);
    GraphFixture::TearDown();
  }

  CUgraphConditionalHandle Handle(CUgraph graph, unsigned value = 0, unsigned flags = 0) {
    CUgraphConditionalHandle handle = 0;
    EXPECT_EQ(cuGraphConditionalHandleCreate(&handle, graph, context_, value, flags), CUDA_SUCCESS);
    return handle;
  }

  static CUgraphNodeParams Params(CUgraphConditionalHandle handle, CUgraphConditionalNodeType type, unsigned size) {
    CUgraphNodeParams params{};
    params.type = CU_GRAPH_NODE_TYPE_CONDITIONAL;
    params.conditional.handle = handle;
    params.conditional.type = type;
    params.conditional.size = size;
    return params;
  }

  // The bodies of a new node.
  std::vector<CUgraph> Add(CUgraph graph, CUgraphConditionalHandle handle, CUgraphConditionalNodeType type,
                           unsigned size = 1, const std::vector<CUgraphNode>& after = {}) {
    CUgraphNodeParams params = Params(handle, type, size);
    EXPECT_EQ(cuGraphAddNode(&node_, graph, after.data(), after.size(), &params), CUDA_SUCCESS);
    return {params.conditional.phGraph_out, params.conditional.phGraph_out + size};
  }

  CUresult Refusal(CUgraph graph, CUgraphNodeParams params) {
    CUgraphNode node;
    return cuGraphAddNode(&node, graph, nullptr, 0, &params);
  }

  CUfunction Function(const char* name) {
    CUfunction function = nullptr;
    EXPECT_EQ(cuModuleGetFunction(&function, kernels_, name), CUDA_SUCCESS);
    return function;
  }

  CUgraphNode AddKernel(CUgraph graph, const char* name, void** arguments, const std::vector<CUgraphNode>& after) {
    CUDA_KERNEL_NODE_PARAMS params = StoreParams(arguments);
    params.func = Function(name);
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddKernelNode_v2(&node, graph, after.data(), after.size(), &params), CUDA_SUCCESS);
    return node;
  }
  // `from` and `count_down`; `increment`.
  CUgraphNode AddSetter(CUgraph graph, const char* name, CUgraphConditionalHandle handle, unsigned word,
                        const std::vector<CUgraphNode>& after = {}) {
    CUdeviceptr address = Word(word);
    void* arguments[] = {&handle, &address};
    return AddKernel(graph, name, arguments, after);
  }
  CUgraphNode AddIncrement(CUgraph graph, unsigned word, const std::vector<CUgraphNode>& after = {}) {
    CUdeviceptr address = Word(word);
    void* arguments[] = {&address};
    return AddKernel(graph, "increment", arguments, after);
  }

  void SetWord(unsigned index, uint32_t value) {
    ASSERT_EQ(cuMemsetD32_v2(Word(index), value, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  CUgraphExec Instantiate(CUgraph graph) {
    CUgraphExec exec = nullptr;
    EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
    return exec;
  }

  // The words after one launch more, of which the first begins as given.
  std::vector<uint32_t> Launched(CUgraphExec exec, uint32_t first, size_t count) {
    SetWord(0, first);
    EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
    return Words(count);
  }

  // What instantiating says, and of which node.
  CUDA_GRAPH_INSTANTIATE_PARAMS Refused(CUresult expected) {
    CUgraphExec exec;
    CUDA_GRAPH_INSTANTIATE_PARAMS params{};
    EXPECT_EQ(cuGraphInstantiateWithParams(&exec, graph_, &params), expected);
    return params;
  }

  CUmodule kernels_ = nullptr;
  CUgraph graph_ = nullptr;
  CUgraphNode node_ = nullptr;  // that Add added last
};

TEST_F(ConditionalTest, IfRunsItsBodyOrElseTheOther) {
  const auto handle = Handle(graph_), alone = Handle(graph_);
  const auto setter = AddSetter(graph_, "from", handle, 0);
  const auto bodies = Add(graph_, handle, CU_GRAPH_COND_TYPE_IF, 2, {setter});
  AddIncrement(bodies[0], 1);
  AddIncrement(bodies[1], 2);
  const auto other_setter = AddSetter(graph_, "from", alone, 0, {node_});
  AddIncrement(Add(graph_, alone, CU_GRAPH_COND_TYPE_IF, 1, {other_setter})[0], 3);
  AddIncrement(graph_, 4, {node_});
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 0, 5), (std::vector<uint32_t>{0, 0, 1, 0, 1}));
  EXPECT_EQ(Launched(exec, 1, 5), (std::vector<uint32_t>{1, 1, 1, 1, 2}));
  EXPECT_EQ(Launched(exec, 7, 5), (std::vector<uint32_t>{7, 2, 1, 2, 3}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, WhileRepeatsItsBodyAndEachLaunchBeginsWithTheDefault) {
  const auto handle = Handle(graph_, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_WHILE)[0];
  const auto first = AddIncrement(body, 1);
  AddSetter(body, "count_down", handle, 0, {first});
  AddIncrement(graph_, 2, {node_});
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 10, 3), (std::vector<uint32_t>{0, 10, 1}));
  EXPECT_EQ(Launched(exec, 5, 3), (std::vector<uint32_t>{0, 15, 2}));
  EXPECT_EQ(Launched(exec, 1, 3), (std::vector<uint32_t>{0, 16, 3}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, WhileOfZeroNeverRuns) {
  const auto handle = Handle(graph_);
  const auto setter = AddSetter(graph_, "from", handle, 0);
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_WHILE, 1, {setter})[0];
  const auto first = AddIncrement(body, 1);
  AddSetter(body, "count_down", handle, 0, {first});
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 0, 2), (std::vector<uint32_t>{0, 0}));
  EXPECT_EQ(Launched(exec, 3, 2), (std::vector<uint32_t>{0, 3}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, SwitchRunsTheBodyOfTheNumberAndNoneBeyond) {
  const auto handle = Handle(graph_);
  const auto setter = AddSetter(graph_, "from", handle, 0);
  const auto bodies = Add(graph_, handle, CU_GRAPH_COND_TYPE_SWITCH, 3, {setter});
  for (unsigned i = 0; i < 3; ++i) AddIncrement(bodies[i], 1 + i);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 1, 4), (std::vector<uint32_t>{1, 0, 1, 0}));
  EXPECT_EQ(Launched(exec, 0, 4), (std::vector<uint32_t>{0, 1, 1, 0}));
  EXPECT_EQ(Launched(exec, 2, 4), (std::vector<uint32_t>{2, 1, 1, 1}));
  EXPECT_EQ(Launched(exec, 3, 4), (std::vector<uint32_t>{3, 1, 1, 1}));
  EXPECT_EQ(Launched(exec, ~0u, 4), (std::vector<uint32_t>{~0u, 1, 1, 1}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

// WHILE [ IF [ graph [ word 1 ] ], word 2 ], where the inner condition is word 3's; its handle is one of the body's.
TEST_F(ConditionalTest, BodiesHaveConditionalNodesAndGraphsInThem) {
  const auto outer = Handle(graph_, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
  const CUgraph loop = Add(graph_, outer, CU_GRAPH_COND_TYPE_WHILE)[0];
  const auto inner = Handle(loop);
  const auto setter = AddSetter(loop, "from", inner, 3);
  const CUgraph body = Add(loop, inner, CU_GRAPH_COND_TYPE_IF, 1, {setter})[0];
  CUgraph child;
  ASSERT_EQ(cuGraphCreate(&child, 0), CUDA_SUCCESS);
  AddIncrement(child, 1);
  CUgraphNode in_body;
  ASSERT_EQ(cuGraphAddChildGraphNode(&in_body, body, nullptr, 0, child), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(child), CUDA_SUCCESS);
  const auto counter = AddIncrement(loop, 2, {node_});
  AddSetter(loop, "count_down", outer, 0, {counter});
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 4, 3), (std::vector<uint32_t>{0, 0, 4}));
  SetWord(3, 1);
  EXPECT_EQ(Launched(exec, 4, 3), (std::vector<uint32_t>{0, 4, 8}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, ACaptureFillsABody) {
  const auto handle = Handle(graph_, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_WHILE)[0];
  ASSERT_EQ(cuStreamBeginCaptureToGraph(other_, body, nullptr, nullptr, 0, CU_STREAM_CAPTURE_MODE_GLOBAL),
            CUDA_SUCCESS);
  CUdeviceptr counted = Word(1), left = Word(0);
  CUgraphConditionalHandle passed = handle;
  void* increment[] = {&counted};
  void* count_down[] = {&passed, &left};
  EXPECT_EQ(cuLaunchKernel(Function("increment"), 1, 1, 1, 1, 1, 1, 0, other_, increment, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuLaunchKernel(Function("count_down"), 1, 1, 1, 1, 1, 1, 0, other_, count_down, nullptr), CUDA_SUCCESS);
  // Meanwhile the whole is under construction.
  CUgraphExec exec;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph_, 0), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(cuGraphDestroy(graph_), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(cuGraphDestroyNode(node_), CUDA_ERROR_ILLEGAL_STATE);
  ASSERT_EQ(cuStreamEndCapture(other_, nullptr), CUDA_SUCCESS);  // it is known
  EXPECT_EQ(Nodes(body).size(), 2u);
  exec = Instantiate(graph_);
  EXPECT_EQ(Launched(exec, 6, 2), (std::vector<uint32_t>{0, 6}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  // Of any other capture the graph has to go somewhere.
  BeginRelaxed(other_);
  EXPECT_EQ(cuStreamEndCapture(other_, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphDestroy(EndCapture(other_)), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, AConditionalNodeJoinsACapture) {
  BeginRelaxed(stream_);
  CUgraph captured;
  CUstreamCaptureStatus status;
  ASSERT_EQ(cuStreamGetCaptureInfo_v2(stream_, &status, nullptr, &captured, nullptr, nullptr), CUDA_SUCCESS);
  const auto handle = Handle(captured, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
  AddIncrement(Add(captured, handle, CU_GRAPH_COND_TYPE_IF)[0], 1);
  ASSERT_EQ(cuStreamUpdateCaptureDependencies(stream_, &node_, 1, CU_STREAM_SET_CAPTURE_DEPENDENCIES), CUDA_SUCCESS);
  ASSERT_EQ(Store(2, 5, stream_), CUDA_SUCCESS);
  const CUgraph graph = EndCapture(stream_);
  EXPECT_EQ(Dependencies(Nodes(graph)[1]), (std::vector{node_}));
  RunGraph(graph);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{0, 1, 5}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, AHandleIsForOneNodeOfItsGraphOrOfGraphsInIt) {
  CUgraphConditionalHandle none = 0;
  EXPECT_EQ(cuGraphConditionalHandleCreate(nullptr, graph_, context_, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphConditionalHandleCreate(&none, graph_, context_, 0, 2), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphConditionalHandleCreate(&none, nullptr, context_, 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphConditionalHandleCreate(&none, graph_, reinterpret_cast<CUcontext>(stream_), 0, 0),
            CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(none, 0u);
  EXPECT_EQ(cuGraphConditionalHandleCreate(&none, graph_, nullptr, 0, 0), CUDA_SUCCESS) << "the current context";

  const auto handle = Handle(graph_);
  CUgraph other;
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  EXPECT_EQ(Refusal(other, Params(handle, CU_GRAPH_COND_TYPE_IF, 1)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
  EXPECT_EQ(Refusal(graph_, Params(handle + 1000, CU_GRAPH_COND_TYPE_IF, 1)), CUDA_ERROR_INVALID_VALUE);
  const auto bodies = Add(graph_, handle, CU_GRAPH_COND_TYPE_IF, 2);
  EXPECT_EQ(Refusal(graph_, Params(handle, CU_GRAPH_COND_TYPE_IF, 1)), CUDA_ERROR_INVALID_VALUE) << "a second node";
  EXPECT_EQ(Refusal(bodies[0], Params(handle, CU_GRAPH_COND_TYPE_IF, 1)), CUDA_ERROR_INVALID_VALUE);
  const auto of_body = Handle(bodies[0]);
  EXPECT_EQ(Refusal(graph_, Params(of_body, CU_GRAPH_COND_TYPE_IF, 1)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Refusal(bodies[1], Params(of_body, CU_GRAPH_COND_TYPE_IF, 1)), CUDA_ERROR_INVALID_VALUE);
  Add(bodies[0], of_body, CU_GRAPH_COND_TYPE_IF);
}

TEST_F(ConditionalTest, TypeSizeAndContextAreLookedAt) {
  const auto handle = Handle(graph_);
  const struct {
    CUgraphConditionalNodeType type;
    unsigned size;
    CUresult expected;
  } cases[] = {{CU_GRAPH_COND_TYPE_IF, 0, CUDA_ERROR_INVALID_VALUE},
               {CU_GRAPH_COND_TYPE_IF, 3, CUDA_ERROR_INVALID_VALUE},
               {CU_GRAPH_COND_TYPE_WHILE, 0, CUDA_ERROR_INVALID_VALUE},
               {CU_GRAPH_COND_TYPE_WHILE, 2, CUDA_ERROR_INVALID_VALUE},
               {CU_GRAPH_COND_TYPE_SWITCH, 0, CUDA_ERROR_INVALID_VALUE},
               {CU_GRAPH_COND_TYPE_SWITCH, ~0u, CUDA_ERROR_OUT_OF_MEMORY},
               {static_cast<CUgraphConditionalNodeType>(3), 1, CUDA_ERROR_INVALID_VALUE}};
  for (const auto& each : cases) {
    EXPECT_EQ(Refusal(graph_, Params(handle, each.type, each.size)), each.expected) << each.type << " " << each.size;
  }
  CUcontext second;
  ASSERT_EQ(cuCtxCreate_v2(&second, 0, 0), CUDA_SUCCESS);
  CUgraphNodeParams params = Params(handle, CU_GRAPH_COND_TYPE_IF, 1);
  params.conditional.ctx = second;
  EXPECT_EQ(Refusal(graph_, params), CUDA_ERROR_INVALID_VALUE) << "not the handle's context";
  params.conditional.ctx = context_;
  params.reserved1[28] = 1;
  EXPECT_EQ(Refusal(graph_, params), CUDA_ERROR_INVALID_VALUE);
  params.reserved1[28] = 0;
  EXPECT_EQ(Refusal(graph_, params), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxDestroy_v2(second), CUDA_SUCCESS);
}

void CUDA_CB Nothing(void*) {}

TEST_F(ConditionalTest, BodiesHaveNothingElse) {
  const auto handle = Handle(graph_);
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_IF)[0];
  CUgraph child, inner;
  CUgraphNode whole, offender;
  ASSERT_EQ(cuGraphCreate(&child, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddChildGraphNode(&whole, body, nullptr, 0, child), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(child), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphChildGraphNodeGetGraph(whole, &inner), CUDA_SUCCESS);
  const auto expect_refused = [&](const char* what) {
    const auto refused = Refused(CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(refused.result_out, CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE) << what;
    EXPECT_EQ(refused.hErrNode_out, offender) << what;
    EXPECT_EQ(cuGraphDestroyNode(offender), CUDA_SUCCESS);
  };
  const CUDA_HOST_NODE_PARAMS host{&Nothing, nullptr};
  ASSERT_EQ(cuGraphAddHostNode(&offender, inner, nullptr, 0, &host), CUDA_SUCCESS);
  expect_refused("a host function in a graph in the body");
  ASSERT_EQ(cuGraphAddEventRecordNode(&offender, body, nullptr, 0, event_), CUDA_SUCCESS);
  expect_refused("a record");
  uint32_t pageable = 0;
  CUDA_MEMCPY3D copy = ReadParams(0, 0);
  copy.dstHost = &pageable;
  ASSERT_EQ(cuGraphAddMemcpyNode(&offender, body, nullptr, 0, &copy, context_), CUDA_SUCCESS);
  expect_refused("pageable memory");
  CUcontext second;
  ASSERT_EQ(cuCtxCreate_v2(&second, 0, 0), CUDA_SUCCESS);
  const CUDA_MEMSET_NODE_PARAMS fill{Word(1), 0, 9, 4, 1, 1};
  ASSERT_EQ(cuGraphAddMemsetNode(&offender, body, nullptr, 0, &fill, second), CUDA_SUCCESS);
  expect_refused("another context");
  CUgraphConditionalHandle of_second;
  ASSERT_EQ(cuGraphConditionalHandleCreate(&of_second, body, second, 0, 0), CUDA_SUCCESS);
  Add(body, of_second, CU_GRAPH_COND_TYPE_IF);
  offender = node_;
  EXPECT_EQ(Refused(CUDA_ERROR_INVALID_VALUE).hErrNode_out, offender) << "another context's condition";
  EXPECT_EQ(cuCtxDestroy_v2(second), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, CopiesAndMemsetsRunInABody) {
  const auto handle = Handle(graph_, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_IF)[0];
  CUgraphNode fill, copy, empty;
  const CUDA_MEMSET_NODE_PARAMS fill_params{Word(1), 0, 9, 4, 1, 1};
  const CUDA_MEMCPY3D read = ReadParams(0, 1);
  ASSERT_EQ(cuGraphAddMemsetNode(&fill, body, nullptr, 0, &fill_params, context_), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEmptyNode(&empty, body, &fill, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, body, &empty, 1, &read, context_), CUDA_SUCCESS);
  words_[0] = 0;
  RunGraph(graph_);
  EXPECT_EQ(words_[0], 9u);
}

TEST_F(ConditionalTest, AHandleWithoutANodeKeepsTheGraphFromRunning) {
  const auto handle = Handle(graph_);
  EXPECT_EQ(Refused(CUDA_ERROR_INVALID_VALUE).result_out, CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED);
  CUgraphExec exec;
  char log[64] = "";
  EXPECT_EQ(cuGraphInstantiate_v2(&exec, graph_, nullptr, log, sizeof log), CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(std::string(log), "");
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_IF)[0];
  RunGraph(graph_);
  Handle(body);
  EXPECT_EQ(Refused(CUDA_ERROR_INVALID_VALUE).result_out, CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED);
  // With the node its bodies' handles are gone, and its own is for another.
  ASSERT_EQ(cuGraphDestroyNode(node_), CUDA_SUCCESS);
  Add(graph_, handle, CU_GRAPH_COND_TYPE_WHILE);
  RunGraph(graph_);
}

TEST_F(ConditionalTest, ItsGraphIsNotCopied) {
  const auto handle = Handle(graph_);
  CUgraph other;
  CUgraphNode node;
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  CUgraphNodeParams moved{};
  moved.type = CU_GRAPH_NODE_TYPE_GRAPH;
  moved.graph = {graph_, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE};
  EXPECT_EQ(cuGraphAddNode(&node, other, nullptr, 0, &moved), CUDA_ERROR_NOT_SUPPORTED) << "with a handle";
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_IF)[0];
  CUgraph clone;
  EXPECT_EQ(cuGraphClone(&clone, graph_), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphAddChildGraphNode(&node, other, nullptr, 0, graph_), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphAddNode(&node, other, nullptr, 0, &moved), CUDA_ERROR_NOT_SUPPORTED);
  CUgraphExec exec = Instantiate(graph_), second;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&second, graph_, 0), CUDA_ERROR_NOT_SUPPORTED);
  BeginRelaxed(other_);
  EXPECT_EQ(cuGraphLaunch(exec, other_), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphDestroy(EndCapture(other_)), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  RunGraph(graph_);
  // A body belongs to its node, but can be copied.
  EXPECT_EQ(cuGraphDestroy(body), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphInstantiateWithFlags(&second, body, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphClone(&clone, body), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(clone), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphAddChildGraphNode(&node, body, nullptr, 0, body), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, NodesAndBodiesAreKnownUntilTheNodeIsDestroyed) {
  const auto bodies = Add(graph_, Handle(graph_), CU_GRAPH_COND_TYPE_IF, 2);
  EXPECT_EQ(TypeOfNode(node_), CU_GRAPH_NODE_TYPE_CONDITIONAL);
  EXPECT_EQ(Nodes(graph_), (std::vector{node_}));
  const auto inside = AddIncrement(bodies[1], 1);
  EXPECT_EQ(Nodes(bodies[1]), (std::vector{inside}));
  EXPECT_TRUE(Nodes(bodies[0]).empty());
  CUgraph child;
  EXPECT_EQ(cuGraphChildGraphNodeGetGraph(node_, &child), CUDA_ERROR_INVALID_VALUE);
  const std::string path = testing::TempDir() + "outboard_conditional_test.dot";
  ASSERT_EQ(cuGraphDebugDotPrint(graph_, path.c_str(), 0), CUDA_SUCCESS);
  std::ifstream file(path);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  EXPECT_NE(text.find("CONDITIONAL\\nIF"), std::string::npos) << text;
  EXPECT_NE(text.find("cluster_graph_0_1"), std::string::npos) << text;
  EXPECT_NE(text.find("increment"), std::string::npos) << text;
  ASSERT_EQ(cuGraphDestroyNode(node_), CUDA_SUCCESS);
  size_t count;
  EXPECT_EQ(cuGraphGetNodes(bodies[0], nullptr, &count), CUDA_ERROR_INVALID_VALUE);
  CUgraphNodeType type;
  EXPECT_EQ(cuGraphNodeGetType(inside, &type), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(ConditionalTest, ACycleInABodyIsFound) {
  const CUgraph body = Add(graph_, Handle(graph_), CU_GRAPH_COND_TYPE_IF)[0];
  const auto a = AddIncrement(body, 1), b = AddIncrement(body, 1, {a});
  ASSERT_EQ(cuGraphAddDependencies(body, &b, &a, 1), CUDA_SUCCESS);
  const auto refused = Refused(CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(refused.hErrNode_out == a || refused.hErrNode_out == b);
}

TEST_F(ConditionalTest, NodesOfABodyChangeAndAreDisabledInAnExecutableGraph) {
  const auto handle = Handle(graph_, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
  const CUgraph body = Add(graph_, handle, CU_GRAPH_COND_TYPE_WHILE)[0];
  const auto counted = AddIncrement(body, 1);
  AddSetter(body, "count_down", handle, 0, {counted});
  CUgraphExec exec = Instantiate(graph_);
  CUdeviceptr elsewhere = Word(2);
  void* arguments[] = {&elsewhere};
  CUDA_KERNEL_NODE_PARAMS params = StoreParams(arguments);
  params.func = Function("increment");
  ASSERT_EQ(cuGraphExecKernelNodeSetParams_v2(exec, counted, &params), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 3, 3), (std::vector<uint32_t>{0, 0, 3}));
  ASSERT_EQ(cuGraphNodeSetEnabled(exec, counted, 0), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 3, 3), (std::vector<uint32_t>{0, 0, 3}));
  EXPECT_EQ(cuGraphNodeSetEnabled(exec, node_, 0), CUDA_ERROR_INVALID_VALUE);
  CUgraphNodeParams same = Params(handle, CU_GRAPH_COND_TYPE_WHILE, 1);
  EXPECT_EQ(cuGraphExecNodeSetParams(exec, node_, &same), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphNodeSetParams(node_, &same), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

class ConditionalUpdateTest : public ConditionalTest {
 protected:
  // WHILE [ increment the word, count word 0 down ], with the default.
  CUgraphConditionalHandle Fill(CUgraph graph, unsigned value, unsigned word,
                                CUgraphConditionalNodeType type = CU_GRAPH_COND_TYPE_WHILE, unsigned size = 1) {
    const auto handle = Handle(graph, value, CU_GRAPH_COND_ASSIGN_DEFAULT);
    const CUgraph body = Add(graph, handle, type, size)[0];
    const auto counted = AddIncrement(body, word);
    AddSetter(body, "count_down", handle, 0, {counted});
    return handle;
  }

  CUgraphExecUpdateResult Update(CUgraphExec exec, CUgraph graph, CUresult expected) {
    CUgraphExecUpdateResultInfo info{};
    EXPECT_EQ(cuGraphExecUpdate_v2(exec, graph, &info), expected);
    return info.result;
  }
};

TEST_F(ConditionalUpdateTest, TakesTheOtherGraphsConditionAndNodes) {
  Fill(graph_, 1, 1);
  CUgraphExec exec = Instantiate(graph_);
  CUgraph other;
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  Fill(other, 0, 2);
  EXPECT_EQ(Update(exec, other, CUDA_SUCCESS), CU_GRAPH_EXEC_UPDATE_SUCCESS);
  EXPECT_EQ(Launched(exec, 3, 3), (std::vector<uint32_t>{3, 0, 0})) << "the default is 0";
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  Fill(other, 9, 2);
  EXPECT_EQ(Update(exec, other, CUDA_SUCCESS), CU_GRAPH_EXEC_UPDATE_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
  EXPECT_EQ(Launched(exec, 3, 3), (std::vector<uint32_t>{0, 0, 3}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalUpdateTest, ChangesNeitherTypeNorSizeNorTheShapeOfABody) {
  Fill(graph_, 1, 1, CU_GRAPH_COND_TYPE_SWITCH, 2);
  CUgraphExec exec = Instantiate(graph_);
  const auto result_of = [&](auto fill) {
    CUgraph other;
    EXPECT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
    fill(other);
    const auto result = Update(exec, other, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
    return result;
  };
  EXPECT_EQ(result_of([&](CUgraph other) { Fill(other, 1, 1, CU_GRAPH_COND_TYPE_IF, 2); }),
            CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED);
  EXPECT_EQ(result_of([&](CUgraph other) { Fill(other, 1, 1, CU_GRAPH_COND_TYPE_SWITCH, 3); }),
            CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED);
  EXPECT_EQ(result_of([&](CUgraph other) { Add(other, Handle(other), CU_GRAPH_COND_TYPE_SWITCH, 2); }),
            CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
  EXPECT_EQ(result_of([&](CUgraph other) { AddIncrement(other, 1); }), CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED);
  EXPECT_EQ(Launched(exec, 5, 2), (std::vector<uint32_t>{5, 0})) << "the body of 0 did not run";
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(ConditionalTest, AConditionMayBeSetOutsideOfItsGraph) {
  const auto handle = Handle(graph_, 1, CU_GRAPH_COND_ASSIGN_DEFAULT);
  CUdeviceptr address = Word(0);
  CUgraphConditionalHandle passed = handle;
  void* arguments[] = {&passed, &address};
  EXPECT_EQ(cuLaunchKernel(Function("from"), 1, 1, 1, 1, 1, 1, 0, stream_, arguments, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
