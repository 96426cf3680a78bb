#include <utility>
#include <vector>

#include "common/base/number_of.h"
#include "server/softgpu/api/graph_entry.h"
#include "server/softgpu/api/node_params.h"

// Graph management: nodes of each type, their making and their parameters.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

// `graph` is `inner`, or has it in one of its nodes.
bool Holds(const Graph& graph, const Graph& inner) {
  if (&graph == &inner) return true;
  for (const auto& node : graph.nodes()) {
    const auto child = node->child();
    if (child && Holds(*child, inner)) return true;
  }
  return false;
}

// Adds the node whose content `read` gives: (Driver&, Content*).
template <class Read>
CUresult AddNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies, size_t count, Read read) {
  return ObjectCall<Graph>(hGraph, [&](Driver& driver, Graph& graph) -> CUresult {
    if (!phGraphNode || (!dependencies && count > 0)) return CUDA_ERROR_INVALID_VALUE;
    const auto behind = graph.FindNodes({dependencies, count});
    if (!behind) return CUDA_ERROR_INVALID_VALUE;
    Content content;
    if (CUresult result = read(driver, &content); result != CUDA_SUCCESS) return result;
    if (CUresult refused = graph.MayAdd(content); refused != CUDA_SUCCESS) return refused;
    if (const auto* child = std::get_if<std::shared_ptr<Graph>>(&content)) {
      if (Holds(**child, graph)) return CUDA_ERROR_INVALID_VALUE;
      (*child)->embedded = true;
    }
    std::vector<Node*> nodes;
    for (const auto& node : *behind) nodes.push_back(node.get());
    *phGraphNode = static_cast<CUgraphNode>(graph.Add(std::move(content), nodes)->handle());
    return CUDA_SUCCESS;
  });
}

// The address that an allocation node gives.
CUdeviceptr AddressOf(const Content& content) {
  return std::get<AllocOperation>(std::get<OperationPtr>(content)->what).memory->params().dptr;
}

CUresult AddAnyNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                    const CUgraphEdgeData* edges, size_t count, CUgraphNodeParams* params) {
  return AddNode(phGraphNode, hGraph, dependencies, count, [&](Driver& driver, Content* content) -> CUresult {
    if (HasData(edges, count)) return CUDA_ERROR_NOT_SUPPORTED;
    const CUresult result = ReadNode(driver, params, content);
    if (result == CUDA_SUCCESS && NumberOf(params->type) == CU_GRAPH_NODE_TYPE_MEM_ALLOC)
      params->alloc.dptr = AddressOf(*content);
    return result;
  });
}

// Replaces the content of a node of this kind by what `read` gives: (Driver&, Content*).
template <class Kind, class Read>
CUresult SetParams(CUgraphNode hNode, Read read) {
  return NodeCall<Kind>(hNode, [&](Driver& driver, Node& node, const Kind&) -> CUresult {
    Content content;
    if (CUresult result = read(driver, &content); result != CUDA_SUCCESS) return result;
    node.content = std::move(content);
    return CUDA_SUCCESS;
  });
}

template <class Params>
CUresult GetKernelParams(CUgraphNode hNode, Params* params) {
  return NodeCall<KernelOperation>(hNode, [&](Driver&, Node& node, const KernelOperation& kernel) -> CUresult {
    if (!params) return CUDA_ERROR_INVALID_VALUE;
    WriteKernel(node, kernel, params);
    return CUDA_SUCCESS;
  });
}

// The parameters of a copy's, a fill's or a host function's node.
template <class Kind, class Params>
CUresult GetParams(CUgraphNode hNode, Params* params) {
  return NodeCall<Kind>(hNode, [&](Driver&, Node&, const Kind& kind) -> CUresult {
    if (!params) return CUDA_ERROR_INVALID_VALUE;
    *params = kind.params;
    return CUDA_SUCCESS;
  });
}

template <class Kind>
CUresult GetEvent(CUgraphNode hNode, CUevent* event) {
  return NodeCall<Kind>(hNode, [&](Driver&, Node&, const Kind& kind) -> CUresult {
    if (!event) return CUDA_ERROR_INVALID_VALUE;
    *event = static_cast<CUevent>(kind.event->handle());
    return CUDA_SUCCESS;
  });
}

