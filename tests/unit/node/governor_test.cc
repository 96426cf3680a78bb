#include "server/node/governor.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>

namespace outboard::node {
namespace {

using namespace std::chrono_literals;
using slice::Received;
using slice::TurnAnswer;
using slice::TurnGiven;

constexpr int kTestMilliseconds = 30'000;
constexpr int64_t kLongestRound = 400'000'000;  // nanoseconds

constexpr TurnAnswer kWant{.kind = TurnAnswer::Kind::kWant};
TurnAnswer Done(uint64_t turn) { return {.kind = TurnAnswer::Kind::kDone, .turn = turn}; }
int64_t Now() { return Loop::Clock::now().time_since_epoch() / 1ns; }

// Leases "a" and "b" have half of GPU 0 each; the test is their workers.
class GovernorTest : public testing::Test {
 protected:
  GovernorTest() : thread_([this] { loop_.Run(); }) {
    OnLoop([this] {
      governor_.emplace(&loop_);
      governor_->Join("a", 0, 0.5, false);
      governor_->Join("b", 0, 0.5, false);
    });
  }
  ~GovernorTest() override {
    OnLoop([this] { governor_.reset(); });
    loop_.Stop();
    thread_.join();
  }

  void OnLoop(const std::function<void()>& work) {
    std::promise<void> done;
    loop_.Post([&] {
      work();
      done.set_value();
    });
    done.get_future().wait();
  }
  UniqueFd Admit(const std::string& lease, uint64_t session) {
    UniqueFd worker;
    OnLoop([&] {
      Result<UniqueFd> connection = governor_->Admit(lease, session);
      ASSERT_TRUE(connection);
      worker = std::move(*connection);
    });
    return worker;
  }
  void End(const std::string& lease, uint64_t session) {
    OnLoop([&] { governor_->End(lease, session); });
  }
  // The next thing that a worker is told.
  static TurnGiven Await(const UniqueFd& worker) {
    pollfd polled{worker.get(), POLLIN, 0};
    EXPECT_EQ(poll(&polled, 1, kTestMilliseconds), 1) << "the worker is told nothing";
    TurnGiven given;
    EXPECT_EQ(Receive(worker.get(), &given), Received::kMessage);
    return given;
  }
  // After everything that was sent to the governor has had its effect.
  bool HasNothing(const UniqueFd& worker) {
    // What was sent before is read between the two, if not before the first.
    OnLoop([] {});
    OnLoop([] {});
    TurnGiven given;
    return Receive(worker.get(), &given) == Received::kNothing;
  }

