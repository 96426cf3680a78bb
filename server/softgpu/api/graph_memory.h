#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace outboard::graphs {
class Graph;
}

namespace outboard::softgpu::api {

class Device;
class Driver;

// How much of a device's memory the graphs of this process have, in bytes. Thread-safe.
class GraphMemoryUse {
 public:
  void Reserve(uint64_t bytes);
  void Unreserve(uint64_t bytes);
  void Use(uint64_t bytes);
  void Unuse(uint64_t bytes);

  // cuDeviceGetGraphMemAttribute and cuDeviceSetGraphMemAttribute, with their errors. `value` is not null.
  CUresult Get(unsigned attribute, void* value) const;
  CUresult Set(unsigned attribute, const void* value);

 private:
  struct Level {
    uint64_t now = 0, high = 0;
    void Add(uint64_t bytes);
  };

  mutable std::mutex mutex_;
  Level reserved_, used_;  // guarded by mutex_
};

// What an allocation node of a graph stands for: device memory that has the same address in every run. It is taken from
// the device when the node is made, and given back when no graph and no run has the node any more and it is not
// allocated.
//
// Guarded by Graphs::mutex, but for the constants and the end.
class GraphMemory : public std::enable_shared_from_this<GraphMemory> {
 public:
  // With the errors of cuGraphAddMemAllocNode.
  static CUresult Create(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS& params,
                         std::shared_ptr<GraphMemory>* memory);
  ~GraphMemory();
  GraphMemory(const GraphMemory&) = delete;
  GraphMemory& operator=(const GraphMemory&) = delete;

  // As the node was described, with the address and with an array that is this object's.
  const CUDA_MEM_ALLOC_NODE_PARAMS& params() const { return params_; }

  // The graph that has the allocation node, set when the node is added.
  void LivesIn(const graphs::Graph& graph) { home_ = &graph; }

  // Whether `graph` may get a node that frees it: either the graph that has the allocation node or others.
  bool MayBeFreedIn(const graphs::Graph& graph) const;
  void WillBeFreedIn(const graphs::Graph& graph) { freer_ = &graph == home_ ? Freer::kHome : Freer::kOthers; }
  // Whether cuMemFree and cuMemFreeAsync may free it.
  bool MayBeFreedByCall() const { return allocated() && freer_ != Freer::kHome; }

  // What the latest launch, or call, of the program says; streams get there later.
  bool allocated() const { return held_ != nullptr; }
  void Allocate();
  // Returns what keeps the memory until the stream has got to the free.
  std::shared_ptr<GraphMemory> Free();

 private:
  enum class Freer { kNone, kHome, kOthers };

  GraphMemory(Driver& driver, Device& device, const CUDA_MEM_ALLOC_NODE_PARAMS& params);

  Driver& driver_;
  Device& device_;
  const std::vector<CUmemAccessDesc> access_;
  CUDA_MEM_ALLOC_NODE_PARAMS params_;

  const graphs::Graph* home_ = nullptr;  // compared, never dereferenced
  Freer freer_ = Freer::kNone;
  std::shared_ptr<GraphMemory> held_;  // itself, while it is allocated
};

}  // namespace outboard::softgpu::api
