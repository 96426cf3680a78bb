#include "tests/unit/softgpu_api/graph_fixture.h"

// Memory that graphs allocate and free: who may free it, and when a graph may be launched again.

namespace outboard::softgpu::api {
namespace {

constexpr size_t kBytes = 1 << 20;

class GraphMemoryTest : public GraphFixture {
 protected:
  void SetUp() override {
    GraphFixture::SetUp();
    ASSERT_EQ(cuGraphCreate(&graph_, 0), CUDA_SUCCESS);
    reserved_ = Reserved();
  }

  void TearDown() override {
    EXPECT_EQ(cuGraphDestroy(graph_), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(Reserved(), reserved_);
    GraphFixture::TearDown();
  }

  static CUDA_MEM_ALLOC_NODE_PARAMS AllocParams(size_t bytes = kBytes) {
    CUDA_MEM_ALLOC_NODE_PARAMS params{};
    params.poolProps.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    params.poolProps.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    params.bytesize = bytes;
    return params;
  }

  CUgraphNode AddAlloc(CUdeviceptr* address) {
    CUDA_MEM_ALLOC_NODE_PARAMS params = AllocParams();
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddMemAllocNode(&node, graph_, nullptr, 0, &params), CUDA_SUCCESS);
    *address = params.dptr;
    return node;
  }

  // A node that sets the first word at the address.
  CUgraphNode AddFill(CUgraph graph, CUdeviceptr address, uint32_t value, const std::vector<CUgraphNode>& after) {
    const CUDA_MEMSET_NODE_PARAMS params{address, 0, value, 4, 1, 1};
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddMemsetNode(&node, graph, after.data(), after.size(), &params, context_), CUDA_SUCCESS);
    return node;
  }

  CUresult AddFree(CUgraph graph, CUdeviceptr address, const std::vector<CUgraphNode>& after = {}) {
    CUgraphNode node = nullptr;
    return cuGraphAddMemFreeNode(&node, graph, after.data(), after.size(), address);
  }

  CUgraphExec Instantiate(CUgraph graph, unsigned long long flags = 0) {
    CUgraphExec exec = nullptr;
    EXPECT_EQ(cuGraphInstantiateWithFlags(&exec, graph, flags), CUDA_SUCCESS);
    return exec;
  }

  static uint64_t Attribute(CUgraphMem_attribute attribute) {
    uint64_t value = 0;
    EXPECT_EQ(cuDeviceGetGraphMemAttribute(0, attribute, &value), CUDA_SUCCESS);
    return value;
  }
  static uint64_t Reserved() { return Attribute(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT); }
  static uint64_t Used() { return Attribute(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT); }

  uint32_t WordAt(CUdeviceptr address) {
    uint32_t value = 0;
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, address, 4), CUDA_SUCCESS);
    return value;
  }

  CUgraph graph_ = nullptr;
  uint64_t reserved_ = 0;
};

