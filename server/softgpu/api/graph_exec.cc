#include "server/softgpu/api/graph_exec.h"

#include <chrono>
#include <map>
#include <optional>

#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/operation.h"

namespace outboard::softgpu::api {

GraphExec::Plan GraphExec::MakePlan(const Driver& driver) const {
  Plan plan;
  const auto textures = driver.textures.Table();
  std::map<const Event*, Point> recorded;  // by this launch
  for (const graphs::Node* node : order()) {
    if (!node->enabled) continue;
    const auto operation = std::static_pointer_cast<const Operation>(std::get<graphs::OperationPtr>(node->content));
    if (const auto* record = std::get_if<RecordOperation>(&operation->what)) {
      auto signal = std::make_shared<Signal>();
      Event::Moment moment{signal->point(), std::make_shared<Event::Time>()};
      recorded[record->event.get()] = moment.point;
      moment.shared_record = record->event->NextSharedRecord();
      plan.steps.push_back([signal = std::move(signal), time = moment.time, shared = record->event->shared,
                            number = moment.shared_record] {
        *time = std::chrono::steady_clock::now();
        signal->Reach();
        if (shared) shared->Reach(number);
      });
      plan.records.emplace_back(record->event, std::move(moment));
    } else if (const auto* wait = std::get_if<WaitOperation>(&operation->what)) {
      const auto found = recorded.find(wait->event.get());
      plan.steps.push_back(
          [point = found != recorded.end() ? found->second : wait->event->RecordedPoint()] { point.Wait(); });
    } else if (!std::holds_alternative<EmptyOperation>(operation->what)) {
      plan.steps.push_back([operation, textures] { Run(*operation, textures); });
    }
  }
  return plan;
}

CUresult GraphExec::Launch(Stream& stream) {
  // Held until the work is queued, so that launches run in the order in which they were planned.
  std::lock_guard launch_lock(launch_mutex_);
  Plan plan;
  graphs::MemoryChanges memory;
  {
    Driver& driver = stream.context.driver;
    std::lock_guard lock(driver.graphs.mutex);
    // First: a plan takes numbers of records that other processes wait for.
    if (CUresult result = ChangeMemory(&memory); result != CUDA_SUCCESS) return result;
    plan = MakePlan(driver);
  }
  // The graph lives as long as it runs, for the sake of its user objects, and so does what it frees.
  auto steps = [&context = stream.context, steps = std::move(plan.steps), graph = shared_graph(),
                freed = std::move(memory.freed)] {
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
