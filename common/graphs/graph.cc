#include "common/graphs/graph.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "common/graphs/graphs.h"
#include "common/graphs/memory.h"

namespace outboard::graphs {

bool HasData(const CUgraphEdgeData* data, size_t count) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(data);
  return data && std::any_of(bytes, bytes + count * sizeof *data, [](unsigned char byte) { return byte != 0; });
}

CUgraphNodeType Node::type() const {
  if (conditional()) return CU_GRAPH_NODE_TYPE_CONDITIONAL;
  const Operation* what = operation();
  return what ? what->type() : CU_GRAPH_NODE_TYPE_GRAPH;
}

const Operation* Node::operation() const {
  const auto* operation = std::get_if<OperationPtr>(&content);
  return operation ? operation->get() : nullptr;
}

bool Node::is_memory_node() const {
  const CUgraphNodeType what = type();
  return what == CU_GRAPH_NODE_TYPE_MEM_ALLOC || what == CU_GRAPH_NODE_TYPE_MEM_FREE;
}

std::shared_ptr<Graph> Node::child() const {
  const auto* child = std::get_if<std::shared_ptr<Graph>>(&content);
  return child ? *child : nullptr;
}

Conditional* Node::conditional() const {
  const auto* conditional = std::get_if<std::shared_ptr<Conditional>>(&content);
  return conditional ? conditional->get() : nullptr;
}

std::span<const std::shared_ptr<Graph>> Node::inner() const {
  if (const Conditional* what = conditional()) return what->bodies;
  const auto* child = std::get_if<std::shared_ptr<Graph>>(&content);
  return {child, child ? size_t{1} : 0};
}

Graph::~Graph() {
  for (const auto& [object, count] : user_objects_) object->Release(count);
}

Graph& Graph::outermost() {
  Graph* graph = this;
  while (graph->parent_) graph = graph->parent_;
  return *graph;
}

bool Graph::Holds(const Graph& inner) const {
  return &inner == this || AnyInner([&](const Graph& graph) { return graph.Holds(inner); });
}

bool Graph::IsCapturing() const {
  return capturing || AnyInner([](const Graph& graph) { return graph.IsCapturing(); });
}

std::optional<std::vector<std::shared_ptr<Node>>> Graph::FindNodes(std::span<const CUgraphNode> handles) const {
  std::vector<std::shared_ptr<Node>> nodes;
  std::unordered_set<const Node*> seen;
  for (const CUgraphNode handle : handles) {
    auto node = graphs_.handles.Find<Node>(handle);
    if (!node || &node->graph != this || !seen.insert(node.get()).second) return std::nullopt;
    nodes.push_back(std::move(node));
  }
  return nodes;
}

bool Graph::HasMemoryNodes() const {
  return std::ranges::any_of(nodes_, [](const auto& node) { return node->is_memory_node(); }) ||
         AnyInner([](const Graph& graph) { return graph.HasMemoryNodes(); });
}

bool Graph::HasConditionalNodes() const {
  return std::ranges::any_of(nodes_, [](const auto& node) { return node->conditional() != nullptr; }) ||
         AnyInner([](const Graph& graph) { return graph.HasConditionalNodes(); });
}

std::shared_ptr<Condition> Graph::FindCondition(CUgraphConditionalHandle handle) {
  for (const auto& condition : outermost().conditions_) {
    if (condition->handle != handle) continue;
    for (const Graph* graph = this; graph; graph = graph->parent_) {
      if (graph == condition->params.graph) return condition;
    }
  }
  return nullptr;
}

