#include "tests/unit/softgpu_api/graph_fixture.h"

// Batches of operations on memory as nodes of graphs.

namespace outboard::softgpu::api {
namespace {

class GraphMemOpsTest : public GraphFixture {
 protected:
  static CUstreamBatchMemOpParams Write(CUdeviceptr address, uint32_t value) {
    CUstreamBatchMemOpParams operation{};
    operation.writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
    operation.writeValue.address = address;
    operation.writeValue.value = value;
    return operation;
  }

  static CUstreamBatchMemOpParams Wait(CUdeviceptr address, uint32_t value) {
    CUstreamBatchMemOpParams operation{};
    operation.waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    operation.waitValue.address = address;
    operation.waitValue.value = value;
    operation.waitValue.flags = CU_STREAM_WAIT_VALUE_EQ;
    return operation;
  }

  static CUDA_BATCH_MEM_OP_NODE_PARAMS Batch(std::vector<CUstreamBatchMemOpParams>& operations) {
    return {nullptr, static_cast<unsigned>(operations.size()), operations.data(), 0};
  }
};

TEST_F(GraphMemOpsTest, EachCallBecomesANode) {
  std::vector<CUstreamBatchMemOpParams> batch{Write(Word(1), 6), Write(Word(2), 7)};
  BeginRelaxed(stream_);
  ASSERT_EQ(cuStreamWaitValue32_v2(stream_, Word(0), 5, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamBatchMemOp_v2(stream_, 2, batch.data(), 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32(stream_, Word(3), 8, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER), CUDA_SUCCESS);
  CUgraph graph = EndCapture(stream_);
  EXPECT_EQ(Words(4), (std::vector<uint32_t>{0, 0, 0, 0}));
  const auto nodes = Nodes(graph);
  ASSERT_EQ(nodes.size(), 3u);
  for (CUgraphNode node : nodes) EXPECT_EQ(TypeOfNode(node), CU_GRAPH_NODE_TYPE_BATCH_MEM_OP);
  EXPECT_EQ(Dependencies(nodes[2]), std::vector{nodes[1]});

  CUgraphExec exec;
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_ERROR_NOT_READY);
  ASSERT_EQ(cuStreamWriteValue32_v2(other_, Word(0), 5, 0), CUDA_SUCCESS);
  EXPECT_EQ(Words(4), (std::vector<uint32_t>{5, 6, 7, 8}));
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphMemOpsTest, NodesKeepTheirOperations) {
  std::vector<CUstreamBatchMemOpParams> batch{Write(Word(0), 1), Write(Word(1), 2)};
  const CUDA_BATCH_MEM_OP_NODE_PARAMS params = Batch(batch);
  CUgraph graph;
  CUgraphNode node;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &params), CUDA_SUCCESS);
  batch = {Write(Word(2), 3)};
  CUDA_BATCH_MEM_OP_NODE_PARAMS seen;
  ASSERT_EQ(cuGraphBatchMemOpNodeGetParams(node, &seen), CUDA_SUCCESS);
  EXPECT_EQ(seen.ctx, context_);
  ASSERT_EQ(seen.count, 2u);
  EXPECT_EQ(seen.paramArray[1].writeValue.address, Word(1));
  EXPECT_EQ(seen.paramArray[1].writeValue.value, 2u);
  RunGraph(graph);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{1, 2, 0}));

  CUgraphNodeParams any{};
  any.type = CU_GRAPH_NODE_TYPE_BATCH_MEM_OP;
  any.memOp = {nullptr, 1, batch.data(), 0};
  EXPECT_EQ(cuGraphAddNode(&node, graph, &node, 1, &any), CUDA_SUCCESS);
  const CUDA_BATCH_MEM_OP_NODE_PARAMS other = Batch(batch);
  EXPECT_EQ(cuGraphBatchMemOpNodeSetParams(Nodes(graph)[0], &other), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD8_v2(device_, 0, 64), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  RunGraph(graph);
  EXPECT_EQ(Words(3), (std::vector<uint32_t>{0, 0, 3}));
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphMemOpsTest, AnExecutableGraphTakesOtherAddressesAndValuesButNoOtherKinds) {
  std::vector<CUstreamBatchMemOpParams> batch{Write(Word(0), 1)};
  CUDA_BATCH_MEM_OP_NODE_PARAMS params = Batch(batch);
  CUgraph graph;
  CUgraphNode node;
  CUgraphExec exec;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &params), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  batch = {Write(Word(1), 5)};
  EXPECT_EQ(cuGraphExecBatchMemOpNodeSetParams(exec, node, &params), CUDA_SUCCESS);
  ASSERT_EQ(cuGraphLaunch(exec, stream_), CUDA_SUCCESS);
  EXPECT_EQ(Words(2), (std::vector<uint32_t>{0, 5}));
  batch = {Wait(Word(1), 5)};
  EXPECT_EQ(cuGraphExecBatchMemOpNodeSetParams(exec, node, &params), CUDA_ERROR_INVALID_VALUE);
  batch = {Write(Word(1), 5), Write(Word(2), 5)};
  params = Batch(batch);
  EXPECT_EQ(cuGraphExecBatchMemOpNodeSetParams(exec, node, &params), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphExecDestroy(exec), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

TEST_F(GraphMemOpsTest, RefusesWhatAStreamRefuses) {
  std::vector<CUstreamBatchMemOpParams> batch{Write(Word(0) + 1, 1)};  // misaligned
  CUDA_BATCH_MEM_OP_NODE_PARAMS params = Batch(batch);
  CUgraph graph;
  CUgraphNode node;
  ASSERT_EQ(cuGraphCreate(&graph, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  batch = {Write(Word(0), 1)};
  params.count = 0;
  EXPECT_EQ(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  params.count = 256;
  EXPECT_EQ(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  params = Batch(batch);
  params.flags = 1;
  EXPECT_EQ(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, &params), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGraphAddBatchMemOpNode(&node, graph, nullptr, 0, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(Nodes(graph).empty());
  EXPECT_EQ(cuGraphDestroy(graph), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
