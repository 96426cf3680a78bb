#pragma once

#include "tests/unit/softgpu_api/driver_under_test.h"

#include <atomic>
#include <cstdint>
#include <vector>

namespace outboard::softgpu::api {

// A kernel, device memory, page-locked words, streams and an event, for tests of graphs and captures.
class GraphFixture : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuMemHostAlloc(&pinned_, 4096, 0), CUDA_SUCCESS);
    words_ = static_cast<uint32_t*>(pinned_);
    ASSERT_EQ(cuMemAlloc_v2(&device_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(device_, 0, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleLoadData(&module_, kTestPtx), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleGetFunction(&store_, module_, "store"), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&other_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&blocking_, CU_STREAM_DEFAULT), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event_, CU_EVENT_DEFAULT), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  void TearDown() override {
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuEventDestroy_v2(event_), CUDA_SUCCESS);
    for (CUstream stream : {stream_, other_, blocking_}) EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
    EXPECT_EQ(cuModuleUnload(module_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(device_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFreeHost(pinned_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  // Lets a kernel write `value` into the device's word `index`.
  CUresult Store(unsigned index, uint32_t value, CUstream stream) {
    CUdeviceptr to = Word(index);
    void* params[] = {&to, &value};
    return cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, stream, params, nullptr);
  }

  CUDA_KERNEL_NODE_PARAMS StoreParams(void** arguments) {
    CUDA_KERNEL_NODE_PARAMS params{};
    params.func = store_;
    params.gridDimX = params.gridDimY = params.gridDimZ = 1;
    params.blockDimX = params.blockDimY = params.blockDimZ = 1;
    params.kernelParams = arguments;
    return params;
  }

  // A kernel node that does what Store does.
  CUgraphNode AddStore(CUgraph graph, unsigned index, uint32_t value, const std::vector<CUgraphNode>& after = {}) {
    CUdeviceptr to = Word(index);
    void* arguments[] = {&to, &value};
    const CUDA_KERNEL_NODE_PARAMS params = StoreParams(arguments);
    CUgraphNode node = nullptr;
    EXPECT_EQ(cuGraphAddKernelNode_v2(&node, graph, after.data(), after.size(), &params), CUDA_SUCCESS);
    return node;
  }

  CUDA_MEMCPY3D ReadParams(unsigned to_host, unsigned from_device, size_t words = 1) {
    CUDA_MEMCPY3D params{};
    params.dstMemoryType = CU_MEMORYTYPE_HOST;
    params.dstHost = words_ + to_host;
    params.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    params.srcDevice = Word(from_device);
    params.WidthInBytes = words * 4;
    params.Height = params.Depth = 1;
    return params;
  }

  CUdeviceptr Word(unsigned index) const { return device_ + index * 4; }

  // The device's words from the first on.
  std::vector<uint32_t> Words(size_t count) {
    std::vector<uint32_t> values(count);
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), device_, count * 4), CUDA_SUCCESS);
    return values;
  }

  // Instantiates, launches `times` times and waits.
  void RunGraph(CUgraph graph, int times = 1) {
    CUgraphExec exec;
    ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
    for (int i = 0; i < times; ++i) ASSERT_EQ(cuGraphLaunch(exec, other_), CUDA_SUCCESS);
    ASSERT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);  // ends when its launches have
    ASSERT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  }

  static std::vector<CUgraphNode> Nodes(CUgraph graph) {
    size_t count = 0;
    EXPECT_EQ(cuGraphGetNodes(graph, nullptr, &count), CUDA_SUCCESS);
    std::vector<CUgraphNode> nodes(count);
    EXPECT_EQ(cuGraphGetNodes(graph, nodes.data(), &count), CUDA_SUCCESS);
    return nodes;
  }

  static std::vector<CUgraphNode> Dependencies(CUgraphNode node) {
    size_t count = 0;
    EXPECT_EQ(cuGraphNodeGetDependencies(node, nullptr, &count), CUDA_SUCCESS);
    std::vector<CUgraphNode> nodes(count);
    EXPECT_EQ(cuGraphNodeGetDependencies(node, nodes.data(), &count), CUDA_SUCCESS);
    return nodes;
  }

  static CUgraphNodeType TypeOfNode(CUgraphNode node) {
    CUgraphNodeType type{};
    EXPECT_EQ(cuGraphNodeGetType(node, &type), CUDA_SUCCESS);
    return type;
  }

  static CUstreamCaptureStatus Status(CUstream stream) {
    CUstreamCaptureStatus status{};
    EXPECT_EQ(cuStreamIsCapturing(stream, &status), CUDA_SUCCESS);
    return status;
  }

  // Begins a capture that the calling thread may do anything beside.
  static void BeginRelaxed(CUstream stream) {
    ASSERT_EQ(cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED), CUDA_SUCCESS);
  }

  static CUgraph EndCapture(CUstream stream) {
    CUgraph graph = nullptr;
    EXPECT_EQ(cuStreamEndCapture(stream, &graph), CUDA_SUCCESS);
    return graph;
  }

  // The stream's capture was broken: it takes nothing any more, ends with an error and leaves the stream usable.
  void ExpectBroken(CUstream stream) {
    EXPECT_EQ(Status(stream), CU_STREAM_CAPTURE_STATUS_INVALIDATED);
    EXPECT_EQ(Store(0, 1, stream), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    CUgraph graph = reinterpret_cast<CUgraph>(1);
    EXPECT_EQ(cuStreamEndCapture(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(Status(stream), CU_STREAM_CAPTURE_STATUS_NONE);
    EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  }

  void* pinned_ = nullptr;
  uint32_t* words_ = nullptr;  // page-locked
  CUdeviceptr device_ = 0;
  CUmodule module_ = nullptr;
  CUfunction store_ = nullptr;
  CUstream stream_ = nullptr, other_ = nullptr, blocking_ = nullptr;
  CUevent event_ = nullptr;
};

}  // namespace outboard::softgpu::api
