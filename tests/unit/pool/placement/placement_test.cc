#include "server/pool/placement.h"

#include <gtest/gtest.h>

#include "server/pool/fit.h"
#include "tests/unit/pool/placement/reference.h"

namespace outboard::pool {
namespace {

Node NodeWith(const std::string& name, int gpus, const std::string& model = "NVIDIA H200",
              uint64_t memory_bytes = 100 * kGib) {
  Node node{.name = name};
  node.gpus.resize(gpus, {.model = model, .memory_bytes = memory_bytes});
  return node;
}

// Leaves so much compute on each GPU of a node.
void Leave(Cluster& cluster, int node, const std::vector<int>& shares) {
  for (size_t gpu = 0; gpu < shares.size(); ++gpu) {
    const int taken = 1000 - shares[gpu];
    if (taken > 0) cluster.Take({.node = node, .slices = {{static_cast<int>(gpu), taken, taken * kGib / 10}}});
  }
}

std::optional<Placement> PlaceBy(Policy policy, const Cluster& cluster, const Request& request,
                                 const std::vector<Shape>& shapes = {{.weight = 1}}) {
  return Placer(policy, shapes).Place(cluster, request);
}

// "2: 0 3" are the GPUs 0 and 3 of node 2.
std::string Where(const std::optional<Placement>& placement) {
  if (!placement) return "nowhere";
  std::string text = std::to_string(placement->node) + ":";
  for (const Slice& slice : placement->slices) text += " " + std::to_string(slice.gpu);
  return text;
}

constexpr Policy kPolicies[] = {Policy::kBestFit, Policy::kSpread, Policy::kFragmentation};

TEST(Placement, BestFitLeavesTheLeastOnNodeAndGpu) {
  Cluster cluster;
  for (int i = 0; i < 3; ++i) cluster.Add(NodeWith("node", 4));
  Leave(cluster, 1, {1000, 600, 700, 400});
  Leave(cluster, 2, {1000, 500, 1000, 400});
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.share = 500})), "1: 1");
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.gpus = 2})), "2: 0 2");
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.gpus = 3})), "0: 0 1 2");
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.gpus = 3, .share = 600})), "1: 0 1 2");
}

TEST(Placement, BestFitCountsCpusAndGpusTheSame) {
  Cluster cluster;
  Node node = NodeWith("node", 2);
  node.cpu_milli = 10'000;
  cluster.Add(node);
  cluster.Add(node);
  cluster.Take({.node = 0, .slices = {{0, 300, 0}}});  // 15 % of the GPUs
  cluster.Take({.node = 1, .cpu_milli = 1400});        // 14 % of the CPUs
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.share = 500})), "0: 0");
  cluster.Take({.node = 1, .cpu_milli = 200});
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.share = 500})), "1: 0");
}

TEST(Placement, BestFitTakesTheGpuWithLessMemoryOfThoseAsFree) {
  Cluster cluster;
  Node node = NodeWith("node", 2);
  node.gpus[0].memory_bytes = 200 * kGib;
  cluster.Add(node);
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.share = 500})), "0: 1");
  EXPECT_EQ(Where(PlaceBy(Policy::kBestFit, cluster, {.share = 500, .memory_bytes = 101 * kGib})), "0: 0");
}

TEST(Placement, SpreadTakesTheFreestGpuThenTheFreestNode) {
  Cluster cluster;
  cluster.Add(NodeWith("node", 4));
  cluster.Add(NodeWith("node", 2));
  Leave(cluster, 0, {900, 900, 900, 900});
  EXPECT_EQ(Where(PlaceBy(Policy::kSpread, cluster, {.share = 500})), "1: 0");
  Leave(cluster, 1, {800, 900});
  EXPECT_EQ(Where(PlaceBy(Policy::kSpread, cluster, {.share = 500})), "0: 0");
  cluster.Take({.node = 0, .slices = {{0, 100, 0}}});
  EXPECT_EQ(Where(PlaceBy(Policy::kSpread, cluster, {.share = 500})), "0: 1");
  EXPECT_EQ(Where(PlaceBy(Policy::kSpread, cluster, {.gpus = 2, .share = 500})), "0: 1 2");
}

