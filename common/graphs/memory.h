#pragma once

#include <cuda.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace outboard::graphs {

class Graph;

// How much of a device's memory the graphs of this process have, in bytes. Thread-safe.
class MemoryUse {
 public:
  void Reserve(uint64_t bytes);
  void Unreserve(uint64_t bytes);
  void Use(uint64_t bytes);
  void Unuse(uint64_t bytes);

  // cuDeviceGetGraphMemAttribute and cuDeviceSetGraphMemAttribute, with their errors. `value` may be null.
  CUresult Get(CUgraphMem_attribute attribute, void* value) const;
  CUresult Set(CUgraphMem_attribute attribute, const void* value);

 private:
  struct Level {
    uint64_t now = 0, high = 0;
    void Add(uint64_t bytes);
  };

  mutable std::mutex mutex_;
  Level reserved_, used_;  // guarded by mutex_
};

// What an allocation node of a graph stands for: device memory that has the same address in every run. The library
// takes it from the device before this is made, and gives it back when this ends: when no graph and no run has the node
// any more and it is not allocated.
//
// Guarded by Graphs::mutex, but for the constants and the end.
class Memory : public std::enable_shared_from_this<Memory> {
 public:
  virtual ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  // As the node was described, with the address and with an array that is this object's.
  const CUDA_MEM_ALLOC_NODE_PARAMS& params() const { return params_; }

  // The graph that has the allocation node, set when the node is added.
  void LivesIn(const Graph& graph) { home_ = &graph; }

  // Whether `graph` may get a node that frees it: either the graph that has the allocation node or others.
  bool MayBeFreedIn(const Graph& graph) const;
  void WillBeFreedIn(const Graph& graph) { freer_ = &graph == home_ ? Freer::kHome : Freer::kOthers; }
  // Whether cuMemFree and cuMemFreeAsync may free it.
  bool MayBeFreedByCall() const { return allocated() && freer_ != Freer::kHome; }

  // What the latest launch, or call, of the program says; streams get there later.
  bool allocated() const { return held_ != nullptr; }
  void Allocate();
  // Returns what keeps the memory until the stream has got to the free.
  std::shared_ptr<Memory> Free();

 protected:
  // `params` with the address; `use` is the device's and outlives this.
  Memory(const CUDA_MEM_ALLOC_NODE_PARAMS& params, MemoryUse& use);

 private:
  enum class Freer { kNone, kHome, kOthers };

  MemoryUse& use_;
  const std::vector<CUmemAccessDesc> access_;
  CUDA_MEM_ALLOC_NODE_PARAMS params_;

  const Graph* home_ = nullptr;  // compared, never dereferenced
  Freer freer_ = Freer::kNone;
  std::shared_ptr<Memory> held_;  // itself, while it is allocated
};

// What cuGraphAddMemAllocNode says of a description before it asks for the memory, with `devices` of them: memory of
// one device, which its own kernels may do anything with, and those of other devices nothing.
CUresult CheckAllocation(const CUDA_MEM_ALLOC_NODE_PARAMS& params, CUdevice devices);

// What a launch has done to memory.
struct MemoryChanges {
  std::vector<std::shared_ptr<Memory>> freed;  // to be kept until the stream has come to the end of the launch
  std::vector<std::pair<std::shared_ptr<Memory>, bool>> before;  // what it works on, and whether that was allocated

  // The launch was refused.
  void TakeBack();
};

}  // namespace outboard::graphs
