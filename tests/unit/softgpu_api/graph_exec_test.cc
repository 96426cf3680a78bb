#include <sched.h>

#include <atomic>
#include <cstdlib>

#include "tests/unit/softgpu_api/graph_fixture.h"

// Executable graphs: launches, and what may be changed in them.

namespace outboard::softgpu::api {
namespace {

class GraphExecTest : public GraphFixture {
 protected:
  void SetUp() override {
    GraphFixture::SetUp();
    ASSERT_EQ(cuGraphCreate(&graph_, 0), CUDA_SUCCESS);
  }

  void TearDown() override {
    if (exec_) {
      EXPECT_EQ(cuGraphExecDestroy(exec_), CUDA_SUCCESS);
    }
    EXPECT_EQ(cuGraphDestroy(graph_), CUDA_SUCCESS);
    GraphFixture::TearDown();
  }

  void Instantiate() { ASSERT_EQ(cuGraphInstantiateWithFlags(&exec_, graph_, 0), CUDA_SUCCESS); }

  void Launch() { ASSERT_EQ(cuGraphLaunch(exec_, stream_), CUDA_SUCCESS); }

  CUgraphNode AddRead(CUgraph graph, unsigned to_host, unsigned from_device, const std::vector<CUgraphNode>& after) {
    const auto params = ReadParams(to_host, from_device);
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddMemcpyNode(&node, graph, after.data(), after.size(), &params, context_), CUDA_SUCCESS);
    return node;
  }

  CUgraphNode AddFill(CUgraph graph, const CUDA_MEMSET_NODE_PARAMS& params) {
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddMemsetNode(&node, graph, nullptr, 0, &params, context_), CUDA_SUCCESS);
    return node;
  }

  // Another graph for the time of a test.
  struct Other {
    Other() { EXPECT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS); }
    ~Other() { EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS); }
    CUgraph graph = nullptr;
  };

  // What an update to `graph` says: result, node and where its edge comes from.
  void ExpectUpdate(CUgraph graph, CUgraphExecUpdateResult result, CUgraphNode node = nullptr,
                    CUgraphNode from = nullptr) {
    CUgraphExecUpdateResultInfo info{};
    EXPECT_EQ(cuGraphExecUpdate_v2(exec_, graph, &info),
              result == CU_GRAPH_EXEC_UPDATE_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    EXPECT_EQ(info.result, result);
    EXPECT_EQ(info.errorNode, node);
    EXPECT_EQ(info.errorFromNode, from);
  }

  CUgraph graph_ = nullptr;
  CUgraphExec exec_ = nullptr;
};

TEST_F(GraphExecTest, ALaunchWaitsForItsStreamAndHoldsIt) {
  AddStore(graph_, 0, 1);
  Instantiate();
  words_[0] = words_[1] = 0;
  ASSERT_EQ(cuStreamWaitValue32_v2(stream_, reinterpret_cast<CUdeviceptr>(words_), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  Launch();
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&words_[1], device_, 4, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_ERROR_NOT_READY);
  std::atomic_ref(words_[0]).store(1);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(words_[1], 1u);
}

TEST_F(GraphExecTest, LaunchesOfOneGraphRunOneAfterTheOther) {
  AddStore(graph_, 0, 1);
  Instantiate();
  words_[0] = 0;
  ASSERT_EQ(cuStreamWaitValue32_v2(stream_, reinterpret_cast<CUdeviceptr>(words_), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  Launch();
  ASSERT_EQ(cuGraphLaunch(exec_, other_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(other_), CUDA_ERROR_NOT_READY);
  // Another one made of the same graph does not wait.
  CUgraphExec second;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&second, graph_, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(second, blocking_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(blocking_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(other_), CUDA_ERROR_NOT_READY);
  std::atomic_ref(words_[0]).store(1);
  EXPECT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(second), CUDA_SUCCESS);
}

TEST_F(GraphExecTest, IsItsOwnCopyAndLaunchesAreTheirs) {
  CUgraphNode node = AddStore(graph_, 0, 1);
  Instantiate();
  uint32_t value = 2;
  CUdeviceptr to = Word(0);
  void* arguments[] = {&to, &value};
  const auto params = StoreParams(arguments);
  ASSERT_EQ(cuGraphKernelNodeSetParams_v2(node, &params), CUDA_SUCCESS);
  AddStore(graph_, 1, 9);
  Launch();
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{1, 0}));

  // A change means the later launches, not the queued one.
  words_[0] = 0;
  ASSERT_EQ(cuStreamWaitValue32_v2(stream_, reinterpret_cast<CUdeviceptr>(words_), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(Word(0), 0, 1, stream_), CUDA_SUCCESS);
  Launch();
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&words_[1], device_, 4, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphExecKernelNodeSetParams_v2(exec_, node, &params), CUDA_SUCCESS);
  Launch();
  std::atomic_ref(words_[0]).store(1);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{2, 0}));
  EXPECT_EQ(words_[1], 1u);
}

