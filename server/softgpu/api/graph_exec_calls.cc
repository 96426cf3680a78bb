#include <cstring>
#include <memory>
#include <utility>

#include "common/base/number_of.h"
#include "server/softgpu/api/graph_entry.h"
#include "server/softgpu/api/node_params.h"

// Graph management: executable graphs.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

constexpr uint64_t kFlags = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                            CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;

// *error_node, which may be null, is the node that cannot be; null when it is not the graph's fault.
CUresult Instantiate(CUgraphExec* phGraphExec, CUgraph hGraph, uint64_t flags, CUgraphNode* error_node) {
  if (error_node) *error_node = nullptr;
  return ObjectCall<Graph>(hGraph, [&](Driver& driver, Graph& graph) -> CUresult {
    if (!phGraphExec || (flags & ~kFlags) != 0 || graph.embedded) return CUDA_ERROR_INVALID_VALUE;
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) {
      return flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH ? CUDA_ERROR_INVALID_VALUE
                                                                     : CUDA_ERROR_NOT_SUPPORTED;
    }
    if (graph.capturing) return CUDA_ERROR_ILLEGAL_STATE;
    const bool is_only = graph.HasMemoryNodes();
    if (is_only && !graph.only_exec.expired()) return CUDA_ERROR_NOT_SUPPORTED;
    Node* on_cycle = nullptr;
    const auto exec = GraphExec::Create(graph, flags & ~uint64_t{CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD}, &on_cycle);
    if (!exec) {
      if (error_node) *error_node = static_cast<CUgraphNode>(on_cycle->handle());
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (is_only) graph.only_exec = exec;
    driver.handles.Add(exec);
    *phGraphExec = static_cast<CUgraphExec>(exec->handle());
    return CUDA_SUCCESS;
  });
}

CUresult InstantiateWithLog(CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* error_node, char* log, size_t size) {
  CUgraphNode offender = nullptr;
  const CUresult result = Instantiate(phGraphExec, hGraph, 0, &offender);
  if (error_node) *error_node = offender;
  if (log && size > 0) {
    const char* const text = offender ? "The graph has a cycle." : "";
    std::strncpy(log, text, size - 1);
    log[size - 1] = '\0';
  }
  return result;
}

// Runs `body` with an executable graph and a stream of the current context: (Context&, GraphExec&, Stream&). The graphs
// are not locked.
template <class Body>
CUresult StreamCall(CUgraphExec hGraphExec, CUstream hStream, DefaultStream null_means, Body body) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto exec = driver.handles.Find<GraphExec>(hGraphExec);
    if (!exec) return CUDA_ERROR_INVALID_VALUE;
    const auto stream = FindStream(context, hStream, null_means);
    if (!stream) return CUDA_ERROR_INVALID_HANDLE;
    return body(context, *exec, *stream);
  });
}

// There is nothing to bring to the device in advance.
CUresult Upload(CUgraphExec hGraphExec, CUstream hStream, DefaultStream null_means) {
  return StreamCall(hGraphExec, hStream, null_means, [](Context& context, GraphExec&, Stream& stream) {
    return context.driver.captures.RefuseOn(stream);
  });
}

