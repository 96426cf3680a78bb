#pragma once

#include <cuda.h>

#include <memory>
#include <string>
#include <variant>

namespace outboard::graphs {

struct Conditional;
class Graph;
class Memory;
class Node;

// What a node of a graph does, unless it is a graph itself or has some: made of a call's description (Host::Make) and
// shared by a graph, its clones and executable graphs, and the launches under way. It never changes. All operations of
// a process are of one library's class.
class Operation {
 public:
  virtual ~Operation() = default;

  virtual CUgraphNodeType type() const = 0;

  // What CUDA allows to change in an operation of an executable graph. `after` is of the same type.
  virtual CUgraphExecUpdateResult MayBecome(const Operation& after) const = 0;

  // The description, as cuGraphAddNode takes it. What its pointers lead to belongs to the operation or, for the arrays
  // of a kernel's arguments, to the node.
  virtual void Describe(Node& node, CUgraphNodeParams* params) const = 0;

  // Of a kernel, a copy or a memset: whether it may be in a body of a conditional node that runs in the context.
  // CUDA_ERROR_INVALID_VALUE when CUDA does not have it there, CUDA_ERROR_NOT_SUPPORTED when the library has not.
  virtual CUresult MayRunInBody(CUcontext context) const = 0;

  // What a picture of the graph says of it beside its type.
  virtual std::string label() const { return {}; }

  // The memory that it allocates; that it frees, for as long as that may be allocated. Null for all others.
  virtual std::shared_ptr<Memory> allocates() const { return nullptr; }
  virtual std::shared_ptr<Memory> frees() const { return nullptr; }
};

using OperationPtr = std::shared_ptr<const Operation>;

// What a node does: an operation, a graph of its own, or what a condition chooses of several.
using Content = std::variant<OperationPtr, std::shared_ptr<Graph>, std::shared_ptr<Conditional>>;

}  // namespace outboard::graphs