TEST_F(GraphExecTest, ParametersOfEachTypeCanBeSet) {
  CUevent other;
  ASSERT_EQ(cuEventCreate(&other, 0), CUDA_SUCCESS);
  CUgraphNode kernel = AddStore(graph_, 0, 1);
  CUgraphNode fill = AddFill(graph_, {Word(1), 0, 1, 4, 1, 1});
  CUgraphNode copy = AddRead(graph_, 0, 0, {kernel, fill});
  CUgraphNode host, record, wait, child;
  CUDA_HOST_NODE_PARAMS host_params{[](void* data) { ++*static_cast<uint32_t*>(data); }, &words_[0]};
  ASSERT_EQ(cuGraphAddHostNode(&host, graph_, &copy, 1, &host_params), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEventRecordNode(&record, graph_, &host, 1, other), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddEventWaitNode(&wait, graph_, &record, 1, other), CUDA_SUCCESS);
  Other inner, changed;
  AddStore(inner.graph, 2, 1);
  AddStore(changed.graph, 2, 8);
  ASSERT_EQ(cuGraphAddChildGraphNode(&child, graph_, nullptr, 0, inner.graph), CUDA_SUCCESS);
  Instantiate();

  uint32_t value = 4;
  CUdeviceptr to = Word(0);
  void* arguments[] = {&to, &value};
  const CUDA_KERNEL_NODE_PARAMS_v1 kernel_params{store_, 1, 1, 1, 1, 1, 1, 0, arguments, nullptr};
  const CUDA_MEMSET_NODE_PARAMS fill_params{Word(1), 0, 5, 4, 1, 1};
  const auto copy_params = ReadParams(1, 1);
  host_params.userData = &words_[1];
  EXPECT_EQ(cuGraphExecKernelNodeSetParams(exec_, kernel, &kernel_params), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecMemsetNodeSetParams(exec_, fill, &fill_params, context_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(exec_, copy, &copy_params, context_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecHostNodeSetParams(exec_, host, &host_params), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecEventRecordNodeSetEvent(exec_, record, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecEventWaitNodeSetEvent(exec_, wait, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(exec_, child, changed.graph), CUDA_SUCCESS);
  words_[0] = words_[1] = 0;
  Launch();
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{4, 5, 8}));
  EXPECT_EQ(words_[0], 0u);
  EXPECT_EQ(words_[1], 6u);
  float milliseconds;
  EXPECT_EQ(cuEventElapsedTime_v2(&milliseconds, event_, event_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventElapsedTime_v2(&milliseconds, other, other), CUDA_ERROR_INVALID_HANDLE);  // never recorded

  CUgraphNodeParams params{};
  params.type = CU_GRAPH_NODE_TYPE_MEMSET;
  params.memset = {Word(1), 0, 7, 4, 1, 1, context_};
  EXPECT_EQ(cuGraphExecNodeSetParams(exec_, fill, &params), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecNodeSetParams(exec_, copy, &params), CUDA_ERROR_INVALID_VALUE);
  Launch();
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{4, 7}));
  EXPECT_EQ(cuEventDestroy_v2(other), CUDA_SUCCESS);
}

TEST_F(GraphExecTest, RefusesChangesThatCudaRefuses) {
  CUgraphNode wide = AddFill(graph_, {Word(0), 16, 1, 4, 2, 2});
  CUgraphNode copy = AddRead(graph_, 0, 0, {wide});
  CUDA_MEMCPY3D two_rows = ReadParams(0, 0);
  two_rows.Height = 2;
  two_rows.srcPitch = two_rows.dstPitch = 8;
  CUgraphNode rows;
  ASSERT_EQ(cuGraphAddMemcpyNode(&rows, graph_, nullptr, 0, &two_rows, context_), CUDA_SUCCESS);
  CUgraphNode removed = AddStore(graph_, 3, 3);
  Other other;
  CUgraphNode foreign = AddStore(other.graph, 0, 1);
  Instantiate();
  ASSERT_EQ(cuGraphDestroyNode(removed), CUDA_SUCCESS);

  const CUDA_MEMSET_NODE_PARAMS narrower{Word(0), 16, 1, 4, 1, 2}, moved{Word(8), 16, 2, 4, 2, 2};
  EXPECT_EQ(cuGraphExecMemsetNodeSetParams(exec_, wide, &narrower, context_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecMemsetNodeSetParams(exec_, wide, &moved, context_), CUDA_SUCCESS);
  CUDA_MEMCPY3D to_device = ReadParams(0, 0);
  to_device.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  to_device.dstDevice = Word(4);
  EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(exec_, copy, &to_device, context_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(exec_, copy, &two_rows, context_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecMemcpyNodeSetParams(exec_, rows, &two_rows, context_), CUDA_ERROR_INVALID_VALUE);
  const CUDA_HOST_NODE_PARAMS host{[](void*) {}, nullptr};
  EXPECT_EQ(cuGraphExecHostNodeSetParams(exec_, copy, &host), CUDA_ERROR_INVALID_VALUE);
  uint32_t value = 4;
  CUdeviceptr to = Word(0);
  void* arguments[] = {&to, &value};
  const auto kernel = StoreParams(arguments);
  EXPECT_EQ(cuGraphExecKernelNodeSetParams_v2(exec_, removed, &kernel), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecKernelNodeSetParams_v2(exec_, foreign, &kernel), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecKernelNodeSetParams_v2(nullptr, foreign, &kernel), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(exec_, copy, other.graph), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphExecTest, UpdatesToAGraphOfTheSameShape) {
  CUgraphNode first = AddStore(graph_, 0, 1);
  CUgraphNode second = AddStore(graph_, 1, 2, {first});
  AddStore(graph_, 2, 3, {first, second});
  Instantiate();
  // The same shape, made in another order.
  Other other;
  CUgraphNode b = AddStore(other.graph, 1, 5);
  CUgraphNode a = AddStore(other.graph, 0, 4);
  CUgraphNode c = AddStore(other.graph, 2, 6, {a, b});
  (void)c;
  ASSERT_EQ(cuGraphAddDependencies(other.graph, &a, &b, 1), CUDA_SUCCESS);
  ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_SUCCESS);
  Launch();
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{4, 5, 6}));
  // It is still the first graph's nodes that name its own.
  uint32_t value = 7;
  CUdeviceptr to = Word(0);
  void* arguments[] = {&to, &value};
  const auto params = StoreParams(arguments);
  EXPECT_EQ(cuGraphExecKernelNodeSetParams_v2(exec_, first, &params), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecKernelNodeSetParams_v2(exec_, a, &params), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphExecTest, AnUpdateSaysWhatDoesNotFit) {
  CUgraphNode first = AddStore(graph_, 0, 1);
  AddRead(graph_, 0, 0, {first});
  Instantiate();
  {
    Other other;  // fewer nodes
    AddStore(other.graph, 0, 1);
    ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
  }
  {
    Other other;  // more nodes at the end
    AddStore(other.graph, 0, 1);
    CUgraphNode read = AddRead(other.graph, 0, 0, {});
    ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, read);
  }
  {
    Other other;  // another type
    CUgraphNode store = AddStore(other.graph, 0, 1), last = AddStore(other.graph, 0, 1, {store});
    ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED, last);
  }
  {
    Other other;  // a copy inside the device
    CUDA_MEMCPY3D params = ReadParams(0, 0);
    params.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    params.dstDevice = Word(1);
    CUgraphNode store = AddStore(other.graph, 0, 9), copy;
    ASSERT_EQ(cuGraphAddMemcpyNode(&copy, other.graph, &store, 1, &params, context_), CUDA_SUCCESS);
    ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED, copy);
    CUgraphNode node = nullptr;
    CUgraphExecUpdateResult result{};
    EXPECT_EQ(cuGraphExecUpdate(exec_, other.graph, &node, &result), CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    EXPECT_EQ(node, copy);
    EXPECT_EQ(result, CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED);
  }
  CUgraphExecUpdateResultInfo info{};
  EXPECT_EQ(cuGraphExecUpdate_v2(exec_, nullptr, &info), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(info.result, CU_GRAPH_EXEC_UPDATE_ERROR);
  EXPECT_EQ(cuGraphExecUpdate_v2(exec_, graph_, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphExecTest, AnUpdateThatDoesNotFitChangesNothing) {
  AddStore(graph_, 0, 1, {AddFill(graph_, {Word(4), 8, 1, 4, 1, 2})});
  Instantiate();
  Other other;
  CUgraphNode wider = AddFill(other.graph, {Word(4), 8, 1, 4, 2, 2});
  AddStore(other.graph, 0, 9, {wider});
  ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED, wider);
  Launch();
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{1}));
}

