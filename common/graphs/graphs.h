#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "common/graphs/captures.h"
#include "common/graphs/operation.h"
#include "common/libcuda/handles.h"

namespace outboard::graphs {

class Condition;
struct ConditionParams;
class Exec;

// What the model of graphs needs of the library that has it. Called with Graphs::mutex held, unless it says otherwise.
class Host {
 public:
  // The operation of a description, checked as the calls that take it do, and with their errors. Of every type but
  // child graphs and conditional nodes. What the calls write into descriptions (the address of memory) is written.
  virtual CUresult Make(CUgraphNodeParams* params, OperationPtr* operation) = 0;

  // Makes a condition with a new handle, for a graph in graph.outermost(); a null context is the current one, and a
  // green one's is HomeOf it. With the errors of cuGraphConditionalHandleCreate.
  virtual CUresult MakeCondition(Graph& graph, const ConditionParams& params,
                                 std::shared_ptr<Condition>* condition) = 0;

  // What work in this context belongs to: of a green context the primary one that it is of, else itself.
  virtual CUcontext HomeOf(CUcontext context) = 0;

  // Makes an executable graph. CUDA_ERROR_INVALID_VALUE with *on_cycle when a cycle is the reason. `graph` is what the
  // flags and its state allow to be one.
  virtual CUresult Instantiate(Graph& graph, uint64_t flags, Node** on_cycle, std::shared_ptr<Exec>* exec) = 0;

  // Has a function of the application run on the thread for those. Called with or without the mutex.
  virtual void Post(std::function<void()> function) = 0;

  // The calling thread's capture mode. Called with or without the mutex.
  virtual CUstreamCaptureMode& capture_mode() = 0;

 protected:
  ~Host() = default;
};

// The graphs, executable graphs, captures and user objects of a process.
class Graphs {
 public:
  // Both outlive this.
  Graphs(HandleTable& handles, Host& host) : handles(handles), host(host) {}
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  HandleTable& handles;
  Host& host;
  std::mutex mutex;  // guards all graphs and captures
  Captures captures{*this};

  // A number that no other node and no other capture has.
  uint64_t NextId() { return next_id_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  std::atomic<uint64_t> next_id_{0};
};

}  // namespace outboard::graphs
