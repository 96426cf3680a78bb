#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/base/limits.h"
#include "server/driver/driver_table.h"
#include "server/slice/gate.h"
#include "server/worker/copies.h"
#include "server/worker/graph_memory.h"
#include "server/worker/handle_table.h"
#include "server/worker/host_calls.h"

namespace outboard::worker {

// Executable graphs of one session, by the numbers that the client chose. The client keeps the model and sends a graph
// when it is to be executable (common/wire/graph.h); here the driver's graph is built of it, and both are kept.
//
// Where a graph touches the client, it has host nodes: they call the client's functions, and bring bytes from its
// memory and to it by way of page-locked memory of the graph's own. Each launch brings a word for each of these nodes,
// which says which function, which bytes, or which address is meant. The driver runs one launch of a graph after the
// other, so the words of each launch are taken in order.
//
// All this is a generation of the graph. The driver says when an executable graph that was destroyed has come to the
// end of its launches: by a user object that it has, which has hold of the generation. Only then does other work get
// the page-locked memory. To give that back to the driver may wait for all work of a context, so it is kept until the
// context ends.
//
// Conditional handles are the driver's, since kernels pass them, and belong to one graph of the driver's. So a graph
// with such handles is there from the first of them on, is built when it is to be executable, and stays when the
// executable graph ends, until the client releases it. Of such a graph the driver has one executable graph at a time;
// the next one is of a generation of its own, while launches of those before may still be under way.
//
// Thread-safe. No lock is held while the driver is entered, but for one of a graph's own while it is launched, changed
// or ended.
class Graphs {
 public:
  // All outlive this. There are `most` graphs and generations of them at a time, and no more.
  Graphs(const driver::DriverTable& driver, slice::Gate& gate, const HandleTable& handles, Copies& copies,
         HostCalls& host_calls, GraphMemory& memory, size_t most = kMaxGraphs);
  // Precondition: EndAll was called.
  ~Graphs();
  Graphs(const Graphs&) = delete;
  Graphs& operator=(const Graphs&) = delete;

  // Called by lanes. What does not add up is CUDA_ERROR_INVALID_VALUE, as is a number that is not known.
  CUresult CreateCondition(uint64_t number, CUcontext context, unsigned value, unsigned flags,
                           CUgraphConditionalHandle* handle);
  CUresult Instantiate(uint64_t number, uint64_t flags, std::span<const std::byte> description);
  CUresult Launch(uint64_t number, CUstream stream, std::span<const unsigned long long> words,
                  std::span<const std::byte> bytes);
  CUresult Upload(uint64_t number, CUstream stream);
  CUresult Change(uint64_t number, std::span<const std::byte> changes);
  CUresult SetEnabled(uint64_t number, uint64_t node, bool enabled);
  // The executable graph ends when its launches have, and so does the graph, unless it has conditional handles: that
  // ends when it is released. Nothing is done for a number that is not known: the client may not have learned that it
  // was refused.
  CUresult Destroy(uint64_t number);
  CUresult Release(uint64_t number);

  // Returns when no launch touches the client's memory any more.
  void Drain();

  // The context, whose streams have no work any more, is about to end. Graphs that have page-locked memory of it cannot
  // be launched any more; waits for launches of them in streams of other contexts, which get no bytes of the client's.
  void ForgetContext(CUcontext context);
  // The context has ended: gives up what other lanes have taken of it since ForgetContext. Calls no driver.
  void DropContext(CUcontext context);

  // The client is gone: nothing is called, asked for or sent any more. Idempotent.
  void ReleaseAll();

  // Whether there is none, and no page-locked memory kept.
  bool empty() const;
  // Ends all graphs, once no lane is left and no context has work. The contexts are still there.
  void EndAll();

 private:
  struct Form;
  struct Generation;
  struct Graph;
  struct Step;
  struct State;
  struct Ended;
  class Builder;

  CUresult InstantiateAgain(Graph& graph, uint64_t flags, std::span<const std::byte> description);
  void EndExec(Graph& graph);
  CUresult Clear(Graph& graph);
  CUresult BuildAnew(Graph& graph, std::span<const std::byte> description);
  CUresult LaunchSteps(Graph& graph, CUstream stream, std::span<const unsigned long long> words,
                       std::span<const std::byte> bytes);
  CUresult Keep(Graph& graph);

  std::shared_ptr<State> state_;
};

}  // namespace outboard::worker
