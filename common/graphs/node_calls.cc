#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include "common/base/number_of.h"
#include "common/graphs/calls.h"
#include "common/graphs/object_call.h"

// Graph management: nodes of each type, their making and their parameters.

namespace outboard::graphs {
namespace {

// A copy of the graph, or itself, which cannot be moved again.
CUresult MakeChild(Graphs& graphs, const CUDA_CHILD_GRAPH_NODE_PARAMS& params, Content* content) {
  const auto graph = graphs.handles.Find<Graph>(params.graph);
  const unsigned ownership = NumberOf(params.ownership);
  if (!graph || ownership > CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE) return CUDA_ERROR_INVALID_VALUE;
  const bool moves = ownership == CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE;
  if (moves && graph->embedded()) return CUDA_ERROR_INVALID_VALUE;
  if (graph->IsCapturing()) return CUDA_ERROR_ILLEGAL_STATE;
  if (moves ? graph->HasConditionalNodes() || !graph->conditions().empty() : !graph->MayBeCopied())
    return CUDA_ERROR_NOT_SUPPORTED;
  *content = moves ? graph : graph->Clone();
  return CUDA_SUCCESS;
}

// For a node of `graph`.
CUresult MakeContent(Graphs& graphs, Graph& graph, CUgraphNodeParams* params, Content* content) {
  if (!params) return CUDA_ERROR_INVALID_VALUE;
  if (NumberOf(params->type) == CU_GRAPH_NODE_TYPE_GRAPH) return MakeChild(graphs, params->graph, content);
  if (NumberOf(params->type) == CU_GRAPH_NODE_TYPE_CONDITIONAL) {
    std::shared_ptr<Conditional> conditional;
    const CUresult result = MakeConditional(graphs.host, graph, params->conditional, &conditional);
    if (result == CUDA_SUCCESS) *content = std::move(conditional);
    return result;
  }
  OperationPtr operation;
  const CUresult result = graphs.host.Make(params, &operation);
  if (result == CUDA_SUCCESS) *content = std::move(operation);
  return result;
}

CUresult AddNode(Graphs& graphs, CUgraphNode* out, CUgraph hGraph, const CUgraphNode* dependencies, size_t count,
                 CUgraphNodeParams* params) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) -> CUresult {
    if (!out || (!dependencies && count > 0)) return CUDA_ERROR_INVALID_VALUE;
    const auto behind = graph.FindNodes({dependencies, count});
    if (!behind) return CUDA_ERROR_INVALID_VALUE;
    Content content;
    if (CUresult result = MakeContent(graphs, graph, params, &content); result != CUDA_SUCCESS) return result;
    if (CUresult refused = graph.MayAdd(content); refused != CUDA_SUCCESS) return refused;
    const auto* child = std::get_if<std::shared_ptr<Graph>>(&content);
    if (child && (*child)->Holds(graph)) return CUDA_ERROR_INVALID_VALUE;
    std::vector<Node*> nodes;
    for (const auto& node : *behind) nodes.push_back(node.get());
    const auto& node = graph.Add(std::move(content), nodes);
    *out = static_cast<CUgraphNode>(node->handle());
    if (Conditional* conditional = node->conditional())
      params->conditional.phGraph_out = conditional->body_handles.data();
    return CUDA_SUCCESS;
  });
}

// Describes the node, if it is of the type.
CUresult Describe(Graphs& graphs, CUgraphNode hNode, CUgraphNodeType type, CUgraphNodeParams* params) {
  return ObjectCall<Node>(graphs, hNode, [&](Node& node) -> CUresult {
    if (!node.operation() || node.type() != type) return CUDA_ERROR_INVALID_VALUE;
    *params = {};
    params->type = type;
    node.operation()->Describe(node, params);
    return CUDA_SUCCESS;
  });
}

// Gives the node another operation of its type.
CUresult SetParams(Graphs& graphs, CUgraphNode hNode, CUgraphNodeParams* params) {
  return ObjectCall<Node>(graphs, hNode, [&](Node& node) -> CUresult {
    if (!params || NumberOf(params->type) != NumberOf(node.type())) return CUDA_ERROR_INVALID_VALUE;
    return MakeContent(graphs, node.graph, params, &node.content);
  });
}

bool OneRow(const Operation& copy, Node& node) {
  CUgraphNodeParams params{};
  copy.Describe(node, &params);
  return params.memcpy.copyParams.Height == 1 && params.memcpy.copyParams.Depth == 1;
}

