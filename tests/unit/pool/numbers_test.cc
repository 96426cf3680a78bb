#include "server/pool/numbers.h"

#include <gtest/gtest.h>

#include <limits>

namespace outboard::pool {
namespace {

constexpr Time kLongAgo{};
constexpr Time kNow{std::chrono::sys_days(std::chrono::year(2027) / 5 / 1)};

uint64_t StoredLast(Moment& moment, Numbers& numbers, uint64_t before) {
  numbers.Save();
  for (const Change& change : moment.TakeEffects().changes) before = std::get<CounterRecord>(change).last;
  return before;
}

TEST(Numbers, TheStoreHasTheLastOne) {
  Moment moment;
  Numbers numbers(&moment);
  numbers.Restore({700}, kLongAgo);
  uint64_t last = 700;
  for (int i = 0; i < 100; ++i) {
    const uint64_t number = numbers.Next();
    ASSERT_GT(number, last);
    last = number;
    EXPECT_EQ(StoredLast(moment, numbers, 0), last);
    EXPECT_EQ(StoredLast(moment, numbers, 0), 0u) << "once is enough";
    if (i % 10 == 0) numbers.Raise(last + 5000);
  }
}

TEST(Numbers, ThoseThatThisPoolGaveOutAreKnown) {
  Moment moment;
  Numbers numbers(&moment);
  numbers.Restore({10}, kLongAgo);
  EXPECT_EQ(numbers.Next(), 11u);
  EXPECT_EQ(numbers.Next(), 12u);
  numbers.Raise(20);  // others used them
  EXPECT_EQ(numbers.Next(), 21u);
  numbers.Raise(5);
  numbers.Raise(30);
  for (const uint64_t own : {1, 10, 11, 12, 21}) EXPECT_TRUE(numbers.GaveOut(own)) << own;
  for (const uint64_t other : {13, 20, 22, 30, 31}) EXPECT_FALSE(numbers.GaveOut(other)) << other;
}

TEST(Numbers, AreNotUsedAgainWhenTheStoreIsLost) {
  Moment moment;
  Numbers first(&moment);
  first.Restore({}, kNow);
  uint64_t last = 0;
  for (int i = 0; i < 10'000; ++i) last = first.Next();
  Numbers second(&moment);
  second.Restore({}, kNow + std::chrono::hours(1));
  EXPECT_FALSE(second.GaveOut(last)) << "it comes from the store that was lost";
  EXPECT_GT(second.Next(), last);
  // Nor when the clock was put back.
  Numbers third(&moment);
  third.Restore({last}, kLongAgo);
  EXPECT_GT(third.Next(), last);
}

TEST(Numbers, NobodyUsesThemUpByLying) {
  Moment moment;
  Numbers numbers(&moment);
  numbers.Restore({}, kLongAgo);
  EXPECT_FALSE(numbers.IsCredible(std::numeric_limits<uint64_t>::max()));
  EXPECT_FALSE(numbers.IsCredible(uint64_t{1} << 62));
  const uint64_t much = uint64_t{1} << 40;
  EXPECT_TRUE(numbers.IsCredible(much));
  numbers.Raise((uint64_t{1} << 62) - 5);
  EXPECT_TRUE(numbers.IsCredible(uint64_t{1} << 62));
  EXPECT_FALSE(numbers.IsCredible((uint64_t{1} << 62) + 1));
  numbers.Raise(uint64_t{1} << 62);
  // Whoever saw what this pool gave out is believed.
  EXPECT_TRUE(numbers.IsCredible(numbers.Next()));
}

}  // namespace
}  // namespace outboard::pool
