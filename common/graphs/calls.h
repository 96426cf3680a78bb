#pragma once

#include <cuda.h>

#include <functional>

#include "common/graphs/graphs.h"

// Graph management: the calls of the driver API that the model answers, with the calls' errors. The library has made
// the checks that come before a call's own. Thread-safe; each call takes Graphs::mutex.

namespace outboard::graphs {
// Graphs, and how their nodes depend on each other.
CUresult cuGraphCreate(Graphs& graphs, CUgraph* phGraph, unsigned int flags);
CUresult cuGraphDestroy(Graphs& graphs, CUgraph hGraph);
CUresult cuGraphClone(Graphs& graphs, CUgraph* phGraphClone, CUgraph originalGraph);
CUresult cuGraphNodeFindInClone(Graphs& graphs, CUgraphNode* phNode, CUgraphNode hOriginalNode, CUgraph hClonedGraph);
CUresult cuGraphNodeGetType(Graphs& graphs, CUgraphNode hNode, CUgraphNodeType* type);
CUresult cuGraphGetNodes(Graphs& graphs, CUgraph hGraph, CUgraphNode* nodes, size_t* numNodes);
CUresult cuGraphGetRootNodes(Graphs& graphs, CUgraph hGraph, CUgraphNode* rootNodes, size_t* numRootNodes);
CUresult cuGraphGetEdges(Graphs& graphs, CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, size_t* numEdges);
CUresult cuGraphGetEdges_v2(Graphs& graphs, CUgraph hGraph, CUgraphNode* from, CUgraphNode* to,
                            CUgraphEdgeData* edgeData, size_t* numEdges);
CUresult cuGraphNodeGetDependencies(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependencies,
                                    size_t* numDependencies);
CUresult cuGraphNodeGetDependencies_v2(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependencies,
                                       CUgraphEdgeData* edgeData, size_t* numDependencies);
CUresult cuGraphNodeGetDependentNodes(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependentNodes,
                                      size_t* numDependentNodes);
CUresult cuGraphNodeGetDependentNodes_v2(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependentNodes,
                                         CUgraphEdgeData* edgeData, size_t* numDependentNodes);
CUresult cuGraphAddDependencies(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                size_t numDependencies);
CUresult cuGraphAddDependencies_v2(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData* edgeData, size_t numDependencies);
CUresult cuGraphRemoveDependencies(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   size_t numDependencies);
CUresult cuGraphRemoveDependencies_v2(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                      const CUgraphEdgeData* edgeData, size_t numDependencies);
CUresult cuGraphDestroyNode(Graphs& graphs, CUgraphNode hNode);

// Nodes and their parameters.
CUresult cuGraphAddKernelNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams);
CUresult cuGraphAddKernelNode_v2(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                 const CUgraphNode* dependencies, size_t numDependencies,
                                 const CUDA_KERNEL_NODE_PARAMS* nodeParams);
CUresult cuGraphKernelNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS_v1* nodeParams);
CUresult cuGraphKernelNodeGetParams_v2(Graphs& graphs, CUgraphNode hNode, CUDA_KERNEL_NODE_PARAMS* nodeParams);
CUresult cuGraphKernelNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams);
CUresult cuGraphKernelNodeSetParams_v2(Graphs& graphs, CUgraphNode hNode, const CUDA_KERNEL_NODE_PARAMS* nodeParams);
CUresult cuGraphAddMemcpyNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMCPY3D* copyParams, CUcontext ctx);
CUresult cuGraphMemcpyNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_MEMCPY3D* nodeParams);
CUresult cuGraphMemcpyNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_MEMCPY3D* nodeParams);
CUresult cuGraphAddMemsetNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                              size_t numDependencies, const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext ctx);
CUresult cuGraphMemsetNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_MEMSET_NODE_PARAMS* nodeParams);
CUresult cuGraphMemsetNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_MEMSET_NODE_PARAMS* nodeParams);
CUresult cuGraphAddHostNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                            size_t numDependencies, const CUDA_HOST_NODE_PARAMS* nodeParams);
CUresult cuGraphHostNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_HOST_NODE_PARAMS* nodeParams);
CUresult cuGraphHostNodeSetParams(Graphs& graphs, CUgraphNode hNode, const CUDA_HOST_NODE_PARAMS* nodeParams);
CUresult cuGraphAddChildGraphNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                  const CUgraphNode* dependencies, size_t numDependencies, CUgraph childGraph);
CUresult cuGraphChildGraphNodeGetGraph(Graphs& graphs, CUgraphNode hNode, CUgraph* phGraph);
CUresult cuGraphAddEmptyNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                             size_t numDependencies);
CUresult cuGraphAddEventRecordNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                   const CUgraphNode* dependencies, size_t numDependencies, CUevent event);
CUresult cuGraphEventRecordNodeGetEvent(Graphs& graphs, CUgraphNode hNode, CUevent* event_out);
CUresult cuGraphEventRecordNodeSetEvent(Graphs& graphs, CUgraphNode hNode, CUevent event);
CUresult cuGraphAddEventWaitNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                 const CUgraphNode* dependencies, size_t numDependencies, CUevent event);
CUresult cuGraphEventWaitNodeGetEvent(Graphs& graphs, CUgraphNode hNode, CUevent* event_out);
CUresult cuGraphEventWaitNodeSetEvent(Graphs& graphs, CUgraphNode hNode, CUevent event);
CUresult cuGraphAddBatchMemOpNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                  const CUgraphNode* dependencies, size_t numDependencies,
                                  const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams);
