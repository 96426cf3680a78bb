#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <utility>

#include "common/graphs/conditional.h"

namespace outboard::graphs {
class Node;
}

namespace outboard::shim {

class Process;

// The worker's graph in which the conditional handles of an outermost graph were made, by the number that the graph's
// one executable graph has. The worker keeps it, and with it the handles, until this ends.
class WorkerGraph {
 public:
  // `process` outlives this.
  WorkerGraph(Process& process, uint64_t number) : number(number), process_(process) {}
  ~WorkerGraph();
  WorkerGraph(const WorkerGraph&) = delete;
  WorkerGraph& operator=(const WorkerGraph&) = delete;

  const uint64_t number;

 private:
  Process& process_;
};

// A conditional handle: the number that the worker's driver gave, since kernels pass it.
class GraphCondition final : public graphs::Condition {
 public:
  GraphCondition(CUgraphConditionalHandle handle, const graphs::ConditionParams& params,
                 std::shared_ptr<const WorkerGraph> home)
      : Condition(handle, params), home(std::move(home)) {}

  // Makes one in the worker's graph of graph.outermost(), and that if there is none. Waits for the worker.
  static CUresult Create(Process& process, graphs::Graph& graph, const graphs::ConditionParams& params,
                         std::shared_ptr<graphs::Condition>* condition);

  const std::shared_ptr<const WorkerGraph> home;
};

// The condition of a conditional node.
const GraphCondition& ConditionOf(const graphs::Node& node);

}  // namespace outboard::shim
