#include "server/slice/pace.h"

#include <gtest/gtest.h>

namespace outboard::slice {
namespace {

using namespace std::chrono_literals;
using Time = Pace::Time;
using Duration = Pace::Duration;

constexpr Time kStart = Time(1h);
constexpr Pace::Sight kDrained{.is_drained = true}, kBusy{.is_drained = false};
constexpr Pace::Sight kDrainedAndWaiting{.is_drained = true, .is_waiting = true};
constexpr Pace::Sight kHeld{.is_drained = false, .is_held = true};

// A pace that knows that a piece takes 1 ms, with a turn from `start` on.
Pace Practised(Time start, Duration turn) {
  Pace pace;
  pace.Begin(1, start - 3ms, kDrained, start - 6ms);
  pace.Submit(start - 5ms);
  pace.Complete(1, true, start - 4ms);
  EXPECT_TRUE(pace.Look(kDrainedAndWaiting, start - 3ms));
  pace.Begin(2, start + turn, kDrained, start);
  return pace;
}

uint32_t SubmitAll(Pace& pace, Time now) {
  uint32_t pieces = 0;
  for (; pace.MaySubmit(now); ++pieces) pace.Submit(now);
  return pieces;
}

TEST(Pace, NothingPassesWithoutATurn) {
  Pace pace;
  EXPECT_FALSE(pace.has_turn());
  EXPECT_FALSE(pace.MaySubmit(kStart));
  EXPECT_FALSE(pace.Look(kDrainedAndWaiting, kStart));
}

TEST(Pace, EverythingPassesInATurnWithoutAnEnd) {
  Pace pace;
  pace.Begin(1, Time::max(), kDrained, kStart);
  EXPECT_TRUE(pace.is_free());
  for (int i = 0; i < 5000; ++i) {
    ASSERT_TRUE(pace.MaySubmit(kStart));
    pace.Submit(kStart);
  }
  EXPECT_FALSE(pace.Look(kBusy, kStart + 10s));
  EXPECT_FALSE(pace.Look(kDrained, kStart + 20s)) << "nobody else wants it";
}

TEST(Pace, OnePieceShowsWhatAPieceTakes) {
  Pace pace;
  pace.Begin(1, kStart + 10ms, kDrained, kStart);
  EXPECT_EQ(SubmitAll(pace, kStart), 1u);
  EXPECT_EQ(pace.pieces_per_mark(), 1u);
  pace.Complete(1, true, kStart + 1ms);
  EXPECT_EQ(SubmitAll(pace, kStart + 1ms), 9u);
}

TEST(Pace, TakesAsMuchAsWillProbablyBeDone) {
  Pace pace = Practised(kStart, 10ms);
  EXPECT_EQ(SubmitAll(pace, kStart), 10u);
  for (int i = 1; i <= 9; ++i) {
    pace.Complete(1, true, kStart + i * 1ms);
    EXPECT_FALSE(pace.Look(kBusy, kStart + i * 1ms));
    EXPECT_FALSE(pace.MaySubmit(kStart + i * 1ms)) << i;
  }
}

TEST(Pace, TakesOnePieceHoweverLongItIs) {
  Pace pace = Practised(kStart, 10us);
  EXPECT_EQ(SubmitAll(pace, kStart), 1u);
  EXPECT_FALSE(pace.MaySubmit(kStart + 1ms));
  EXPECT_FALSE(pace.Look(kBusy, kStart + 900ms)) << "it is not interrupted";
  pace.Complete(1, true, kStart + 950ms);
  const auto report = pace.Look(kDrained, kStart + 950ms);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->turn, 2u);
  EXPECT_EQ(report->busy, Duration(950ms));
  EXPECT_EQ(report->first, kStart);
  EXPECT_EQ(report->last, kStart + 950ms);
  EXPECT_FALSE(pace.has_turn());
}

TEST(Pace, ShortPiecesAreMarkedTogether) {
  Pace pace;
  pace.Begin(1, kStart + 10ms, kDrained, kStart);
  pace.Submit(kStart);
  pace.Complete(1, true, kStart + 10us);
  EXPECT_EQ(pace.pieces_per_mark(), 20u);
  EXPECT_EQ(SubmitAll(pace, kStart + 10us), 999u);
}

TEST(Pace, WhatIsDoneBesideOtherWorkTellsNothing) {
  Pace pace;
  pace.Begin(1, kStart + 10ms, kBusy, kStart);
  EXPECT_EQ(SubmitAll(pace, kStart), 1u);
  pace.Complete(1, false, kStart + 5ms);
  EXPECT_EQ(SubmitAll(pace, kStart + 5ms), 1u) << "what a piece takes is still not known";
}

TEST(Pace, CountsOnlyTheTimeInWhichTheDeviceIsBusy) {
  Pace pace = Practised(kStart, 10ms);
  for (int i = 0; i < 4; ++i) {
    const Time begin = kStart + i * 2ms;
    ASSERT_TRUE(pace.MaySubmit(begin));
    pace.Submit(begin);
    EXPECT_FALSE(pace.Look(kBusy, begin + 500us));
    pace.Complete(1, true, begin + 1500us);
    EXPECT_FALSE(pace.Look(kDrained, begin + 1500us)) << "its work usually goes on soon";
  }
  const auto report = pace.Look(kDrained, kStart + 10ms);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->busy, Duration(6ms));
  EXPECT_EQ(report->last, kStart + 7500us);
  EXPECT_TRUE(report->wants) << "it will have more soon";
}

