#include "client/shim/graph_model.h"

#include <utility>

#include "client/shim/graph_condition.h"
#include "client/shim/graph_exec.h"
#include "client/shim/graph_operation.h"
#include "client/shim/host_calls.h"
#include "client/shim/process.h"
#include "client/shim/thread_state.h"

namespace outboard::shim {

void CapturedEvents::Entry::BecomeCaptured(Captured captured) {
  std::lock_guard lock(events_.mutex_);
  events_.captured_[event_] = std::move(captured);
  events_.count_.store(events_.captured_.size(), std::memory_order_release);
}

std::optional<graphs::CapturableEvent::Captured> CapturedEvents::Entry::captured() const {
  if (!events_.any()) return std::nullopt;
  std::lock_guard lock(events_.mutex_);
  const auto found = events_.captured_.find(event_);
  return found != events_.captured_.end() ? std::optional(found->second) : std::nullopt;
}

void CapturedEvents::Recorded(CUevent event) {
  if (!any()) return;
  graphs::CapturableEvent::Captured gone;  // its nodes end without the lock
  std::lock_guard lock(mutex_);
  const auto found = captured_.find(event);
  if (found == captured_.end()) return;
  gone = std::move(found->second);
  captured_.erase(found);
  count_.store(captured_.size(), std::memory_order_release);
}

CUresult GraphModel::Make(CUgraphNodeParams* params, graphs::OperationPtr* operation) {
  return MakeOperation(process_, params, operation);
}

CUresult GraphModel::MakeCondition(graphs::Graph& graph, const graphs::ConditionParams& params,
                                   std::shared_ptr<graphs::Condition>* condition) {
  return GraphCondition::Create(process_, graph, params, condition);
}

CUcontext GraphModel::HomeOf(CUcontext context) { return process_.contexts().HomeOf(context); }

CUresult GraphModel::Instantiate(graphs::Graph& graph, uint64_t flags, graphs::Node** on_cycle,
                                 std::shared_ptr<graphs::Exec>* exec) {
  auto made = std::make_shared<GraphExec>(process_, graph, flags);
  if (!made->Prepare(graph, on_cycle)) return CUDA_ERROR_INVALID_VALUE;
  if (CUresult result = made->Instantiate(); result != CUDA_SUCCESS) return result;
  *exec = std::move(made);
  return CUDA_SUCCESS;
}

void GraphModel::Post(std::function<void()> function) { process_.host_calls().Post(std::move(function)); }

CUstreamCaptureMode& GraphModel::capture_mode() { return ThisThread().capture_mode; }

}  // namespace outboard::shim
