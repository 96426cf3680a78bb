#include "server/slice/turns.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <vector>

namespace outboard::slice {
namespace {

using namespace std::chrono_literals;
using Time = Turns::Time;
using Duration = Turns::Duration;

constexpr Time kFirstTurn = Time(1h);

double Seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

// A device with one lease after the other on it, and programs that behave as said.
class Simulation {
 public:
  struct Program {
    double share;
    Duration kernel = 1ms;  // time of each
    Duration gap{0};        // from the end of a kernel to the next; 0: many are given ahead
    bool is_hard = false;
    Duration rests{0};        // now and then
    Duration used{0};         // device time so far
    Time wakes = kFirstTurn;  // from then on it has work
    Duration longest_use{0};  // in one turn
    uint64_t turns = 0;
  };

  explicit Simulation(std::vector<Program> programs, Duration handover = 100us, uint64_t seed = 1)
      : programs_(std::move(programs)), handover_(handover), random_(seed) {
    for (size_t i = 0; i < programs_.size(); ++i) turns_.Join(i, programs_[i].share, programs_[i].is_hard, now_);
  }

  Time now() const { return now_; }
  Turns& turns() { return turns_; }
  Program& program(size_t i) { return programs_[i]; }
  Duration used(size_t i) const { return programs_[i].used; }
  std::function<void()> after_turn = [] {};

  // Until that much time has passed.
  void Run(Duration time) {
    const Time end = now_ + time;
    while (now_ < end) {
      Arrive();
      const std::optional<Turns::Turn> turn = turns_.Decide(now_);
      if (turn) {
        Use(*turn, end);
        after_turn();
        continue;
      }
      Time next = std::min(end, turns_.due());
      for (const Program& program : programs_) {
        if (program.wakes > now_) next = std::min(next, program.wakes);
      }
      now_ = next;
    }
  }

 private:
  bool HasWork(size_t i) const { return programs_[i].wakes <= now_; }
  void Arrive() {
    for (size_t i = 0; i < programs_.size(); ++i) {
      if (HasWork(i)) turns_.Want(i);
    }
  }
  // One turn of the holder, who gives the device as much as fits, and at least one kernel.
  void Use(Turns::Turn turn, Time end) {
    Program& program = programs_[turn.lease];
    now_ += handover_;
    Turns::Used used{.first = now_, .last = now_};
    Duration in_turn{0};
    while (now_ < end && HasWork(turn.lease)) {
      turn = *turns_.Decide(now_);
      const bool fits = turn.until == Time::max() || 2 * (turn.until - now_) >= program.kernel;
      if (in_turn > Duration(0) && !fits) break;
      now_ += program.kernel;
      in_turn += program.kernel;
      program.used += program.kernel;
      Arrive();
      turn = *turns_.Decide(now_);
      if (turn.until != Time::max()) used.busy += program.kernel;
      used.last = now_;
      if (now_ >= turn.until) break;
      now_ += program.gap;
      if (program.rests > Duration(0) && random_() % 8 == 0) program.wakes = now_ + Part(program.rests);
    }
    program.longest_use = std::max(program.longest_use, in_turn);
    ++program.turns;
    used.wants = HasWork(turn.lease);
    turns_.Done(used, now_);
  }
  Duration Part(Duration of) { return Duration(static_cast<int64_t>(random_() % static_cast<uint64_t>(of.count()))); }

