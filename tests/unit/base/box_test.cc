#include "common/base/box.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace outboard {
namespace {

constexpr uint64_t kMax = ~uint64_t{0};

TEST(BoxTest, CountsBytesWithoutGaps) {
  EXPECT_EQ(PackedBytes({3, 4, 5}), 60u);
  EXPECT_EQ(PackedBytes({3, 0, 5}), 0u);
  EXPECT_EQ(PackedBytes({uint64_t{1} << 32, uint64_t{1} << 32, 1}), std::nullopt);
  EXPECT_EQ(PackedBytes({uint64_t{1} << 32, uint64_t{1} << 31, 2}), std::nullopt);
}

TEST(BoxTest, SpansFromTheFirstByteToTheLast) {
  EXPECT_EQ(SpanOf({100, 10, 4}, {3, 1, 1}), 3u);
  EXPECT_EQ(SpanOf({100, 10, 4}, {3, 2, 1}), 13u);
  EXPECT_EQ(SpanOf({100, 10, 4}, {3, 2, 3}), 93u);
  EXPECT_EQ(SpanOf({100, 10, 4}, {3, 0, 3}), 0u);
}

TEST(BoxTest, HasNoSpanBeyondTheAddressSpace) {
  EXPECT_EQ(SpanOf({kMax - 2, 0, 0}, {4, 1, 1}), std::nullopt);
  EXPECT_EQ(SpanOf({0, kMax, 0}, {1, 3, 1}), std::nullopt);
  EXPECT_EQ(SpanOf({0, kMax, 0}, {2, 2, 1}), std::nullopt);
  EXPECT_EQ(SpanOf({0, 1, kMax}, {1, 1, 3}), std::nullopt);
  EXPECT_EQ(SpanOf({0, 1, kMax}, {1, 2, 2}), std::nullopt);
  EXPECT_EQ(SpanOf({kMax - 20, 10, 0}, {1, 3, 1}), std::nullopt);
  EXPECT_EQ(SpanOf({kMax - 21, 10, 0}, {1, 3, 1}), 21u);
}

TEST(BoxTest, KnowsWhetherThereAreGaps) {
  EXPECT_TRUE(IsPacked({0, 0, 0}, {8, 1, 1}));
  EXPECT_TRUE(IsPacked({0, 8, 0}, {8, 3, 1}));
  EXPECT_FALSE(IsPacked({0, 9, 0}, {8, 3, 1}));
  EXPECT_TRUE(IsPacked({0, 8, 3}, {8, 3, 2}));
  EXPECT_FALSE(IsPacked({0, 8, 4}, {8, 3, 2}));
  EXPECT_TRUE(IsPacked({0, 4, 2}, {8, 1, 2}));  // slices that follow each other at once
  EXPECT_FALSE(IsPacked({0, 4, 3}, {8, 1, 2}));
}

TEST(BoxTest, CopiesRowsAndLeavesGapsAlone) {
  std::vector<unsigned char> from(200);
  std::iota(from.begin(), from.end(), 1);
  const BoxExtent extent = {3, 2, 2};
  const Box source = {reinterpret_cast<uint64_t>(from.data()), 7, 5};
  std::vector<unsigned char> packed(14, 0), back(200, 0);
  CopyBox(PackedAt(packed.data(), extent), source.From(1, 1, 1), extent);
  EXPECT_EQ(packed, (std::vector<unsigned char>{44, 45, 46, 51, 52, 53, 79, 80, 81, 86, 87, 88, 0, 0}));
  CopyBox({reinterpret_cast<uint64_t>(back.data()), 7, 5}, PackedAt(packed.data(), extent), extent);
  std::vector<unsigned char> want(200, 0);
  for (size_t i = 0; i < 12; ++i) want[i / 6 * 35 + i % 6 / 3 * 7 + i % 3] = packed[i];
  EXPECT_EQ(back, want);
}

TEST(BoxTest, CopiesNothingOfAnEmptyBox) { CopyBox({0, 0, 0}, {0, 0, 0}, {8, 0, 1}); }

}  // namespace
}  // namespace outboard
