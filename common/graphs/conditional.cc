#include "common/graphs/conditional.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include "common/base/limits.h"
#include "common/base/number_of.h"
#include "common/graphs/calls.h"
#include "common/graphs/graph.h"
#include "common/graphs/object_call.h"

namespace outboard::graphs {
namespace {

// The conditions of all conditional nodes in the graph.
void CollectUsed(const Graph& graph, std::unordered_set<const Condition*>* used) {
  for (const auto& node : graph.nodes()) {
    if (const Conditional* conditional = node->conditional()) used->insert(conditional->condition.get());
    for (const auto& inner : node->inner()) CollectUsed(*inner, used);
  }
}

bool HasSize(CUgraphConditionalNodeType type, unsigned size) {
  switch (type) {
    case CU_GRAPH_COND_TYPE_IF:
      return size == 1 || size == 2;
    case CU_GRAPH_COND_TYPE_WHILE:
      return size == 1;
    case CU_GRAPH_COND_TYPE_SWITCH:
      return size > 0;
  }
  return false;
}

bool BelongsInBody(CUgraphNodeType type) {
  return type == CU_GRAPH_NODE_TYPE_KERNEL || type == CU_GRAPH_NODE_TYPE_EMPTY || type == CU_GRAPH_NODE_TYPE_GRAPH ||
         type == CU_GRAPH_NODE_TYPE_MEMSET || type == CU_GRAPH_NODE_TYPE_MEMCPY ||
         type == CU_GRAPH_NODE_TYPE_CONDITIONAL;
}

// All that is in a body, at any depth, runs in the context of the outermost conditional node.
CUresult CheckBody(const Graph& body, CUcontext context, const Node** offender) {
  for (const auto& node : body.nodes()) {
    *offender = node.get();
    if (!BelongsInBody(node->type())) return CUDA_ERROR_INVALID_VALUE;
    const Conditional* conditional = node->conditional();
    if (conditional && conditional->condition->params.context != context) return CUDA_ERROR_INVALID_VALUE;
    if (const Operation* operation = node->operation()) {
      if (CUresult refused = operation->MayRunInBody(context); refused != CUDA_SUCCESS) return refused;
    }
    for (const auto& inner : node->inner()) {
      if (CUresult refused = CheckBody(*inner, context, offender); refused != CUDA_SUCCESS) return refused;
    }
  }
  return CUDA_SUCCESS;
}

}  // namespace

CUresult MakeConditional(Host& host, Graph& graph, const CUDA_CONDITIONAL_NODE_PARAMS& params,
                         std::shared_ptr<Conditional>* conditional) {
  const auto condition = graph.FindCondition(params.handle);
  if (!condition) return CUDA_ERROR_INVALID_VALUE;
  if (NumberOf(params.type) > CU_GRAPH_COND_TYPE_SWITCH || !HasSize(params.type, params.size))
    return CUDA_ERROR_INVALID_VALUE;
  if (params.ctx && host.HomeOf(params.ctx) != condition->params.context) return CUDA_ERROR_INVALID_VALUE;
  std::unordered_set<const Condition*> used;
  CollectUsed(graph.outermost(), &used);
  if (used.contains(condition.get())) return CUDA_ERROR_INVALID_VALUE;
  if (params.size > kMaxGraphBodies) return CUDA_ERROR_OUT_OF_MEMORY;
  auto made = std::make_shared<Conditional>(Conditional{condition, params.type, {}, {}});
  for (unsigned i = 0; i < params.size; ++i) made->bodies.push_back(graph.MakeEmpty());
  *conditional = std::move(made);
  return CUDA_SUCCESS;
}

bool AllConditionsHaveNodes(const Graph& graph) {
  std::unordered_set<const Condition*> used;
  CollectUsed(graph, &used);
  return std::ranges::all_of(graph.conditions(), [&](const auto& each) { return used.contains(each.get()); });
}

CUresult CheckBodies(const Graph& graph, const Node** offender) {
  for (const auto& node : graph.nodes()) {
    const Conditional* conditional = node->conditional();
    for (const auto& inner : node->inner()) {
      const CUresult refused = conditional ? CheckBody(*inner, conditional->condition->params.context, offender)
                                           : CheckBodies(*inner, offender);
      if (refused != CUDA_SUCCESS) return refused;
    }
  }
  return CUDA_SUCCESS;
}

CUresult cuGraphConditionalHandleCreate(Graphs& graphs, CUgraphConditionalHandle* pHandle_out, CUgraph hGraph,
                                        CUcontext ctx, unsigned int defaultLaunchValue, unsigned int flags) {
  return ObjectCall<Graph>(graphs, hGraph, [&](Graph& graph) -> CUresult {
    if (!pHandle_out || (flags & ~unsigned{CU_GRAPH_COND_ASSIGN_DEFAULT}) != 0) return CUDA_ERROR_INVALID_VALUE;
    if (graph.outermost().conditions().size() >= kMaxGraphConditions) return CUDA_ERROR_OUT_OF_MEMORY;
    std::shared_ptr<Condition> condition;
    const CUresult result = graphs.host.MakeCondition(graph, {&graph, ctx, defaultLaunchValue, flags}, &condition);
    if (result != CUDA_SUCCESS) return result;
    *pHandle_out = condition->handle;
    graph.outermost().AddCondition(std::move(condition));
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::graphs