// The same in an executable graph, where copies of several rows cannot be changed.
CUresult SetParams(Graphs& graphs, CUgraphExec hExec, CUgraphNode hNode, CUgraphNodeParams* params) {
  return ExecNodeCall(graphs, hExec, hNode, [&](Exec& exec, Node& node) -> CUresult {
    if (!params || NumberOf(params->type) != NumberOf(node.type())) return CUDA_ERROR_INVALID_VALUE;
    if (node.child()) {
      const auto graph = graphs.handles.Find<Graph>(params->graph.graph);
      if (!graph) return CUDA_ERROR_INVALID_VALUE;
      if (graph->IsCapturing()) return CUDA_ERROR_ILLEGAL_STATE;
      const Exec::Mismatch mismatch = exec.UpdateChild(node, *graph);
      return mismatch.result == CU_GRAPH_EXEC_UPDATE_SUCCESS ? mismatch.error : CUDA_ERROR_INVALID_VALUE;
    }
    if (node.is_memory_node() || node.conditional()) return CUDA_ERROR_NOT_SUPPORTED;
    OperationPtr now;
    if (CUresult result = graphs.host.Make(params, &now); result != CUDA_SUCCESS) return result;
    if (node.type() == CU_GRAPH_NODE_TYPE_MEMCPY && !(OneRow(*now, node) && OneRow(*node.operation(), node)))
      return CUDA_ERROR_INVALID_VALUE;
    return exec.Change(node, std::move(now));
  });
}

// Descriptions of the calls for one type, as cuGraphAddNode takes them. Null ones become null.
class Params {
 public:
  explicit Params(CUgraphNodeType type) { params_.type = type; }
  explicit Params(const CUDA_KERNEL_NODE_PARAMS_v1* from) : Params(CU_GRAPH_NODE_TYPE_KERNEL, from) {
    if (!from) return;
    params_.kernel = {from->func,         from->gridDimX,  from->gridDimY,  from->gridDimZ,
                      from->blockDimX,    from->blockDimY, from->blockDimZ, from->sharedMemBytes,
                      from->kernelParams, from->extra,     nullptr,         nullptr};
  }
  explicit Params(const CUDA_KERNEL_NODE_PARAMS_v2* from) : Params(CU_GRAPH_NODE_TYPE_KERNEL, from) {
    if (!from) return;
    params_.kernel = {from->func,         from->gridDimX,  from->gridDimY,  from->gridDimZ,
                      from->blockDimX,    from->blockDimY, from->blockDimZ, from->sharedMemBytes,
                      from->kernelParams, from->extra,     from->kern,      from->ctx};
  }
  Params(const CUDA_MEMCPY3D* from, CUcontext context) : Params(CU_GRAPH_NODE_TYPE_MEMCPY, from) {
    if (from) params_.memcpy = {0, 0, context, *from};
  }
  Params(const CUDA_MEMSET_NODE_PARAMS* from, CUcontext context) : Params(CU_GRAPH_NODE_TYPE_MEMSET, from) {
    if (from)
      params_.memset = {from->dst, from->pitch, from->value, from->elementSize, from->width, from->height, context};
  }
  explicit Params(const CUDA_HOST_NODE_PARAMS* from) : Params(CU_GRAPH_NODE_TYPE_HOST, from) {
    if (from) params_.host = {from->fn, from->userData};
  }
  explicit Params(const CUDA_BATCH_MEM_OP_NODE_PARAMS* from) : Params(CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, from) {
    if (from) params_.memOp = {from->ctx, from->count, from->paramArray, from->flags};
  }
  explicit Params(const CUDA_MEM_ALLOC_NODE_PARAMS* from) : Params(CU_GRAPH_NODE_TYPE_MEM_ALLOC, from) {
    if (from) params_.alloc = {from->poolProps, from->accessDescs, from->accessDescCount, from->bytesize, 0};
  }
  explicit Params(CUdeviceptr freed) : Params(CU_GRAPH_NODE_TYPE_MEM_FREE) { params_.free.dptr = freed; }
  explicit Params(CUgraph child) : Params(CU_GRAPH_NODE_TYPE_GRAPH) {
    params_.graph = {child, CU_GRAPH_CHILD_GRAPH_OWNERSHIP_CLONE};
  }
  static Params Record(CUevent event) {
    Params params(CU_GRAPH_NODE_TYPE_EVENT_RECORD);
    params.params_.eventRecord.event = event;
    return params;
  }
  static Params Wait(CUevent event) {
    Params params(CU_GRAPH_NODE_TYPE_WAIT_EVENT);
    params.params_.eventWait.event = event;
    return params;
  }

