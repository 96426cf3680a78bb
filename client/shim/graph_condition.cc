#include "client/shim/graph_condition.h"

#include "client/shim/call.h"
#include "client/shim/graph_model.h"
#include "client/shim/remote.gen.h"
#include "common/graphs/graph.h"

namespace outboard::shim {

WorkerGraph::~WorkerGraph() {
  if (process_.Enter() == CUDA_SUCCESS) static_cast<void>(remote::outboardGraphRelease(number, true));
}

CUresult GraphCondition::Create(Process& process, graphs::Graph& graph, const graphs::ConditionParams& params,
                                std::shared_ptr<graphs::Condition>* condition) {
  graphs::ConditionParams made = params;
  Contexts::Info info;
  if (process.contexts().Resolve(&made.context, &info) != CUDA_SUCCESS) return CUDA_ERROR_INVALID_CONTEXT;
  made.context = info.home;
  const auto others = graph.outermost().conditions();
  const auto home = others.empty() ? std::make_shared<const WorkerGraph>(process, process.graph_model().NextExec())
                                   : static_cast<const GraphCondition&>(*others.front()).home;
  unsigned long long handle = 0;
  const CUresult result =
      remote::outboardGraphConditionalHandleCreate(&handle, home->number, made.context, made.default_value, made.flags);
  if (result != CUDA_SUCCESS) return result;
  *condition = std::make_shared<GraphCondition>(handle, made, home);
  return CUDA_SUCCESS;
}

const GraphCondition& ConditionOf(const graphs::Node& node) {
  return static_cast<const GraphCondition&>(*node.conditional()->condition);
}

}  // namespace outboard::shim
