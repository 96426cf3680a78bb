#include "common/graphs/exec.h"

#include <algorithm>
#include <unordered_set>

namespace outboard::graphs {
namespace {

// Pairs the nodes of two graphs that should have the same shape, going from the nodes at the end to what they depend
// on.
class Pairing {
 public:
  using Mismatch = Exec::Mismatch;

  Mismatch Pair(const Graph& mine, const Graph& to) {
    if (mine.nodes().size() != to.nodes().size()) return {CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED};
    const auto my_ends = Ends(mine);
    const auto their_ends = Ends(to);
    if (my_ends.size() < their_ends.size())
      return {CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, their_ends[my_ends.size()]};
    for (size_t i = 0; i < their_ends.size(); ++i) Join(my_ends[i], their_ends[i]);
    for (size_t i = 0; i < pairs_.size(); ++i) {
      const auto [a, b] = pairs_[i];
      if (a->type() != b->type()) return {CU_GRAPH_EXEC_UPDATE_ERROR_NODE_TYPE_CHANGED, b};
      if (a->dependencies().size() != b->dependencies().size()) return {CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, b};
      for (size_t k = 0; k < a->dependencies().size(); ++k) {
        const Node* from = b->dependencies()[k];
        if (!Join(a->dependencies()[k], from)) return {CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED, b, from};
      }
    }
    return pairs_.size() == mine.nodes().size() ? Mismatch{} : Mismatch{CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED};
  }

  const std::vector<std::pair<Node*, const Node*>>& pairs() const { return pairs_; }

 private:
  static std::vector<Node*> Ends(const Graph& graph) {
    std::vector<Node*> ends;
    for (const auto& node : graph.nodes()) {
      if (node->dependents().empty()) ends.push_back(node.get());
    }
    return ends;
  }

  // False when one of them has another partner.
  bool Join(Node* mine, const Node* theirs) {
    const auto [a, a_is_new] = partners_.try_emplace(mine, theirs);
    const auto [b, b_is_new] = partners_.try_emplace(theirs, mine);
    if (a_is_new && b_is_new) pairs_.emplace_back(mine, theirs);
    return a->second == theirs && b->second == mine;
  }

  std::vector<std::pair<Node*, const Node*>> pairs_;
  std::unordered_map<const Node*, const Node*> partners_;
};

// Finds what `mine` would have to become, graphs in it included.
Exec::Mismatch Compare(const Graph& mine, const Graph& to, std::vector<std::pair<Node*, Content>>* changes) {
  Pairing pairing;
  if (const auto mismatch = pairing.Pair(mine, to); mismatch.result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return mismatch;
  for (const auto& [node, wanted] : pairing.pairs()) {
    const Conditional* const now = node->conditional();
    if (now) {
      const Conditional& then = *wanted->conditional();
      if (then.type != now->type || then.bodies.size() != now->bodies.size() ||
          then.condition->params.context != now->condition->params.context)
        return {CU_GRAPH_EXEC_UPDATE_ERROR_PARAMETERS_CHANGED, wanted};
      // The other graph has a condition of its own, which its kernels set: default value and flags are those.
      if (then.condition != now->condition)
        changes->emplace_back(node,
                              std::make_shared<Conditional>(Conditional{then.condition, now->type, now->bodies, {}}));
    }
    for (size_t i = 0; i < node->inner().size(); ++i) {
      const auto mismatch = Compare(*node->inner()[i], *wanted->inner()[i], changes);
      if (mismatch.result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return mismatch;
    }
    if (!node->operation()) continue;
    const CUgraphExecUpdateResult result = node->operation()->MayBecome(*wanted->operation());
    if (result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return {result, wanted};
    changes->emplace_back(node, wanted->content);
  }
  return {};
}

}  // namespace

bool Exec::Prepare(const Graph& original, const Graph& copy, std::vector<Node*>* order, Node** on_cycle) {
  if (!original.Sorted(on_cycle)) return false;
  for (const auto& node : copy.nodes()) by_origin_[node->origin] = node.get();
  Node* none;
  const auto sorted = copy.Sorted(&none);
  for (Node* node : *sorted) {
    const bool is_graph = node->child() != nullptr;
    if (!is_graph) order->push_back(node);
    if (node->is_memory_node()) memory_nodes_.push_back(node);
    if (node->conditional()) conditional_nodes_.push_back(node);
    if (node->inner().empty()) continue;
    const auto whole = std::ranges::find(original.nodes(), node->origin, [](const auto& each) { return each->id; });
    for (size_t i = 0; i < node->inner().size(); ++i) {
      const Graph& inner = *node->inner()[i];
      if (!Prepare(*(*whole)->inner()[i], inner, is_graph ? order : &body_orders_[&inner], on_cycle)) return false;
    }
  }
  return true;
}

Node* Exec::Find(const Node& original) const {
  const auto found = by_origin_.find(original.id);
  return found != by_origin_.end() ? found->second : nullptr;
}

CUresult Exec::Change(Node& node, Content content) {
  const auto* now = std::get_if<OperationPtr>(&content);
  if (!now || !node.operation() || (*now)->type() != node.type()) return CUDA_ERROR_INVALID_VALUE;
  if (node.operation()->MayBecome(**now) != CU_GRAPH_EXEC_UPDATE_SUCCESS) return CUDA_ERROR_INVALID_VALUE;
  Changes changes;
  changes.emplace_back(&node, std::move(content));
  return Apply(std::move(changes));
}

Exec::Mismatch Exec::Update(const Graph& mine, const Graph& to) {
  Changes changes;
  Mismatch mismatch = Compare(mine, to, &changes);
  if (mismatch.result == CU_GRAPH_EXEC_UPDATE_SUCCESS) mismatch.error = Apply(std::move(changes));
  return mismatch;
}

CUresult Exec::ChangeMemory(MemoryChanges* changes) const {
  if (memory_nodes_.empty()) return CUDA_SUCCESS;
  std::vector<std::shared_ptr<Memory>> freed;
  std::unordered_set<std::shared_ptr<Memory>> allocated;
  for (const Node* node : memory_nodes_) {
    if (const auto memory = node->operation()->allocates()) {
      allocated.insert(memory);
    } else {
      freed.push_back(node->operation()->frees());
    }
  }
  const bool frees_before = (flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0;
  const auto is_left = [](const auto& memory) { return memory->allocated(); };
  if (!frees_before && std::ranges::any_of(allocated, is_left)) return CUDA_ERROR_INVALID_VALUE;
  const auto is_there = [&](const auto& memory) {
    return memory && (memory->allocated() || allocated.contains(memory));
  };
  if (!std::ranges::all_of(freed, is_there)) return CUDA_ERROR_INVALID_VALUE;

  for (const auto& memory : allocated) changes->before.emplace_back(memory, memory->allocated());
  for (const auto& memory : freed) {
    if (!allocated.contains(memory)) changes->before.emplace_back(memory, true);
  }
  const auto free = [&](Memory& memory) {
    if (memory.allocated()) changes->freed.push_back(memory.Free());
  };
  for (const auto& memory : allocated) {
    free(*memory);
    memory->Allocate();
  }
  for (const auto& memory : freed) free(*memory);  // not again when two graphs in this one free it
  return CUDA_SUCCESS;
}

CUresult Exec::SetEnabled(Node& node, bool enabled) {
  node.enabled = enabled;
  return CUDA_SUCCESS;
}

CUresult Exec::Apply(Changes changes) {
  for (auto& [node, content] : changes) node->content = std::move(content);
  return CUDA_SUCCESS;
}

}  // namespace outboard::graphs