// What reads a description of type `Params`.
template <class Params>
auto KernelOf(const Params* params) {
  return [params](Driver& driver, Content* content) { return ReadKernel(driver, params, content); };
}

auto CopyOf(const CUDA_MEMCPY3D* params, CUcontext context) {
  return [=](Driver& driver, Content* content) { return ReadCopy(driver, params, context, content); };
}

auto FillOf(const CUDA_MEMSET_NODE_PARAMS* params, CUcontext context) {
  return [=](Driver& driver, Content* content) { return ReadFill(driver, params, context, content); };
}

auto HostCallOf(const CUDA_HOST_NODE_PARAMS* params) {
  return [=](Driver& driver, Content* content) { return ReadHostCall(driver, params, content); };
}

auto MemOpsOf(const CUDA_BATCH_MEM_OP_NODE_PARAMS* params) {
  return [=](Driver& driver, Content* content) { return ReadMemOps(driver, params, content); };
}

auto RecordOf(CUevent event) {
  return [=](Driver& driver, Content* content) { return ReadRecord(driver, event, content); };
}

auto WaitOf(CUevent event) {
  return [=](Driver& driver, Content* content) { return ReadWait(driver, event, content); };
}

}  // namespace

CUresult cuGraphAddKernelNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, KernelOf(nodeParams));
}

CUresult cuGraphAddKernelNode_v2(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                 size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, KernelOf(nodeParams));
}

CUresult cuGraphKernelNodeGetParams(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return GetKernelParams(hNode, nodeParams);
}

CUresult cuGraphKernelNodeGetParams_v2(CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return GetKernelParams(hNode, nodeParams);
}

CUresult cuGraphKernelNodeSetParams(CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams) {
  return SetParams<KernelOperation>(hNode, KernelOf(nodeParams));
}

CUresult cuGraphKernelNodeSetParams_v2(CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS* nodeParams) {
  return SetParams<KernelOperation>(hNode, KernelOf(nodeParams));
}

CUresult cuGraphAddMemcpyNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMCPY3D* copyParams, CUcontext ctx) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, CopyOf(copyParams, ctx));
}

CUresult cuGraphMemcpyNodeGetParams(CUgraphNode hNode, CUDA_MEMCPY3D* nodeParams) {
  return GetParams<CopyOperation>(hNode, nodeParams);
}

CUresult cuGraphMemcpyNodeSetParams(CUgraphNode hNode, const CUDA_MEMCPY3D* nodeParams) {
  return NodeCall<CopyOperation>(hNode, [&](Driver& driver, Node& node, const CopyOperation& copy) {
    return ReadCopy(driver, nodeParams, copy.context->cu(), &node.content);
  });
}

CUresult cuGraphAddMemsetNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext ctx) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, FillOf(memsetParams, ctx));
}

CUresult cuGraphMemsetNodeGetParams(CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  return GetParams<FillOperation>(hNode, nodeParams);
}

CUresult cuGraphMemsetNodeSetParams(CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS* nodeParams) {
  return NodeCall<FillOperation>(hNode, [&](Driver& driver, Node& node, const FillOperation& fill) {
    return ReadFill(driver, nodeParams, fill.context->cu(), &node.content);
  });
}

CUresult cuGraphAddHostNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                            size_t numDependencies, const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, HostCallOf(nodeParams));
}

CUresult cuGraphHostNodeGetParams(CUgraphNode hNode, CUDA_HOST_NODE_PARAMS* nodeParams) {
  return GetParams<HostOperation>(hNode, nodeParams);
}

CUresult cuGraphHostNodeSetParams(CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS* nodeParams) {
  return SetParams<HostOperation>(hNode, HostCallOf(nodeParams));
}

CUresult cuGraphAddChildGraphNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                  size_t numDependencies, CUgraph childGraph) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies,
                 [&](Driver& driver, Content* content) { return ReadChild(driver, childGraph, content); });
}

