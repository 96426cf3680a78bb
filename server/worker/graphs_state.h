#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/codec.h"
#include "common/wire/graph.h"
#include "server/worker/device_place.h"
#include "server/worker/graphs.h"
#include "server/worker/staging.h"

// What Graphs is made of. Included by graphs*.cc alone.

namespace outboard::worker {

// What a copy from or to the client's memory works with. Never changes: launches under way keep theirs.
struct Graphs::Form {
  std::byte* block;
  size_t block_bytes;  // that it has room for
  size_t bytes;        // that are copied
  Box host;            // of a read; its address is not used
  BoxExtent extent;
};

// What one executable graph needs of us until its last launch has ended: the steps of its host nodes, the page-locked
// memory that they work with, and the words of its launches. While there are steps, the driver has hold of it by a user
// object (Ended) of the executable graph, and of the graph while that has the nodes; so the graph can be built anew
// while launches of the former executable graph are under way.
struct Graphs::Generation {
  // One node as the client numbers it.
  struct Entry {
    wire::GraphNodeKind kind;
    CUgraphNode node;  // the driver's that can be changed; null for a graph
    Step* step;        // null for what does not touch the client
  };
  // A launch whose steps have not all run.
  struct Launched {
    unsigned long long stream = 0;  // its id; 0 when it is not known
    std::vector<uint64_t> words;
    std::vector<std::byte> bytes;                    // that came with it
    std::vector<std::shared_ptr<const Form>> forms;  // of the steps
    size_t steps_left;                               // guarded by State::mutex
  };

  // State::Begin makes them.
  explicit Generation(State& state) : state(state) {}
  // Gives the blocks back. The caller does not hold State::mutex.
  ~Generation();
  Generation(const Generation&) = delete;
  Generation& operator=(const Generation&) = delete;

  // Whether blocks of it are of this. The caller holds State::mutex.
  bool Uses(const Staging& staging) const {
    return std::ranges::any_of(blocks, [&](const auto& each) { return each.first.get() == &staging; });
  }

  State& state;

  // Guarded by Graph::order, but for the forms of the steps.
  std::vector<Entry> nodes;
  std::vector<std::unique_ptr<Step>> steps;
  uint64_t words = 0;
  bool is_chain = true;          // each node is behind the one before: nothing runs beside a step
  std::vector<uint64_t> memory;  // numbers of what it allocates or frees

  // Guarded by State::mutex.
  std::vector<std::pair<std::shared_ptr<Staging>, Block*>> blocks;  // that it has taken
  std::deque<std::shared_ptr<Launched>> launches;                   // the driver is at the first
  std::set<CUcontext> launched_in;                                  // contexts of the streams of its launches
  unsigned acting = 0;                                              // steps that work with a block just now
  std::atomic<bool> is_dead{false};  // blocks of it have ended with their context; set under the mutex
};

struct Graphs::Graph {
  // Guards all this. Held while the driver is given a launch or changes, or makes or ends the executable graph.
  std::mutex order;

  CUgraph graph = nullptr;
  CUgraphExec exec = nullptr;              // null while a graph with conditional handles is not executable
  std::shared_ptr<Generation> generation;  // that the graph is built of; null while it is not built

  std::vector<CUgraphConditionalHandle> conditions;
  std::vector<std::byte> description;  // that the graph was built of, if it has conditions
  CUuserObject kept = nullptr;         // of the graph's, by which the driver has hold of the generation
};

// A host node of the driver's, which acts for the client.
struct Graphs::Step {
  Generation& generation;
  wire::GraphNodeKind kind;
  uint64_t word;                     // which of a launch's
  size_t index = 0;                  // among the generation's steps
  std::shared_ptr<const Form> form;  // of launches to come, null for a host function. Guarded by State::mutex

  static void Run(void* step);
  void Act(const Generation::Launched& launched, uint64_t word);
};

// What the driver lets go of when it has done with a generation that has steps.
struct Graphs::Ended {
  std::shared_ptr<State> state;  // outlives the generation
  std::shared_ptr<Generation> generation;

