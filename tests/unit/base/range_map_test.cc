#include "common/base/range_map.h"

#include <gtest/gtest.h>

#include <limits>

namespace outboard {
namespace {

TEST(RangeMap, FindsTheRangeThatHoldsAnAddress) {
  RangeMap<int> map;
  ASSERT_TRUE(map.Add(100, 10, 1));
  ASSERT_TRUE(map.Add(110, 5, 2));
  EXPECT_FALSE(map.Find(99));
  EXPECT_EQ(map.Find(100)->info, 1);
  EXPECT_EQ(map.Find(109)->info, 1);
  EXPECT_EQ(map.Find(110)->info, 2);
  EXPECT_EQ(map.Find(114)->info, 2);
  EXPECT_FALSE(map.Find(115));
}

TEST(RangeMap, RefusesOverlaps) {
  RangeMap<int> map;
  ASSERT_TRUE(map.Add(100, 10, 1));
  EXPECT_FALSE(map.Add(100, 10, 2));
  EXPECT_FALSE(map.Add(109, 1, 2));
  EXPECT_FALSE(map.Add(90, 11, 2));
  EXPECT_FALSE(map.Add(90, 100, 2));
  EXPECT_TRUE(map.Add(90, 10, 2));
}

TEST(RangeMap, UpdatesWhatIsKnown) {
  RangeMap<int> map;
  ASSERT_TRUE(map.Add(100, 10, 1));
  const auto set = [](int* info) { *info = 7; };
  EXPECT_FALSE(map.Update(99, set));
  EXPECT_FALSE(map.Update(110, set));
  EXPECT_EQ(map.Find(100)->info, 1);
  EXPECT_TRUE(map.Update(109, set));
  EXPECT_EQ(map.Find(100)->info, 7);
}

TEST(RangeMap, ContainsCountsWithoutOverflow) {
  const Range<int> range{100, 10, 0};
  EXPECT_TRUE(range.Contains(100, 10));
  EXPECT_TRUE(range.Contains(109, 1));
  EXPECT_FALSE(range.Contains(109, 2));
  EXPECT_FALSE(range.Contains(99, 1));
  EXPECT_FALSE(range.Contains(105, std::numeric_limits<uint64_t>::max()));
}

TEST(RangeMap, TakesOnlyByTheBeginningAndWhenWanted) {
  RangeMap<int> map;
  ASSERT_TRUE(map.Add(100, 10, 1));
  EXPECT_FALSE(map.Take(101, [](const auto&) { return true; }));
  EXPECT_FALSE(map.Take(100, [](const auto&) { return false; }));
  EXPECT_EQ(map.Take(100, [](const auto&) { return true; })->size, 10u);
  EXPECT_FALSE(map.Find(100));
}

TEST(RangeMap, TakesAllThatAreWanted) {
  RangeMap<int> map;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(map.Add(100 + 10 * i, 10, i));
  EXPECT_EQ(map.TakeAll([](const auto& range) { return range.info % 2 == 0; }).size(), 5u);
  EXPECT_FALSE(map.Find(100));
  EXPECT_EQ(map.Find(110)->info, 1);
}

}  // namespace
}  // namespace outboard
