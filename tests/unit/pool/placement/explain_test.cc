#include <gtest/gtest.h>

#include "server/pool/placement.h"
#include "tests/unit/pool/placement/reference.h"

namespace outboard::pool {
namespace {

// One node of a cluster, and the words for what a request lacks there.
class Explanation : public ::testing::Test {
 protected:
  Explanation() {
    Node node{
        .name = "node-1", .labels = {{"zone", "a"}}, .cuda_version = 12040, .cpu_milli = 8000, .memory_mib = 1024};
    node.gpus.resize(2, {.model = "NVIDIA H200", .memory_bytes = 100 * kGib});
    cluster_.Add(node);
  }

  std::string Why(const Request& request) {
    const std::vector<Shortage> shortages = Explain(cluster_, request);
    if (shortages.empty()) return "it fits";
    EXPECT_EQ(shortages.size(), 1u);
    EXPECT_EQ(shortages[0].node, 0);
    return Words(shortages[0], request);
  }

  Cluster cluster_;
};

TEST_F(Explanation, NothingIsLackingWhereItFits) { EXPECT_EQ(Why({.gpus = 2}), "it fits"); }

TEST_F(Explanation, OfWhatTheNodeIs) {
  EXPECT_EQ(Why({.filter = {.nodes = {"node-2"}}}), "is not among the nodes asked for");
  EXPECT_EQ(Why({.filter = {.labels = {{"zone", "b"}}}}), "has no label zone=b");
  EXPECT_EQ(Why({.filter = {.cuda_version = 13000}}), "needs CUDA 13.0 and has 12.4");
  EXPECT_EQ(Why({.gpus = 4}), "needs 4 GPUs and has 2");
  EXPECT_EQ(Why({.pool = 3}), "needs 1 GPU of the request's pool and has none");
  EXPECT_EQ(Why({.filter = {.device_name = "T4"}}), "needs 1 GPU named T4 and has none");
  EXPECT_EQ(Why({.memory_bytes = 120 * kGib}), "needs 1 GPU with 120.0 GiB; the most that one has is 100.0 GiB");
  EXPECT_EQ(Why({.filter = {.device_memory_bytes = 101 * kGib}}),
            "needs 1 GPU with 101.0 GiB; the most that one has is 100.0 GiB");
  EXPECT_EQ(Why({.cpu_milli = 8500}), "needs 8.5 CPUs and has 8");
  EXPECT_EQ(Why({.memory_mib = 2048}), "needs 2048 MiB of memory and has 1024");
}

TEST_F(Explanation, OfHowTheNodeIsNow) {
  cluster_.SetCondition(0, Condition::kCordoned);
  EXPECT_EQ(Why({}), "is cordoned");
  EXPECT_EQ(Why({.gpus = 3}), "needs 3 GPUs and has 2") << "what lasts comes first";
  cluster_.SetCondition(0, Condition::kDraining);
  EXPECT_EQ(Why({}), "is being drained");
  cluster_.SetCondition(0, Condition::kLost);
  EXPECT_EQ(Why({}), "does not answer");
  cluster_.SetCondition(0, Condition::kReady);
  cluster_.SetUsable(0, 1, false);
  EXPECT_EQ(Why({.gpus = 2}), "needs 2 GPUs in good health and has 1");
}

TEST_F(Explanation, OfWhatIsFree) {
  cluster_.Take(
      {.node = 0, .slices = {{0, 600, 60 * kGib}, {1, 250, 70 * kGib}}, .cpu_milli = 6000, .memory_mib = 1000});
  EXPECT_EQ(Why({}), "needs 1 GPU that nobody uses and has none");
  EXPECT_EQ(Why({.share = 800}), "needs 1 GPU with 0.8 of the compute free; the most that one has is 0.75");
  EXPECT_EQ(Why({.gpus = 2, .share = 500}), "needs 2 GPUs with 0.5 of the compute free and has 1");
  EXPECT_EQ(Why({.share = 500}), "needs 1 GPU with 50.0 GiB free; the most that one has is 30.0 GiB");
  EXPECT_EQ(Why({.share = 100, .memory_bytes = 41 * kGib}),
            "needs 1 GPU with 41.0 GiB free; the most that one has is 40.0 GiB");
  EXPECT_EQ(Why({.share = 100, .cpu_milli = 2001}), "needs 2.001 CPUs and has 2 free");
  EXPECT_EQ(Why({.share = 100, .memory_mib = 25}), "needs 25 MiB of memory and has 24 free");
  cluster_.Take({.node = 0, .slices = {{1, 750, 0}}});
  EXPECT_EQ(Why({.gpus = 2}), "needs 2 GPUs that nobody uses and has none");
}

TEST_F(Explanation, EveryNodeThatCannotHasItsReason) {
  Node small{.name = "node-2"};
  small.gpus.resize(1, {.model = "NVIDIA T4", .memory_bytes = 16 * kGib});
  cluster_.Add(small);
  cluster_.Add({.name = "node-3"});
  const std::vector<Shortage> shortages = Explain(cluster_, {.gpus = 1, .memory_bytes = 20 * kGib});
  ASSERT_EQ(shortages.size(), 2u);
  EXPECT_EQ(shortages[0].node, 1);
  EXPECT_EQ(shortages[0].lack, Lack::kDeviceMemory);
  EXPECT_EQ(shortages[1].node, 2);
  EXPECT_EQ(shortages[1].lack, Lack::kGpus);
}

TEST_F(Explanation, WhatLastsAndWhatMayPass) {
  EXPECT_FALSE(MayPass(Lack::kNotAsked));
  EXPECT_FALSE(MayPass(Lack::kGpus));
  EXPECT_FALSE(MayPass(Lack::kMemory));
  EXPECT_TRUE(MayPass(Lack::kCordoned));
  EXPECT_TRUE(MayPass(Lack::kUnhealthy));
  EXPECT_TRUE(MayPass(Lack::kFreeMemory));
}

}  // namespace
}  // namespace outboard::pool
