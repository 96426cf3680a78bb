#pragma once

#include <cuda.h>

#include <memory>
#include <vector>

namespace outboard::graphs {

class Graph;
class Host;
class Node;

struct ConditionParams {
  const Graph* graph;  // that it was made for; compared, never dereferenced
  CUcontext context;   // whose kernels set it, and whose conditional node it decides about
  unsigned default_value;
  unsigned flags;  // CU_GRAPH_COND_ASSIGN_DEFAULT: each launch begins with the default value
};

// What a conditional handle stands for: a number that kernels set and that decides which body of a conditional node
// runs. The outermost graph has it until it ends, and so has each executable graph with its node. Never changes.
class Condition {
 public:
  Condition(CUgraphConditionalHandle handle, const ConditionParams& params) : handle(handle), params(params) {}
  virtual ~Condition() = default;

  const CUgraphConditionalHandle handle;  // what kernels pass; no other condition of the graph has it
  const ConditionParams params;
};

// What a conditional node does. Guarded by Graphs::mutex.
struct Conditional {
  std::shared_ptr<Condition> condition;
  CUgraphConditionalNodeType type;
  std::vector<std::shared_ptr<Graph>> bodies;
  std::vector<CUgraph> body_handles;  // CUDA_CONDITIONAL_NODE_PARAMS::phGraph_out; empty in executable graphs
};

// What a new node of the graph is to do, with the errors of cuGraphAddNode.
CUresult MakeConditional(Host& host, Graph& graph, const CUDA_CONDITIONAL_NODE_PARAMS& params,
                         std::shared_ptr<Conditional>* conditional);

// Whether every condition of an outermost graph has its node.
bool AllConditionsHaveNodes(const Graph& graph);

// Whether the bodies of all conditional nodes have what bodies may have. Otherwise *offender is a node that has no
// place there.
CUresult CheckBodies(const Graph& graph, const Node** offender);

}  // namespace outboard::graphs
