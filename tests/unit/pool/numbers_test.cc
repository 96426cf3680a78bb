#include "server/pool/numbers.h"

#include <gtest/gtest.h>

namespace outboard::pool {
namespace {

uint64_t StoredCeiling(Moment& moment, uint64_t before) {
  for (const Change& change : moment.TakeEffects().changes) before = std::get<CounterRecord>(change).ceiling;
  return before;
}

TEST(Numbers, TheStoreIsKeptAhead) {
  Moment moment;
  Numbers numbers(&moment);
  numbers.Restore({700});
  uint64_t ceiling = 700;
  uint64_t last = 700;
  for (int i = 0; i < 10'000; ++i) {
    const uint64_t number = numbers.Next();
    ceiling = StoredCeiling(moment, ceiling);
    ASSERT_GT(number, last);
    ASSERT_LE(number, ceiling);
    last = number;
    if (i % 1000 == 0) {
      numbers.Raise(last + 5000);
      ceiling = StoredCeiling(moment, ceiling);
      EXPECT_GE(ceiling, last + 5000);
    }
  }
}

TEST(Numbers, ThoseThatThisPoolGaveOutAreKnown) {
  Moment moment;
  Numbers numbers(&moment);
  numbers.Restore({10});
  EXPECT_EQ(numbers.Next(), 11u);
  EXPECT_EQ(numbers.Next(), 12u);
  numbers.Raise(20);  // others used them
  EXPECT_EQ(numbers.Next(), 21u);
  numbers.Raise(5);
  numbers.Raise(30);
  for (const uint64_t own : {1, 10, 11, 12, 21}) EXPECT_TRUE(numbers.GaveOut(own)) << own;
  for (const uint64_t other : {13, 20, 22, 30, 31}) EXPECT_FALSE(numbers.GaveOut(other)) << other;
}

}  // namespace
}  // namespace outboard::pool
