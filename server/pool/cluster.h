#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
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
// A node's number is its place in the order of arrival and stays its own; one that is gone for good stays as kLost.
class Cluster {
 public:
  // A GPU that does not exist here and slices that are not free are the caller's fault, and end the process.

  // A node with nothing taken. Its number is the count of nodes before.
  int Add(Node node);
  // Another inventory for a node from which nothing is taken.
  void Replace(int node, Node inventory);
  void SetCondition(int node, Condition condition);
  void SetUsable(int node, int gpu, bool usable);
  void SetPool(int node, int gpu, int pool);

  // Whether all of it is free; whatever the node's condition.
  bool IsFree(const Placement& placement) const;
  // Precondition: IsFree.
  void Take(const Placement& placement);
  // Precondition: it was taken.
  void Give(const Placement& placement);

  int size() const { return static_cast<int>(nodes_.size()); }
  const Node& node(int node) const { return nodes_[node]; }
  int free_share(int node, int gpu) const { return free_shares_[first_gpus_[node] + gpu]; }
  uint64_t free_memory_bytes(int node, int gpu) const { return free_memory_[first_gpus_[node] + gpu]; }
  int64_t free_cpu_milli(int node) const { return free_cpu_[node]; }
  int64_t free_memory_mib(int node) const { return free_host_memory_[node]; }

 private:
  std::vector<Node> nodes_;
  std::vector<int> first_gpus_;  // of nodes_, in the vectors by GPU
  std::vector<int64_t> free_cpu_, free_host_memory_;
  std::vector<int> free_shares_;        // by GPU
  std::vector<uint64_t> free_memory_;  // by GPU, bytes
};

}  // namespace outboard::pool
