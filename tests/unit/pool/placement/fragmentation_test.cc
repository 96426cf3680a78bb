#include "server/pool/fragmentation.h"
#include "tests/unit/pool/placement/reference.h"

#include <gtest/gtest.h>

namespace outboard::pool {
namespace {

using Card = FragmentationMeasure::Card;

// In thousandths of a GPU.
double Useless(const std::vector<Shape>& shapes, const std::vector<Card>& cards, int64_t cpu_milli = 0,
               int64_t memory_mib = 0) {
  const FragmentationMeasure measure(shapes);
  return static_cast<double>(measure.Of(cards, cpu_milli, memory_mib)) / FragmentationMeasure::kWeights;
}

TEST(Fragmentation, WhatIsIdleOnGpusTooSmallIsUseless) {
  EXPECT_EQ(Useless({{.weight = 1, .share = 500}}, {{1000, 1000}, {499, 499}, {500, 500}}), 499);
}

TEST(Fragmentation, EverythingIsUselessWhereTheShapeDoesNotFit) {
  const std::vector<Card> cards = {{1000, 1000}, {400, 400}};
  EXPECT_EQ(Useless({{.weight = 1, .gpus = 2}}, cards), 1400);
  EXPECT_EQ(Useless({{.weight = 1, .cpu_milli = 1}}, cards), 1400);
  EXPECT_EQ(Useless({{.weight = 1, .cpu_milli = 1}}, cards, 1), 400);
  EXPECT_EQ(Useless({{.weight = 1, .memory_mib = 5}}, cards, 0, 4), 1400);
  EXPECT_EQ(Useless({{.weight = 1, .memory_mib = 5}}, cards, 0, 5), 400);
  EXPECT_EQ(Useless({{.weight = 1, .gpus = 0}}, cards), 1400);
}

TEST(Fragmentation, ShapesCountByTheirWeight) {
  EXPECT_EQ(Useless({{.weight = 30, .share = 500}, {.weight = 10, .share = 1000}}, {{800, 800}, {300, 300}}),
            0.75 * 300 + 0.25 * 1100);
  EXPECT_EQ(Useless({{.weight = 0, .share = 500}, {.weight = 10, .share = 1000}}, {{1000, 1000}}), 0);
}

TEST(Fragmentation, MemoryLimitsWhatAShapeGetsOfAGpu) {
  const Cluster::GpuState gpu{
      .memory_bytes = 100 * kGib, .free_memory_bytes = 30 * kGib, .free_share = 900, .usable = true};
  EXPECT_EQ(FragmentationMeasure::CardOf(gpu), (Card{900, 300}));
  EXPECT_EQ(FragmentationMeasure::CardOf(gpu, 100, 10 * kGib), (Card{800, 200}));
  EXPECT_EQ(FragmentationMeasure::CardOf(gpu, 800, 0), (Card{100, 100}));
  EXPECT_EQ(Useless({{.weight = 1, .share = 500}}, {FragmentationMeasure::CardOf(gpu)}), 900);
}

TEST(Fragmentation, PartsOfTheMemoryThatWereRoundedDownAreNoLimit) {
  for (const uint64_t bytes : {uint64_t{7}, 1000 * kGib + 7, 141 * kGib + 999}) {
    Cluster::GpuState gpu{.memory_bytes = bytes, .free_memory_bytes = bytes, .free_share = 1000, .usable = true};
    for (const int share : {333, 333, 333}) {
      gpu.free_share -= share;
      gpu.free_memory_bytes -= bytes * share / 1000;
      EXPECT_EQ(FragmentationMeasure::CardOf(gpu), (Card{gpu.free_share, gpu.free_share})) << bytes;
    }
  }
}

TEST(Fragmentation, NothingIsIdleOnAGpuThatIsNotUsable) {
  EXPECT_EQ(FragmentationMeasure::CardOf({.memory_bytes = kGib, .free_memory_bytes = kGib, .free_share = 1000}),
            Card{});
}

TEST(Fragmentation, OfAClusterIsAPartOfWhatIsIdle) {
  Cluster cluster;
  const Gpu gpu{.model = "NVIDIA T4", .memory_bytes = 16 * kGib};
  cluster.Add({.name = "a", .gpus = {gpu, gpu}});
  cluster.Add({.name = "b", .gpus = {gpu}});
  const std::vector<Shape> pairs = {{.weight = 1, .gpus = 2}};
  EXPECT_DOUBLE_EQ(Fragmentation(cluster, pairs), 1.0 / 3);
  cluster.Take({.node = 0, .slices = {{0, 1000, 0}}});
  EXPECT_DOUBLE_EQ(Fragmentation(cluster, pairs), 1);
  cluster.Take({.node = 0, .slices = {{1, 1000, 0}}});
  cluster.Take({.node = 1, .slices = {{0, 1000, 0}}});
  EXPECT_EQ(Fragmentation(cluster, pairs), 0);
}

}  // namespace
}  // namespace outboard::pool
