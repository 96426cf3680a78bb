#include "server/softgpu/api/graph_exec.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include "server/softgpu/api/driver.h"

namespace outboard::softgpu::api {
namespace {

// Pairs the nodes of two graphs that should have the same shape, going from the nodes at the end to what they depend
// on.
class Pairing {
 public:
  using Mismatch = GraphExec::Mismatch;

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

// Finds what `mine` would have to become, child graphs included.
GraphExec::Mismatch Compare(const Graph& mine, const Graph& to, std::vector<std::pair<Node*, Content>>* changes) {
  Pairing pairing;
  if (const auto mismatch = pairing.Pair(mine, to); mismatch.result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return mismatch;
  for (const auto& [node, wanted] : pairing.pairs()) {
    if (const auto child = node->child()) {
      const auto mismatch = Compare(*child, *wanted->child(), changes);
      if (mismatch.result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return mismatch;
      continue;
    }
    const CUgraphExecUpdateResult result = MayBecome(*node->operation(), *wanted->operation());
    if (result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return {result, wanted};
    changes->emplace_back(node, wanted->content);
  }
  return {};
}

}  // namespace

std::shared_ptr<GraphExec> GraphExec::Create(const Graph& graph, uint64_t flags, Node** on_cycle) {
  std::shared_ptr<GraphExec> exec(new GraphExec(flags, graph.Clone()));
  return exec->Prepare(graph, *exec->graph_, on_cycle) ? exec : nullptr;
}

bool GraphExec::Prepare(const Graph& original, const Graph& copy, Node** on_cycle) {
  if (!original.Sorted(on_cycle)) return false;
  for (const auto& node : copy.nodes()) by_origin_[node->origin] = node.get();
  Node* none;
  const auto sorted = copy.Sorted(&none);
  for (Node* node : *sorted) {
    const auto child = node->child();
    if (!child) {
      order_.push_back(node);
      continue;
    }
    const auto whole = std::ranges::find(original.nodes(), node->origin, [](const auto& each) { return each->id; });
    if (!Prepare(*(*whole)->child(), *child, on_cycle)) return false;
  }
  return true;
}

Node* GraphExec::Find(const Node& original) const {
  const auto found = by_origin_.find(original.id);
  return found != by_origin_.end() ? found->second : nullptr;
}

GraphExec::Mismatch GraphExec::Update(const Graph& mine, const Graph& to) {
  std::vector<std::pair<Node*, Content>> changes;
  const Mismatch mismatch = Compare(mine, to, &changes);
  if (mismatch.result != CU_GRAPH_EXEC_UPDATE_SUCCESS) return mismatch;
  for (auto& [node, content] : changes) node->content = std::move(content);
  return {};
}

// All or nothing.
CUresult GraphExec::PlanMemory(Plan* plan) const {
  std::vector<std::shared_ptr<GraphMemory>> allocated, freed;
  for (const Node* node : order_) {
    const auto& what = node->operation()->what;
    if (const auto* alloc = std::get_if<AllocOperation>(&what)) allocated.push_back(alloc->memory);
    if (const auto* free = std::get_if<FreeOperation>(&what)) freed.push_back(free->memory.lock());
  }
  const bool frees_before = (flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH) != 0;
  const auto is_left = [](const auto& memory) { return memory->allocated(); };
  if (!frees_before && std::ranges::any_of(allocated, is_left)) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& memory : freed) {
    const bool is_there = memory && (memory->allocated() || std::ranges::count(allocated, memory) > 0);
    if (!is_there) return CUDA_ERROR_INVALID_VALUE;
  }
  for (const auto& memory : allocated) {
    if (memory->allocated()) plan->freed.push_back(memory->Free());
    memory->Allocate();
  }
  for (const auto& memory : freed) {
    if (memory->allocated()) plan->freed.push_back(memory->Free());  // not when two nodes free it
  }
  return CUDA_SUCCESS;
}

GraphExec::Plan GraphExec::MakePlan() const {
  Plan plan;
  std::map<const Event*, Point> recorded;  // by this launch
  for (const Node* node : order_) {
    if (!node->enabled) continue;
    const auto operation = std::get<OperationPtr>(node->content);
    if (const auto* record = std::get_if<RecordOperation>(&operation->what)) {
      auto signal = std::make_shared<Signal>();
      Event::Moment moment{signal->point(), std::make_shared<Event::Time>()};
      recorded[record->event.get()] = moment.point;
      plan.steps.push_back([signal = std::move(signal), time = moment.time] {
        *time = std::chrono::steady_clock::now();
        signal->Reach();
      });
      plan.records.emplace_back(record->event, std::move(moment));
    } else if (const auto* wait = std::get_if<WaitOperation>(&operation->what)) {
      const auto found = recorded.find(wait->event.get());
      plan.steps.push_back(
          [point = found != recorded.end() ? found->second : wait->event->RecordedPoint()] { point.Wait(); });
    } else if (!std::holds_alternative<EmptyOperation>(operation->what)) {
      plan.steps.push_back([operation] { Run(*operation); });
    }
  }
  return plan;
}

CUresult GraphExec::Launch(Stream& stream) {
  // Held until the work is queued, so that launches run in the order in which they were planned.
  std::lock_guard launch_lock(launch_mutex_);
  Plan plan;
  {
    std::lock_guard lock(stream.context.driver.graph_mutex);
    plan = MakePlan();
    if (CUresult result = PlanMemory(&plan); result != CUDA_SUCCESS) return result;
  }
  // The graph lives as long as it runs, for the sake of its user objects, and so does what it frees.
  auto steps = [&context = stream.context, steps = std::move(plan.steps), graph = graph_,
                freed = std::move(plan.freed)] {
    for (const auto& step : steps) {
      if (context.MayRun()) step();
    }
  };
  std::vector<Point> after;
  if (!last_.Reached()) after.push_back(last_);
  last_ = stream.Submit(std::move(steps), std::move(after));
  for (auto& [event, moment] : plan.records) event->Become(std::move(moment));
  return CUDA_SUCCESS;
}

}  // namespace outboard::softgpu::api
