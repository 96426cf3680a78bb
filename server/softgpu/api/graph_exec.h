#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/softgpu/api/graph.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {

// A CUgraphExec: a copy of a graph, ready to be launched. Its nodes are named by the nodes that they were copied from.
//
// Guarded by Driver::graph_mutex, but for Launch, which takes it itself.
class GraphExec : public Object {
 public:
  static constexpr Kind kKind = Kind::kGraphExec;

  // Null when the graph has a cycle; then *on_cycle is a node of it.
  static std::shared_ptr<GraphExec> Create(const Graph& graph, uint64_t flags, Node** on_cycle);

  const uint64_t flags;

  const Graph& graph() const { return *graph_; }

  // The copy of a node of the graph or of a child graph in it; null for other nodes.
  Node* Find(const Node& original) const;

  // cuGraphExecUpdate, all or nothing.
  struct Mismatch {
    CUgraphExecUpdateResult result = CU_GRAPH_EXEC_UPDATE_SUCCESS;
    const Node* node = nullptr;  // of the graph that does not fit
    const Node* from = nullptr;
  };
  Mismatch Update(const Graph& to) { return Update(*graph_, to); }
  // The same for the graph of a child graph node of this one.
  Mismatch UpdateChild(const Node& mine, const Graph& to) { return Update(*mine.child(), to); }

  // Queues one run of the graph in `stream`, as one piece of work: behind what is in the stream and behind the earlier
  // launches. CUDA_ERROR_INVALID_VALUE when it would allocate what is allocated, or free what is not. The caller does
  // not hold Driver::graph_mutex. The stream does not capture.
  CUresult Launch(Stream& stream);

 private:
  GraphExec(uint64_t flags, std::shared_ptr<Graph> graph) : flags(flags), graph_(std::move(graph)) {}

  // What one launch does, fixed when it is launched: the operations, and the events' points.
  struct Plan {
    std::vector<std::function<void()>> steps;
    std::vector<std::pair<std::shared_ptr<Event>, Event::Moment>> records;  // what the steps bring about
    std::vector<std::shared_ptr<GraphMemory>> freed;                        // when all steps are done
  };

  bool Prepare(const Graph& original, const Graph& copy, Node** on_cycle);
  static Mismatch Update(const Graph& mine, const Graph& to);
  CUresult PlanMemory(Plan* plan) const;
  Plan MakePlan() const;

  const std::shared_ptr<Graph> graph_;
  std::vector<Node*> order_;                       // all that is to be done, child graphs' nodes included
  std::unordered_map<uint64_t, Node*> by_origin_;  // child graphs' nodes included

  std::mutex launch_mutex_;  // taken before Driver::graph_mutex
  Point last_;               // of the latest launch; guarded by launch_mutex_
};

}  // namespace outboard::softgpu::api