  static void Run(void* ended);
};

struct Graphs::State {
  State(const driver::DriverTable& driver, slice::Gate& gate, const HandleTable& handles, Copies& copies,
        HostCalls& host_calls, GraphMemory& memory, size_t most)
      : driver(driver),
        gate(gate),
        handles(handles),
        copies(copies),
        host_calls(host_calls),
        memory(memory),
        most(most) {}

  const driver::DriverTable& driver;
  slice::Gate& gate;
  const HandleTable& handles;
  Copies& copies;
  HostCalls& host_calls;
  GraphMemory& memory;
  const size_t most;
  std::atomic<uint64_t> staging_bytes{0};

  std::mutex mutex;  // never held over a call of the driver
  std::condition_variable changed;
  std::unordered_set<Generation*> generations;  // that have not ended. Guarded by mutex, as is what follows
  std::unordered_map<CUcontext, std::shared_ptr<Staging>> stagings;
  std::unordered_map<uint64_t, std::shared_ptr<Graph>> graphs;
  bool released = false;

  std::shared_ptr<Graph> Find(uint64_t number);
  CUresult Add(uint64_t number, const std::shared_ptr<Graph>& graph);
  // A generation in which nothing is yet; null when there are too many.
  std::shared_ptr<Generation> Begin();
  std::shared_ptr<Staging> StagingOf(CUcontext context);
  // Whether its context has not ended. The caller holds the mutex.
  bool IsThere(const std::shared_ptr<Staging>& staging) const;
  // Takes the context's away, and what uses it has ended from here on; null when there is none. The caller holds the
  // mutex.
  std::shared_ptr<Staging> TakeStaging(CUcontext context);
  // Lets go of what the driver has for a graph.
  void End(Graph& graph);
  // Gives page-locked memory, which nothing uses any more, back to the driver.
  void EndStaging(Staging& staging);
};

// Reads descriptions and gives the driver what they say. Thread-confined.
class Graphs::Builder {
 public:
  // All outlive this, and so does the graph's generation.
  Builder(State& state, Graph& graph, std::span<const std::byte> description)
      : state_(state),
        driver_(state.driver),
        graph_(graph),
        generation_(*graph.generation),
        reader_(description),
        bodies_left_(description.size() / sizeof(wire::GraphChild)) {}

  // Adds all nodes to the graph.
  CUresult Build();
  // Changes nodes of the executable graph.
  CUresult Change();

 private:
  // Where a node goes: into a graph, behind others; or in the place of one of the executable graph.
  struct Place {
    CUgraph into = nullptr;
    std::vector<CUgraphNode> behind;
    const Generation::Entry* changed = nullptr;
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
  CUresult PutMemory(const Place& place, Made* made);
  CUresult PutGraph(const Place& place, uint32_t depth, Made* made);
  CUresult PutConditional(const Place& place, uint32_t depth, Made* made);
  CUresult PutHostCall(const Place& place, Made* made);
  CUresult PutWrite(const Place& place, Made* made);
  CUresult PutRead(const Place& place, Made* made);

  CUresult PutMemcpy(const Place& place, const CUDA_MEMCPY3D& copy, CUcontext context, Made* made);
  // Adds a host node that does such a step.
  CUresult AddStep(const Place& place, wire::GraphNodeKind kind, uint64_t word, std::shared_ptr<const Form> form,
                   Made* made);
  // The form of a copy in this context: with the block of the node that is changed, if that is large enough.
  CUresult MakeForm(const Place& place, CUcontext context, const Box& host, const BoxExtent& extent,
                    std::shared_ptr<const Form>* form);
  CUresult TakeBlock(CUcontext context, size_t bytes, Block** block);
  // The step of the changed node has another form from here on.
  void SetForm(const Place& place, std::shared_ptr<const Form> form);
  template <class T>
  CUresult Find(wire::HandleKind kind, wire::HandleId id, T* object) const;
  CUresult FindPlace(const wire::GraphPlace& given, DevicePlace* place) const;
  template <class T>
  const T* Take(uint64_t count);

  State& state_;
  const driver::DriverTable& driver_;
  Graph& graph_;
  Generation& generation_;
  wire::Reader reader_;
  uint64_t bodies_left_;  // that what is left of the description can speak of
};

}  // namespace outboard::worker
