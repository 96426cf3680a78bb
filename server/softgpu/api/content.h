#pragma once

#include <memory>
#include <variant>

namespace outboard::softgpu::api {

class Graph;
struct Operation;

// Shared by a graph, its clones and executable graphs, and the launches under way: it never changes.
using OperationPtr = std::shared_ptr<const Operation>;

// What a node of a graph does: an operation, or a graph of its own.
using Content = std::variant<OperationPtr, std::shared_ptr<Graph>>;

}  // namespace outboard::softgpu::api
