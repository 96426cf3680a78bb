#include <algorithm>
#include <set>
#include <utility>

#include "common/graphs/calls.h"
#include "common/graphs/object_call.h"

// Graph management: graphs, and how their nodes depend on each other. Edges carry no data: all that CUDA defines for
// them concerns kernels that start before another one has ended.

namespace outboard::graphs {
namespace {

// Gives out a list as the calls that ask for nodes do. `edges` may be null.
CUresult GiveOut(const std::vector<Node*>& nodes, CUgraphNode* out, CUgraphEdgeData* edges, size_t* count) {
  if (!count || (edges && !out)) return CUDA_ERROR_INVALID_VALUE;
  if (out) {
    for (size_t i = 0; i < *count; ++i) {
      out[i] = i < nodes.size() ? static_cast<CUgraphNode>(nodes[i]->handle()) : nullptr;
      if (edges) edges[i] = {};
    }
  }
  *count = out ? std::min(*count, nodes.size()) : nodes.size();
  return CUDA_SUCCESS;
}

CUresult GetEdges(Graphs& graphs, CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data,
                  size_t* count) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) -> CUresult {
    if (!from != !to) return CUDA_ERROR_INVALID_VALUE;
    std::vector<Node*> sources, targets;
    for (const auto& node : graph.nodes()) {
      for (Node* source : node->dependencies()) {
        sources.push_back(source);
        targets.push_back(node.get());
      }
    }
    size_t room = count ? *count : 0;
    if (CUresult result = GiveOut(sources, from, data, count); result != CUDA_SUCCESS) return result;
    return GiveOut(targets, to, nullptr, &room);
  });
}

CUresult GetDependencies(Graphs& graphs, CUgraphNode hNode, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  return ObjectCall<Node>(graphs, hNode, [&](Node& node) {
    return GiveOut({node.dependencies().begin(), node.dependencies().end()}, out, data, count);
  });
}

CUresult GetDependents(Graphs& graphs, CUgraphNode hNode, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  return ObjectCall<Node>(graphs, hNode, [&](Node& node) {
    return GiveOut({node.dependents().begin(), node.dependents().end()}, out, data, count);
  });
}