TEST(Pace, AnIdleProcessGivesItsTurnBack) {
  Pace pace = Practised(kStart, 40ms);
  pace.Submit(kStart);
  pace.Complete(1, true, kStart + 1ms);
  EXPECT_FALSE(pace.Look(kDrained, kStart + 1ms));
  EXPECT_FALSE(pace.Look(kDrained, kStart + 1900us));
  const auto report = pace.Look(kDrained, kStart + 2ms);
  ASSERT_TRUE(report);
  EXPECT_FALSE(report->wants);
}

TEST(Pace, WhoNeverGoesOnSoonIsNotWaitedFor) {
  Pace pace;
  uint64_t turn = 0;
  Time now = kStart;
  const auto use = [&] {
    pace.Want(now);
    pace.Begin(++turn, now + 40ms, kDrained, now);
    pace.Submit(now);
    pace.Complete(1, true, now + 1ms);
    now += 1ms;
    const bool at_once = pace.Look(kDrained, now).has_value();
    if (!at_once) {
      EXPECT_TRUE(pace.Look(kDrained, now += 1ms));
    }
    return at_once;
  };
  EXPECT_FALSE(use());
  now += 50ms;
  EXPECT_TRUE(use());
  now += 50ms;
  EXPECT_TRUE(use());
  // And back: it comes again soon after.
  now += 100us;
  EXPECT_FALSE(use());
}

TEST(Pace, AWaitingProcessIsNotIdle) {
  Pace pace = Practised(kStart, 40ms);
  EXPECT_FALSE(pace.Look(kDrainedAndWaiting, kStart + 30ms));
  const auto report = pace.Look(kDrainedAndWaiting, kStart + 40ms);
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->wants);
}

TEST(Pace, ATurnMayGetAnEnd) {
  Pace pace;
  pace.Begin(1, Time::max(), kDrained, kStart);
  pace.Submit(kStart);
  pace.Begin(1, kStart + 12ms, kBusy, kStart + 10ms);
  EXPECT_FALSE(pace.is_free());
  EXPECT_FALSE(pace.Look(kBusy, kStart + 12ms));
  pace.Complete(0, false, kStart + 13ms);
  const auto report = pace.Look(kDrained, kStart + 13ms);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->busy, Duration(3ms)) << "since somebody else waits";
}

TEST(Pace, ATurnMayLoseItsEnd) {
  Pace pace = Practised(kStart, 10ms);
  pace.Submit(kStart);
  pace.Begin(2, Time::max(), kBusy, kStart + 1ms);
  EXPECT_TRUE(pace.is_free());
  EXPECT_TRUE(pace.MaySubmit(kStart + 1h));
  pace.Begin(2, kStart + 2h, kDrained, kStart + 1h);
  const auto report = pace.Look(kDrained, kStart + 2h);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->busy, Duration(0));
}