TEST_F(GraphMemoryTest, FreedInTheSameGraphItCanBeLaunchedAgainAndAgain) {
  CUdeviceptr address;
  CUgraphNode alloc = AddAlloc(&address);
  CUgraphNode fill = AddFill(graph_, address, 7, {alloc});
  CUDA_MEMCPY3D params{};
  params.srcMemoryType = params.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  params.srcDevice = address;
  params.dstDevice = Word(0);
  params.WidthInBytes = 4;
  params.Height = params.Depth = 1;
  CUgraphNode copy;
  ASSERT_EQ(cuGraphAddMemcpyNode(&copy, graph_, &fill, 1, &params, context_), CUDA_SUCCESS);
  ASSERT_EQ(AddFree(graph_, address, {copy}), CUDA_SUCCESS);
  EXPECT_EQ(Reserved() - reserved_, kBytes);
  RunGraph(graph_, 3);
  EXPECT_EQ(Words(1), (std::vector<uint32_t>{7}));
  EXPECT_EQ(Used(), 0u);
  EXPECT_GE(Attribute(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH), kBytes);

  EXPECT_EQ(AddFree(graph_, address), CUDA_ERROR_INVALID_VALUE) << "a second time";
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphMemoryTest, LeftAllocatedItIsFreedByACallBeforeTheNextLaunch) {
  CUdeviceptr address;
  AddFill(graph_, address, 5, {AddAlloc(&address)});
  CUgraphExec exec = Instantiate(graph_);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE) << "not allocated yet";
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Used(), kBytes);
  EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(WordAt(address), 5u);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Used(), 0u);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, ItOutlivesItsGraphWhileItIsAllocated) {
  CUgraph graph;
  CUdeviceptr address;
  ASSERT_EQ(cuStreamBeginCapture_v2(stream_, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocAsync(&address, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(address, 3, 1, stream_), CUDA_SUCCESS);
  graph = EndCapture(stream_);
  EXPECT_EQ(TypeOfNode(Nodes(graph)[0]), CU_GRAPH_NODE_TYPE_MEM_ALLOC);
  RunGraph(graph);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(WordAt(address), 3u);
  EXPECT_EQ(Reserved() - reserved_, kBytes);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(Reserved(), reserved_);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(GraphMemoryTest, AnotherGraphFreesIt) {
  CUdeviceptr address;
  AddAlloc(&address);
  CUgraph other;
  ASSERT_EQ(cuGraphCreate(&other, 0), CUDA_SUCCESS);
  ASSERT_EQ(AddFree(other, address), CUDA_SUCCESS);
  EXPECT_EQ(AddFree(other, address), CUDA_ERROR_INVALID_VALUE) << "a second time";
  EXPECT_EQ(AddFree(graph_, address), CUDA_ERROR_INVALID_VALUE) << "the graphs cannot both free it";
  CUgraphExec allocates = Instantiate(graph_), frees = Instantiate(other);
  EXPECT_EQ(cuGraphLaunch(frees, stream_), CUDA_ERROR_INVALID_VALUE) << "not allocated yet";
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(cuGraphLaunch(allocates, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphLaunch(frees, stream_), CUDA_SUCCESS);
  }
  EXPECT_EQ(cuGraphExecDestroy(allocates), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(frees), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(other), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, LaunchesMayFreeWhatIsLeft) {
  CUdeviceptr address;
  AddAlloc(&address);
  CUgraphExec exec = Instantiate(graph_, CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Used(), kBytes);
  EXPECT_EQ(cuMemFreeAsync(address, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, CapturedFrees) {
  CUdeviceptr address, of_a_pool;
  ASSERT_EQ(cuMemAllocAsync(&of_a_pool, kBytes, stream_), CUDA_SUCCESS);
  BeginRelaxed(stream_);
  ASSERT_EQ(cuMemAllocAsync(&address, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(address, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(of_a_pool, stream_), CUDA_ERROR_INVALID_VALUE) << "no node can free a pool's memory";
  CUgraph graph = EndCapture(stream_);
  const auto nodes = Nodes(graph);
  ASSERT_EQ(nodes.size(), 2u);
  CUdeviceptr freed = 0;
  ASSERT_EQ(cuGraphMemFreeNodeGetParams(nodes[1], &freed), CUDA_SUCCESS);
  EXPECT_EQ(freed, address);
  CUDA_MEM_ALLOC_NODE_PARAMS params;
  ASSERT_EQ(cuGraphMemAllocNodeGetParams(nodes[0], &params), CUDA_SUCCESS);
  EXPECT_EQ(params.dptr, address);
  EXPECT_EQ(params.bytesize, kBytes);
  RunGraph(graph, 2);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(of_a_pool, stream_), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, AGraphWithMemoryIsOne) {
  CUdeviceptr address;
  CUgraphNode alloc = AddAlloc(&address);
  CUgraphNode fill = AddFill(graph_, address, 1, {alloc});
  CUgraph clone, parent;
  CUgraphNode node;
  EXPECT_EQ(cuGraphClone(&clone, graph_), CUDA_ERROR_NOT_SUPPORTED);
  ASSERT_EQ(cuGraphCreate(&parent, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphAddChildGraphNode(&node, parent, nullptr, 0, graph_), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphDestroy(parent), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroyNode(fill), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphRemoveDependencies(graph_, &alloc, &fill, 1), CUDA_ERROR_NOT_SUPPORTED);
  CUgraphExec exec = Instantiate(graph_), second;
  EXPECT_EQ(cuGraphInstantiateWithFlags(&second, graph_, 0), CUDA_ERROR_NOT_SUPPORTED);
  BeginRelaxed(stream_);
  EXPECT_EQ(cuGraphLaunch(exec, stream_), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphDestroy(EndCapture(stream_)), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphExecDestroy(Instantiate(graph_)), CUDA_SUCCESS);
}

TEST_F(GraphMemoryTest, RefusesWrongDescriptions) {
  CUgraphNode node;
  CUDA_MEM_ALLOC_NODE_PARAMS params = AllocParams(0);
  EXPECT_EQ(cuGraphAddMemAllocNode(&node, graph_, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  params = AllocParams(size_t{1} << 60);
  EXPECT_EQ(cuGraphAddMemAllocNode(&node, graph_, nullptr, 0, &params), CUDA_ERROR_OUT_OF_MEMORY);
  params = AllocParams();
  params.poolProps.location.id = 64;
  EXPECT_EQ(cuGraphAddMemAllocNode(&node, graph_, nullptr, 0, &params), CUDA_ERROR_INVALID_DEVICE);
  params = AllocParams();
  params.poolProps.handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  EXPECT_EQ(cuGraphAddMemAllocNode(&node, graph_, nullptr, 0, &params), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuGraphAddMemAllocNode(&node, graph_, nullptr, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(AddFree(graph_, device_), CUDA_ERROR_INVALID_VALUE) << "no graph's memory";
  EXPECT_EQ(AddFree(graph_, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(Nodes(graph_).empty());

  uint64_t value = 1;
  EXPECT_EQ(cuDeviceGetGraphMemAttribute(0, static_cast<CUgraphMem_attribute>(4), &value), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &value), CUDA_ERROR_INVALID_VALUE);
  value = 0;
  EXPECT_EQ(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_HIGH, &value), CUDA_SUCCESS);
  EXPECT_EQ(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT, &value), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuDeviceGraphMemTrim(0), CUDA_SUCCESS);
  EXPECT_EQ(cuDeviceGraphMemTrim(64), CUDA_ERROR_INVALID_DEVICE);
}

}  // namespace
}  // namespace outboard::softgpu::api
