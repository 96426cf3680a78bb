#include <gtest/gtest.h>

#include <map>
#include <numeric>

#include "common/base/limits.h"
#include "tests/unit/pool/placement/reference.h"

namespace outboard::pool {
namespace {

constexpr int kSeeds = 100;
constexpr int kNodes = 12;
constexpr int kSteps = 150;

class PlacementProperties : public ::testing::TestWithParam<Policy> {
 protected:
  Placer NewPlacer() const { return Placer(GetParam(), SomeShapes()); }

  // Lets a random cluster live, once for each seed.
  template <class Each>
  void ForEachRequest(Each each) const {
    for (int seed = 1; seed <= kSeeds; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed));
      Dice dice(seed);
      Cluster cluster = RandomCluster(dice, kNodes);
      Placer placer = NewPlacer();
      LiveThrough(dice, cluster, placer, kSteps,
                  [&](const Request& request, const std::optional<Placement>& placement) {
                    each(cluster, request, placement);
                  });
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Policies, PlacementProperties,
                         ::testing::Values(Policy::kBestFit, Policy::kSpread, Policy::kFragmentation),
                         [](const auto& info) {
                           return info.param == Policy::kBestFit  ? "BestFit"
                                  : info.param == Policy::kSpread ? "Spread"
                                                                  : "Fragmentation";
                         });

TEST_P(PlacementProperties, APlacementIsWhatWasAskedForAndIsFree) {
  int placed = 0;
  ForEachRequest([&](const Cluster& cluster, const Request& request, const std::optional<Placement>& placement) {
    if (!placement) return;
    ++placed;
    ASSERT_TRUE(FitsOnNode(cluster, placement->node, request));
    EXPECT_EQ(static_cast<int>(placement->slices.size()), request.gpus);
    EXPECT_EQ(placement->cpu_milli, request.cpu_milli);
    EXPECT_EQ(placement->memory_mib, request.memory_mib);
    int last = -1;
    for (const Slice& slice : placement->slices) {
      ASSERT_GT(slice.gpu, last);
      last = slice.gpu;
      EXPECT_TRUE(FitsOnGpu(cluster, placement->node, slice.gpu, request));
      EXPECT_EQ(slice.share, request.share);
      EXPECT_EQ(slice.memory_bytes, BytesOn(cluster.node(placement->node).gpus[slice.gpu], request));
    }
  });
  EXPECT_GT(placed, kSeeds * kSteps / 4);
}

TEST_P(PlacementProperties, NoGpuAndNoMachineIsEverOvercommitted) {
  for (int seed = 1; seed <= kSeeds; ++seed) {
    Dice dice(seed);
    Cluster cluster = RandomCluster(dice, kNodes);
    Placer placer = NewPlacer();
    std::map<std::pair<int, int>, std::pair<int, uint64_t>> taken;  // share and bytes, by node and GPU
    std::map<int, std::pair<int64_t, int64_t>> taken_of_machine;
    for (int step = 0; step < kSteps; ++step) {
      const std::optional<Placement> placement = placer.Place(cluster, RandomRequest(dice));
      if (!placement) continue;
      cluster.Take(*placement);
      const Node& node = cluster.node(placement->node);
      for (const Slice& slice : placement->slices) {
        auto& [share, bytes] = taken[{placement->node, slice.gpu}];
        ASSERT_LE(share += slice.share, 1000);
        ASSERT_LE(bytes += slice.memory_bytes, node.gpus[slice.gpu].memory_bytes);
      }
      auto& [cpu, memory] = taken_of_machine[placement->node];
      ASSERT_LE(cpu += placement->cpu_milli, node.cpu_milli);
      ASSERT_LE(memory += placement->memory_mib, node.memory_mib);
    }
  }
}

TEST_P(PlacementProperties, ItIsRefusedOnlyWhereItFitsNowhere) {
  int refused = 0;
  ForEachRequest([&](const Cluster& cluster, const Request& request, const std::optional<Placement>& placement) {
    if (placement) return;
    ++refused;
    for (int node = 0; node < cluster.size(); ++node) EXPECT_FALSE(FitsOnNode(cluster, node, request)) << node;
  });
  EXPECT_GT(refused, kSeeds * kSteps / 20);
}

TEST_P(PlacementProperties, WhatWasPlacedBeforeChangesNoAnswer) {
  ForEachRequest([&](const Cluster& cluster, const Request& request, const std::optional<Placement>& placement) {
    EXPECT_EQ(NewPlacer().Place(cluster, request), placement);
  });
}

TEST_P(PlacementProperties, OnePlacerServesCopiesThatDiffer) {
  Dice dice(1);
  Cluster cluster = RandomCluster(dice, kNodes);
  Cluster other = cluster;
  Placer placer = NewPlacer();
  for (int step = 0; step < kSteps; ++step) {
    for (Cluster* each : {&cluster, &other}) {
      const Request request = RandomRequest(dice);
      const std::optional<Placement> placement = placer.Place(*each, request);
      ASSERT_EQ(placement, NewPlacer().Place(*each, request));
      if (placement) each->Take(*placement);
    }
  }
}

TEST_P(PlacementProperties, NamesChangeNothing) {
  ForEachRequest([&](const Cluster& cluster, Request request, const std::optional<Placement>& placement) {
    if (!request.filter.nodes.empty()) return;
    Cluster renamed;
    for (int number = 0; number < cluster.size(); ++number) {
      Node node = cluster.node(number);
      node.name = "x" + std::to_string(97 * number % 100);
      renamed.Add(node);
      Placement taken{.node = number,
                      .cpu_milli = node.cpu_milli - cluster.free_cpu_milli(number),
                      .memory_mib = node.memory_mib - cluster.free_memory_mib(number)};
      for (int gpu = 0; gpu < static_cast<int>(node.gpus.size()); ++gpu) {
        const int share = 1000 - cluster.free_share(number, gpu);
        if (share == 0) continue;
        taken.slices.push_back({gpu, share, node.gpus[gpu].memory_bytes - cluster.free_memory_bytes(number, gpu)});
      }
      renamed.Take(taken);
    }
    EXPECT_EQ(NewPlacer().Place(renamed, request), placement);
  });
}

// How good a placement is, by what the policy promises; more is better.
std::pair<int64_t, int64_t> Goodness(Policy policy, const Cluster& cluster, const Request& request,
                                     const Placement& placement) {
  const int64_t left = LeftOverOn(cluster, placement.node, request);
  if (policy == Policy::kBestFit) return {-left, 0};
  if (policy == Policy::kFragmentation) return {StepOfPlacement(cluster, placement, SomeShapes()), 0};
  int64_t least = 0;
  for (const Slice& slice : placement.slices) {
    const int64_t free = cluster.free_share(placement.node, slice.gpu);
    least = least == 0 ? free : std::min(least, free);
  }
  return {least, left};
}

// For several GPUs one way of taking them: the freest, or for the other policies the least free.
std::vector<Placement> WaysOn(Policy policy, const Cluster& cluster, int node, const Request& request) {
  if (!FitsOnNode(cluster, node, request)) return {};
  std::vector<int> fitting;
  for (int gpu = 0; gpu < static_cast<int>(cluster.node(node).gpus.size()); ++gpu) {
    if (FitsOnGpu(cluster, node, gpu, request)) fitting.push_back(gpu);
  }
  const auto on = [&](std::vector<int> gpus) {
    Placement placement{.node = node, .cpu_milli = request.cpu_milli, .memory_mib = request.memory_mib};
    std::sort(gpus.begin(), gpus.end());
    for (const int gpu : gpus) {
      placement.slices.push_back({gpu, request.share, BytesOn(cluster.node(node).gpus[gpu], request)});
    }
    return placement;
  };
  std::vector<Placement> ways;
  if (request.gpus == 1 && policy == Policy::kFragmentation) {
    for (const int gpu : fitting) ways.push_back(on({gpu}));
    return ways;
  }
  const int sign = policy == Policy::kSpread ? -1 : 1;
  std::stable_sort(fitting.begin(), fitting.end(), [&](int a, int b) {
    const auto share = [&](int gpu) { return sign * cluster.free_share(node, gpu); };
    const auto bytes = [&](int gpu) { return sign > 0 ? cluster.free_memory_bytes(node, gpu) : 0; };
    return std::pair(share(a), bytes(a)) < std::pair(share(b), bytes(b));
  });
  fitting.resize(request.gpus);
  return {on(fitting)};
}

TEST_P(PlacementProperties, ItIsTheFirstOfTheBest) {
  ForEachRequest([&](const Cluster& cluster, const Request& request, const std::optional<Placement>& placement) {
    std::optional<Placement> best;
    for (int node = 0; node < cluster.size(); ++node) {
      for (const Placement& way : WaysOn(GetParam(), cluster, node, request)) {
        if (best && Goodness(GetParam(), cluster, request, way) <= Goodness(GetParam(), cluster, request, *best)) {
          continue;
        }
        best = way;
      }
    }
    EXPECT_EQ(best, placement);
  });
}

// What it says is lacking, counted once more from the facts.
bool IsTrue(const Cluster& cluster, const Request& request, const Shortage& shortage) {
  const Node& node = cluster.node(shortage.node);
  const auto count = [&](auto passes) {
    int gpus = 0;
    for (int gpu = 0; gpu < static_cast<int>(node.gpus.size()); ++gpu) gpus += passes(gpu, node.gpus[gpu]) ? 1 : 0;
    return gpus;
  };
  const auto short_of = [&](auto passes) {
    return shortage.gpus_wanted == request.gpus && count(passes) == shortage.gpus_fit &&
           shortage.gpus_fit < request.gpus;
  };
  const auto in_pool = [&](const Gpu& gpu) { return gpu.pool == request.pool; };
  const auto of_model = [&](const Gpu& gpu) {
    return in_pool(gpu) && (request.filter.device_name.empty() || request.filter.device_name == gpu.model);
  };
  const auto large = [&](const Gpu& gpu) {
    return of_model(gpu) && gpu.memory_bytes >= std::max(BytesOn(gpu, request), request.filter.device_memory_bytes);
  };
  const auto healthy = [&](const Gpu& gpu) { return large(gpu) && gpu.usable; };
  const auto has_share = [&](int i, const Gpu& gpu) {
    return healthy(gpu) && cluster.free_share(shortage.node, i) >= request.share;
  };
  switch (shortage.lack) {
    case Lack::kNotAsked:
      return !request.filter.nodes.empty() && node.name != request.filter.nodes[0] &&
             node.name != request.filter.nodes[1];
    case Lack::kLabel:
      return shortage.name == "zone=a" && (!node.labels.contains("zone") || node.labels.at("zone") != "a");
    case Lack::kCudaVersion:
      return shortage.most == node.cuda_version && shortage.wanted == 13000 && node.cuda_version < 13000;
    case Lack::kGpus:
      return short_of([&](int, const Gpu&) { return true; });
    case Lack::kPool:
      return short_of([&](int, const Gpu& gpu) { return in_pool(gpu); });
    case Lack::kModel:
      return short_of([&](int, const Gpu& gpu) { return of_model(gpu); });
    case Lack::kDeviceMemory:
      return short_of([&](int, const Gpu& gpu) { return large(gpu); });
    case Lack::kCpu:
      return shortage.most == node.cpu_milli && node.cpu_milli < request.cpu_milli;
    case Lack::kMemory:
      return shortage.most == node.memory_mib && node.memory_mib < request.memory_mib;
    case Lack::kCordoned:
      return node.condition == Condition::kCordoned;
    case Lack::kDraining:
      return node.condition == Condition::kDraining;
    case Lack::kLost:
      return node.condition == Condition::kLost;
    case Lack::kUnhealthy:
      return short_of([&](int, const Gpu& gpu) { return healthy(gpu); });
    case Lack::kFreeShare:
      return shortage.wanted == request.share && short_of(has_share) &&
             (shortage.gpus_fit > 0 || shortage.most < shortage.wanted);
    case Lack::kFreeDeviceMemory:
      return short_of([&](int i, const Gpu& gpu) {
               return has_share(i, gpu) && cluster.free_memory_bytes(shortage.node, i) >= BytesOn(gpu, request);
             }) &&
             (shortage.gpus_fit > 0 || shortage.most < shortage.wanted);
    case Lack::kFreeCpu:
      return shortage.most == cluster.free_cpu_milli(shortage.node) && shortage.most < request.cpu_milli;
    case Lack::kFreeMemory:
      return shortage.most == cluster.free_memory_mib(shortage.node) && shortage.most < request.memory_mib;
    case Lack::kLeases:
      return cluster.state(shortage.node).taken >= static_cast<int>(kMaxLeases);
  }
  return false;
}

TEST_P(PlacementProperties, ReasonsAreTrueAndThereIsOneWhereverItDoesNotFit) {
  std::map<Lack, int> seen;
  ForEachRequest([&](const Cluster& cluster, const Request& request, const std::optional<Placement>&) {
    int next = 0;
    const std::vector<Shortage> shortages = Explain(cluster, request);
    for (int node = 0; node < cluster.size(); ++node) {
      if (FitsOnNode(cluster, node, request)) continue;
      ASSERT_LT(next, static_cast<int>(shortages.size()));
      const Shortage& shortage = shortages[next++];
      ASSERT_EQ(shortage.node, node);
      EXPECT_TRUE(IsTrue(cluster, request, shortage)) << Words(shortage, request);
      ++seen[shortage.lack];
    }
    EXPECT_EQ(next, static_cast<int>(shortages.size()));
  });
  EXPECT_EQ(seen.size(), 17u) << "each reason is among them";
}

}  // namespace
}  // namespace outboard::pool