// Memory is freed once, and either in the graph that allocates it or in others.
CUresult Graph::MayAdd(const Content& content) const {
  const auto* operation = std::get_if<OperationPtr>(&content);
  if (!operation || (*operation)->type() != CU_GRAPH_NODE_TYPE_MEM_FREE) return CUDA_SUCCESS;
  const auto memory = (*operation)->frees();
  const bool is_freed = std::ranges::any_of(nodes_, [&](const auto& node) {
    const Operation* other = node->operation();
    return other && other->frees() == memory;
  });
  return memory && !is_freed && memory->MayBeFreedIn(*this) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

const std::shared_ptr<Node>& Graph::Add(Content content, std::span<Node* const> dependencies, uint64_t origin) {
  const auto* operation = std::get_if<OperationPtr>(&content);
  if (operation && origin == 0) {
    if (const auto memory = (*operation)->allocates()) memory->LivesIn(*this);
    if (const auto memory = (*operation)->frees()) memory->WillBeFreedIn(*this);
  }
  const auto& node = nodes_.emplace_back(std::make_shared<Node>(*this, graphs_.NextId(), origin, std::move(content)));
  for (Node* from : dependencies) Connect(*from, *node);
  for (const auto& inner : node->inner()) inner->parent_ = this;
  if (handle()) PublishNode(node);
  return node;
}

void Graph::Remove(Node& node) {
  while (!node.dependencies_.empty()) Disconnect(*node.dependencies_.back(), node);
  while (!node.dependents_.empty()) Disconnect(node, *node.dependents_.back());
  WithdrawNode(node);
  // With the node go the conditions that were made for graphs in it.
  std::erase_if(outermost().conditions_, [&](const auto& condition) {
    return std::ranges::any_of(node.inner(), [&](const auto& inner) { return inner->Holds(*condition->params.graph); });
  });
  std::erase_if(nodes_, [&](const auto& other) { return other.get() == &node; });
}

bool Graph::Connected(const Node& from, const Node& to) { return std::ranges::count(to.dependencies_, &from) > 0; }

void Graph::Connect(Node& from, Node& to) {
  to.dependencies_.push_back(&from);
  from.dependents_.push_back(&to);
}

void Graph::Disconnect(Node& from, Node& to) {
  std::erase(to.dependencies_, &from);
  std::erase(from.dependents_, &to);
}

std::optional<std::vector<Node*>> Graph::Sorted(Node** on_cycle) const {
  std::unordered_map<const Node*, size_t> missing;
  std::vector<Node*> sorted;
  for (const auto& node : nodes_) {
    missing[node.get()] = node->dependencies_.size();
    if (node->dependencies_.empty()) sorted.push_back(node.get());
  }
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (Node* next : sorted[i]->dependents_) {
      if (--missing[next] == 0) sorted.push_back(next);
    }
  }
  if (sorted.size() == nodes_.size()) return sorted;
  // Every node that is left waits for another such node, so going back from one ends up on a cycle.
  const auto waits = [&](const Node* node) { return missing[node] > 0; };
  Node* node = std::ranges::find_if(nodes_, [&](const auto& each) { return waits(each.get()); })->get();
  for (size_t step = 0; step < nodes_.size(); ++step) node = *std::ranges::find_if(node->dependencies_, waits);
  *on_cycle = node;
  return std::nullopt;
}

std::shared_ptr<Graph> Graph::Clone() const {
  auto clone = std::make_shared<Graph>(graphs_);
  std::unordered_map<const Node*, Node*> copies;
  for (const auto& node : nodes_) {
    Content content = node->content;
    if (const auto child = node->child()) content = child->Clone();
    if (const Conditional* conditional = node->conditional()) {
      auto copy = std::make_shared<Conditional>(Conditional{conditional->condition, conditional->type, {}, {}});
      for (const auto& body : conditional->bodies) copy->bodies.push_back(body->Clone());
      content = std::move(copy);
    }
    copies[node.get()] = clone->Add(std::move(content), {}, node->id).get();
  }
  for (const auto& node : nodes_) {
    Node& copy = *copies[node.get()];
    copy.enabled = node->enabled;
    for (const Node* from : node->dependencies_) copy.dependencies_.push_back(copies[from]);
    for (const Node* to : node->dependents_) copy.dependents_.push_back(copies[to]);
  }
  for (const auto& [object, count] : user_objects_) {
    object->Retain(count);
    clone->TakeUserObject(object, count);
  }
  return clone;
}

void Graph::TakeUserObject(std::shared_ptr<UserObject> object, uint64_t count) {
  user_objects_[std::move(object)] += count;
}

bool Graph::DropUserObject(const std::shared_ptr<UserObject>& object, uint64_t count) {
  const auto found = user_objects_.find(object);
  if (found == user_objects_.end() || found->second < count) return false;
  found->second -= count;
  if (found->second == 0) user_objects_.erase(found);
  return object->Release(count);
}

void Graph::Publish() {
  graphs_.handles.Add(shared_from_this());
  for (const auto& node : nodes_) PublishNode(node);
}

void Graph::Withdraw() {
  for (const auto& node : nodes_) WithdrawNode(*node);
  graphs_.handles.Remove<Graph>(handle());
}

void Graph::PublishNode(const std::shared_ptr<Node>& node) {
  graphs_.handles.Add(node);
  for (const auto& inner : node->inner()) {
    if (!inner->handle()) inner->Publish();  // a graph that was moved into the node keeps its handles
  }
  if (Conditional* conditional = node->conditional()) {
    for (const auto& body : conditional->bodies)
      conditional->body_handles.push_back(static_cast<CUgraph>(body->handle()));
  }
}

void Graph::WithdrawNode(Node& node) {
  graphs_.handles.Remove<Node>(node.handle());
  for (const auto& inner : node.inner()) inner->Withdraw();
}

}  // namespace outboard::graphs
