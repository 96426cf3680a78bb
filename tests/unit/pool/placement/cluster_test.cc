#include "server/pool/cluster.h"
#include "tests/unit/pool/placement/reference.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace outboard::pool {
namespace {

Node NodeWith(int gpus) {
  Node node{.name = "node", .cpu_milli = 8000, .memory_mib = 1024};
  node.gpus.resize(gpus, {.model = "NVIDIA H200", .memory_bytes = 100 * kGib});
  return node;
}

TEST(Cluster, TakesAndGivesBack) {
  Cluster cluster;
  cluster.Add(NodeWith(1));
  const int node = cluster.Add(NodeWith(2));
  const Placement placement{
      .node = node, .slices = {{0, 250, 20 * kGib}, {1, 1000, 100 * kGib}}, .cpu_milli = 3000, .memory_mib = 24};
  cluster.Take(placement);
  EXPECT_EQ(cluster.free_share(node, 0), 750);
  EXPECT_EQ(cluster.free_memory_bytes(node, 0), 80 * kGib);
  EXPECT_EQ(cluster.free_share(node, 1), 0);
  EXPECT_EQ(cluster.free_cpu_milli(node), 5000);
  EXPECT_EQ(cluster.free_memory_mib(node), 1000);
  EXPECT_EQ(cluster.state(node).free_share, 750);
  EXPECT_EQ(cluster.state(node).most_free_share, 750);
  EXPECT_EQ(cluster.free_share(0, 0), 1000);

  cluster.Give(placement);
  EXPECT_EQ(cluster.free_share(node, 0), 1000);
  EXPECT_EQ(cluster.free_memory_bytes(node, 1), 100 * kGib);
  EXPECT_EQ(cluster.free_cpu_milli(node), 8000);
  EXPECT_EQ(cluster.state(node).free_share, 2000);
}

TEST(Cluster, KnowsWhatIsFree) {
  Cluster cluster;
  cluster.Add(NodeWith(2));
  EXPECT_TRUE(cluster.IsFree({.node = 0, .slices = {{0, 1000, 100 * kGib}, {1, 1, 0}}, .cpu_milli = 8000}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .slices = {{0, 1001, 0}}}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .slices = {{0, 0, 0}}}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .slices = {{0, 1, 100 * kGib + 1}}}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .slices = {{2, 1, 0}}}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .slices = {{-1, 1, 0}}}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .slices = {{1, 500, 0}, {1, 500, 0}}}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .cpu_milli = 8001}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .memory_mib = 1025}));
  EXPECT_FALSE(cluster.IsFree({.node = 0, .cpu_milli = -1}));
  EXPECT_FALSE(cluster.IsFree({.node = 1}));
  EXPECT_FALSE(cluster.IsFree({.node = -1}));
}

TEST(Cluster, ACopyIsAClusterOfItsOwn) {
  Cluster cluster;
  cluster.Add(NodeWith(1));
  Cluster copy = cluster;
  EXPECT_EQ(copy.state(0).stamp, cluster.state(0).stamp);
  copy.Take({.node = 0, .slices = {{0, 400, 0}}});
  cluster.Take({.node = 0, .slices = {{0, 500, 0}}});
  EXPECT_EQ(copy.free_share(0, 0), 600);
  EXPECT_EQ(cluster.free_share(0, 0), 500);
  EXPECT_NE(copy.state(0).stamp, cluster.state(0).stamp);
}

TEST(Cluster, EveryChangeShowsInTheStamp) {
  Cluster cluster;
  cluster.Add(NodeWith(1));
  uint64_t last = cluster.state(0).stamp;
  const auto expect_another = [&](const char* change) {
    EXPECT_NE(cluster.state(0).stamp, last) << change;
    last = cluster.state(0).stamp;
  };
  cluster.SetCondition(0, Condition::kCordoned);
  expect_another("condition");
  cluster.SetUsable(0, 0, false);
  expect_another("usable");
  cluster.SetPool(0, 0, 7);
  expect_another("pool");
  cluster.Replace(0, NodeWith(2));
  expect_another("inventory");
  cluster.Take({.node = 0, .slices = {{0, 500, 0}}});
  expect_another("taken");
  cluster.Give({.node = 0, .slices = {{0, 500, 0}}});
  expect_another("given");
  cluster.Add(NodeWith(1));
  EXPECT_EQ(cluster.state(0).stamp, last) << "another node's change";
}

TEST(Cluster, AnotherInventoryLeavesTheOtherNodesAlone) {
  for (const int gpus : {0, 1, 2, 5}) {
    Cluster cluster;
    cluster.Add(NodeWith(1));
    cluster.Add(NodeWith(2));
    cluster.Add(NodeWith(3));
    cluster.Take({.node = 0, .slices = {{0, 100, 0}}});
    cluster.Take({.node = 2, .slices = {{2, 300, kGib}}});
    cluster.Replace(1, NodeWith(gpus));
    ASSERT_EQ(cluster.gpus(1).size(), static_cast<size_t>(gpus));
    for (int gpu = 0; gpu < gpus; ++gpu) EXPECT_EQ(cluster.free_share(1, gpu), 1000);
    EXPECT_EQ(cluster.free_share(0, 0), 900);
    EXPECT_EQ(cluster.free_share(2, 1), 1000);
    EXPECT_EQ(cluster.free_share(2, 2), 700);
    EXPECT_EQ(cluster.free_memory_bytes(2, 2), 99 * kGib);
    EXPECT_EQ(cluster.largest_share(), 1000 * std::max(gpus, 3));
  }
}

TEST(ClusterDeathTest, RefusesToGiveOutWhatIsNotFree) {
  Cluster cluster;
  cluster.Add(NodeWith(1));
  cluster.Take({.node = 0, .slices = {{0, 600, 0}}});
  EXPECT_DEATH(cluster.Take({.node = 0, .slices = {{0, 500, 0}}}), "not free");
  EXPECT_DEATH(cluster.Give({.node = 0, .slices = {{0, 601, 0}}}), "not given out");
  EXPECT_DEATH(cluster.Give({.node = 0, .slices = {{0, 1, 1}}}), "not given out");
  EXPECT_DEATH(cluster.Give({.node = 0, .cpu_milli = 1}), "not given out");
  EXPECT_DEATH(cluster.Replace(0, NodeWith(2)), "another inventory");
  EXPECT_DEATH(cluster.SetCondition(1, Condition::kLost), "does not exist");
  EXPECT_DEATH(cluster.SetUsable(0, 1, false), "does not exist");
}

}  // namespace
}  // namespace outboard::pool