CUresult cuGraphBatchMemOpNodeGetParams(Graphs& graphs, CUgraphNode hNode,
                                        CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams_out);
CUresult cuGraphBatchMemOpNodeSetParams(Graphs& graphs, CUgraphNode hNode,
                                        const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams);
CUresult cuGraphAddMemAllocNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                                const CUgraphNode* dependencies, size_t numDependencies,
                                CUDA_MEM_ALLOC_NODE_PARAMS* nodeParams);
CUresult cuGraphMemAllocNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUDA_MEM_ALLOC_NODE_PARAMS* params_out);
CUresult cuGraphAddMemFreeNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph,
                               const CUgraphNode* dependencies, size_t numDependencies, CUdeviceptr dptr);
CUresult cuGraphMemFreeNodeGetParams(Graphs& graphs, CUgraphNode hNode, CUdeviceptr* dptr_out);
CUresult cuGraphAddNode(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                        size_t numDependencies, CUgraphNodeParams* nodeParams);
CUresult cuGraphAddNode_v2(Graphs& graphs, CUgraphNode* phGraphNode, CUgraph hGraph, const CUgraphNode* dependencies,
                           const CUgraphEdgeData* dependencyData, size_t numDependencies,
                           CUgraphNodeParams* nodeParams);
CUresult cuGraphNodeSetParams(Graphs& graphs, CUgraphNode hNode, CUgraphNodeParams* nodeParams);
CUresult cuGraphConditionalHandleCreate(Graphs& graphs, CUgraphConditionalHandle* pHandle_out, CUgraph hGraph,
                                        CUcontext ctx, unsigned int defaultLaunchValue, unsigned int flags);
CUresult cuGraphExecKernelNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_KERNEL_NODE_PARAMS_v1* nodeParams);
CUresult cuGraphExecKernelNodeSetParams_v2(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                           const CUDA_KERNEL_NODE_PARAMS* nodeParams);
CUresult cuGraphExecMemcpyNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMCPY3D* copyParams, CUcontext ctx);
CUresult cuGraphExecMemsetNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                        const CUDA_MEMSET_NODE_PARAMS* memsetParams, CUcontext ctx);
CUresult cuGraphExecHostNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                      const CUDA_HOST_NODE_PARAMS* nodeParams);
CUresult cuGraphExecBatchMemOpNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                            const CUDA_BATCH_MEM_OP_NODE_PARAMS* nodeParams);
CUresult cuGraphExecChildGraphNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                            CUgraph childGraph);
CUresult cuGraphExecEventRecordNodeSetEvent(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event);
CUresult cuGraphExecEventWaitNodeSetEvent(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, CUevent event);
CUresult cuGraphExecNodeSetParams(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode,
                                  CUgraphNodeParams* nodeParams);

// Executable graphs.
CUresult cuGraphInstantiate(Graphs& graphs, CUgraphExec* phGraphExec, CUgraph hGraph, CUgraphNode* phErrorNode,
                            char* logBuffer, size_t bufferSize);
CUresult cuGraphInstantiateWithFlags(Graphs& graphs, CUgraphExec* phGraphExec, CUgraph hGraph,
                                     unsigned long long flags);
CUresult cuGraphInstantiateWithParams(Graphs& graphs, CUgraphExec* phGraphExec, CUgraph hGraph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams,
                                      const std::function<CUresult(CUgraphExec, CUstream)>& upload);
CUresult cuGraphExecDestroy(Graphs& graphs, CUgraphExec hGraphExec);
CUresult cuGraphExecGetFlags(Graphs& graphs, CUgraphExec hGraphExec, cuuint64_t* flags);
CUresult cuGraphExecUpdate(Graphs& graphs, CUgraphExec hGraphExec, CUgraph hGraph, CUgraphNode* hErrorNode_out,
                           CUgraphExecUpdateResult* updateResult_out);
CUresult cuGraphExecUpdate_v2(Graphs& graphs, CUgraphExec hGraphExec, CUgraph hGraph,
                              CUgraphExecUpdateResultInfo* resultInfo);
CUresult cuGraphNodeSetEnabled(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int isEnabled);
CUresult cuGraphNodeGetEnabled(Graphs& graphs, CUgraphExec hGraphExec, CUgraphNode hNode, unsigned int* isEnabled);

// User objects.
CUresult cuUserObjectCreate(Graphs& graphs, CUuserObject* object_out, void* ptr, CUhostFn destroy,
                            unsigned int initialRefcount, unsigned int flags);
CUresult cuUserObjectRetain(Graphs& graphs, CUuserObject object, unsigned int count);
CUresult cuUserObjectRelease(Graphs& graphs, CUuserObject object, unsigned int count);
CUresult cuGraphRetainUserObject(Graphs& graphs, CUgraph graph, CUuserObject object, unsigned int count,
                                 unsigned int flags);
CUresult cuGraphReleaseUserObject(Graphs& graphs, CUgraph graph, CUuserObject object, unsigned int count);

// A picture of a graph, in the language of Graphviz.
CUresult cuGraphDebugDotPrint(Graphs& graphs, CUgraph hGraph, const char* path, unsigned int);

}  // namespace outboard::graphs
