#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace outboard::pool {

// Compute is counted in thousandths of a GPU.
inline constexpr int kWholeGpu = 1000;

// What a node says of one of its GPUs.
struct Gpu {
  std::string model;  // "NVIDIA H200"
  uint64_t memory_bytes = 0;
  bool usable = true;  // false: its health forbids new slices
  int pool = 0;        // it takes only requests of the same number
};

enum class Condition : uint8_t { kReady, kCordoned, kDraining, kLost };

struct Node {
  std::string name;
  std::map<std::string, std::string> labels;
  int cuda_version = 0;  // as cuDriverGetVersion counts: 13000 is 13.0
  Condition condition = Condition::kReady;
  int64_t cpu_milli = 0;  // of the machine, for requests that ask for some
  int64_t memory_mib = 0;
  std::vector<Gpu> gpus;
};

// A part of one GPU.
struct Slice {
  int gpu = 0;  // its place in Node::gpus
  int share = kWholeGpu;
  uint64_t memory_bytes = 0;
  bool operator==(const Slice&) const = default;
};

// What a part of a GPU counts as in quotas, maxima and what was used, in thousandths: its compute or its memory, of
// which it has more. Precondition: the GPU has so much memory.
int AmountOf(const Slice& slice, uint64_t gpu_memory_bytes);

// What one request gets: everything on one node.
struct Placement {
  int node = 0;               // its place in the cluster
  std::vector<Slice> slices;  // by rising gpu, each GPU at most once
  int64_t cpu_milli = 0;
  int64_t memory_mib = 0;
  bool operator==(const Placement&) const = default;
};

// The nodes and what is free on them. A value: a copy is a cluster of its own. Thread-compatible.
//
// A node's number is its place in the order of arrival; who takes one away for good gives its number to another.
// Numbers that mean nothing here, and slices that are not free, are the caller's fault and end the process.
class Cluster {
 public:
  // A node with nothing taken. Its number is the count of nodes before.
  int Add(Node node);
  // Another inventory for a node from which nothing is taken.
  void Replace(int node, Node inventory);
  void SetCondition(int node, Condition condition);
  void SetUsable(int node, int gpu, bool usable);
  void SetPool(int node, int gpu, int pool);

  // Whether all of it is free; whatever the node's condition. False for numbers that mean nothing here.
  bool IsFree(const Placement& placement) const;
  // Precondition: IsFree.
  void Take(const Placement& placement);
  // Precondition: it was taken.
  void Give(const Placement& placement);

  int size() const { return static_cast<int>(nodes_.size()); }
  const Node& node(int node) const { return nodes_[node]; }
  int free_share(int node, int gpu) const { return gpus_[states_[node].first_gpu + gpu].free_share; }
  uint64_t free_memory_bytes(int node, int gpu) const { return gpus_[states_[node].first_gpu + gpu].free_memory_bytes; }
  int64_t free_cpu_milli(int node) const { return states_[node].free_cpu_milli; }
  int64_t free_memory_mib(int node) const { return states_[node].free_memory_mib; }

  // The same close together, for who looks at every node.
  struct NodeState {
    int64_t free_cpu_milli;
    int64_t free_memory_mib;
    uint64_t stamp;       // another one after each change: nodes with equal stamps are equal, in copies too
    int free_share;       // of all its GPUs
    int most_free_share;  // of one of them
    int taken;            // placements that are taken from it
    int first_gpu;        // in the list of all nodes' GPUs
    int gpu_count;
    Condition condition;
  };
  struct GpuState {
    uint64_t memory_bytes;
    uint64_t free_memory_bytes;
    int free_share;
    int model;  // in models()
    int pool;
    bool usable;
  };
  const NodeState& state(int node) const { return states_[node]; }
  std::span<const GpuState> gpus(int node) const {
    return {gpus_.data() + states_[node].first_gpu, static_cast<size_t>(states_[node].gpu_count)};
  }
  std::span<const std::string> models() const { return models_; }   // and some that were there before
  int64_t largest_cpu_milli() const { return largest_cpu_milli_; }  // of one machine, taken or not
  int64_t largest_share() const { return largest_share_; }          // of all GPUs of one node, taken or not

 private:
  int TakeModel(const std::string& name);
  void CountAsLargest(const Node& node);
  void FillIn(int node);
  void Changed(int node);
  Node& Known(int node);
  Gpu& Known(int node, int gpu);
  std::span<GpuState> GpusOf(int node);

  std::vector<Node> nodes_;
  std::vector<NodeState> states_;  // of nodes_
  std::vector<GpuState> gpus_;     // of all nodes, node by node
  std::vector<std::string> models_;
  std::vector<int> gpus_of_model_;  // of models_; a name without any is free for another
  int64_t largest_cpu_milli_ = 0;
  int64_t largest_share_ = 0;
};

}  // namespace outboard::pool