TEST(Placement, FragmentationLooksAtWhatTheShapesCanStillUse) {
  Cluster cluster;
  cluster.Add(NodeWith("node", 2));
  Leave(cluster, 0, {1000, 700});
  // After a third is taken of the second GPU nothing of it is of use for halves; of the first, a half is.
  EXPECT_EQ(Where(PlaceBy(Policy::kFragmentation, cluster, {.share = 300}, {{.weight = 1, .share = 500}})), "0: 0");
  EXPECT_EQ(Where(PlaceBy(Policy::kFragmentation, cluster, {.share = 300}, {{.weight = 1}})), "0: 1");
  // Whole GPUs go where they leave no pair apart.
  cluster.Add(NodeWith("node", 1));
  EXPECT_EQ(Where(PlaceBy(Policy::kFragmentation, cluster, {}, {{.weight = 1, .gpus = 2}})), "0: 0");
  cluster.Give({.node = 0, .slices = {{1, 300, 30 * kGib}}});
  EXPECT_EQ(Where(PlaceBy(Policy::kFragmentation, cluster, {}, {{.weight = 1, .gpus = 2}})), "1: 0");
}

TEST(Placement, FragmentationWithoutShapesIsBestFit) {
  Cluster cluster;
  cluster.Add(NodeWith("node", 4));
  cluster.Add(NodeWith("node", 2));
  EXPECT_EQ(Where(PlaceBy(Policy::kFragmentation, cluster, {}, {})), "1: 0");
}

TEST(Placement, TheFirstOfThoseThatAreAsGood) {
  Cluster cluster;
  cluster.Add(NodeWith("z", 2));
  cluster.Add(NodeWith("a", 2));
  for (const Policy policy : kPolicies) {
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.share = 500})), "0: 0");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.gpus = 0})), "0:");
  }
}

TEST(Placement, CountsDecisionsBetweenNodesThatAreAsGood) {
  for (const Policy policy : kPolicies) {
    Placer placer(policy, {{.weight = 1}});
    Cluster cluster;
    cluster.Add(NodeWith("a", 1));
    placer.Place(cluster, {.gpus = 1});
    EXPECT_EQ(placer.ties(), 0u);
    cluster.Add(NodeWith("b", 1));
    placer.Place(cluster, {.gpus = 1});
    placer.Place(cluster, {.gpus = 2});
    EXPECT_EQ(placer.ties(), 1u);
    cluster.Take({.node = 0, .slices = {{0, 500, 0}}});
    placer.Place(cluster, {.gpus = 1, .share = 300});
    EXPECT_EQ(placer.ties(), 1u);
  }
}

TEST(Placement, SeveralGpusComeFromOneNodeOrNotAtAll) {
  Cluster cluster;
  cluster.Add(NodeWith("a", 2));
  cluster.Add(NodeWith("b", 3));
  cluster.Add(NodeWith("c", 4));
  Leave(cluster, 1, {1000, 999, 1000});
  Leave(cluster, 2, {1000, 0, 1000, 999});
  for (const Policy policy : kPolicies) {
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.gpus = 3})), "nowhere");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.gpus = 3, .share = 999})), "1: 0 1 2");
  }
}

TEST(Placement, AShareHasItsPartOfTheMemoryUnlessMoreIsAskedFor) {
  Cluster cluster;
  cluster.Add(NodeWith("a", 1, "NVIDIA H200", 141 * kGib + 7));
  for (const Policy policy : kPolicies) {
    EXPECT_EQ(PlaceBy(policy, cluster, {.share = 333})->slices[0], (Slice{0, 333, (141 * kGib + 7) * 333 / 1000}));
    EXPECT_EQ(PlaceBy(policy, cluster, {})->slices[0], (Slice{0, 1000, 141 * kGib + 7}));
    EXPECT_EQ(PlaceBy(policy, cluster, {.share = 10, .memory_bytes = 140 * kGib})->slices[0],
              (Slice{0, 10, 140 * kGib}));
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.share = 10, .memory_bytes = 142 * kGib})), "nowhere");
  }
}

TEST(Placement, MemoryThatIsTakenIsNotFree) {
  Cluster cluster;
  cluster.Add(NodeWith("a", 1));
  cluster.Take({.node = 0, .slices = {{0, 100, 60 * kGib}}});
  for (const Policy policy : kPolicies) {
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.share = 400})), "0: 0");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.share = 401})), "nowhere");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.share = 900, .memory_bytes = 40 * kGib})), "0: 0");
  }
}

TEST(Placement, ThirdsFitThreeTimes) {
  for (const Policy policy : kPolicies) {
    Cluster cluster;
    cluster.Add(NodeWith("a", 1, "NVIDIA T4", 16 * kGib + 1));
    for (int i = 0; i < 3; ++i) {
      const auto placement = PlaceBy(policy, cluster, {.share = 333});
      ASSERT_TRUE(placement);
      cluster.Take(*placement);
    }
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.share = 2})), "nowhere");
  }
}

