#include "server/softgpu/api/graph_exec.h"

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/graph_condition.h"
#include "server/softgpu/api/operation.h"

namespace outboard::softgpu::api {
namespace {

using Steps = std::vector<std::function<void()>>;

void RunSteps(const Context& context, const Steps& steps) {
  for (const auto& step : steps) {
    if (context.MayRun()) step();
  }
}

// What a conditional node does when the stream gets there.
struct Choice {
  std::shared_ptr<const GraphCondition> condition;
  CUgraphConditionalNodeType type;
  std::vector<Steps> bodies;
  const Context& context;

  void operator()() const {
    if (type == CU_GRAPH_COND_TYPE_WHILE) {
      while (condition->value() != 0 && context.MayRun()) RunSteps(context, bodies[0]);
      return;
    }
    const unsigned value = condition->value();
    const size_t chosen = type == CU_GRAPH_COND_TYPE_SWITCH ? value : value != 0 ? 0 : 1;
    if (chosen < bodies.size()) RunSteps(context, bodies[chosen]);
  }
};

std::shared_ptr<GraphCondition> ConditionOf(const graphs::Node& node) {
  return std::static_pointer_cast<GraphCondition>(node.conditional()->condition);
}

}  // namespace

// What one launch does, fixed when it is launched: the operations, and the events' points.
class GraphExec::Plan {
 public:
  Plan(const GraphExec& exec, const Context& context)
      : exec_(exec), context_(context), textures_(context.driver.textures.Table()) {
    for (const graphs::Node* node : exec.conditional_nodes())
      steps.push_back([condition = ConditionOf(*node)] { condition->Reset(); });
    AddSteps(exec.order(), &steps);
  }

  Steps steps;
  std::vector<std::pair<std::shared_ptr<Event>, Event::Moment>> records;  // what the steps bring about

 private:
  void AddSteps(std::span<graphs::Node* const> order, Steps* to) {
    for (const graphs::Node* node : order) {
      if (!node->enabled) continue;
      if (node->conditional()) {
        to->push_back(ChoiceOf(*node));
      } else {
        AddStep(std::static_pointer_cast<const Operation>(std::get<graphs::OperationPtr>(node->content)), to);
      }
    }
  }

  Choice ChoiceOf(const graphs::Node& node) {
    Choice choice{ConditionOf(node), node.conditional()->type, {}, context_};
    for (const auto& body : node.conditional()->bodies) AddSteps(exec_.order(*body), &choice.bodies.emplace_back());
    return choice;
  }

  void AddStep(std::shared_ptr<const Operation> operation, Steps* to) {
    if (const auto* record = std::get_if<RecordOperation>(&operation->what)) {
      auto signal = std::make_shared<Signal>();
      Event::Moment moment{signal->point(), std::make_shared<Event::Time>()};
      recorded_[record->event.get()] = moment.point;
      moment.shared_record = record->event->NextSharedRecord();
      to->push_back([signal = std::move(signal), time = moment.time, shared = record->event->shared,
                     number = moment.shared_record] {
        *time = std::chrono::steady_clock::now();
        signal->Reach();
        if (shared) shared->Reach(number);
      });
      records.emplace_back(record->event, std::move(moment));
    } else if (const auto* wait = std::get_if<WaitOperation>(&operation->what)) {
      const auto found = recorded_.find(wait->event.get());
      to->push_back(
          [point = found != recorded_.end() ? found->second : wait->event->RecordedPoint()] { point.Wait(); });
    } else if (!std::holds_alternative<EmptyOperation>(operation->what)) {
      to->push_back([operation = std::move(operation), textures = textures_] { Run(*operation, textures); });
    }
  }

  const GraphExec& exec_;
  const Context& context_;
  const std::shared_ptr<const TextureTable> textures_;
  std::map<const Event*, Point> recorded_;  // by this launch
};

CUresult GraphExec::Launch(Stream& stream) {
  // Held until the work is queued, so that launches run in the order in which they were planned.
  std::lock_guard launch_lock(launch_mutex_);
  std::optional<Plan> plan;
  graphs::MemoryChanges memory;
  {
    std::lock_guard lock(stream.context.driver.graphs.mutex);
    // First: a plan takes numbers of records that other processes wait for.
    if (CUresult result = ChangeMemory(&memory); result != CUDA_SUCCESS) return result;
    plan.emplace(*this, stream.context);
  }
  // The graph lives as long as it runs, for the sake of its user objects, and so does what it frees.
  auto steps = [&context = stream.context, steps = std::move(plan->steps), graph = shared_graph(),
                freed = std::move(memory.freed)] { RunSteps(context, steps); };
  std::vector<Point> after;
  if (!last_.Reached()) after.push_back(last_);
  last_ = stream.Submit(std::move(steps), std::move(after));
  for (auto& [event, moment] : plan->records) event->Become(std::move(moment));
  return CUDA_SUCCESS;
}

}  // namespace outboard::softgpu::api
