#include <atomic>
#include <thread>
#include <utility>

#include "tests/unit/stack/stack.h"

// Memory of graphs through the whole stack: the client says when it is allocated and freed, the worker has it and
// charges the slice for it.

namespace outboard::stack {
namespace {

constexpr size_t kBytes = 1 << 20;

class GraphMemoryTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuMemAlloc_v2(&device_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphCreate(&graph_, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    free_ = Free();
  }

  void TearDown() override {
    if (graph_ != nullptr) {
      EXPECT_EQ(cuGraphDestroy(graph_), CUDA_SUCCESS);
    }
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(Taken(), 0u);
    EXPECT_EQ(Attribute(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT), 0u);
    StackTest::TearDown();
  }

  static size_t Free() {
    size_t free = 0, total;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free;
  }
  // What the slice has less than when the test began.
  size_t Taken() const { return free_ - Free(); }

  static uint64_t Attribute(CUgraphMem_attribute attribute) {
    uint64_t value = 0;
    EXPECT_EQ(cuDeviceGetGraphMemAttribute(0, attribute, &value), CUDA_SUCCESS);
    return value;
  }
  static uint64_t Used() { return Attribute(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT); }

  static CUDA_MEM_ALLOC_NODE_PARAMS AllocParams(size_t bytes = kBytes) {
    CUDA_MEM_ALLOC_NODE_PARAMS params{};
    params.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    params.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    params.bytesize = bytes;
    return params;
  }

  CUresult AddAlloc(CUDA_MEM_ALLOC_NODE_PARAMS params) {
    CUgraphNode node;
    return cuGraphAddMemAllocNode(&node, graph_, nullptr, 0, &params);
  }

  // Nodes that allocate memory and set its first word, which are the last two of the graph.
  CUdeviceptr AddFilled(uint32_t value) {
    CUDA_MEM_ALLOC_NODE_PARAMS params = AllocParams();
    CUgraphNode alloc = nullptr;
    EXPECT_EQ(cuGraphAddMemAllocNode(&alloc, graph_, nullptr, 0, &params), CUDA_SUCCESS);
    AddFill(graph_, params.dptr, value, {alloc});
    return params.dptr;
  }

  void AddFill(CUgraph graph, CUdeviceptr address, uint32_t value, const std::vector<CUgraphNode>& after) {
    const CUDA_MEMSET_NODE_PARAMS params{address, 0, value, 4, 1, 1};
    EXPECT_EQ(cuGraphAddMemsetNode(&last_, graph, after.data(), after.size(), &params, context_), CUDA_SUCCESS);
  }

  // A node that copies the first word to device_, behind the last node that was added to the graph.
  void AddCopy(CUgraph graph, CUdeviceptr address) {
    CUDA_MEMCPY3D params{};
    params.srcMemoryType = params.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    params.srcDevice = address;
    params.dstDevice = device_;
    params.WidthInBytes = 4;
    params.Height = params.Depth = 1;
    const CUgraphNode after = last_;
    ASSERT_EQ(cuGraphAddMemcpyNode(&last_, graph, &after, 1, &params, context_), CUDA_SUCCESS);
  }

  // Behind the last node, if that is one of this graph.
  CUresult AddFree(CUgraph graph, CUdeviceptr address) {
    CUgraphNode node;
    size_t count = 0;
    EXPECT_EQ(cuGraphGetNodes(graph, nullptr, &count), CUDA_SUCCESS);
    return cuGraphAddMemFreeNode(&node, graph, &last_, count == 0 ? 0 : 1, address);
  }

  static CUgraphExec Instantiate(CUgraph graph, unsigned long long flags = 0) {
    CUgraphExec exec = nullptr;
    EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, flags), CUDA_SUCCESS);
    return exec;
  }

  void DestroyGraph() { EXPECT_EQ(cuGraphDestroy(std::exchange(graph_, nullptr)), CUDA_SUCCESS); }

  static uint32_t WordAt(CUdeviceptr address) {
    uint32_t value = 0;
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, address, 4), CUDA_SUCCESS);
    return value;
  }

  CUdeviceptr device_ = 0;
  CUstream stream_ = nullptr;
  CUgraph graph_ = nullptr;
  CUgraphNode last_ = nullptr;
  size_t free_ = 0;
};