TEST_F(GraphExecTest, AnUpdateSaysWhichEdgeDoesNotFit) {
  CUgraphNode a = AddStore(graph_, 0, 1), b = AddStore(graph_, 1, 1);
  AddStore(graph_, 2, 1, {a, b});
  AddStore(graph_, 3, 1, {a, b});
  Instantiate();
  {
    Other other;  // one edge less
    CUgraphNode c = AddStore(other.graph, 0, 1), d = AddStore(other.graph, 1, 1);
    AddStore(other.graph, 2, 1, {c, d});
    CUgraphNode lacks = AddStore(other.graph, 3, 1, {c});
    ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, lacks);
  }
  {
    Other other;  // edges in another order: their nodes have other partners
    CUgraphNode c = AddStore(other.graph, 0, 1), d = AddStore(other.graph, 1, 1);
    AddStore(other.graph, 2, 1, {c, d});
    CUgraphNode crossed = AddStore(other.graph, 3, 1, {d, c});
    ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, crossed, d);
  }
}

TEST_F(GraphExecTest, AKernelStaysInItsContext) {
  AddStore(graph_, 0, 1);
  Instantiate();
  CUcontext context;
  CUmodule module;
  CUfunction store;
  CUdeviceptr memory;
  ASSERT_EQ(cuCtxCreate_v2(&context, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleLoadData(&module, kTestPtx), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&store, module, "store"), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&memory, 4), CUDA_SUCCESS);
  {
    Other other;
    uint32_t value = 4;
    void* arguments[] = {&memory, &value};
    auto params = StoreParams(arguments);
    params.func = store;
    CUgraphNode node;
    ASSERT_EQ(cuGraphAddKernelNode_v2(&node, other.graph, nullptr, 0, &params), CUDA_SUCCESS);
    ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_ERROR_UNSUPPORTED_FUNCTION_CHANGE, node);
    // A graph may have kernels of another context, and of another device, than that of the stream.
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
    RunGraph(other.graph);
    uint32_t seen = 0;
    ASSERT_EQ(cuMemcpyDtoH_v2(&seen, memory, 4), CUDA_SUCCESS);
    EXPECT_EQ(seen, 4u);
  }
  ASSERT_EQ(cuCtxDestroy_v2(context), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
}

