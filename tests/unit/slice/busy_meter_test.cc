#include "server/slice/busy_meter.h"

#include <gtest/gtest.h>

namespace outboard::slice {
namespace {

using namespace std::chrono_literals;
using Sight = BusyMeter::Sight;

TEST(BusyMeter, WhatIsSeenCountsSinceTheLookBefore) {
  BusyMeter meter;
  BusyMeter::Time now(1h);
  EXPECT_EQ(meter.Look(Sight::kWork, now), 0ns) << "nobody has begun";
  meter.Begin(now += 1s);
  EXPECT_TRUE(meter.is_on());
  EXPECT_EQ(meter.Look(Sight::kWork, now += 2ms), 2ms) << "since it began";
  meter.Begin(now += 1ms);
  EXPECT_EQ(meter.Look(Sight::kWork, now += 10ms), 11ms) << "it had begun before";
  EXPECT_EQ(meter.Look(Sight::kNothing, now += 10ms), 0ns);
  EXPECT_EQ(meter.Look(Sight::kWork, now += 10ms), 10ms);
  EXPECT_EQ(meter.Look(Sight::kHeld, now += 10ms), 0ns) << "no device is busy with a stream that waits for the program";
}

// Work that is there for 3 of each 10 ms, looked at each 7 ms, which has nothing to do with it.
TEST(BusyMeter, LooksFindThePartOfTheTimeThatIsBusy) {
  BusyMeter meter;
  const BusyMeter::Time begin(1h);
  meter.Begin(begin);
  BusyMeter::Duration busy(0);
  for (BusyMeter::Duration passed = 7ms; passed <= 1s; passed += 7ms) {
    busy += meter.Look(passed % 10ms < 3ms ? Sight::kWork : Sight::kNothing, begin + passed);
  }
  EXPECT_NEAR(static_cast<double>(busy / 1ms), 300, 20);
}

TEST(BusyMeter, RestsWhenThereIsNothingForAWhile) {
  BusyMeter meter;
  BusyMeter::Time now(1h);
  meter.Begin(now);
  for (BusyMeter::Duration idle{0}; idle < BusyMeter::kRest; idle += BusyMeter::kBetweenLooks) {
    EXPECT_TRUE(meter.is_on());
    meter.Look(Sight::kHeld, now += BusyMeter::kBetweenLooks);
  }
  EXPECT_TRUE(meter.is_on()) << "who holds the work may let it go at any time";
  meter.Look(Sight::kNothing, now += BusyMeter::kRest);
  EXPECT_FALSE(meter.is_on());
  meter.Begin(now += 1h);
  EXPECT_EQ(meter.Look(Sight::kWork, now += 1ms), 1ms) << "of the rest nothing counts";
}

}  // namespace
}  // namespace outboard::slice