TEST(Placement, FiltersByDeviceNodeAndLabel) {
  Cluster cluster;
  cluster.Add(NodeWith("a", 1, "NVIDIA A100-SXM4-40GB", 40 * kGib));
  cluster.Add(NodeWith("b", 1, "NVIDIA A10", 24 * kGib));
  Node labelled = NodeWith("c", 1, "NVIDIA T4", 16 * kGib);
  labelled.labels = {{"zone", "west"}, {"rack", "7"}};
  labelled.cuda_version = 13000;
  cluster.Add(labelled);
  for (const Policy policy : kPolicies) {
    const auto where = [&](const Filter& filter) {
      return Where(PlaceBy(policy, cluster, {.share = 100, .filter = filter}));
    };
    EXPECT_EQ(where({.device_name = "a100"}), "0: 0");
    EXPECT_EQ(where({.device_name = "A10"}), "1: 0");
    EXPECT_EQ(where({.device_name = "V100"}), "nowhere");
    EXPECT_EQ(where({.device_name = "V100|T4"}), "2: 0");
    EXPECT_EQ(where({.device_name = "V100|"}), "nowhere");
    EXPECT_EQ(where({.device_memory_bytes = 40 * kGib}), "0: 0");
    EXPECT_EQ(where({.cuda_version = 12040}), "2: 0");
    EXPECT_EQ(where({.nodes = {"d", "b"}}), "1: 0");
    EXPECT_EQ(where({.nodes = {"d"}}), "nowhere");
    EXPECT_EQ(where({.labels = {{"zone", "west"}}}), "2: 0");
    EXPECT_EQ(where({.labels = {{"zone", "west"}, {"rack", "8"}}}), "nowhere");
  }
}

TEST(Placement, LeavesOutNodesAndGpusThatTakeNothingNew) {
  Cluster cluster;
  for (const char* name : {"a", "b", "c", "d"}) cluster.Add(NodeWith(name, 2));
  cluster.SetCondition(0, Condition::kCordoned);
  cluster.SetCondition(1, Condition::kDraining);
  cluster.SetCondition(2, Condition::kLost);
  cluster.SetUsable(3, 0, false);
  for (const Policy policy : kPolicies) {
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {})), "3: 1");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.gpus = 2})), "nowhere");
  }
}

TEST(Placement, PoolsAreApart) {
  Cluster cluster;
  cluster.Add(NodeWith("a", 2));
  cluster.SetPool(0, 1, 5);
  for (const Policy policy : kPolicies) {
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {})), "0: 0");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.pool = 5})), "0: 1");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.pool = 6})), "nowhere");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.gpus = 2})), "nowhere");
  }
}

TEST(Placement, CpusAndMemoryOfTheMachineMustBeFreeToo) {
  Cluster cluster;
  Node node = NodeWith("a", 1);
  node.cpu_milli = 4000;
  node.memory_mib = 1024;
  cluster.Add(node);
  for (const Policy policy : kPolicies) {
    const auto placement = PlaceBy(policy, cluster, {.cpu_milli = 4000, .memory_mib = 1024});
    ASSERT_EQ(Where(placement), "0: 0");
    EXPECT_EQ(placement->cpu_milli, 4000);
    EXPECT_EQ(placement->memory_mib, 1024);
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.cpu_milli = 4001})), "nowhere");
    EXPECT_EQ(Where(PlaceBy(policy, cluster, {.memory_mib = 1025})), "nowhere");
  }
}

TEST(Placement, NamesMatchByWords) {
  EXPECT_TRUE(HasWords("NVIDIA H200", ""));
  EXPECT_TRUE(HasWords("NVIDIA H200", "H200"));
  EXPECT_TRUE(HasWords("NVIDIA H200 NVL", "nvidia h200"));
  EXPECT_TRUE(HasWords("NVIDIA A100-SXM4-40GB", "A100-SXM4"));
  EXPECT_TRUE(HasWords("A10 and A1", "A1"));
  EXPECT_FALSE(HasWords("NVIDIA H200", "H20"));
  EXPECT_FALSE(HasWords("NVIDIA H200", "200"));
  EXPECT_FALSE(HasWords("NVIDIA H200", "H200 NVL"));
  EXPECT_FALSE(HasWords("", "H200"));
}

}  // namespace
}  // namespace outboard::pool
