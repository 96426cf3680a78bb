#pragma once

#include <memory>
#include <mutex>

#include "common/graphs/exec.h"
#include "common/graphs/graph.h"
#include "common/graphs/graphs.h"

// How the calls on graphs begin: the graphs are locked, and the objects of handles found.

namespace outboard::graphs {

// With the object of a handle of a graph, a node, an executable graph or a user object: `body` takes (T&).
template <class T, class Body>
CUresult ObjectCall(Graphs& graphs, const void* handle, Body body) {
  std::lock_guard lock(graphs.mutex);
  const auto object = graphs.handles.Find<T>(handle);
  return object ? body(*object) : CUDA_ERROR_INVALID_VALUE;
}

// With a node of an executable graph, named by the node that it was copied from: `body` takes (Exec&, Node&).
template <class Body>
CUresult ExecNodeCall(Graphs& graphs, CUgraphExec handle, CUgraphNode original, Body body) {
  return ObjectCall<Exec>(graphs, handle, [&](Exec& exec) -> CUresult {
    const auto node = graphs.handles.Find<Node>(original);
    Node* const mine = node ? exec.Find(*node) : nullptr;
    return mine ? body(exec, *mine) : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace outboard::graphs