TEST(Pace, ALateMessageBringsNoTurnBack) {
  Pace pace = Practised(kStart, 10ms);
  ASSERT_TRUE(pace.Look(kDrained, kStart + 10ms));
  pace.Begin(2, kStart + 1h, kDrained, kStart + 10ms);
  EXPECT_FALSE(pace.has_turn());
  pace.Begin(3, kStart + 1h, kDrained, kStart + 10ms);
  EXPECT_TRUE(pace.has_turn());
}

TEST(Pace, WorkIsChargedUntilItWasDoneHoweverLateThatIsSeen) {
  Pace pace = Practised(kStart, 10ms);
  for (int i = 0; i < 3; ++i) {
    pace.Submit(kStart + i * 3ms);
    pace.Complete(1, true, kStart + i * 3ms + 1ms);
    EXPECT_FALSE(pace.Look(kDrainedAndWaiting, kStart + i * 3ms + 2ms));
  }
  pace.Submit(kStart + 9ms);
  const auto report = pace.Look(kDrained, kStart + 11ms);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->busy, Duration(3ms + 2ms)) << "of the last piece nobody has said when it was done";
  EXPECT_EQ(report->last, kStart + 11ms);
}

TEST(Pace, WorkThatDoesNotEndKeepsNoTurnForever) {
  Pace pace = Practised(kStart, 10ms);
  pace.Submit(kStart);
  EXPECT_FALSE(pace.Look(kBusy, kStart + 1009ms));
  const auto report = pace.Look(kBusy, kStart + 1010ms);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->busy, Duration(1010ms));
  // What it does beside others is told later.
  EXPECT_TRUE(pace.has_overtime_work());
  EXPECT_FALSE(pace.Look(kBusy, kStart + 2s));
  EXPECT_FALSE(pace.Look(kDrained, kStart + 3010ms));
  EXPECT_FALSE(pace.has_overtime_work());
  EXPECT_FALSE(pace.Look(kDrained, kStart + 4s));
  EXPECT_EQ(pace.TakeOvertime(), Duration(2s));
  EXPECT_EQ(pace.TakeOvertime(), Duration(0));
}

TEST(Pace, WorkThatComesToItsEndIsWaitedFor) {
  Pace pace = Practised(kStart, 10ms);
  SubmitAll(pace, kStart);
  for (int i = 1; i < 10; ++i) {
    EXPECT_FALSE(pace.Look(kBusy, kStart + i * 900ms)) << i;
    pace.Complete(1, true, kStart + i * 900ms);
  }
  EXPECT_TRUE(pace.Look(kDrained, kStart + 9s));
}

TEST(Pace, AStreamThatWaitsForTheProgramIsNotWaitedForLong) {
  Pace pace = Practised(kStart, 10ms);
  pace.Submit(kStart);
  EXPECT_FALSE(pace.Look(kHeld, kStart + 9ms)) << "it has the turn";
  EXPECT_TRUE(pace.Look(kHeld, kStart + 15ms));
  // Nor does it keep the device busy.
  EXPECT_FALSE(pace.Look(kHeld, kStart + 1s));
  EXPECT_EQ(pace.TakeOvertime(), Duration(0));
  EXPECT_FALSE(pace.Look(kBusy, kStart + 1002ms));
  EXPECT_EQ(pace.TakeOvertime(), Duration(2ms));
}

TEST(Pace, OvertimeThatReachesIntoATurnIsOfThatTurn) {
  Pace pace = Practised(kStart, 10ms);
  pace.Submit(kStart);
  ASSERT_TRUE(pace.Look(kBusy, kStart + 2s));
  pace.Begin(3, kStart + 3s, kBusy, kStart + 2500ms);
  EXPECT_EQ(pace.TakeOvertime(), Duration(500ms));
  const auto report = pace.Look(kDrained, kStart + 3s);
  ASSERT_TRUE(report);
  EXPECT_EQ(report->busy, Duration(500ms));
}

}  // namespace
}  // namespace outboard::slice
