#include <cstring>
#include <memory>
#include <utility>

#include "common/graphs/calls.h"
#include "common/graphs/object_call.h"

// Graph management: executable graphs. Launching them is the library's.

namespace outboard::graphs {
namespace {

constexpr uint64_t kFlags = CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD |
                            CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH | CUDA_GRAPH_INSTANTIATE_FLAG_USE_NODE_PRIORITY;

// Why a graph cannot be executable.
struct Offence {
  CUgraphNode node = nullptr;  // that cannot be; null when it is no node's fault
  CUgraphInstantiateResult result = CUDA_GRAPH_INSTANTIATE_ERROR;
  const char* text = "";

  // `offender` may be null.
  void IsOf(const Node* offender, const char* why) {
    if (!offender) return;
    node = static_cast<CUgraphNode>(offender->handle());
    result = CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE;
    text = why;
  }
};

CUresult Instantiate(Graphs& graphs, CUgraphExec* phGraphExec, CUgraph hGraph, uint64_t flags, Offence* offence) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) -> CUresult {
    if (!phGraphExec || (flags & ~kFlags) != 0 || graph.embedded()) return CUDA_ERROR_INVALID_VALUE;
    if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH) {
      return flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH ? CUDA_ERROR_INVALID_VALUE
                                                                     : CUDA_ERROR_NOT_SUPPORTED;
    }
    if (graph.IsCapturing()) return CUDA_ERROR_ILLEGAL_STATE;
    const bool is_only = !graph.MayBeCopied();
    if (is_only && !graph.only_exec.expired()) return CUDA_ERROR_NOT_SUPPORTED;
    if (!AllConditionsHaveNodes(graph)) {
      offence->result = CUDA_GRAPH_INSTANTIATE_CONDITIONAL_HANDLE_UNUSED;
      offence->text = "A conditional handle of the graph has no conditional node.";
      return CUDA_ERROR_INVALID_VALUE;
    }
    const Node* offender = nullptr;
    if (CUresult refused = CheckBodies(graph, &offender); refused != CUDA_SUCCESS) {
      offence->IsOf(offender, "A body of a conditional node has a node that may not be there.");
      return refused;
    }
    Node* on_cycle = nullptr;
    std::shared_ptr<Exec> exec;
    const CUresult result =
        graphs.host.Instantiate(graph, flags & ~uint64_t{CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD}, &on_cycle, &exec);
    if (result != CUDA_SUCCESS) {
      offence->IsOf(on_cycle, "The graph has a cycle.");
      return result;
    }
    if (is_only) graph.only_exec = exec;
    graphs.handles.Add(exec);
    *phGraphExec = static_cast<CUgraphExec>(exec->handle());
    return CUDA_SUCCESS;
  });
}

CUresult Update(Graphs& graphs, CUgraphExec hGraphExec, CUgraph hGraph, CUgraphExecUpdateResultInfo* info) {
  *info = {CU_GRAPH_EXEC_UPDATE_ERROR, nullptr, nullptr};
  return ObjectCall<Exec>(graphs, hGraphExec, [&](Exec& exec) -> CUresult {
    const auto graph = graphs.handles.Find<Graph>(hGraph);
    if (!graph || graph->embedded()) return CUDA_ERROR_INVALID_VALUE;
    if (graph->IsCapturing()) return CUDA_ERROR_ILLEGAL_STATE;
    const auto handle = [](const Node* node) { return node ? static_cast<CUgraphNode>(node->handle()) : nullptr; };
    const Exec::Mismatch mismatch = exec.Update(*graph);
    if (mismatch.error == CUDA_ERROR_INVALID_VALUE || mismatch.error == CUDA_ERROR_NOT_SUPPORTED) {
      info->result = CU_GRAPH_EXEC_UPDATE_ERROR_NOT_SUPPORTED;
      return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    }
    if (mismatch.error != CUDA_SUCCESS) return mismatch.error;
    *info = {mismatch.result, handle(mismatch.node), handle(mismatch.from)};
    return mismatch.result == CU_GRAPH_EXEC_UPDATE_SUCCESS ? CUDA_SUCCESS : CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
  });
}