TEST_F(GraphExecTest, UpdatesChildGraphs) {
  Other inner, changed, other, longer;
  AddStore(inner.graph, 0, 1);
  AddStore(changed.graph, 0, 2);
  AddStore(longer.graph, 0, 3);
  AddStore(longer.graph, 1, 3);
  CUgraphNode child, theirs;
  ASSERT_EQ(cuGraphAddChildGraphNode(&child, graph_, nullptr, 0, inner.graph), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddChildGraphNode(&theirs, other.graph, nullptr, 0, changed.graph), CUDA_SUCCESS);
  Instantiate();
  EXPECT_EQ(cuGraphExecChildGraphNodeSetParams(exec_, child, longer.graph), CUDA_ERROR_INVALID_VALUE);
  ExpectUpdate(other.graph, CU_GRAPH_EXEC_UPDATE_SUCCESS);
  Launch();
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{2}));
  // A node inside can be named as well.
  CUgraph embedded;
  ASSERT_EQ(cuGraphChildGraphNodeGetGraph(child, &embedded), CUDA_SUCCESS);
  uint32_t value = 6;
  CUdeviceptr to = Word(0);
  void* arguments[] = {&to, &value};
  const auto params = StoreParams(arguments);
  ASSERT_EQ(cuGraphExecKernelNodeSetParams_v2(exec_, Nodes(embedded)[0], &params), CUDA_SUCCESS);
  Launch();
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{6}));
}

