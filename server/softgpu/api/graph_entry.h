#pragma once

#include <memory>
#include <mutex>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/graph.h"
#include "server/softgpu/api/graph_exec.h"

namespace outboard::softgpu::api {

// For calls on graphs: as HealthyCall, with the graphs locked. `body` takes (Driver&).
template <class Body>
CUresult GraphsCall(Body body) noexcept {
  return HealthyCall([&](Driver& driver) -> CUresult {
    std::lock_guard lock(driver.graph_mutex);
    return body(driver);
  });
}

// With the object of a handle of a graph, a node or an executable graph: `body` takes (Driver&, T&).
template <class T, class Body>
CUresult ObjectCall(const void* handle, Body body) noexcept {
  return GraphsCall([&](Driver& driver) -> CUresult {
    const auto object = driver.handles.Find<T>(handle);
    return object ? body(driver, *object) : CUDA_ERROR_INVALID_VALUE;
  });
}

// With a node of a kind of operation: `body` takes (Driver&, Node&, const Kind&).
template <class Kind, class Body>
CUresult NodeCall(CUgraphNode handle, Body body) noexcept {
  return ObjectCall<Node>(handle, [&](Driver& driver, Node& node) -> CUresult {
    const Operation* operation = node.operation();
    const auto* kind = operation ? std::get_if<Kind>(&operation->what) : nullptr;
    return kind ? body(driver, node, *kind) : CUDA_ERROR_INVALID_VALUE;
  });
}

// With a node of an executable graph, named by the node that it was copied from: `body` takes (Driver&, GraphExec&,
// Node&).
template <class Body>
CUresult ExecNodeCall(CUgraphExec handle, CUgraphNode original, Body body) noexcept {
  return ObjectCall<GraphExec>(handle, [&](Driver& driver, GraphExec& exec) -> CUresult {
    const auto node = driver.handles.Find<Node>(original);
    Node* const mine = node ? exec.Find(*node) : nullptr;
    return mine ? body(driver, exec, *mine) : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace outboard::softgpu::api