TEST_F(GraphMemoryTest, FreedInTheSameGraphItIsLaunchedByOneMessage) {
  const uint64_t at_first = RoundTrips();
  const CUdeviceptr address = AddFilled(7);
  EXPECT_EQ(RoundTrips() - at_first, 1u);
  EXPECT_EQ(Taken(), kBytes);
  AddCopy(graph_, address);
  ASSERT_EQ(AddFree(graph_, address), CUDA_SUCCESS);
  EXPECT_EQ(AddFree(graph_, address), CUDA_ERROR_INVALID_VALUE) << "a second time";
  CUgraphExec exec = Instantiate(graph_);
  const uint64_t commands = Commands(), round_trips = RoundTrips();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Commands() - commands, 3u);
  EXPECT_EQ(RoundTrips(), round_trips);
  EXPECT_EQ(WordAt(device_), 7u);
  EXPECT_EQ(Taken(), kBytes);
  EXPECT_EQ(Used(), 0u);
  EXPECT_GE(Attribute(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH), kBytes);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, LeftAllocatedItIsFreedByACallBeforeTheNextLaunch) {
  const CUdeviceptr address = AddFilled(5);
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE) << "not allocated yet";
  CUstream gone;
  ASSERT_EQ(cuStreamCreate(&gone, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(gone), CUDA_SUCCESS);
  EXPECT_NE(cuGraphLaunch(exec, gone), CUDA_SUCCESS);
  EXPECT_EQ(Used(), 0u) << "by a launch that was refused";
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Used(), kBytes);
  EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(WordAt(address), 5u);
  EXPECT_NE(cuMemFreeAsync(address, gone), CUDA_SUCCESS);
  EXPECT_EQ(Used(), kBytes) << "freed in no stream";
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Used(), 0u);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(Taken(), kBytes) << "the graph still has it";
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, CapturedItOutlivesItsGraphWhileItIsAllocated) {
  CUdeviceptr address, freed;
  CUgraph graph;
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocAsync(&address, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(address, 3, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocAsync(&freed, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(freed, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(device_, stream_), CUDA_ERROR_INVALID_VALUE) << "no graph's memory";
  ASSERT_EQ(cuStreamEndCapture(stream_, &graph), CUDA_SUCCESS);
  CUgraphNode nodes[4];
  size_t count = 4;
  ASSERT_EQ(cuGraphGetNodes(graph, nodes, &count), CUDA_SUCCESS);
  ASSERT_EQ(count, 4u);
  CUDA_MEM_ALLOC_NODE_PARAMS params;
  ASSERT_EQ(cuGraphMemAllocNodeGetParams(nodes[0], &params), CUDA_SUCCESS);
  EXPECT_EQ(params.dptr, address);
  EXPECT_EQ(params.bytesize, kBytes);
  CUdeviceptr told = 0;
  ASSERT_EQ(cuGraphMemFreeNodeGetParams(nodes[3], &told), CUDA_SUCCESS);
  EXPECT_EQ(told, freed);
  CUgraphExec exec = Instantiate(graph);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(Taken(), 2 * kBytes);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(WordAt(address), 3u);
  EXPECT_EQ(Taken(), kBytes);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
}

// The free is the last that is known of the memory: the launch goes out before it is given back.
TEST_F(GraphMemoryTest, AnotherGraphFreesIt) {
  const CUdeviceptr address = AddFilled(4);
  CUgraph other;
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  AddFill(other, address, 9, {});
  AddCopy(other, address);
  ASSERT_EQ(AddFree(other, address), CUDA_SUCCESS);
  EXPECT_EQ(AddFree(other, address), CUDA_ERROR_INVALID_VALUE) << "a second time";
  CUgraphNode node;
  EXPECT_EQ(cuGraphAddMemFreeNode(&node, graph_, nullptr, 0, address), CUDA_ERROR_INVALID_VALUE)
      << "the graphs cannot both free it";
  CUgraphExec allocates = Instantiate(graph_), frees = Instantiate(other);
  EXPECT_EQ(cuGraphLaunch(frees, stream_), CUDA_ERROR_INVALID_VALUE) << "not allocated yet";
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(cuGraphLaunch(allocates, stream_), CUDA_SUCCESS);
    if (i == 1) {
      EXPECT_EQ(cuGraphExecDestroy(allocates), CUDA_SUCCESS);
      DestroyGraph();
    }
    ASSERT_EQ(cuGraphLaunch(frees, stream_), CUDA_SUCCESS);
  }
  EXPECT_EQ(WordAt(device_), 9u);
  EXPECT_EQ(cuGraphLaunch(frees, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecDestroy(frees), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, LaunchesMayFreeWhatIsLeft) {
  const CUdeviceptr address = AddFilled(2);
  constexpr cuuint64_t kFlag = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
  CUgraphExec exec = Instantiate(graph_, kFlag);
  cuuint64_t flags = 0;
  EXPECT_EQ(cuGraphExecGetFlags(exec, &flags), CUDA_SUCCESS);
  EXPECT_EQ(flags, kFlag);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Used(), kBytes);
  EXPECT_EQ(WordAt(address), 2u);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, ItIsGivenBackBehindTheWorkThatUsesIt) {
  std::atomic<bool> may_go{false};
  const CUdeviceptr address = AddFilled(1);
  const CUDA_HOST_NODE_PARAMS wait{[](void* data) {
                                     while (!static_cast<std::atomic<bool>*>(data)->load()) std::this_thread::yield();
                                   },
                                   &may_go};
  ASSERT_EQ(cuGraphAddHostNode(&last_, graph_, &last_, 1, &wait), CUDA_SUCCESS);
  ASSERT_EQ(AddFree(graph_, address), CUDA_SUCCESS);
  CUgraphExec exec = Instantiate(graph_);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  DestroyGraph();
  for (int i = 0; i < 100; ++i) ASSERT_EQ(Taken(), kBytes);  // each time the worker looks what is free
  may_go = true;
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, RefusesWhatCannotBe) {
  EXPECT_EQ(AddAlloc(AllocParams(0)), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(AddAlloc(AllocParams(free_ + 1)), CUDA_ERROR_OUT_OF_MEMORY);
  CUDA_MEM_ALLOC_NODE_PARAMS params = AllocParams();
  params.poolProps.location.id = 1;
  EXPECT_EQ(AddAlloc(params), CUDA_ERROR_NOT_SUPPORTED) << "its device has no current context";
  params.poolProps.location.id = 2;
  EXPECT_EQ(AddAlloc(params), CUDA_ERROR_INVALID_DEVICE);
  params = AllocParams();
  params.poolProps.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  EXPECT_EQ(AddAlloc(params), CUDA_ERROR_NOT_SUPPORTED);
  const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 1}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  params = AllocParams();
  params.accessDescs = &access;
  params.accessDescCount = 1;
  EXPECT_EQ(AddAlloc(params), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(AddFree(graph_, device_), CUDA_ERROR_INVALID_VALUE) << "no graph's memory";
  EXPECT_EQ(Taken(), 0u);
  size_t count = 1;
  EXPECT_EQ(cuGraphGetNodes(graph_, nullptr, &count), CUDA_SUCCESS);
  EXPECT_EQ(count, 0u);

  // All that the slice has left is no byte too much.
  ASSERT_EQ(free_ % 512, 0u);
  ASSERT_EQ(AddAlloc(AllocParams(free_)), CUDA_SUCCESS);
  EXPECT_EQ(AddAlloc(AllocParams(1)), CUDA_ERROR_OUT_OF_MEMORY);
  CUgraphExec exec = Instantiate(graph_), second;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&second, graph_, 0), CUDA_ERROR_NOT_SUPPORTED);
  CUgraph captured;
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_ERROR_NOT_SUPPORTED);
  ASSERT_EQ(cuStreamEndCapture(stream_, &captured), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(captured), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);

  uint64_t value = 0;
  EXPECT_EQ(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &value), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &value), CUDA_SUCCESS);
  EXPECT_EQ(cuDeviceGetGraphMemAttribute(2, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &value), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuDeviceGraphMemTrim(0), CUDA_SUCCESS);
  EXPECT_EQ(cuDeviceGraphMemTrim(2), CUDA_ERROR_INVALID_DEVICE);
}

}  // namespace
}  // namespace outboard::stack