TEST_F(GraphExecTest, NodesCanBeDisabled) {
  CUgraphNode first = AddStore(graph_, 0, 1);
  AddStore(graph_, 1, 2, {first});
  CUgraphNode empty;
  ASSERT_EQ(cuGraphAddEmptyNode(&empty, graph_, nullptr, 0), CUDA_SUCCESS);
  Instantiate();
  unsigned enabled = 0;
  EXPECT_EQ(cuGraphNodeGetEnabled(exec_, first, &enabled), CUDA_SUCCESS);
  EXPECT_EQ(enabled, 1u);
  EXPECT_EQ(cuGraphNodeSetEnabled(exec_, first, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphNodeGetEnabled(exec_, first, &enabled), CUDA_SUCCESS);
  EXPECT_EQ(enabled, 0u);
  Launch();
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{0, 2}));
  EXPECT_EQ(cuGraphNodeSetEnabled(exec_, first, 1), CUDA_SUCCESS);
  Launch();
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{1, 2}));
  EXPECT_EQ(cuGraphNodeSetEnabled(exec_, empty, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphNodeGetEnabled(exec_, first, nullptr), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphExecTest, UserObjectsLiveAsLongAsTheirGraphs) {
  std::atomic<int> destroyed{0};
  const auto destroy = [](void* count) { ++*static_cast<std::atomic<int>*>(count); };
  const auto wait_for = [&](int count) {
    while (destroyed < count) sched_yield();  // it is destroyed by another thread, some time
  };
  constexpr unsigned kFlags = CU_USER_OBJECT_NO_DESTRUCTOR_SYNC;
  CUuserObject object;
  EXPECT_EQ(cuUserObjectCreate(&object, &destroyed, destroy, 1, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuUserObjectCreate(&object, &destroyed, destroy, 0, kFlags), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuUserObjectCreate(&object, &destroyed, nullptr, 1, kFlags), CUDA_ERROR_INVALID_VALUE);

  ASSERT_EQ(cuUserObjectCreate(&object, &destroyed, destroy, 1, kFlags), CUDA_SUCCESS);
  ASSERT_EQ(cuUserObjectRetain(object, 2), CUDA_SUCCESS);
  EXPECT_EQ(cuUserObjectRelease(object, 4), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuUserObjectRelease(object, 3), CUDA_SUCCESS);
  wait_for(1);
  EXPECT_EQ(cuUserObjectRetain(object, 1), CUDA_ERROR_INVALID_VALUE);  // gone

  CUgraph graph;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuUserObjectCreate(&object, &destroyed, destroy, 1, kFlags), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphRetainUserObject(graph, object, 1, 2), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuGraphRetainUserObject(graph, object, 1, CU_GRAPH_USER_OBJECT_MOVE), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphRetainUserObject(graph, object, 1, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphReleaseUserObject(graph_, object, 1), CUDA_ERROR_INVALID_VALUE);  // it has none
  ASSERT_EQ(cuGraphReleaseUserObject(graph, object, 1), CUDA_SUCCESS);
  AddStore(graph, 0, 1);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec_, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  words_[0] = 0;
  ASSERT_EQ(cuStreamWaitValue32_v2(stream_, reinterpret_cast<CUdeviceptr>(words_), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  Launch();
  ASSERT_EQ(cuGraphExecDestroy(exec_), CUDA_SUCCESS);
  exec_ = nullptr;
  EXPECT_EQ(cuUserObjectRetain(object, 1), CUDA_SUCCESS);  // the launch still needs it
  ASSERT_EQ(cuUserObjectRelease(object, 1), CUDA_SUCCESS);
  EXPECT_EQ(destroyed, 1);
  std::atomic_ref(words_[0]).store(1);
  wait_for(2);
}

TEST_F(GraphExecTest, FlagsAndWrongUse) {
  AddStore(graph_, 0, 1);
  const auto upload = CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD;
  const auto priority = CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec_, graph_, upload), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec_, graph_, 16), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec_, graph_, CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH),
            CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphInstantiateWithFlags(nullptr, graph_, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphInstantiateWithFlags(&exec_, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphInstantiateWithParams(&exec_, graph_, nullptr), CUDA_ERROR_INVALID_VALUE);
  CUDA_GRAPH_INSTANTIATE_PARAMS params{};
  params.flags = upload | priority;
  params.hUploadStream = stream_;
  ASSERT_EQ(cuGraphInstantiateWithParams(&exec_, graph_, &params), CUDA_SUCCESS);
  cuuint64_t flags = 0;
  EXPECT_EQ(cuGraphExecGetFlags(exec_, &flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, cuuint64_t{priority});
  EXPECT_EQ(cuGraphExecGetFlags(exec_, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphUpload(exec_, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphUpload(nullptr, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphLaunch(nullptr, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphLaunch(exec_, reinterpret_cast<CUstream>(exec_)), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuGraphLaunch_ptsz(exec_, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphExecDestroy(exec_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphLaunch(exec_, stream_), CUDA_ERROR_INVALID_VALUE);
  exec_ = nullptr;
}

// In a process of its own, since the error stays.
TEST(GraphDeathTest, MemoryThatIsGoneIsAnIllegalAddress) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto run = [] {
    CUcontext context;
    CUdeviceptr memory;
    CUgraph graph;
    CUgraphNode node;
    CUgraphExec exec;
    if (cuInit(0) != CUDA_SUCCESS || cuDevicePrimaryCtxRetain(&context, 0) != CUDA_SUCCESS) return 1;
    if (cuCtxSetCurrent(context) != CUDA_SUCCESS || cuMemAlloc_v2(&memory, 64) != CUDA_SUCCESS) return 2;
    const CUDA_MEMSET_NODE_PARAMS params{memory, 0, 1, 4, 1, 1};
    if (cuGraphCreate(&graph, 0) != CUDA_SUCCESS) return 3;
    if (cuGraphAddMemsetNode(&node, graph, nullptr, 0, &params, nullptr) != CUDA_SUCCESS) return 4;
    if (cuGraphInstantiateWithFlags(&exec, graph, 0) != CUDA_SUCCESS) return 5;
    if (cuMemFree_v2(memory) != CUDA_SUCCESS || cuGraphLaunch(exec, nullptr) != CUDA_SUCCESS) return 6;
    return cuCtxSynchronize() == CUDA_ERROR_ILLEGAL_ADDRESS ? 0 : 7;
  };
  EXPECT_EXIT(exit(run()), testing::ExitedWithCode(0), "a graph's memset needs memory that is not allocated");
}

}  // namespace
}  // namespace outboard::softgpu::api