bool CanBeDisabled(const Node& node) {
  const CUgraphNodeType type = node.type();
  return type == CU_GRAPH_NODE_TYPE_KERNEL || type == CU_GRAPH_NODE_TYPE_MEMCPY || type == CU_GRAPH_NODE_TYPE_MEMSET;
}

}  // namespace

CUresult cuGraphInstantiate(Graphs& graphs, CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode,
                            char* logBuffer, size_t bufferSize) {
  Offence offence;
  const CUresult result = Instantiate(graphs, phGraphExec, hGraph, 0, &offence);
  if (phErrorNode) *phErrorNode = offence.node;
  if (logBuffer && bufferSize > 0) {
    std::strncpy(logBuffer, offence.text, bufferSize - 1);
    logBuffer[bufferSize - 1] = '\0';
  }
  return result;
}

CUresult cuGraphInstantiateWithFlags(Graphs& graphs, CUgraphExec* phGraphExec, CUgraph hGraph,
                                     unsigned long long flags) {
  // Nothing says in which stream to upload.
  if (flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD) return CUDA_ERROR_INVALID_VALUE;
  Offence offence;
  return Instantiate(graphs, phGraphExec, hGraph, flags, &offence);
}

CUresult cuGraphInstantiateWithParams(Graphs& graphs, CUgraphExec* phGraphExec, CUgraph hGraph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams,
                                      const std::function<CUresult(CUgraphExec, CUstream)>& upload) {
  if (!instantiateParams) return CUDA_ERROR_INVALID_VALUE;
  auto& params = *instantiateParams;
  Offence offence;
  CUresult result = Instantiate(graphs, phGraphExec, hGraph, params.flags, &offence);
  params.hErrNode_out = offence.node;
  if (result == CUDA_SUCCESS && (params.flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD)) {
    result = upload(*phGraphExec, params.hUploadStream);
    if (result != CUDA_SUCCESS) (void)cuGraphExecDestroy(graphs, *phGraphExec);
  }
  params.result_out = result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : offence.result;
  return result;
}

CUresult cuGraphExecDestroy(Graphs& graphs, CUgraphExec hGraphExec) {
  std::lock_guard lock(graphs.mutex);
  return graphs.handles.Remove<Exec>(hGraphExec) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphExecGetFlags(Graphs& graphs, CUgraphExec hGraphExec, cuuint64_t* flags) {
  return ObjectCall<Exec>(graphs, hGraphExec, [&](Exec& exec) -> CUresult {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = exec.flags;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecUpdate(Graphs& graphs, CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode* hErrorNode_out,
                           CUgraphExecUpdateResult* updateResult_out) {
  CUgraphExecUpdateResultInfo info;
  const CUresult result = Update(graphs, hGraphExec, hGraph, &info);
  if (hErrorNode_out) *hErrorNode_out = info.errorNode;
  if (updateResult_out) *updateResult_out = info.result;
  return result;
}

CUresult cuGraphExecUpdate_v2(Graphs& graphs, CUgraphExec hGraphExec, CUgraph hGraph,
                              CUgraphExecUpdateResultInfo* resultInfo) {
  return resultInfo ? Update(graphs, hGraphExec, hGraph, resultInfo) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuGraphNodeSetEnabled(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int isEnabled) {
  return ExecNodeCall(graphs, hGraphExec, hNode, [&](Exec& exec, Node& node) -> CUresult {
    return CanBeDisabled(node) ? exec.SetEnabled(node, isEnabled != 0) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuGraphNodeGetEnabled(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int* isEnabled) {
  return ExecNodeCall(graphs, hGraphExec, hNode, [&](Exec&, Node& node) -> CUresult {
    if (!isEnabled || !CanBeDisabled(node)) return CUDA_ERROR_INVALID_VALUE;
    *isEnabled = node.enabled ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::graphs