  CUgraphNodeParams* get() { return is_null_ ? nullptr : &params_; }

 private:
  Params(CUgraphNodeType type, const void* from) : Params(type) { is_null_ = from == nullptr; }

  CUgraphNodeParams params_{};
  bool is_null_ = false;
};

// Only the member of the description that its type names is set, and nothing that is reserved.
bool IsClean(const CUgraphNodeParams& params) {
  size_t used = 0;
  switch (NumberOf(params.type)) {
    case CU_GRAPH_NODE_TYPE_KERNEL:
      used = sizeof params.kernel;
      break;
    case CU_GRAPH_NODE_TYPE_MEMCPY:
      if (params.memcpy.flags != 0 || params.memcpy.reserved != 0) return false;
      used = sizeof params.memcpy;
      break;
    case CU_GRAPH_NODE_TYPE_MEMSET:
      used = sizeof params.memset;
      break;
    case CU_GRAPH_NODE_TYPE_HOST:
      used = sizeof params.host;
      break;
    case CU_GRAPH_NODE_TYPE_GRAPH:
      used = sizeof params.graph;
      break;
    case CU_GRAPH_NODE_TYPE_EMPTY:
      break;
    case CU_GRAPH_NODE_TYPE_WAIT_EVENT:
      used = sizeof params.eventWait;
      break;
    case CU_GRAPH_NODE_TYPE_EVENT_RECORD:
      used = sizeof params.eventRecord;
      break;
    case CU_GRAPH_NODE_TYPE_BATCH_MEM_OP:
      used = sizeof params.memOp;
      break;
    case CU_GRAPH_NODE_TYPE_MEM_ALLOC:
      used = sizeof params.alloc;
      break;
    case CU_GRAPH_NODE_TYPE_MEM_FREE:
      used = sizeof params.free;
      break;
    case CU_GRAPH_NODE_TYPE_CONDITIONAL:
      used = sizeof params.conditional;
      break;
    default:
      return true;  // refused as what it is
  }
  const auto* bytes = reinterpret_cast<const char*>(&params.reserved1);
  const auto zero = [](auto value) { return value == 0; };
  return std::all_of(bytes + used, bytes + sizeof params.reserved1, zero) &&
         std::ranges::all_of(params.reserved0, zero) && params.reserved2 == 0;
}

CUresult AddAnyNode(Graphs& graphs, CUgraphNode* out, CUgraph hGraph, const CUgraphNode* dependencies,
                    const CUgraphEdgeData* edges, size_t count, CUgraphNodeParams* params) {
  if (!params || !IsClean(*params)) return CUDA_ERROR_INVALID_VALUE;
  if (HasData(edges, count)) return CUDA_ERROR_NOT_SUPPORTED;
  return AddNode(graphs, out, hGraph, dependencies, count, params);
}

}  // namespace

CUresult cuGraphAddKernelNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(nodeParams).get());
}

CUresult cuGraphAddKernelNode_v2(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                 const CUgraphNode* dependencies, size_t numDependencies,
                                 const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(nodeParams).get());
}

CUresult cuGraphKernelNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_KERNEL, &params);
  if (result != CUDA_SUCCESS) return result;
  const auto& k = params.kernel;
  *nodeParams = {k.func,      k.gridDimX,  k.gridDimY,       k.gridDimZ,     k.blockDimX,
                 k.blockDimY, k.blockDimZ, k.sharedMemBytes, k.kernelParams, k.extra};
  return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeGetParams_v2(Graphs& graphs, CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_KERNEL, &params);
  if (result != CUDA_SUCCESS) return result;
  const auto& k = params.kernel;
  *nodeParams = {k.func,      k.gridDimX,       k.gridDimY,     k.gridDimZ, k.blockDimX, k.blockDimY,
                 k.blockDimZ, k.sharedMemBytes, k.kernelParams, k.extra,    k.kern,      k.ctx};
  return CUDA_SUCCESS;
}

CUresult cuGraphKernelNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return SetParams(graphs, hNode, Params(nodeParams).get());
}

CUresult cuGraphKernelNodeSetParams_v2(Graphs& graphs, CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return SetParams(graphs, hNode, Params(nodeParams).get());
}

CUresult cuGraphAddMemcpyNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMCPY3D* copyParams, CUcontext ctx) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(copyParams, ctx).get());
}

