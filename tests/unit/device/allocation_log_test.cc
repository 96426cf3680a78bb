#include "server/softgpu/device/allocation_log.h"

#include <gtest/gtest.h>

namespace outboard::softgpu {
namespace {

class AllocationLogTest : public testing::Test {
 protected:
  // What may be touched, as pairs of begin and end.
  std::vector<std::pair<uint64_t, uint64_t>> Ends() const {
    std::vector<std::pair<uint64_t, uint64_t>> ends;
    const auto extents = log_.Extents([](uint64_t address) { return reinterpret_cast<std::byte*>(address); });
    for (const Extent& extent : *extents) ends.emplace_back(extent.begin, extent.end);
    return ends;
  }
  using Pairs = std::vector<std::pair<uint64_t, uint64_t>>;

  AllocationLog log_;
};

TEST_F(AllocationLogTest, AllocationsAreThereToTheByte) {
  log_.Add(0x1000, 5);
  log_.Add(0x2000, 512);
  EXPECT_EQ(Ends(), (Pairs{{0x1000, 0x1005}, {0x2000, 0x2200}}));
  log_.Remove(0x1000);
  EXPECT_EQ(Ends(), (Pairs{{0x2000, 0x2200}}));
}

TEST_F(AllocationLogTest, OfADividedBlockThereAreOnlyItsParts) {
  log_.Add(0x1000, 4096);
  log_.Divide(0x1000);
  EXPECT_EQ(Ends(), Pairs{});
  log_.AddPart(0x1200, 10, "a");
  log_.AddPart(0x1400, 20, "b", /*is_writable=*/false);
  EXPECT_EQ(Ends(), (Pairs{{0x1200, 0x120a}, {0x1400, 0x1414}}));
  const auto extents = log_.Extents([](uint64_t) { return nullptr; });
  EXPECT_TRUE((*extents)[0].writable);
  EXPECT_FALSE((*extents)[1].writable);
}

TEST_F(AllocationLogTest, APlaceMayBelongToTwoForAWhile) {
  log_.Add(0x1000, 4096);
  log_.Divide(0x1000);
  log_.AddPart(0x1000, 1000, "old");
  log_.AddPart(0x1000, 100, "new");
  log_.AddPart(0x1200, 1000, "newer");
  EXPECT_EQ(Ends(), (Pairs{{0x1000, 0x1200 + 1000}}));
  log_.RemovePart(0x1000, 1000);
  EXPECT_EQ(Ends(), (Pairs{{0x1000, 0x1064}, {0x1200, 0x1200 + 1000}}));
}

TEST_F(AllocationLogTest, KnowsWhatWasFreedLast) {
  EXPECT_FALSE(log_.FindFreed(0x1000));
  log_.Add(0x1000, 100);
  log_.Remove(0x1000);
  log_.Add(0x1000, 50);
  log_.Name(0x1000, "heap");
  log_.Remove(0x1000);
  EXPECT_EQ(log_.FindFreed(0x1031)->what, "heap");
  EXPECT_TRUE(log_.FindFreed(0x1031)->is_freed);
  EXPECT_FALSE(log_.FindFreed(0x1032)) << "what was there before is long gone";
}

TEST_F(AllocationLogTest, WhatHasThePlaceNowIsNotFreed) {
  log_.Add(0x1000, 0x2000);
  log_.Remove(0x1000);
  log_.Add(0x1400, 10);
  EXPECT_EQ(log_.FindFreed(0x13ff)->bytes, 0x2000u);
  EXPECT_FALSE(log_.FindFreed(0x1400));
  EXPECT_FALSE(log_.FindFreed(0x17ff)) << "the rest of the granule and the gap behind";
  EXPECT_EQ(log_.FindFreed(0x1800)->bytes, 0x2000u);
  log_.Remove(0x1400);
  EXPECT_EQ(log_.FindFreed(0x1409)->bytes, 10u);
}

TEST_F(AllocationLogTest, OfAPoolsPiecesNeither) {
  log_.Add(0x1000, 0x2000);
  log_.Divide(0x1000);
  log_.AddPart(0x1000, 1000, "old");
  log_.AddPart(0x1000, 100, "new");
  log_.RemovePart(0x1000, 1000);
  EXPECT_FALSE(log_.FindFreed(0x1064));
  EXPECT_EQ(log_.FindFreed(0x1200)->what, "old");
  log_.RemovePart(0x1000, 100);
  EXPECT_EQ(log_.FindFreed(0x1063)->what, "new");
  log_.AddPart(0x1000, 8, "newer");
  EXPECT_FALSE(log_.FindFreed(0x1063));
}

TEST_F(AllocationLogTest, FindsTheNearestOnBothSides) {
  EXPECT_FALSE(log_.FindNearest(0x1000));
  log_.Add(0x1000, 0x100);
  log_.Add(0x2000, 0x100);
  log_.Divide(0x2000);
  log_.AddPart(0x2080, 8, "part");
  EXPECT_EQ(log_.FindNearest(0)->begin, 0x1000u);
  EXPECT_EQ(log_.FindNearest(0x10ff)->begin, 0x1000u);
  EXPECT_EQ(log_.FindNearest(0x1800)->begin, 0x1000u);
  EXPECT_EQ(log_.FindNearest(0x2000)->what, "part");
  EXPECT_EQ(log_.FindNearest(UINT64_MAX)->what, "part");
}

}  // namespace
}  // namespace outboard::softgpu
