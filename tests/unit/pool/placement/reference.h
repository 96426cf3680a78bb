#pragma once

// What placement has to do, written down once more, slowly and by the book; and random clusters and requests to compare
// the two on.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "server/pool/placement.h"

namespace outboard::pool {

constexpr uint64_t kGib = uint64_t{1} << 30;

inline uint64_t BytesOn(const Gpu& gpu, const Request& request) {
  return request.memory_bytes != 0 ? request.memory_bytes : gpu.memory_bytes * request.share / 1000;
}

inline bool FitsOnGpu(const Cluster& cluster, int node, int gpu, const Request& request) {
  const Gpu& facts = cluster.node(node).gpus[gpu];
  return facts.usable && facts.pool == request.pool &&
         (request.filter.device_name.empty() || request.filter.device_name == facts.model) &&
         facts.memory_bytes >= request.filter.device_memory_bytes && cluster.free_share(node, gpu) >= request.share &&
         cluster.free_memory_bytes(node, gpu) >= BytesOn(facts, request);
}

inline bool FitsOnNode(const Cluster& cluster, int node, const Request& request) {
  const Node& facts = cluster.node(node);
  const Filter& filter = request.filter;
  int gpus = 0;
  for (size_t gpu = 0; gpu < facts.gpus.size(); ++gpu) gpus += FitsOnGpu(cluster, node, gpu, request) ? 1 : 0;
  const bool has_labels = std::all_of(filter.labels.begin(), filter.labels.end(), [&](const auto& label) {
    return facts.labels.contains(label.first) && facts.labels.at(label.first) == label.second;
  });
  const bool asked_for =
      filter.nodes.empty() || std::find(filter.nodes.begin(), filter.nodes.end(), facts.name) != filter.nodes.end();
  return facts.condition == Condition::kReady && has_labels && asked_for && facts.cuda_version >= filter.cuda_version &&
         cluster.free_cpu_milli(node) >= request.cpu_milli && cluster.free_memory_mib(node) >= request.memory_mib &&
         gpus >= request.gpus;
}

// Exact for the small numbers of these tests: times the largest of both kinds.
inline int64_t LeftOverOn(const Cluster& cluster, int node, const Request& request) {
  int64_t largest_cpu = 1;
  int64_t largest_share = 1;
  for (int each = 0; each < cluster.size(); ++each) {
    largest_cpu = std::max(largest_cpu, cluster.node(each).cpu_milli);
    largest_share = std::max<int64_t>(largest_share, 1000 * cluster.node(each).gpus.size());
  }
  int64_t share = -request.gpus * request.share;
  for (size_t gpu = 0; gpu < cluster.node(node).gpus.size(); ++gpu) share += cluster.free_share(node, gpu);
  return (cluster.free_cpu_milli(node) - request.cpu_milli) * largest_share + share * largest_cpu;
}

// Useless thousandths of a GPU on a node. Exact for weights that are sums of few powers of two; they add up to 1.
inline double UselessOn(const Cluster& cluster, int node, const std::vector<Shape>& shapes) {
  const std::vector<Gpu>& gpus = cluster.node(node).gpus;
  double useless = 0;
  for (const Shape& shape : shapes) {
    double idle = 0;
    double too_small = 0;
    int fitting = 0;
    for (size_t gpu = 0; gpu < gpus.size(); ++gpu) {
      const double free = gpus[gpu].usable ? cluster.free_share(node, gpu) : 0;
      const bool has_memory = cluster.free_memory_bytes(node, gpu) >= gpus[gpu].memory_bytes * shape.share / 1000;
      const bool fits = free >= shape.share && has_memory;
      idle += free;
      too_small += fits ? 0 : free;
      fitting += fits ? 1 : 0;
    }
    const bool runs = shape.gpus > 0 && fitting >= shape.gpus && cluster.free_cpu_milli(node) >= shape.cpu_milli &&
                      cluster.free_memory_mib(node) >= shape.memory_mib;
    useless += shape.weight * (runs ? too_small : idle);
  }
  return useless;
}

inline int StepOf(double thousandths) { return static_cast<int>(100 / (1 + std::exp(-thousandths / 1000))); }

// By how much a placement makes less useless, in steps.
inline int StepOfPlacement(const Cluster& cluster, const Placement& placement, const std::vector<Shape>& shapes) {
  Cluster after = cluster;
  after.Take(placement);
  return StepOf(UselessOn(cluster, placement.node, shapes) - UselessOn(after, placement.node, shapes));
}

inline std::vector<Shape> SomeShapes() {
  return {{.weight = 0.25, .gpus = 1, .share = 1000, .cpu_milli = 4000},
          {.weight = 0.25, .gpus = 1, .share = 500, .cpu_milli = 2000, .memory_mib = 2048},
          {.weight = 0.125, .gpus = 4, .share = 1000, .cpu_milli = 8000},
          {.weight = 0.25, .gpus = 1, .share = 300, .cpu_milli = 1000},
          {.weight = 0.125, .gpus = 0, .cpu_milli = 2000}};
}

class Dice {
 public:
  explicit Dice(uint64_t seed) : engine_(seed) {}
  int Below(int count) { return static_cast<int>(engine_() % count); }
  bool OneIn(int count) { return Below(count) == 0; }
  template <class T>
  T OneOf(std::vector<T> values) {
    return values[Below(static_cast<int>(values.size()))];
  }
  template <class T>
  void Shuffle(std::vector<T>& values) {
    for (int i = static_cast<int>(values.size()); i > 1; --i) std::swap(values[i - 1], values[Below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

inline Node RandomNode(Dice& dice, const std::string& name) {
  Node node{.name = name,
            .cuda_version = dice.OneOf<int>({12040, 13000}),
            .cpu_milli = 1000 * dice.OneOf<int64_t>({4, 16, 64}),
            .memory_mib = 1024 * dice.OneOf<int64_t>({4, 16, 64})};
  if (dice.OneIn(2)) node.labels["zone"] = dice.OneOf<std::string>({"a", "b"});
  if (dice.OneIn(8))
    node.condition = dice.OneOf<Condition>({Condition::kCordoned, Condition::kDraining, Condition::kLost});
  const int gpus = dice.OneOf<int>({0, 1, 2, 4, 8});
  const std::string model = dice.OneOf<std::string>({"NVIDIA H200", "NVIDIA T4"});
  for (int i = 0; i < gpus; ++i) {
    node.gpus.push_back({.model = model,
                         .memory_bytes = model == "NVIDIA T4" ? 16 * kGib : 141 * kGib + 7,
                         .usable = !dice.OneIn(16),
                         .pool = dice.OneIn(8) ? 1 : 0});
  }
  return node;
}

inline Cluster RandomCluster(Dice& dice, int nodes) {
  Cluster cluster;
  for (int i = 0; i < nodes; ++i) cluster.Add(RandomNode(dice, "node-" + std::to_string(i)));
  return cluster;
}

inline Request RandomRequest(Dice& dice) {
  Request request{.gpus = dice.OneOf<int>({0, 1, 1, 1, 1, 2, 4}),
                  .share = dice.OneOf<int>({1000, 1000, 500, 333, 100}),
                  .pool = dice.OneIn(16) ? 1 : 0,
                  .cpu_milli = dice.OneOf<int64_t>({0, 500, 2000, 6000}),
                  .memory_mib = dice.OneOf<int64_t>({0, 1024, 8192})};
  if (dice.OneIn(4)) request.memory_bytes = dice.OneOf<uint64_t>({kGib, 10 * kGib, 40 * kGib});
  if (dice.OneIn(8)) request.filter.device_name = dice.OneOf<std::string>({"NVIDIA H200", "NVIDIA T4"});
  if (dice.OneIn(16)) request.filter.device_memory_bytes = 80 * kGib;
  if (dice.OneIn(16)) request.filter.cuda_version = 13000;
  if (dice.OneIn(16)) request.filter.labels = {{"zone", "a"}};
  if (dice.OneIn(16)) request.filter.nodes = {"node-1", "node-4"};
  return request;
}

// Placements and ends of them in turns, so that the cluster is as full as a busy one; `each` sees every request before
// it is placed.
template <class Each>
void LiveThrough(Dice& dice, Cluster& cluster, Placer& placer, int steps, Each each) {
  std::vector<Placement> placed;
  for (int i = 0; i < steps; ++i) {
    if (!placed.empty() && dice.OneIn(3)) {
      std::swap(placed[dice.Below(static_cast<int>(placed.size()))], placed.back());
      cluster.Give(placed.back());
      placed.pop_back();
    }
    const Request request = RandomRequest(dice);
    const std::optional<Placement> placement = placer.Place(cluster, request);
    each(request, placement);
    if (!placement) continue;
    cluster.Take(*placement);
    placed.push_back(*placement);
  }
}

}  // namespace outboard::pool
