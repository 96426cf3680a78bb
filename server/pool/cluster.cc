#include "server/pool/cluster.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace outboard::pool {
namespace {

void Require(bool holds, const char* otherwise) {
  if (holds) return;
  std::fprintf(stderr, "outboard: the pool's picture of its nodes is wrong: %s. This is a fault of gpu-pool.\n",
               otherwise);
  std::abort();
}

// Counted for the whole process, so that clusters which were copied from one another never use one twice.
uint64_t NextStamp() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

int AmountOf(const Slice& slice, uint64_t gpu_memory_bytes) {
  if (slice.memory_bytes == 0) return slice.share;
  // No GPU has so much memory that the product passes 64 bits.
  return std::max(slice.share, static_cast<int>((slice.memory_bytes * kWholeGpu - 1) / gpu_memory_bytes) + 1);
}

int Cluster::Add(Node node) {
  const int number = size();
  const int first = static_cast<int>(gpus_.size());
  const int count = static_cast<int>(node.gpus.size());
  nodes_.push_back(std::move(node));
  states_.push_back({.first_gpu = first, .gpu_count = count});
  gpus_.resize(gpus_.size() + count);
  FillIn(number);
  CountAsLargest(nodes_[number]);
  return number;
}

void Cluster::Replace(int node, Node inventory) {
  const Node& former = Known(node);
  bool untouched = free_cpu_milli(node) == former.cpu_milli && free_memory_mib(node) == former.memory_mib;
  for (const GpuState& gpu : gpus(node)) {
    untouched = untouched && gpu.free_share == kWholeGpu && gpu.free_memory_bytes == gpu.memory_bytes;
  }
  Require(untouched, "a node with leases gets another inventory");

  for (const GpuState& gpu : gpus(node)) --gpus_of_model_[gpu.model];
  NodeState& state = states_[node];
  const int count = static_cast<int>(inventory.gpus.size());
  const auto first = gpus_.begin() + state.first_gpu;
  const int more = count - state.gpu_count;
  if (more > 0) gpus_.insert(first, more, GpuState{});
  if (more < 0) gpus_.erase(first, first - more);
  for (int later = node + 1; later < size(); ++later) states_[later].first_gpu += more;
  state.gpu_count = count;
  nodes_[node] = std::move(inventory);
  FillIn(node);
  largest_cpu_milli_ = 0;
  largest_share_ = 0;
  for (const Node& each : nodes_) CountAsLargest(each);
}

void Cluster::SetCondition(int node, Condition condition) {
  Known(node).condition = condition;
  states_[node].condition = condition;
  Changed(node);
}

void Cluster::SetUsable(int node, int gpu, bool usable) {
  Known(node, gpu).usable = usable;
  GpusOf(node)[gpu].usable = usable;
  Changed(node);
}

void Cluster::SetPool(int node, int gpu, int pool) {
  Known(node, gpu).pool = pool;
  GpusOf(node)[gpu].pool = pool;
  Changed(node);
}

bool Cluster::IsFree(const Placement& placement) const {
  if (placement.node < 0 || placement.node >= size()) return false;
  const NodeState& state = states_[placement.node];
  if (placement.cpu_milli < 0 || placement.cpu_milli > state.free_cpu_milli) return false;
  if (placement.memory_mib < 0 || placement.memory_mib > state.free_memory_mib) return false;
  int last = -1;
  for (const Slice& slice : placement.slices) {
    if (slice.gpu <= last || slice.gpu >= state.gpu_count) return false;
    last = slice.gpu;
    const GpuState& gpu = gpus_[state.first_gpu + slice.gpu];
    if (slice.share < 1 || slice.share > gpu.free_share || slice.memory_bytes > gpu.free_memory_bytes) return false;
  }
  return true;
}

void Cluster::Take(const Placement& placement) {
  Require(IsFree(placement), "slices are given out that are not free");
  NodeState& state = states_[placement.node];
  ++state.taken;
  state.free_cpu_milli -= placement.cpu_milli;
  state.free_memory_mib -= placement.memory_mib;
  for (const Slice& slice : placement.slices) {
    GpuState& gpu = GpusOf(placement.node)[slice.gpu];
    gpu.free_share -= slice.share;
    gpu.free_memory_bytes -= slice.memory_bytes;
  }
  Changed(placement.node);
}

void Cluster::Give(const Placement& placement) {
  const char* const kNotTaken = "slices come back that were not given out";
  const Node& node = Known(placement.node);
  NodeState& state = states_[placement.node];
  Require(placement.cpu_milli <= node.cpu_milli - state.free_cpu_milli &&
              placement.memory_mib <= node.memory_mib - state.free_memory_mib,
          kNotTaken);
  --state.taken;
  state.free_cpu_milli += placement.cpu_milli;
  state.free_memory_mib += placement.memory_mib;
  for (const Slice& slice : placement.slices) {
    Known(placement.node, slice.gpu);
    GpuState& gpu = GpusOf(placement.node)[slice.gpu];
    Require(slice.share <= kWholeGpu - gpu.free_share && slice.memory_bytes <= gpu.memory_bytes - gpu.free_memory_bytes,
            kNotTaken);
    gpu.free_share += slice.share;
    gpu.free_memory_bytes += slice.memory_bytes;
  }
  Changed(placement.node);
}

int Cluster::TakeModel(const std::string& name) {
  auto found = std::find(models_.begin(), models_.end(), name);
  if (found == models_.end()) {
    found = models_.begin() + (std::find(gpus_of_model_.begin(), gpus_of_model_.end(), 0) - gpus_of_model_.begin());
  }
  if (found == models_.end()) {
    found = models_.insert(found, name);
    gpus_of_model_.push_back(0);
  }
  *found = name;
  const auto number = found - models_.begin();
  ++gpus_of_model_[static_cast<size_t>(number)];
  return static_cast<int>(number);
}

void Cluster::CountAsLargest(const Node& node) {
  largest_cpu_milli_ = std::max(largest_cpu_milli_, node.cpu_milli);
  largest_share_ = std::max(largest_share_, static_cast<int64_t>(node.gpus.size()) * kWholeGpu);
}

// Everything of the node is free.
void Cluster::FillIn(int node) {
  const Node& facts = nodes_[node];
  states_[node].condition = facts.condition;
  states_[node].taken = 0;
  states_[node].free_cpu_milli = facts.cpu_milli;
  states_[node].free_memory_mib = facts.memory_mib;
  for (size_t i = 0; i < facts.gpus.size(); ++i) {
    const Gpu& gpu = facts.gpus[i];
    GpusOf(node)[i] = {.memory_bytes = gpu.memory_bytes,
                       .free_memory_bytes = gpu.memory_bytes,
                       .free_share = kWholeGpu,
                       .model = TakeModel(gpu.model),
                       .pool = gpu.pool,
                       .usable = gpu.usable};
  }
  Changed(node);
}

// Brings up to date what follows from the rest of the node's state.
void Cluster::Changed(int node) {
  NodeState& state = states_[node];
  state.stamp = NextStamp();
  state.free_share = 0;
  state.most_free_share = 0;
  for (const GpuState& gpu : gpus(node)) {
    state.free_share += gpu.free_share;
    state.most_free_share = std::max(state.most_free_share, gpu.free_share);
  }
}

Node& Cluster::Known(int node) {
  Require(node >= 0 && node < size(), "a node is spoken of that does not exist");
  return nodes_[node];
}

Gpu& Cluster::Known(int node, int gpu) {
  std::vector<Gpu>& gpus = Known(node).gpus;
  Require(gpu >= 0 && gpu < static_cast<int>(gpus.size()), "a GPU is spoken of that does not exist");
  return gpus[gpu];
}

std::span<Cluster::GpuState> Cluster::GpusOf(int node) {
  return {gpus_.data() + states_[node].first_gpu, static_cast<size_t>(states_[node].gpu_count)};
}

}  // namespace outboard::pool
