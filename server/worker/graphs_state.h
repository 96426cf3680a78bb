#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/graph.h"
#include "server/worker/graphs.h"

// What Graphs is made of. Included by graphs*.cc alone.

namespace outboard::worker {

// A host node of the driver's, which acts for the client.
struct Graphs::Step {
  Graph& graph;
  wire::GraphNodeKind kind;
  uint64_t word;  // which of a launch's
  std::byte* block = nullptr;
  size_t bytes = 0;
  Box host{};  // of a read
  BoxExtent extent{};

  static void Run(void* step);
  void Act(uint64_t word, std::span<const std::byte> sent);
};

struct Graphs::Graph {
  // One node as the client numbers it.
  struct Entry {
    wire::GraphNodeKind kind;
    CUgraphNode node;  // the driver's that can be changed; null for a graph
    Step* step;        // null for what does not touch the client
  };

  explicit Graph(State& state) : state(state) {}

  State& state;
  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;
  CUcontext context = nullptr;  // that the blocks are of; null while there are none
  std::vector<void*> blocks;    // page-locked
  uint64_t block_bytes = 0;     // charged for them
  std::vector<Entry> nodes;
  std::vector<std::unique_ptr<Step>> steps;
  uint64_t words = 0;

  std::mutex order;  // held while a launch is given to the driver

  // Launches whose steps have not all run; the driver is at the first. Guarded by State::mutex.
  struct Launched {
    std::vector<uint64_t> words;
    std::vector<std::byte> bytes;  // that came with it
    size_t steps_left;
  };
  std::deque<Launched> launches;
};

struct Graphs::State {
  State(const driver::DriverTable& driver, const HandleTable& handles, Copies& copies, HostCalls& host_calls)
      : driver(driver), handles(handles), copies(copies), host_calls(host_calls) {}

  const driver::DriverTable& driver;
  const HandleTable& handles;
  Copies& copies;
  HostCalls& host_calls;
  std::atomic<uint64_t> block_bytes{0};  // of all graphs

  std::mutex mutex;  // never held over a call of the driver
  std::condition_variable changed;
  std::unordered_map<uint64_t, std::shared_ptr<Graph>> graphs;  // guarded by mutex, as is what follows
  std::vector<std::shared_ptr<Graph>> destroyed;                // whose launches have not ended
  bool released = false;

  std::shared_ptr<Graph> Find(uint64_t number);
  void Collect();
  void End(Graph& graph);
  void FreeBlocks(Graph& graph);
};

// Reads descriptions and gives the driver what they say. Thread-confined.
class Graphs::Builder {
 public:
  // All outlive this.
  Builder(State& state, Graph& graph, std::span<const std::byte> description)
      : state_(state), driver_(state.driver), graph_(graph), reader_(description) {}

  // Adds all nodes to the graph.
  CUresult Build();
  // Changes nodes of the executable graph.
  CUresult Change();

 private:
  // Where a node goes: into a graph, behind others; or in the place of one of the executable graph.
  struct Place {
    CUgraph into = nullptr;
    std::vector<CUgraphNode> behind;
    const Graph::Entry* changed = nullptr;
  };
  // What came of it: the node that can be changed, the one that later nodes depend on, and the step of either.
  struct Made {
    CUgraphNode node = nullptr, last = nullptr;
    Step* step = nullptr;
  };

  CUresult AddNodes(uint64_t count, CUgraph into, uint32_t depth);
  CUresult Put(wire::GraphNodeKind kind, const Place& place, uint32_t depth, Made* made);
  CUresult PutKernel(const Place& place, Made* made);
  CUresult PutCopy(const Place& place, Made* made);
  CUresult PutFill(const Place& place, Made* made);
  CUresult PutMemoryOps(const Place& place, Made* made);
  CUresult PutEvent(const Place& place, bool records, Made* made);
  CUresult PutEmpty(const Place& place, Made* made);
  CUresult PutGraph(const Place& place, uint32_t depth, Made* made);
  CUresult PutHostCall(const Place& place, Made* made);
  CUresult PutWrite(const Place& place, Made* made);
  CUresult PutRead(const Place& place, Made* made);

  CUresult PutMemcpy(const Place& place, const CUDA_MEMCPY3D& copy, CUcontext context, Made* made);
  // Adds a host node that does the step.
  CUresult AddStep(const Place& place, std::unique_ptr<Step> step, Made* made);
  // The step of a node that is to read or write so many bytes: a new one with a block, or the one of the changed node.
  CUresult FindStep(const Place& place, const BoxExtent& extent, std::unique_ptr<Step>* made, Step** step);
  template <class T>
  CUresult Find(wire::HandleKind kind, wire::HandleId id, T* object) const;
  template <class T>
  const T* Take(uint64_t count);

  State& state_;
  const driver::DriverTable& driver_;
  Graph& graph_;
  wire::Reader reader_;
};

}  // namespace outboard::worker