// Adds or removes edges, all or none.
CUresult ChangeEdges(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                     const CUgraphEdgeData* data, size_t count, bool add) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) -> CUresult {
    if (count == 0) return CUDA_SUCCESS;
    if (!from || !to) return CUDA_ERROR_INVALID_VALUE;
    if (!add && graph.HasMemoryNodes()) return CUDA_ERROR_NOT_SUPPORTED;
    if (HasData(data, count)) return CUDA_ERROR_NOT_SUPPORTED;
    std::set<std::pair<Node*, Node*>> edges;
    std::vector<std::pair<Node*, Node*>> in_order;
    for (size_t i = 0; i < count; ++i) {
      const auto a = graphs.handles.Find<Node>(from[i]);
      const auto b = graphs.handles.Find<Node>(to[i]);
      if (!a || !b || a == b || &a->graph != &graph || &b->graph != &graph) return CUDA_ERROR_INVALID_VALUE;
      if (Graph::Connected(*a, *b) == add) return CUDA_ERROR_INVALID_VALUE;
      if (!edges.emplace(a.get(), b.get()).second) return CUDA_ERROR_INVALID_VALUE;
      in_order.emplace_back(a.get(), b.get());
    }
    for (const auto& [a, b] : in_order) add ? Graph::Connect(*a, *b) : Graph::Disconnect(*a, *b);
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuGraphCreate(Graphs& graphs, CUgraph* phGraph, unsigned int flags) {
  if (!phGraph || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(graphs.mutex);
  const auto graph = std::make_shared<Graph>(graphs);
  graph->Publish();
  *phGraph = static_cast<CUgraph>(graph->handle());
  return CUDA_SUCCESS;
}

CUresult cuGraphDestroy(Graphs& graphs, CUgraph hGraph) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) -> CUresult {
    if (graph.embedded()) return CUDA_ERROR_INVALID_VALUE;
    if (graph.IsCapturing()) return CUDA_ERROR_ILLEGAL_STATE;
    graph.Withdraw();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphClone(Graphs& graphs, CUgraph* phGraphClone, CUgraph originalGraph) {
  return ObjectCall<Graph>(graphs, originalGraph, [&](Graph& graph) -> CUresult {
    if (!phGraphClone) return CUDA_ERROR_INVALID_VALUE;
    if (graph.IsCapturing()) return CUDA_ERROR_ILLEGAL_STATE;
    if (!graph.MayBeCopied()) return CUDA_ERROR_NOT_SUPPORTED;
    const auto clone = graph.Clone();
    clone->Publish();
    *phGraphClone = static_cast<CUgraph>(clone->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeFindInClone(Graphs& graphs, CUgraphNode* phNode, CUgraphNode hOriginalNode, CUgraph hClonedGraph) {
  return ObjectCall<Graph>(graphs, hClonedGraph, [&](Graph& graph) -> CUresult {
    const auto original = graphs.handles.Find<Node>(hOriginalNode);
    if (!phNode || !original) return CUDA_ERROR_INVALID_VALUE;
    const auto found = std::ranges::find(graph.nodes(), original->id, [](const auto& node) { return node->origin; });
    if (found == graph.nodes().end()) return CUDA_ERROR_INVALID_VALUE;
    *phNode = static_cast<CUgraphNode>((*found)->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeGetType(Graphs& graphs, CUgraphNode hNode, CUgraphNodeType* type) {
  return ObjectCall<Node>(graphs, hNode, [&](Node& node) -> CUresult {
    if (!type) return CUDA_ERROR_INVALID_VALUE;
    *type = node.type();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetNodes(Graphs& graphs, CUgraph hGraph, CUgraphNode* nodes, size_t* numNodes) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) {
    std::vector<Node*> all;
    for (const auto& node : graph.nodes()) all.push_back(node.get());
    return GiveOut(all, nodes, nullptr, numNodes);
  });
}

CUresult cuGraphGetRootNodes(Graphs& graphs, CUgraph hGraph, CUgraphNode* rootNodes, size_t* numRootNodes) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) {
    std::vector<Node*> roots;
    for (const auto& node : graph.nodes()) {
      if (node->dependencies().empty()) roots.push_back(node.get());
    }
    return GiveOut(roots, rootNodes, nullptr, numRootNodes);
  });
}

CUresult cuGraphGetEdges(Graphs& graphs, CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, size_t* numEdges) {
  return GetEdges(graphs, hGraph, from, to, nullptr, numEdges);
}

CUresult cuGraphGetEdges_v2(Graphs& graphs, CUgraph hGraph, CUgraphNode* from, CUgraphNode* to,
                            CUgraphEdgeData* edgeData, size_t* numEdges) {
  return GetEdges(graphs, hGraph, from, to, edgeData, numEdges);
}

CUresult cuGraphNodeGetDependencies(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependencies,
                                    size_t* numDependencies) {
  return GetDependencies(graphs, hNode, dependencies, nullptr, numDependencies);
}

CUresult cuGraphNodeGetDependencies_v2(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependencies,
                                       CUgraphEdgeData* edgeData, size_t* numDependencies) {
  return GetDependencies(graphs, hNode, dependencies, edgeData, numDependencies);
}

CUresult cuGraphNodeGetDependentNodes(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependentNodes,
                                      size_t* numDependentNodes) {
  return GetDependents(graphs, hNode, dependentNodes, nullptr, numDependentNodes);
}

CUresult cuGraphNodeGetDependentNodes_v2(Graphs& graphs, CUgraphNode hNode, CUgraphNode* dependentNodes,
                                         CUgraphEdgeData* edgeData, size_t* numDependentNodes) {
  return GetDependents(graphs, hNode, dependentNodes, edgeData, numDependentNodes);
}

CUresult cuGraphAddDependencies(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                size_t numDependencies) {
  return ChangeEdges(graphs, hGraph, from, to, nullptr, numDependencies, true);
}

CUresult cuGraphAddDependencies_v2(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData* edgeData, size_t numDependencies) {
  return ChangeEdges(graphs, hGraph, from, to, edgeData, numDependencies, true);
}

CUresult cuGraphRemoveDependencies(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   size_t numDependencies) {
  return ChangeEdges(graphs, hGraph, from, to, nullptr, numDependencies, false);
}

CUresult cuGraphRemoveDependencies_v2(Graphs& graphs, CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                      const CUgraphEdgeData* edgeData, size_t numDependencies) {
  return ChangeEdges(graphs, hGraph, from, to, edgeData, numDependencies, false);
}

CUresult cuGraphDestroyNode(Graphs& graphs, CUgraphNode hNode) {
  return ObjectCall<Node>(graphs, hNode, [&](Node& node) -> CUresult {
    const auto is_capturing = [](const auto& inner) { return inner->IsCapturing(); };
    if (node.graph.capturing || std::ranges::any_of(node.inner(), is_capturing)) return CUDA_ERROR_ILLEGAL_STATE;
    if (node.graph.HasMemoryNodes()) return CUDA_ERROR_NOT_SUPPORTED;
    node.graph.Remove(node);
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::graphs
