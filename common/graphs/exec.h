#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/graphs/graph.h"
#include "common/graphs/memory.h"

namespace outboard::graphs {

// A CUgraphExec: a copy of a graph, ready to be launched. Its nodes are named by the nodes that they were copied from.
// Guarded by Graphs::mutex.
class Exec : public Object {
 public:
  static constexpr Kind kKind = Kind::kGraphExec;

  // Copies the graph. Nothing else is called before Prepare.
  Exec(const Graph& graph, uint64_t flags) : flags(flags), graph_(graph.Clone()) {}

  // False when the graph that this is a copy of has a cycle; then *on_cycle is a node of it.
  bool Prepare(const Graph& original, Node** on_cycle) { return Prepare(original, *graph_, &order_, on_cycle); }

  const uint64_t flags;

  Graph& graph() const { return *graph_; }
  const std::shared_ptr<Graph>& shared_graph() const { return graph_; }

  // All nodes but those that are graphs, child graphs' included, each behind those that it depends on. The same of a
  // body of one of conditional_nodes(), which are those at any depth.
  std::span<Node* const> order() const { return order_; }
  std::span<Node* const> order(const Graph& body) const { return body_orders_.at(&body); }
  std::span<Node* const> conditional_nodes() const { return conditional_nodes_; }

  // The copy of a node of the graph or of a graph in it; null for other nodes.
  Node* Find(const Node& original) const;

  // Gives a node another operation of its kind.
  CUresult Change(Node& node, Content content);

  // cuGraphExecUpdate, all or nothing. `error` is that of the library when the graph fits.
  struct Mismatch {
    CUgraphExecUpdateResult result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
    const Node* node = nullptr;  // of the graph that does not fit
    const Node* from = nullptr;
    CUresult error = CUDA_SUCCESS;
  };
  Mismatch Update(const Graph& to) { return Update(*graph_, to); }
  // The same for the graph of a child graph node of this one.
  Mismatch UpdateChild(const Node& mine, const Graph& to) { return Update(*mine.child(), to); }

  // What a launch does to memory, all or nothing. CUDA_ERROR_INVALID_VALUE when it would allocate what is allocated,
  // but for graphs that free it first, or free what is not.
  CUresult ChangeMemory(MemoryChanges* changes) const;

  // Of a node that may be disabled.
  virtual CUresult SetEnabled(Node& node, bool enabled);

 protected:
  using Changes = std::vector<std::pair<Node*, Content>>;

  // Changes nodes of this graph, all or none.
  virtual CUresult Apply(Changes changes);

 private:
  bool Prepare(const Graph& original, const Graph& copy, std::vector<Node*>* order, Node** on_cycle);
  Mismatch Update(const Graph& mine, const Graph& to);

  const std::shared_ptr<Graph> graph_;
  std::vector<Node*> order_;
  std::vector<Node*> memory_nodes_;  // of these
  std::vector<Node*> conditional_nodes_;
  std::unordered_map<const Graph*, std::vector<Node*>> body_orders_;
  std::unordered_map<uint64_t, Node*> by_origin_;  // nodes of graphs in it included
};

}  // namespace outboard::graphs
