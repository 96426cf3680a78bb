#include <algorithm>
#include <set>
#include <utility>

#include "server/softgpu/api/graph_entry.h"

// Graph management: graphs, and how their nodes depend on each other. Edges carry no data: all that CUDA defines for
// them concerns kernels that start before another one has ended.

using namespace outboard::softgpu::api;

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

CUresult GetEdges(CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, size_t* count) {
  return ObjectCall<Graph>(hGraph, [&](Driver&, Graph& graph) -> CUresult {
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

CUresult GetDependencies(CUgraphNode hNode, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  return ObjectCall<Node>(hNode, [&](Driver&, Node& node) {
    return GiveOut({node.dependencies().begin(), node.dependencies().end()}, out, data, count);
  });
}

CUresult GetDependents(CUgraphNode hNode, CUgraphNode* out, CUgraphEdgeData* data, size_t* count) {
  return ObjectCall<Node>(hNode, [&](Driver&, Node& node) {
    return GiveOut({node.dependents().begin(), node.dependents().end()}, out, data, count);
  });
}

// Adds or removes edges, all or none.
CUresult ChangeEdges(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data,
                     size_t count, bool add) {
  return ObjectCall<Graph>(hGraph, [&](Driver& driver, Graph& graph) -> CUresult {
    if (count == 0) return CUDA_SUCCESS;
    if (!from || !to) return CUDA_ERROR_INVALID_VALUE;
    if (!add && graph.HasMemoryNodes()) return CUDA_ERROR_NOT_SUPPORTED;
    if (HasData(data, count)) return CUDA_ERROR_NOT_SUPPORTED;
    std::set<std::pair<Node*, Node*>> edges;
    std::vector<std::pair<Node*, Node*>> in_order;
    for (size_t i = 0; i < count; ++i) {
      const auto a = driver.handles.Find<Node>(from[i]);
      const auto b = driver.handles.Find<Node>(to[i]);
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

CUresult cuGraphCreate(CUgraph* phGraph, unsigned int flags) {
  return GraphsCall([&](Driver& driver) -> CUresult {
    if (!phGraph || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const auto graph = std::make_shared<Graph>(driver);
    graph->Publish();
    *phGraph = static_cast<CUgraph>(graph->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphDestroy(CUgraph hGraph) {
  return ObjectCall<Graph>(hGraph, [&](Driver&, Graph& graph) -> CUresult {
    if (graph.embedded) return CUDA_ERROR_INVALID_VALUE;
    if (graph.capturing) return CUDA_ERROR_ILLEGAL_STATE;
    graph.Withdraw();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphClone(CUgraph* phGraphClone, CUgraph originalGraph) {
  return ObjectCall<Graph>(originalGraph, [&](Driver&, Graph& graph) -> CUresult {
    if (!phGraphClone) return CUDA_ERROR_INVALID_VALUE;
    if (graph.capturing) return CUDA_ERROR_ILLEGAL_STATE;
    if (graph.HasMemoryNodes()) return CUDA_ERROR_NOT_SUPPORTED;
    const auto clone = graph.Clone();
    clone->Publish();
    *phGraphClone = static_cast<CUgraph>(clone->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeFindInClone(CUgraphNode* phNode, CUgraphNode hOriginalNode, CUgraph hClonedGraph) {
  return ObjectCall<Graph>(hClonedGraph, [&](Driver& driver, Graph& graph) -> CUresult {
    const auto original = driver.handles.Find<Node>(hOriginalNode);
    if (!phNode || !original) return CUDA_ERROR_INVALID_VALUE;
    const auto found = std::ranges::find(graph.nodes(), original->id, [](const auto& node) { return node->origin; });
    if (found == graph.nodes().end()) return CUDA_ERROR_INVALID_VALUE;
    *phNode = static_cast<CUgraphNode>((*found)->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphNodeGetType(CUgraphNode hNode, CUgraphNodeType* type) {
  return ObjectCall<Node>(hNode, [&](Driver&, Node& node) -> CUresult {
    if (!type) return CUDA_ERROR_INVALID_VALUE;
    *type = node.type();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetNodes(CUgraph hGraph, CUgraphNode* nodes, size_t* numNodes) {
  return ObjectCall<Graph>(hGraph, [&](Driver&, Graph& graph) {
    std::vector<Node*> all;
    for (const auto& node : graph.nodes()) all.push_back(node.get());
    return GiveOut(all, nodes, nullptr, numNodes);
  });
}

CUresult cuGraphGetRootNodes(CUgraph hGraph, CUgraphNode* rootNodes, size_t* numRootNodes) {
  return ObjectCall<Graph>(hGraph, [&](Driver&, Graph& graph) {
    std::vector<Node*> roots;
    for (const auto& node : graph.nodes()) {
      if (node->dependencies().empty()) roots.push_back(node.get());
    }
    return GiveOut(roots, rootNodes, nullptr, numRootNodes);
  });
}

CUresult cuGraphGetEdges(CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, size_t* numEdges) {
  return GetEdges(hGraph, from, to, nullptr, numEdges);
}

CUresult cuGraphGetEdges_v2(CUgraph hGraph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* edgeData,
                            size_t* numEdges) {
  return GetEdges(hGraph, from, to, edgeData, numEdges);
}

CUresult cuGraphNodeGetDependencies(CUgraphNode hNode, CUgraphNode* dependencies, size_t* numDependencies) {
  return GetDependencies(hNode, dependencies, nullptr, numDependencies);
}

CUresult cuGraphNodeGetDependencies_v2(CUgraphNode hNode, CUgraphNode* dependencies, CUgraphEdgeData* edgeData,
                                       size_t* numDependencies) {
  return GetDependencies(hNode, dependencies, edgeData, numDependencies);
}

CUresult cuGraphNodeGetDependentNodes(CUgraphNode hNode, CUgraphNode* dependentNodes, size_t* numDependentNodes) {
  return GetDependents(hNode, dependentNodes, nullptr, numDependentNodes);
}

CUresult cuGraphNodeGetDependentNodes_v2(CUgraphNode hNode, CUgraphNode* dependentNodes, CUgraphEdgeData* edgeData,
                                         size_t* numDependentNodes) {
  return GetDependents(hNode, dependentNodes, edgeData, numDependentNodes);
}

CUresult cuGraphAddDependencies(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                size_t numDependencies) {
  return ChangeEdges(hGraph, from, to, nullptr, numDependencies, true);
}

CUresult cuGraphAddDependencies_v2(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   const CUgraphEdgeData* edgeData, size_t numDependencies) {
  return ChangeEdges(hGraph, from, to, edgeData, numDependencies, true);
}

CUresult cuGraphRemoveDependencies(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                   size_t numDependencies) {
  return ChangeEdges(hGraph, from, to, nullptr, numDependencies, false);
}

CUresult cuGraphRemoveDependencies_v2(CUgraph hGraph, const CUgraphNode* from, const CUgraphNode* to,
                                      const CUgraphEdgeData* edgeData, size_t numDependencies) {
  return ChangeEdges(hGraph, from, to, edgeData, numDependencies, false);
}

CUresult cuGraphDestroyNode(CUgraphNode hNode) {
  return ObjectCall<Node>(hNode, [&](Driver&, Node& node) -> CUresult {
    if (node.graph.capturing) return CUDA_ERROR_ILLEGAL_STATE;
    if (node.graph.HasMemoryNodes()) return CUDA_ERROR_NOT_SUPPORTED;
    node.graph.Remove(node);
    return CUDA_SUCCESS;
  });
}
