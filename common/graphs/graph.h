#pragma once

#include <cuda.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/graphs/conditional.h"
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
  const Operation* operation() const;                                    // null for what has graphs
  bool is_memory_node() const;                                           // allocates or frees
  std::shared_ptr<Graph> child() const;                                  // null for all others
  Conditional* conditional() const;                                      // null for all others
  std::span<const std::shared_ptr<Graph>> inner() const;                 // the child graph, or the bodies
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

  std::span<const std::shared_ptr<Node>> nodes() const { return nodes_; }  // in the order in which they were added

  // Whether it belongs to a node, of the graph `parent`; which graph it then is in, itself otherwise.
  bool embedded() const { return parent_ != nullptr; }
  Graph& outermost();

  // It is `inner`, or has it in one of its nodes.
  bool Holds(const Graph& inner) const;

  // A stream capture adds to it, or to a graph in it.
  bool IsCapturing() const;

  // The nodes of these handles. Nullopt when one is no node of this graph or named twice.
  std::optional<std::vector<std::shared_ptr<Node>>> FindNodes(std::span<const CUgraphNode> handles) const;

  // Nodes that allocate or free memory, in child graphs too: the graph cannot be copied, and loses no nodes and edges.
  bool HasMemoryNodes() const;
  // Conditional nodes, in child graphs too.
  bool HasConditionalNodes() const;
  // Programs may have copies, as graphs, in child graph nodes and in several executable graphs at a time.
  bool MayBeCopied() const { return !HasMemoryNodes() && !HasConditionalNodes(); }

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

  // The one executable graph that a graph may have that must not be copied.
  std::weak_ptr<Exec> only_exec;

  // A graph for one of this one's nodes.
  std::shared_ptr<Graph> MakeEmpty() const { return std::make_shared<Graph>(graphs_); }

  // The conditions of an outermost graph and of all graphs in it, and the one of a handle if a node of this graph may
  // have it: one that was made for this graph, or for one that this one is in.
  std::span<const std::shared_ptr<Condition>> conditions() const { return conditions_; }
  void AddCondition(std::shared_ptr<Condition> condition) { conditions_.push_back(std::move(condition)); }
  std::shared_ptr<Condition> FindCondition(CUgraphConditionalHandle handle);

  // A copy, graphs in it included, without handles. Operations are shared, and conditions are its nodes' alone.
  std::shared_ptr<Graph> Clone() const;

  // References to a user object, which the caller has taken and the graph gives back, at the latest when it ends. A
  // clone has as many. False when the graph has not got so many.
  void TakeUserObject(std::shared_ptr<UserObject> object, uint64_t count);
  bool DropUserObject(const std::shared_ptr<UserObject>& object, uint64_t count);

  // Gives this graph, its nodes and the graphs in them their handles, and makes those invalid again.
  void Publish();
  void Withdraw();

 private:
  // Whether `is` says so of a graph that one of the nodes has.
  template <class Is>
  bool AnyInner(Is is) const {
    return std::ranges::any_of(nodes_, [&](const auto& node) {
      return std::ranges::any_of(node->inner(), [&](const auto& inner) { return is(*inner); });
    });
  }
  void PublishNode(const std::shared_ptr<Node>& node);
  void WithdrawNode(Node& node);

  Graphs& graphs_;
  Graph* parent_ = nullptr;  // outlives this, or its node has been taken out of it
  std::vector<std::shared_ptr<Node>> nodes_;
  std::vector<std::shared_ptr<Condition>> conditions_;
  std::map<std::shared_ptr<UserObject>, uint64_t> user_objects_;
};

}  // namespace outboard::graphs