  Turns turns_;
  std::vector<Program> programs_;
  const Duration handover_;
  Time now_ = kFirstTurn;
  std::mt19937_64 random_;
};

void ExpectRatio(const Simulation& simulation, double expected, double tolerance) {
  const double ratio = Seconds(simulation.used(0)) / Seconds(simulation.used(1));
  EXPECT_NEAR(ratio / expected, 1, tolerance) << Seconds(simulation.used(0)) << " s to " << Seconds(simulation.used(1));
}

TEST(Turns, SharesHoldOverTwentyTurns) {
  Simulation simulation({{.share = 0.75}, {.share = 0.25}});
  simulation.Run(400ms);
  EXPECT_GE(simulation.program(0).turns + simulation.program(1).turns, 20u);
  ExpectRatio(simulation, 3, 0.1);
  simulation.Run(10s);
  ExpectRatio(simulation, 3, 0.02);
}

TEST(Turns, ShortAndLongKernelsAreChargedAlike) {
  Simulation simulation({{.share = 0.75}, {.share = 0.25, .kernel = 20ms}});
  simulation.Run(10s);
  ExpectRatio(simulation, 3, 0.05);
  Simulation other({{.share = 0.75, .kernel = 20ms}, {.share = 0.25}});
  other.Run(10s);
  ExpectRatio(other, 3, 0.05);
  Simulation tiny({{.share = 0.75, .kernel = 5us}, {.share = 0.25, .kernel = 100ms}});
  tiny.Run(20s);
  ExpectRatio(tiny, 3, 0.05);
}

TEST(Turns, WhoWaitsForEachKernelGetsItsShareOfDeviceTime) {
  Simulation simulation({{.share = 0.75, .kernel = 1ms, .gap = 150us}, {.share = 0.25, .kernel = 20ms}});
  simulation.Run(10s);
  ExpectRatio(simulation, 3, 0.05);
}

TEST(Turns, WhoLeavesTheDeviceIdleGetsAtMostHalfAsMuchTimeAgain) {
  Simulation simulation({{.share = 0.5, .kernel = 10us, .gap = 500us}, {.share = 0.5}});
  simulation.Run(10s);
  EXPECT_GE(simulation.used(1), 3800ms) << "of the 10 s";
}

TEST(Turns, EightLeasesGetAnEighthEach) {
  Simulation simulation(std::vector<Simulation::Program>(8, {.share = 0.125}));
  simulation.Run(10s);
  Duration all{0};
  for (size_t i = 0; i < 8; ++i) all += simulation.used(i);
  EXPECT_GE(all, 9700ms) << "of the 10 s";
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(Seconds(simulation.used(i)) / Seconds(all), 0.125, 0.0125) << i;
}

// Leases that always want the GPU are never further apart than their longest kernels and their turns let them be.
TEST(Turns, NobodyIsFarFromItsShareAtAnyTime) {
  for (uint64_t seed = 1; seed <= 25; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Simulation::Program> programs(2 + random() % 7);
    double sum = 0;
    for (auto& program : programs) {
      program.share = static_cast<double>(1 + random() % 20);
      sum += program.share;
      program.kernel = Duration(static_cast<int64_t>(10'000 * std::pow(10.0, static_cast<double>(random() % 36) / 10)));
    }
    for (auto& program : programs) program.share /= sum;
    const Duration handover = std::chrono::microseconds(20 + random() % 300);
    Simulation simulation(programs, handover, seed);
    simulation.after_turn = [&] {
      for (size_t i = 0; i < programs.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          const double apart = std::abs(Seconds(simulation.used(i)) / programs[i].share -
                                        Seconds(simulation.used(j)) / programs[j].share);
          const double bound = 3 * Seconds(simulation.turns().round()) +
                               2 * Seconds(programs[i].kernel) / programs[i].share +
                               2 * Seconds(programs[j].kernel) / programs[j].share;
          EXPECT_LE(apart, bound) << "seed " << seed << ", programs " << i << " and " << j;
        }
      }
    };
    simulation.Run(4s);
    if (HasFailure()) return;
  }
}

// Whoever wants the GPU all the time gets its share of it, whatever the others do.
TEST(Turns, NobodyGetsLessThanItsShareBecauseOfOthers) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Simulation::Program> programs(2 + random() % 5);
    for (auto& program : programs) {
      program.share = 1.0 / static_cast<double>(programs.size());
      program.kernel = std::chrono::microseconds(20 + random() % 5000);
      program.rests = std::chrono::milliseconds(1 + random() % 100);
      program.is_hard = random() % 4 == 0;
    }
    programs[0] = {.share = 1.0 / static_cast<double>(programs.size())};
    Simulation simulation(programs, 50us, seed);
    simulation.Run(5s);
    EXPECT_GE(Seconds(simulation.used(0)) / 5, 0.9 * programs[0].share) << "seed " << seed;
  }
}

TEST(Turns, WhoIsAloneNeverWaits) {
  Turns turns;
  turns.Join(1, 0.25, false, kFirstTurn);
  turns.Join(2, 0.75, false, kFirstTurn);
  turns.Want(1);
  const auto turn = turns.Decide(kFirstTurn);
  ASSERT_TRUE(turn);
  EXPECT_EQ(turn->lease, 1u);
  EXPECT_EQ(turn->until, Time::max());
  for (Time now = kFirstTurn; now < kFirstTurn + 100s; now += 1s) EXPECT_EQ(turns.Decide(now), turn);
  EXPECT_EQ(turns.due(), Time::max());
}

TEST(Turns, WhoWasAloneGivesWayToWhoComes) {
  Turns turns;
  turns.Join(1, 0.75, false, kFirstTurn);
  turns.Join(2, 0.25, false, kFirstTurn);
  turns.Want(1);
  ASSERT_EQ(turns.Decide(kFirstTurn)->lease, 1u);
  // It has had more than a turn: its work is only waited for.
  turns.Want(2);
  EXPECT_EQ(turns.Decide(kFirstTurn + 1s)->until, kFirstTurn + 1s);
  turns.Done({.busy = 3ms, .first = kFirstTurn + 1s, .last = kFirstTurn + 1003ms, .wants = true}, kFirstTurn + 1003ms);
  const auto next = turns.Decide(kFirstTurn + 1003ms);
  EXPECT_EQ(next->lease, 2u);
  EXPECT_LE(next->until, kFirstTurn + 1003ms + turns.round());
}

TEST(Turns, TheTimeInWhichNobodyElseWantedTheGpuIsNoDebt) {
  for (const bool somebody_comes : {false, true}) {
    Turns turns;
    turns.Join(1, 0.5, false, kFirstTurn);
    turns.Join(2, 0.5, false, kFirstTurn);
    turns.Want(1);
    ASSERT_EQ(turns.Decide(kFirstTurn)->until, Time::max());
    const Time end = kFirstTurn + 10min;
    if (somebody_comes) {
      turns.Want(2);
      turns.Decide(end - 5ms);
    }
    // Its process ended, and nobody knows what of the turn it used.
    turns.Done({.busy = 10min, .first = kFirstTurn, .last = end, .wants = false}, end);
    EXPECT_GE(turns.credit(1), somebody_comes ? -5ms : 0ms);
  }
}

TEST(Turns, WhoComesOftenDoesNotCutTurnsShort) {
  // Program 1 comes back as soon as the other has the turn.
  Simulation simulation({{.share = 0.75}, {.share = 0.25, .kernel = 100us, .rests = 1ms}});
  simulation.Run(10s);
  EXPECT_GE(simulation.used(0), 7s);
}

TEST(Turns, AHardShareIsACeilingForWhoIsAlone) {
  for (const double share : {0.05, 0.25, 0.5, 0.9}) {
    Simulation simulation({{.share = share, .is_hard = true}});
    const double burst = Seconds(simulation.turns().round()) * share * 1.25 + 0.002;
    simulation.after_turn = [&] {
      EXPECT_LE(Seconds(simulation.used(0)), share * Seconds(simulation.now() - kFirstTurn) + burst) << share;
    };
    simulation.Run(10s);
    EXPECT_NEAR(Seconds(simulation.used(0)) / 10, share, share * 0.05);
  }
}

TEST(Turns, AHardShareOfLongKernelsIsACeilingToo) {
  Simulation simulation({{.share = 0.25, .kernel = 200ms, .is_hard = true}});
  simulation.Run(60s);
  EXPECT_NEAR(Seconds(simulation.used(0)) / 60, 0.25, 0.0125);
}

TEST(Turns, WhatAHardShareLeavesIsForOthers) {
  Simulation simulation({{.share = 0.5, .is_hard = true}, {.share = 0.1}});
  simulation.Run(10s);
  EXPECT_NEAR(Seconds(simulation.used(0)) / 10, 0.5, 0.05);
  EXPECT_GE(simulation.used(1), 4500ms);
}

TEST(Turns, ADebtIsPaidBack) {
  Simulation simulation({{.share = 0.75}, {.share = 0.25, .kernel = 500ms}});
  // What the other one had had, when the debtor had its turns.
  std::vector<double> then;
  simulation.after_turn = [&] {
    if (simulation.program(1).turns > then.size()) then.push_back(Seconds(simulation.used(0)));
  };
  simulation.Run(10s);
  ASSERT_TRUE(then.size() >= 3);
  EXPECT_LE(then[0], 0.1);
  EXPECT_NEAR(then[1] - then[0], 1.5, 0.1);
  EXPECT_NEAR(then[2] - then[1], 1.5, 0.1);
}

TEST(Turns, OvertimeIsADebt) {
  Turns turns;
  turns.Join(1, 0.5, false, kFirstTurn);
  turns.Charge(1, 30ms);
  turns.Charge(7, 1s);  // of whom nobody knows
  EXPECT_EQ(turns.credit(1), Duration(-30ms));
  EXPECT_EQ(turns.credit(7), Duration(0));
}

TEST(Turns, WhoRestsGetsNoCredit) {
  Simulation simulation({{.share = 0.5}, {.share = 0.5, .wakes = kFirstTurn + 10s}});
  simulation.Run(10s);
  EXPECT_EQ(simulation.used(1), Duration(0));
  const Duration before = simulation.used(0);
  EXPECT_GE(before, 9990ms) << "alone it gets all";
  simulation.Run(1s);
  EXPECT_LE(simulation.program(1).longest_use, simulation.turns().round());
  EXPECT_NEAR(Seconds(simulation.used(0) - before), 0.5, 0.05);
  EXPECT_NEAR(Seconds(simulation.used(1)), 0.5, 0.05);
}

TEST(Turns, WhoRestsWhileOthersTakeTurnsGetsNoCredit) {
  Simulation simulation({{.share = 0.3}, {.share = 0.3}, {.share = 0.4, .wakes = kFirstTurn + 10s}});
  simulation.Run(10s);
  EXPECT_NEAR(Seconds(simulation.used(0)), 5, 0.2);
  simulation.Run(1s);
  EXPECT_LE(simulation.program(2).longest_use, simulation.turns().round());
  EXPECT_NEAR(Seconds(simulation.used(2)), 0.4, 0.04);
}

TEST(Turns, WhoJoinsLateGetsNoCredit) {
  Turns turns;
  turns.Join(1, 0.5, false, kFirstTurn);
  turns.Want(1);
  ASSERT_TRUE(turns.Decide(kFirstTurn));
  turns.Join(2, 0.5, false, kFirstTurn + 100s);
  turns.Want(2);
  ASSERT_EQ(turns.Decide(kFirstTurn + 100s)->lease, 1u);
  turns.Done({.wants = true}, kFirstTurn + 100s);
  const auto turn = turns.Decide(kFirstTurn + 100s);
  ASSERT_EQ(turn->lease, 2u);
  EXPECT_LE(turn->until, kFirstTurn + 100s + turns.round());
}

TEST(Turns, ADebtShrinksWhileOthersHaveTheGpu) {
  Turns turns;
  turns.Join(1, 0.5, false, kFirstTurn);
  turns.Join(2, 0.5, false, kFirstTurn);
  turns.Charge(2, 10s);
  turns.Want(1);
  ASSERT_EQ(turns.Decide(kFirstTurn)->lease, 1u);
  turns.Want(2);
  ASSERT_EQ(turns.Decide(kFirstTurn + 4s)->lease, 1u);
  EXPECT_NEAR(Seconds(turns.credit(2)), -6, 0.1);
  turns.Done({.wants = false}, kFirstTurn + 4s);
  EXPECT_EQ(turns.Decide(kFirstTurn + 4s)->lease, 2u) << "nobody else wants it";
}

TEST(Turns, ATurnEndsWithItsLease) {
  Turns turns;
  turns.Join(1, 0.5, false, kFirstTurn);
  turns.Join(2, 0.5, false, kFirstTurn);
  turns.Want(1);
  ASSERT_EQ(turns.Decide(kFirstTurn)->lease, 1u);
  turns.Want(2);
  ASSERT_EQ(turns.Decide(kFirstTurn + 1ms)->lease, 1u);
  turns.Leave(1, kFirstTurn + 2ms);
  EXPECT_EQ(turns.Decide(kFirstTurn + 2ms)->lease, 2u);
  turns.Leave(1, kFirstTurn + 2ms);
  turns.Leave(2, kFirstTurn + 3ms);
  EXPECT_FALSE(turns.Decide(kFirstTurn + 3ms));
  turns.Done({.busy = 1s}, kFirstTurn + 4ms);
  EXPECT_FALSE(turns.Decide(kFirstTurn + 4ms));
}

TEST(Turns, LeasesComeAndGoInAnyOrder) {
  std::mt19937_64 random(5);
  Turns turns;
  std::vector<uint64_t> there;
  Time now = kFirstTurn;
  for (uint64_t step = 1; step < 20'000; ++step) {
    now += std::chrono::microseconds(random() % 20'000);
    const uint64_t some = there.empty() ? 0 : there[random() % there.size()];
    switch (random() % 5) {
      case 0:
        if (there.size() < 6) {
          turns.Join(step, 0.1, random() % 3 == 0, now);
          there.push_back(step);
        }
        break;
      case 1:
        turns.Leave(some, now);
        std::erase(there, some);
        break;
      case 2:
        turns.Charge(some, std::chrono::milliseconds(random() % 1000));
        break;
      case 3:
        turns.Done(
            {.busy = std::chrono::milliseconds(random() % 50), .first = now, .last = now, .wants = random() % 2 == 0},
            now);
        break;
      default:
        turns.Want(some);
    }
    const auto turn = turns.Decide(now);
    if (turn) {
      ASSERT_NE(std::find(there.begin(), there.end(), turn->lease), there.end()) << "step " << step;
    }
  }
}

TEST(Turns, AHolderThatDoesNotGiveItBackLosesIt) {
  Turns turns;
  turns.Join(1, 0.5, false, kFirstTurn);
  turns.Join(2, 0.5, false, kFirstTurn);
  turns.Want(1);
  turns.Want(2);
  const auto turn = turns.Decide(kFirstTurn);
  ASSERT_EQ(turn->lease, 1u);
  EXPECT_EQ(turns.Decide(turn->until + 4s), turn);
  EXPECT_EQ(turns.due(), turn->until + 5s);
  EXPECT_EQ(turns.Decide(turn->until + 5s)->lease, 2u);
  EXPECT_LT(turns.credit(1), Duration(-4s)) << "all of that time was its";
}

TEST(Turns, WhatIsToldOfATurnIsBoundedByItsLength) {
  Turns turns;
  turns.Join(1, 0.5, false, kFirstTurn);
  turns.Join(2, 0.5, false, kFirstTurn);
  turns.Want(1);
  turns.Want(2);
  ASSERT_EQ(turns.Decide(kFirstTurn)->lease, 1u);
  turns.Done({.busy = Duration::max(), .first = Time::min(), .last = Time::max(), .wants = true}, kFirstTurn + 20ms);
  EXPECT_GE(turns.credit(1), Duration(-20ms));
  ASSERT_EQ(turns.Decide(kFirstTurn + 20ms)->lease, 2u);
  turns.Done({.busy = Duration::min(), .first = Time::max(), .last = Time::min(), .wants = true}, kFirstTurn + 40ms);
  EXPECT_LE(turns.credit(2), turns.round());
}

TEST(Turns, AnotherShareHoldsFromTheNextTurnsOn) {
  Simulation simulation({{.share = 0.75}, {.share = 0.25}});
  simulation.Run(1s);
  simulation.turns().SetShare(0, 0.25, false, simulation.now());
  simulation.turns().SetShare(1, 0.75, false, simulation.now());
  simulation.turns().SetShare(7, 0.5, false, simulation.now());  // nobody
  const Duration before[] = {simulation.used(0), simulation.used(1)};
  simulation.Run(2s);
  EXPECT_NEAR(Seconds(simulation.used(1) - before[1]) / Seconds(simulation.used(0) - before[0]), 3, 0.3);
}

TEST(Turns, AnotherHardShareIsTheCeilingFromThenOn) {
  Simulation simulation({{.share = 0.25, .is_hard = true}});
  simulation.Run(2s);
  EXPECT_NEAR(Seconds(simulation.used(0)), 0.5, 0.05);
  simulation.turns().SetShare(0, 0.75, true, simulation.now());
  simulation.Run(2s);
  EXPECT_NEAR(Seconds(simulation.used(0)), 0.5 + 1.5, 0.1);
  simulation.turns().SetShare(0, 1, false, simulation.now());  // all of it: there is nothing to keep it from
  simulation.Run(1s);
  EXPECT_GT(Seconds(simulation.used(0)), 2.85);
}

TEST(Turns, ACeilingEndsATurnThatHadNoEnd) {
  Turns turns;
  turns.Join(1, 1, false, kFirstTurn);
  turns.Want(1);
  ASSERT_EQ(turns.Decide(kFirstTurn)->until, Time::max());
  const Time later = kFirstTurn + 10s;
  turns.SetShare(1, 0.5, true, later);
  const auto turn = turns.Decide(later);
  ASSERT_TRUE(turn);
  EXPECT_GT(turn->until, later);
  EXPECT_LE(turn->until, later + turns.round());
}

TEST(Turns, TurnsGrowWhereChangingIsSlow) {
  Simulation quick({{.share = 0.5}, {.share = 0.5}}, 100us), slow({{.share = 0.5}, {.share = 0.5}}, 2ms);
  quick.Run(5s);
  slow.Run(5s);
  EXPECT_EQ(quick.turns().round(), Duration(40ms));
  EXPECT_NEAR(Seconds(slow.turns().round()), 0.2, 0.02);
  EXPECT_GE(slow.used(0) + slow.used(1), 4850ms) << "of the 5 s";
}

}  // namespace
}  // namespace outboard::slice