CUresult InstantiateWithParams(CUgraphExec* phGraphExec, CUgraph hGraph, CUDA_GRAPH_INSTANTIATE_PARAMS* params,
                               DefaultStream null_means) {
  if (!params) return GraphsCall([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  CUresult result = Instantiate(phGraphExec, hGraph, params->flags, &params->hErrNode_out);
  if (result == CUDA_SUCCESS && (params->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)) {
    result = Upload(*phGraphExec, params->hUploadStream, null_means);
    if (result != CUDA_SUCCESS) (void)cuGraphExecDestroy(*phGraphExec);
  }
  params->result_out = result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS
                       : params->hErrNode_out ? CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE
                                              : CUDA_GRAPH_INSTANTIATE_ERROR;
  return result;
}

CUresult Launch(CUgraphExec hGraphExec, CUstream hStream, DefaultStream null_means) {
  return StreamCall(hGraphExec, hStream, null_means, [](Context& context, GraphExec& exec, Stream& stream) -> CUresult {
    const auto copy = [&](Content* content) -> CUresult {
      if (exec.graph().HasMemoryNodes()) return CUDA_ERROR_NOT_SUPPORTED;
      auto graph = exec.graph().Clone();
      graph->embedded = true;
      *content = std::move(graph);
      return CUDA_SUCCESS;
    };
    if (const auto captured = context.driver.captures.Add(stream, copy)) return *captured;
    return exec.Launch(stream);
  });
}

// Gives a node of an executable graph another operation of its kind.
CUresult Change(Node& node, Content content) {
  const auto* now = std::get_if<OperationPtr>(&content);
  if (!now || !node.operation() || MayBecome(*node.operation(), **now) != CU_GRAPH_EXEC_UPDATE_SUCCESS)
    return CUDA_ERROR_INVALID_VALUE;
  node.content = std::move(content);
  return CUDA_SUCCESS;
}

bool OneRow(const CUDA_MEMCPY3D& params) { return params.Height == 1 && params.Depth == 1; }

// Copies of several rows cannot be changed.
CUresult ChangeCopy(Node& node, Content content) {
  const auto one_row = [](const Operation* operation) {
    const auto* copy = operation ? std::get_if<CopyOperation>(&operation->what) : nullptr;
    return copy && OneRow(copy->params);
  };
  const auto* now = std::get_if<OperationPtr>(&content);
  if (!now || !one_row(now->get()) || !one_row(node.operation())) return CUDA_ERROR_INVALID_VALUE;
  return Change(node, std::move(content));
}

// Changes a node of an executable graph to what `read` gives: (Driver&, Content*).
template <class Read>
CUresult SetParams(CUgraphExec hGraphExec, CUgraphNode hNode, Read read) {
  return ExecNodeCall(hGraphExec, hNode, [&](Driver& driver, GraphExec&, Node& node) -> CUresult {
    Content content;
    if (CUresult result = read(driver, &content); result != CUDA_SUCCESS) return result;
    return Change(node, std::move(content));
  });
}

CUresult SetChild(Driver& driver, GraphExec& exec, Node& node, CUgraph handle) {
  const auto graph = driver.handles.Find<Graph>(handle);
  if (!graph || !node.child()) return CUDA_ERROR_INVALID_VALUE;
  if (graph->capturing) return CUDA_ERROR_ILLEGAL_STATE;
  const bool fits = exec.UpdateChild(node, *graph).result == CU_GRAPH_EXEC_UPDATE_SUCCESS;
  return fits ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult Update(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphExecUpdateResultInfo* info) {
  *info = {CU_GRAPH_EXEC_UPDATE_ERROR, nullptr, nullptr};
  return ObjectCall<GraphExec>(hGraphExec, [&](Driver& driver, GraphExec& exec) -> CUresult {
    const auto graph = driver.handles.Find<Graph>(hGraph);
    if (!graph || graph->embedded) return CUDA_ERROR_INVALID_VALUE;
    if (graph->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    const auto handle = [](const Node* node) { return node ? static_cast<CUgraphNode>(node->handle()) : nullptr; };
    const GraphExec::Mismatch mismatch = exec.Update(*graph);
    *info = {mismatch.result, handle(mismatch.node), handle(mismatch.from)};
    return mismatch.result == CU_GRAPH_EXEC_UPDATE_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  });
}

bool CanBeDisabled(const Node& node) {
  const CUgraphNodeType type = node.type();
  return type == CU_GRAPH_NODE_TYPE_KERNEL || type == CU_GRAPH_NODE_TYPE_MEMCPY || type == CU_GRAPH_NODE_TYPE_MEMSET;
}

}  // namespace

CUresult cuGraphInstantiate(CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode, char* logBuffer,
                            size_t bufferSize) {
  return InstantiateWithLog(phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize);
}

CUresult cuGraphInstantiate_v2(CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode, char* logBuffer,
                               size_t bufferSize) {
  return InstantiateWithLog(phGraphExec, hGraph, phErrorNode, logBuffer, bufferSize);
}

CUresult cuGraphInstantiateWithFlags(CUgraphExec* phGraphExec, CUgraph hGraph, unsigned long long flags) {
  // Nothing says in which stream to upload.
  if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) return GraphsCall([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  return Instantiate(phGraphExec, hGraph, flags, nullptr);
}

CUresult cuGraphInstantiateWithParams(CUgraphExec* phGraphExec, CUgraph hGraph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams) {
  return InstantiateWithParams(phGraphExec, hGraph, instantiateParams, DefaultStream::kLegacy);
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec* phGraphExec, CUgraph hGraph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams) {
  return InstantiateWithParams(phGraphExec, hGraph, instantiateParams, DefaultStream::kPerThread);
}

CUresult cuGraphExecDestroy(CUgraphExec hGraphExec) {
  return GraphsCall([&](Driver& driver) -> CUresult {
    return driver.handles.Remove<GraphExec>(hGraphExec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphExecGetFlags(CUgraphExec hGraphExec, cuuint64_t* flags) {
  return ObjectCall<GraphExec>(hGraphExec, [&](Driver&, GraphExec& exec) -> CUresult {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = exec.flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphUpload(CUgraphExec hGraph, CUstream hStream) { return Upload(hGraph, hStream, DefaultStream::kLegacy); }
CUresult cuGraphUpload_ptsz(CUgraphExec hGraph, CUstream hStream) {
  return Upload(hGraph, hStream, DefaultStream::kPerThread);
}

CUresult cuGraphLaunch(CUgraphExec hGraph, CUstream hStream) { return Launch(hGraph, hStream, DefaultStream::kLegacy); }
CUresult cuGraphLaunch_ptsz(CUgraphExec hGraph, CUstream hStream) {
  return Launch(hGraph, hStream, DefaultStream::kPerThread);
}

CUresult cuGraphExecUpdate(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode* hErrorNode_out,
                           CUgraphExecUpdateResult* updateResult_out) {
  CUgraphExecUpdateResultInfo info;
  const CUresult result = Update(hGraphExec, hGraph, &info);
  if (hErrorNode_out) *hErrorNode_out = info.errorNode;
  if (updateResult_out) *updateResult_out = info.result;
  return result;
}

CUresult cuGraphExecUpdate_v2(CUgraphExec hGraphExec, CUgraph hGraph, CUgraphExecUpdateResultInfo* resultInfo) {
  if (!resultInfo) return GraphsCall([](Driver&) { return CUDA_ERROR_INVALID_VALUE; });
  return Update(hGraphExec, hGraph, resultInfo);
}

CUresult cuGraphExecKernelNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return SetParams(hGraphExec, hNode,
                   [&](Driver& driver, Content* content) { return ReadKernel(driver, nodeParams, content); });
}

CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec hGraphExec, CUgraphNode hNode,
                                           const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return SetParams(hGraphExec, hNode,
                   [&](Driver& driver, Content* content) { return ReadKernel(driver, nodeParams, content); });
}

CUresult cuGraphExecMemcpyNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode, const CUDA_MEMCPY3D* copyParams,
                                        CUcontext ctx) {
  return ExecNodeCall(hGraphExec, hNode, [&](Driver& driver, GraphExec&, Node& node) -> CUresult {
    Content content;
    if (CUresult result = ReadCopy(driver, copyParams, ctx, &content); result != CUDA_SUCCESS) return result;
    return ChangeCopy(node, std::move(content));
  });
}

CUresult cuGraphExecMemsetNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext ctx) {
  return SetParams(hGraphExec, hNode,
                   [&](Driver& driver, Content* content) { return ReadFill(driver, memsetParams, ctx, content); });
}

CUresult cuGraphExecHostNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                      const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return SetParams(hGraphExec, hNode,
                   [&](Driver& driver, Content* content) { return ReadHostCall(driver, nodeParams, content); });
}

CUresult cuGraphExecBatchMemOpNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode,
                                            const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams) {
  return SetParams(hGraphExec, hNode,
                   [&](Driver& driver, Content* content) { return ReadMemOps(driver, nodeParams, content); });
}

CUresult cuGraphExecChildGraphNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode, CUgraph childGraph) {
  return ExecNodeCall(hGraphExec, hNode, [&](Driver& driver, GraphExec& exec, Node& node) {
    return SetChild(driver, exec, node, childGraph);
  });
}

CUresult cuGraphExecEventRecordNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event) {
  return SetParams(hGraphExec, hNode,
                   [&](Driver& driver, Content* content) { return ReadRecord(driver, event, content); });
}

CUresult cuGraphExecEventWaitNodeSetEvent(CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event) {
  return SetParams(hGraphExec, hNode,
                   [&](Driver& driver, Content* content) { return ReadWait(driver, event, content); });
}

CUresult cuGraphExecNodeSetParams(CUgraphExec hGraphExec, CUgraphNode hNode, CUgraphNodeParams* nodeParams) {
  return ExecNodeCall(hGraphExec, hNode, [&](Driver& driver, GraphExec& exec, Node& node) -> CUresult {
    if (!nodeParams || NumberOf(nodeParams->type) != NumberOf(node.type())) return CUDA_ERROR_INVALID_VALUE;
    if (node.child()) return SetChild(driver, exec, node, nodeParams->graph.graph);
    if (node.is_memory_node()) return CUDA_ERROR_NOT_SUPPORTED;
    Content content;
    if (CUresult result = ReadNode(driver, nodeParams, &content); result != CUDA_SUCCESS) return result;
    return node.type() == CU_GRAPH_NODE_TYPE_MEMCPY ? ChangeCopy(node, std::move(content))
                                                    : Change(node, std::move(content));
  });
}

CUresult cuGraphNodeSetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int isEnabled) {
  return ExecNodeCall(hGraphExec, hNode, [&](Driver&, GraphExec&, Node& node) -> CUresult {
    if (!CanBeDisabled(node)) return CUDA_ERROR_INVALID_VALUE;
    node.enabled = isEnabled != 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeGetEnabled(CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int* isEnabled) {
  return ExecNodeCall(hGraphExec, hNode, [&](Driver&, GraphExec&, Node& node) -> CUresult {
    if (!isEnabled || !CanBeDisabled(node)) return CUDA_ERROR_INVALID_VALUE;
    *isEnabled = node.enabled ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