CUresult cuGraphMemcpyNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_MEMCPY3D* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_MEMCPY, &params);
  if (result == CUDA_SUCCESS) *nodeParams = params.memcpy.copyParams;
  return result;
}

CUresult cuGraphMemcpyNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_MEMCPY3D* nodeParams) {
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_MEMCPY, &params);
  if (result != CUDA_SUCCESS) return result;
  return SetParams(graphs, hNode, Params(nodeParams, params.memcpy.copyCtx).get());
}

CUresult cuGraphAddMemsetNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext ctx) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(memsetParams, ctx).get());
}

CUresult cuGraphMemsetNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_MEMSET, &params);
  if (result != CUDA_SUCCESS) return result;
  const auto& fill = params.memset;
  *nodeParams = {fill.dst, fill.pitch, fill.value, fill.elementSize, fill.width, fill.height};
  return CUDA_SUCCESS;
}

CUresult cuGraphMemsetNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_MEMSET, &params);
  if (result != CUDA_SUCCESS) return result;
  return SetParams(graphs, hNode, Params(nodeParams, params.memset.ctx).get());
}

CUresult cuGraphAddHostNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                            size_t numDependencies, const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(nodeParams).get());
}

CUresult cuGraphHostNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_HOST_NODE_PARAMS* nodeParams) {
  if (!nodeParams) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_HOST, &params);
  if (result == CUDA_SUCCESS) *nodeParams = {params.host.fn, params.host.userData};
  return result;
}

CUresult cuGraphHostNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return SetParams(graphs, hNode, Params(nodeParams).get());
}

CUresult cuGraphAddChildGraphNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                  const CUgraphNode* dependencies, size_t numDependencies, CUgraph childGraph) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(childGraph).get());
}

CUresult cuGraphChildGraphNodeGetGraph(Graphs& graphs, CUgraphNode hNode, CUgraph* phGraph) {
  return ObjectCall<Node>(graphs, hNode, [&](Node& node) -> CUresult {
    const auto child = node.child();
    if (!phGraph || !child) return CUDA_ERROR_INVALID_VALUE;
    *phGraph = static_cast<CUgraph>(child->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddEmptyNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                             size_t numDependencies) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(CU_GRAPH_NODE_TYPE_EMPTY).get());
}

CUresult cuGraphAddEventRecordNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                   const CUgraphNode* dependencies, size_t numDependencies, CUevent event) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params::Record(event).get());
}

CUresult cuGraphEventRecordNodeGetEvent(Graphs& graphs, CUgraphNode hNode, CUevent* event_out) {
  if (!event_out) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_EVENT_RECORD, &params);
  if (result == CUDA_SUCCESS) *event_out = params.eventRecord.event;
  return result;
}

CUresult cuGraphEventRecordNodeSetEvent(Graphs& graphs, CUgraphNode hNode, CUevent event) {
  return SetParams(graphs, hNode, Params::Record(event).get());
}

CUresult cuGraphAddEventWaitNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                 const CUgraphNode* dependencies, size_t numDependencies, CUevent event) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params::Wait(event).get());
}

CUresult cuGraphEventWaitNodeGetEvent(Graphs& graphs, CUgraphNode hNode, CUevent* event_out) {
  if (!event_out) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_WAIT_EVENT, &params);
  if (result == CUDA_SUCCESS) *event_out = params.eventWait.event;
  return result;
}

CUresult cuGraphEventWaitNodeSetEvent(Graphs& graphs, CUgraphNode hNode, CUevent event) {
  return SetParams(graphs, hNode, Params::Wait(event).get());
}

CUresult cuGraphAddBatchMemOpNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                  const CUgraphNode* dependencies, size_t numDependencies,
                                  const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(nodeParams).get());
}

CUresult cuGraphBatchMemOpNodeGetParams(Graphs& graphs, CUgraphNode hNode,
                                        CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams_out) {
  if (!nodeParams_out) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, &params);
  if (result != CUDA_SUCCESS) return result;
  *nodeParams_out = {params.memOp.ctx, params.memOp.count, params.memOp.paramArray, params.memOp.flags};
  return CUDA_SUCCESS;
}

CUresult cuGraphBatchMemOpNodeSetParams(Graphs& graphs, CUgraphNode hNode,
                                        const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams) {
  return SetParams(graphs, hNode, Params(nodeParams).get());
}

CUresult cuGraphAddMemAllocNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                const CUgraphNode* dependencies, size_t numDependencies,
                                CUDA_MEM_ALLOC_NODE_PARAMS* nodeParams) {
  Params params(nodeParams);
  const CUresult result = AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, params.get());
  if (result == CUDA_SUCCESS) nodeParams->dptr = params.get()->alloc.dptr;
  return result;
}