  Loop loop_;
  std::optional<Governor> governor_;
  std::thread thread_;
};

TEST_F(GovernorTest, WhoIsAloneGetsATurnWithoutAnEnd) {
  const UniqueFd worker = Admit("a", 1);
  EXPECT_TRUE(HasNothing(worker));
  Send(worker.get(), kWant);
  EXPECT_EQ(Await(worker).until, TurnGiven::kNoEnd);
  EXPECT_TRUE(HasNothing(worker));
}

TEST_F(GovernorTest, LeasesTakeTurns) {
  const UniqueFd a = Admit("a", 1), b = Admit("b", 2);
  Send(a.get(), kWant);
  const TurnGiven first = Await(a);
  Send(b.get(), kWant);
  const TurnGiven ending = Await(a);
  EXPECT_EQ(ending.turn, first.turn);
  EXPECT_LE(ending.until, Now() + kLongestRound);
  EXPECT_TRUE(HasNothing(b)) << "it is not its turn";
  Send(a.get(), Done(first.turn));
  const TurnGiven second = Await(b);
  Send(a.get(), kWant);
  EXPECT_GT(second.turn, first.turn);
  EXPECT_EQ(second.until, TurnGiven::kNoEnd) << "nobody else wants it";
  EXPECT_LE(Await(b).until, Now() + kLongestRound) << "now somebody does";
  EXPECT_TRUE(HasNothing(a));
  Send(b.get(), Done(second.turn));
  EXPECT_EQ(Await(a).until, TurnGiven::kNoEnd) << "nobody else wants it";
}

TEST_F(GovernorTest, WhoHasMoreToDoBeforeTheTurnIsOverGoesOn) {
  const UniqueFd one = Admit("a", 1), two = Admit("a", 2), b = Admit("b", 3);
  Send(one.get(), kWant);
  Send(two.get(), kWant);
  const TurnGiven first = Await(one);
  Await(two);
  Send(one.get(), Done(first.turn));
  Send(one.get(), kWant);
  EXPECT_GT(Await(one).turn, first.turn) << "the other one still has the turn";
}

TEST_F(GovernorTest, LeasesOfDifferentGpusDoNotWaitForEachOther) {
  OnLoop([this] { governor_->Join("other", 1, 0.5, false); });
  const UniqueFd a = Admit("a", 1), other = Admit("other", 2);
  Send(a.get(), kWant);
  Await(a);
  Send(other.get(), kWant);
  EXPECT_EQ(Await(other).until, TurnGiven::kNoEnd);
  EXPECT_TRUE(HasNothing(a));
}

TEST_F(GovernorTest, TheWorkersOfALeaseHaveItsTurnTogether) {
  const UniqueFd one = Admit("a", 1), two = Admit("a", 2), b = Admit("b", 3);
  Send(one.get(), kWant);
  const TurnGiven of_one = Await(one);
  Send(two.get(), kWant);
  const TurnGiven of_two = Await(two);
  EXPECT_EQ(of_two.until, TurnGiven::kNoEnd);
  Send(b.get(), kWant);
  EXPECT_EQ(Await(one).until, Await(two).until);
  Send(one.get(), Done(of_one.turn));
  EXPECT_TRUE(HasNothing(b)) << "the other one still uses it";
  Send(two.get(), Done(of_two.turn));
  Await(b);
}

TEST_F(GovernorTest, AWorkerThatEndsHasGivenItsTurnBack) {
  UniqueFd a = Admit("a", 1);
  const UniqueFd b = Admit("b", 2);
  Send(a.get(), kWant);
  Await(a);
  a.Reset();
  EXPECT_TRUE(HasNothing(b));
  Send(b.get(), kWant);
  EXPECT_TRUE(HasNothing(b)) << "its process may still use the GPU";
  End("a", 1);
  Await(b);
  End("a", 1);
}

TEST_F(GovernorTest, ALeaseThatEndsHasGivenItsTurnBack) {
  const UniqueFd a = Admit("a", 1), b = Admit("b", 2);
  Send(a.get(), kWant);
  Await(a);
  Send(b.get(), kWant);
  OnLoop([this] { governor_->Leave("a"); });
  EXPECT_EQ(Await(b).until, TurnGiven::kNoEnd);
  OnLoop([this] { governor_->Leave("a"); });
  End("a", 1);
}

TEST_F(GovernorTest, AWorkerThatEndsWhileItWaitsIsNotWaitedFor) {
  UniqueFd a = Admit("a", 1);
  const UniqueFd b = Admit("b", 2);
  Send(b.get(), kWant);
  const TurnGiven first = Await(b);
  Send(a.get(), kWant);
  Await(b);
  End("a", 1);
  Send(b.get(), Done(first.turn));
  EXPECT_TRUE(HasNothing(b));
  Send(b.get(), kWant);
  EXPECT_EQ(Await(b).until, TurnGiven::kNoEnd);
}

TEST_F(GovernorTest, AnAnswerToAnotherTurnGivesNothingBack) {
  const UniqueFd a = Admit("a", 1), b = Admit("b", 2);
  Send(a.get(), kWant);
  const TurnGiven first = Await(a);
  Send(b.get(), kWant);
  Await(a);
  Send(a.get(), Done(first.turn + 1));
  Send(a.get(), Done(0));
  EXPECT_TRUE(HasNothing(b));
  Send(a.get(), Done(first.turn));
  Await(b);
}

TEST_F(GovernorTest, WhatNoWorkerSaysEndsItsTurns) {
  testing::internal::CaptureStderr();
  const UniqueFd a = Admit("a", 1), b = Admit("b", 2);
  const char nonsense[] = "nonsense";
  ASSERT_EQ(send(a.get(), nonsense, sizeof nonsense, MSG_NOSIGNAL), static_cast<ssize_t>(sizeof nonsense));
  EXPECT_TRUE(HasNothing(b));
  TurnGiven given;
  EXPECT_EQ(Receive(a.get(), &given), Received::kEnd);
  Send(b.get(), kWant);
  Await(b);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("session 1"), std::string::npos);
}

TEST_F(GovernorTest, FiguresThatCannotBeAreBounded) {
  const UniqueFd a = Admit("a", 1), b = Admit("b", 2);
  for (int i = 0; i < 20; ++i) {
    Send(a.get(), TurnAnswer{.kind = TurnAnswer::Kind::kWant, .overtime = INT64_MAX});
    const TurnGiven turn = Await(a);
    Send(b.get(), kWant);
    Await(a);
    Send(a.get(), TurnAnswer{.kind = TurnAnswer::Kind::kDone,
                             .turn = turn.turn,
                             .busy = INT64_MAX,
                             .first = INT64_MIN,
                             .last = INT64_MAX,
                             .overtime = INT64_MAX});
    Send(b.get(), Done(Await(b).turn));
    EXPECT_TRUE(HasNothing(b));
  }
}

}  // namespace
}  // namespace outboard::node
