#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/graphs/operation.h"
#include "common/graphs/user_object.h"
#include "common/libcuda/handles.h"

namespace outboard::graphs {

class Exec;
class Graphs;

// Some of `count` edges carry data; null means that none does.
bool HasData(const CUgraphEdgeData* data, size_t count);

// A CUgraphNode. Guarded by Graphs::mutex, as its graph is.
class Node : public Object {
 public:
  static constexpr Kind kKind = Kind::kGraphNode;

  Node(Graph& graph, uint64_t id, uint64_t origin, Content content)
      : graph(graph), id(id), origin(origin), content(std::move(content)) {}

  Graph& graph;           // outlives the node while the node has a handle or is in it
  const uint64_t id;      // no other node of the process has it
  const uint64_t origin;  // the id of the node that this one was cloned from; 0 for none

  CUgraphNodeType type() const;
  const Operation* operation() const;                                    // null for a child graph
  bool is_memory_node() const;                                           // allocates or frees
  std::shared_ptr<Graph> child() const;                                  // null for all others
  std::span<Node* const> dependencies() const { return dependencies_; }  // in the order in which they were added
  std::span<Node* const> dependents() const { return dependents_; }

  Content content;
  bool enabled = true;  // in an executable graph

  // The arrays that cuGraphKernelNodeGetParams has given out. They point into the operation.
  std::vector<void*> arguments;
  size_t packed_bytes = 0;

 private:
  friend class Graph;
  std::vector<Node*> dependencies_, dependents_;
};

// A CUgraph, or what an executable graph is made of. Guarded by Graphs::mutex, handles included.
class Graph : public Object, public std::enable_shared_from_this<Graph> {
 public:
  static constexpr Kind kKind = Kind::kGraph;

  explicit Graph(Graphs& graphs) : graphs_(graphs) {}
  ~Graph() override;

  bool capturing = false;  // a stream capture adds to it: it must not be destroyed, nor its nodes
  bool embedded = false;   // belongs to a child graph node

  std::span<const std::shared_ptr<Node>> nodes() const { return nodes_; }  // in the order in which they were added

  // The nodes of these handles. Nullopt when one is no node of this graph or named twice.
  std::optional<std::vector<std::shared_ptr<Node>>> FindNodes(std::span<const CUgraphNode> handles) const;

  // Nodes that allocate or free memory, in child graphs too: the graph cannot be copied, and loses no nodes and edges.
  bool HasMemoryNodes() const;

  // Whether a node may be added that does this.
  CUresult MayAdd(const Content& content) const;

  // Adds a node behind `dependencies`, which are nodes of this graph and all different. It gets a handle if the graph
  // has one.
  const std::shared_ptr<Node>& Add(Content content, std::span<Node* const> dependencies, uint64_t origin = 0);
  // Takes the node and its edges out.
  void Remove(Node& node);

  static bool Connected(const Node& from, const Node& to);
  static void Connect(Node& from, Node& to);
  static void Disconnect(Node& from, Node& to);

  // The nodes, each after those that it depends on. Nullopt when edges form a cycle; then *on_cycle is a node of one.
  std::optional<std::vector<Node*>> Sorted(Node** on_cycle) const;

  // The one executable graph that a graph with memory nodes may have.
  std::weak_ptr<Exec> only_exec;

  // A copy, child graphs included, without handles. Operations are shared.
  std::shared_ptr<Graph> Clone() const;

  // References to a user object, which the caller has taken and the graph gives back, at the latest when it ends. A
  // clone has as many. False when the graph has not got so many.
  void TakeUserObject(std::shared_ptr<UserObject> object, uint64_t count);
  bool DropUserObject(const std::shared_ptr<UserObject>& object, uint64_t count);

  // Gives this graph, its nodes and the graphs in them their handles, and makes those invalid again.
  void Publish();
  void Withdraw();

 private:
  void PublishNode(const std::shared_ptr<Node>& node);
  void WithdrawNode(Node& node);

  Graphs& graphs_;
  std::vector<std::shared_ptr<Node>> nodes_;
  std::map<std::shared_ptr<UserObject>, uint64_t> user_objects_;
};

}  // namespace outboard::graphs