CUresult cuGraphChildGraphNodeGetGraph(CUgraphNode hNode, CUgraph* phGraph) {
  return ObjectCall<Node>(hNode, [&](Driver&, Node& node) -> CUresult {
    const auto child = node.child();
    if (!phGraph || !child) return CUDA_ERROR_INVALID_VALUE;
    *phGraph = static_cast<CUgraph>(child->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddEmptyNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                             size_t numDependencies) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, [](Driver&, Content* content) {
    *content = EmptyContent();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddEventRecordNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                   size_t numDependencies, CUevent event) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, RecordOf(event));
}

CUresult cuGraphEventRecordNodeGetEvent(CUgraphNode hNode, CUevent* event_out) {
  return GetEvent<RecordOperation>(hNode, event_out);
}

CUresult cuGraphEventRecordNodeSetEvent(CUgraphNode hNode, CUevent event) {
  return SetParams<RecordOperation>(hNode, RecordOf(event));
}

CUresult cuGraphAddEventWaitNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                 size_t numDependencies, CUevent event) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, WaitOf(event));
}

CUresult cuGraphEventWaitNodeGetEvent(CUgraphNode hNode, CUevent* event_out) {
  return GetEvent<WaitOperation>(hNode, event_out);
}

CUresult cuGraphEventWaitNodeSetEvent(CUgraphNode hNode, CUevent event) {
  return SetParams<WaitOperation>(hNode, WaitOf(event));
}

CUresult cuGraphAddBatchMemOpNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                  size_t numDependencies, const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, MemOpsOf(nodeParams));
}

CUresult cuGraphBatchMemOpNodeGetParams(CUgraphNode hNode, CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams_out) {
  return NodeCall<MemOpsOperation>(hNode, [&](Driver&, Node&, const MemOpsOperation& mem_ops) -> CUresult {
    if (!nodeParams_out) return CUDA_ERROR_INVALID_VALUE;
    *nodeParams_out = Describe(mem_ops);
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphBatchMemOpNodeSetParams(CUgraphNode hNode, const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams) {
  return SetParams<MemOpsOperation>(hNode, MemOpsOf(nodeParams));
}

CUresult cuGraphAddMemAllocNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                                size_t numDependencies, CUDA_MEM_ALLOC_NODE_PARAMS* nodeParams) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies, [&](Driver& driver, Content* content) {
    const CUresult result = ReadAlloc(driver, nodeParams, content);
    if (result == CUDA_SUCCESS) nodeParams->dptr = AddressOf(*content);
    return result;
  });
}

CUresult cuGraphMemAllocNodeGetParams(CUgraphNode hNode, CUDA_MEM_ALLOC_NODE_PARAMS* params_out) {
  return NodeCall<AllocOperation>(hNode, [&](Driver&, Node&, const AllocOperation& alloc) -> CUresult {
    if (!params_out) return CUDA_ERROR_INVALID_VALUE;
    *params_out = alloc.memory->params();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddMemFreeNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                               size_t numDependencies, CUdeviceptr dptr) {
  return AddNode(phGraphNode, hGraph, dependencies, numDependencies,
                 [&](Driver& driver, Content* content) { return ReadFree(driver, dptr, content); });
}

CUresult cuGraphMemFreeNodeGetParams(CUgraphNode hNode, CUdeviceptr* dptr_out) {
  return NodeCall<FreeOperation>(hNode, [&](Driver&, Node&, const FreeOperation& free) -> CUresult {
    if (!dptr_out) return CUDA_ERROR_INVALID_VALUE;
    *dptr_out = free.address;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphAddNode(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                        size_t numDependencies, CUgraphNodeParams* nodeParams) {
  return AddAnyNode(phGraphNode, hGraph, dependencies, nullptr, numDependencies, nodeParams);
}

CUresult cuGraphAddNode_v2(CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                           const CUgraphEdgeData* dependencyData, size_t numDependencies,
                           CUgraphNodeParams* nodeParams) {
  return AddAnyNode(phGraphNode, hGraph, dependencies, dependencyData, numDependencies, nodeParams);
}

CUresult cuGraphNodeSetParams(CUgraphNode hNode, CUgraphNodeParams* nodeParams) {
  return ObjectCall<Node>(hNode, [&](Driver& driver, Node& node) -> CUresult {
    if (!nodeParams || NumberOf(nodeParams->type) != NumberOf(node.type())) return CUDA_ERROR_INVALID_VALUE;
    if (node.child() || node.is_memory_node()) return CUDA_ERROR_NOT_SUPPORTED;
    return ReadNode(driver, nodeParams, &node.content);
  });
}