CUresult cuGraphMemAllocNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_MEM_ALLOC_NODE_PARAMS* params_out) {
  if (!params_out) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_MEM_ALLOC, &params);
  if (result != CUDA_SUCCESS) return result;
  const auto& alloc = params.alloc;
  *params_out = {alloc.poolProps, alloc.accessDescs, alloc.accessDescCount, alloc.bytesize, alloc.dptr};
  return CUDA_SUCCESS;
}

CUresult cuGraphAddMemFreeNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                               const CUgraphNode* dependencies, size_t numDependencies, CUdeviceptr dptr) {
  return AddNode(graphs, phGraphNode, hGraph, dependencies, numDependencies, Params(dptr).get());
}

CUresult cuGraphMemFreeNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUdeviceptr* dptr_out) {
  if (!dptr_out) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeParams params;
  const CUresult result = Describe(graphs, hNode, CU_GRAPH_NODE_TYPE_MEM_FREE, &params);
  if (result == CUDA_SUCCESS) *dptr_out = params.free.dptr;
  return result;
}

CUresult cuGraphAddNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                        size_t numDependencies, CUgraphNodeParams* nodeParams) {
  return AddAnyNode(graphs, phGraphNode, hGraph, dependencies, nullptr, numDependencies, nodeParams);
}

CUresult cuGraphAddNode_v2(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                           const CUgraphEdgeData* dependencyData, size_t numDependencies,
                           CUgraphNodeParams* nodeParams) {
  return AddAnyNode(graphs, phGraphNode, hGraph, dependencies, dependencyData, numDependencies, nodeParams);
}

CUresult cuGraphNodeSetParams(Graphs& graphs, CUgraphNode hNode, CUgraphNodeParams* nodeParams) {
  if (!nodeParams || !IsClean(*nodeParams)) return CUDA_ERROR_INVALID_VALUE;
  CUgraphNodeType type;
  const CUresult result = cuGraphNodeGetType(graphs, hNode, &type);
  if (result != CUDA_SUCCESS) return result;
  const bool is_fixed = type == CU_GRAPH_NODE_TYPE_GRAPH || type == CU_GRAPH_NODE_TYPE_MEM_ALLOC ||
                        type == CU_GRAPH_NODE_TYPE_MEM_FREE || type == CU_GRAPH_NODE_TYPE_CONDITIONAL;
  if (is_fixed && NumberOf(nodeParams->type) == NumberOf(type)) return CUDA_ERROR_NOT_SUPPORTED;
  return SetParams(graphs, hNode, nodeParams);
}

CUresult cuGraphExecKernelNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return SetParams(graphs, hGraphExec, hNode, Params(nodeParams).get());
}

CUresult cuGraphExecKernelNodeSetParams_v2(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                           const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return SetParams(graphs, hGraphExec, hNode, Params(nodeParams).get());
}

CUresult cuGraphExecMemcpyNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMCPY3D* copyParams, CUcontext ctx) {
  return SetParams(graphs, hGraphExec, hNode, Params(copyParams, ctx).get());
}

CUresult cuGraphExecMemsetNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext ctx) {
  return SetParams(graphs, hGraphExec, hNode, Params(memsetParams, ctx).get());
}

CUresult cuGraphExecHostNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                      const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return SetParams(graphs, hGraphExec, hNode, Params(nodeParams).get());
}

CUresult cuGraphExecBatchMemOpNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                            const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams) {
  return SetParams(graphs, hGraphExec, hNode, Params(nodeParams).get());
}

CUresult cuGraphExecChildGraphNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                            CUgraph childGraph) {
  return SetParams(graphs, hGraphExec, hNode, Params(childGraph).get());
}

CUresult cuGraphExecEventRecordNodeSetEvent(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event) {
  return SetParams(graphs, hGraphExec, hNode, Params::Record(event).get());
}

CUresult cuGraphExecEventWaitNodeSetEvent(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event) {
  return SetParams(graphs, hGraphExec, hNode, Params::Wait(event).get());
}

CUresult cuGraphExecNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                  CUgraphNodeParams* nodeParams) {
  if (!nodeParams || !IsClean(*nodeParams)) return CUDA_ERROR_INVALID_VALUE;
  return SetParams(graphs, hGraphExec, hNode, nodeParams);
}

}  // namespace outboard::graphs
