#include "server/slice/gate.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "server/slice/turn_messages.h"

namespace outboard::slice {
namespace {

using namespace std::chrono_literals;

constexpr int kTestMilliseconds = 30'000;
constexpr int kQuietMilliseconds = 20;  // in which a gate that does wrong would long have done it

void* const kStream = reinterpret_cast<void*>(16);
void* const kOtherStream = reinterpret_cast<void*>(32);
constexpr uint64_t kStreamId = 16, kOtherStreamId = 32;
void* const kContext = reinterpret_cast<void*>(64);

// Events that are reached when the test says so.
class FakeMarks final : public Gate::Marks {
 public:
  Gate::Mark Put(void* stream) override {
    std::lock_guard lock(mutex_);
    put_.push_back(stream);
    if (stream == captured) return {};
    events_.insert(++last_);
    return {reinterpret_cast<void*>(last_), kContext, reinterpret_cast<uintptr_t>(stream)};
  }
  bool IsReached(const Gate::Mark& mark) override {
    std::lock_guard lock(mutex_);
    looks_.fetch_add(1);
    return reinterpret_cast<uintptr_t>(mark.event) <= reached_;
  }
  void Drop(const Gate::Mark& mark) override {
    std::lock_guard lock(mutex_);
    events_.erase(reinterpret_cast<uintptr_t>(mark.event));
  }
  void ForgetContext(void* context) override { forgotten = context; }

  // All that were put so far.
  void Reach() {
    std::lock_guard lock(mutex_);
    reached_ = last_;
  }
  std::vector<void*> put() const {
    std::lock_guard lock(mutex_);
    return put_;
  }
  size_t events() const {
    std::lock_guard lock(mutex_);
    return events_.size();
  }
  // Until the gate has looked at a mark twice more.
  void AwaitLooks() const {
    const int before = looks_.load();
    while (looks_.load() < before + 2) std::this_thread::yield();
  }

  void* captured = nullptr;  // streams that get no marks
  std::atomic<void*> forgotten{nullptr};

 private:
  mutable std::mutex mutex_;
  std::vector<void*> put_;
  std::set<uintptr_t> events_;
  uintptr_t last_ = 0, reached_ = 0;
  std::atomic<int> looks_{0};
};

int64_t Now() { return Pace::Clock::now().time_since_epoch() / 1ns; }
constexpr int64_t kLong = 3600'000'000'000;  // nanoseconds

class GateTest : public testing::Test {
 protected:
  GateTest() { Make({}); }

  void Make(Pace::Limits limits, Gate::Tell tell = nullptr) {
    gate_.reset();
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    node_ = UniqueFd(ends[0]);
    gate_.emplace(UniqueFd(ends[1]), &marks_, limits, std::move(tell));
  }
  void Give(uint64_t turn, int64_t until = TurnGiven::kNoEnd) {
    EXPECT_TRUE(Send(node_.get(), TurnGiven{turn, until}));
  }
  bool HasMessage(int milliseconds) const {
    pollfd polled{node_.get(), POLLIN, 0};
    return poll(&polled, 1, milliseconds) == 1;
  }
  TurnAnswer Await(TurnAnswer::Kind kind) {
    TurnAnswer answer;
    EXPECT_TRUE(HasMessage(kTestMilliseconds)) << "the gate says nothing";
    EXPECT_EQ(Receive(node_.get(), &answer), Received::kMessage);
    EXPECT_EQ(answer.kind, kind);
    return answer;
  }
  // On a lane of the test's thread, in a turn.
  void Pass(Gate::Lane& lane, void* stream = kStream) {
    EXPECT_TRUE(gate_->Enter(lane));
    gate_->Leave(lane, stream);
  }
  // A first passage, for which the gate asks; the turn has no end.
  void Begin(Gate::Lane& lane) {
    std::thread asked([&] {
      Await(TurnAnswer::Kind::kWant);
      Give(1);
    });
    Pass(lane);
    asked.join();
  }

  FakeMarks marks_;
  UniqueFd node_;
  std::optional<Gate> gate_;
};

TEST(OpenGate, EverybodyPasses) {
  Gate gate;
  Gate::Lane lane;
  EXPECT_TRUE(gate.Enter(lane));
  gate.Leave(lane, kStream);
  gate.Settle(lane);
  gate.ForgetStream(lane, kStream);
  gate.ForgetContext(kContext);
  gate.Close();
  EXPECT_TRUE(gate.Enter(lane));
  EXPECT_FALSE(gate.is_limited());
}

TEST_F(GateTest, WhoHasNoTurnAsksForOneAndWaits) {
  Gate::Lane lane;
  std::atomic<bool> has_passed{false};
  std::thread thread([&] {
    Pass(lane);
    has_passed = true;
  });
  Await(TurnAnswer::Kind::kWant);
  EXPECT_FALSE(has_passed);
  Give(1);
  thread.join();
  EXPECT_FALSE(HasMessage(0)) << "it asked twice";
}

TEST_F(GateTest, InATurnWithoutAnEndNothingIsMarkedUntilTheLaneRests) {
  Gate::Lane lane;
  Begin(lane);
  for (int i = 0; i < 1000; ++i) Pass(lane, i % 2 == 0 ? kStream : kOtherStream);
  EXPECT_TRUE(marks_.put().empty());
  gate_->Settle(lane);
  EXPECT_EQ(marks_.put().size(), 2u);
  gate_->Settle(lane);
  EXPECT_EQ(marks_.put().size(), 2u);
  for (int i = 0; i < 10; ++i) {
    Pass(lane);
    gate_->Settle(lane);
  }
  EXPECT_LE(marks_.events(), 3u) << "earlier marks of a stream are of no use";
  EXPECT_FALSE(HasMessage(0));
}

TEST_F(GateTest, ATurnEndsWhenItsWorkIsDone) {
  Gate::Lane lane;
  Begin(lane);
  gate_->Settle(lane);
  const int64_t begin = Now();
  Give(1, begin);
  marks_.AwaitLooks();
  EXPECT_FALSE(HasMessage(0)) << "its work is not done";
  std::thread waiting([&] { Pass(lane); });
  marks_.AwaitLooks();
  marks_.Reach();
  const TurnAnswer done = Await(TurnAnswer::Kind::kDone);
  EXPECT_EQ(done.turn, 1u);
  EXPECT_GT(done.busy, 0);
  EXPECT_GE(done.last, begin);
  EXPECT_LE(done.last, Now());
  EXPECT_EQ(marks_.put().size(), 1u) << "somebody passed without a turn";
  if (done.wants == 0) Await(TurnAnswer::Kind::kWant);
  Give(2);
  waiting.join();
}

TEST_F(GateTest, WorkWithoutAMarkKeepsTheTurn) {
  Gate::Lane lane;
  Begin(lane);
  Give(1, Now());
  EXPECT_FALSE(HasMessage(kQuietMilliseconds)) << "it is not known to be done";
  gate_->Settle(lane);
  EXPECT_FALSE(HasMessage(kQuietMilliseconds)) << "nor now";
  marks_.Reach();
  Await(TurnAnswer::Kind::kDone);
}

TEST_F(GateTest, WhoIsInTheDriverKeepsTheTurn) {
  Gate::Lane lane;
  Begin(lane);
  gate_->Settle(lane);
  marks_.Reach();
  EXPECT_TRUE(gate_->Enter(lane));
  Give(1, Now());
  EXPECT_FALSE(HasMessage(kQuietMilliseconds));
  gate_->LeaveDone(lane);
  Await(TurnAnswer::Kind::kDone);
}

TEST_F(GateTest, InATurnWithAnEndWorkIsMarkedAtOnce) {
  Make({.idle = 1h});
  Gate::Lane lane;
  Begin(lane);
  gate_->Settle(lane);
  marks_.Reach();
  Give(1, Now() + kLong);
  while (!gate_->is_limited()) std::this_thread::yield();
  Pass(lane);
  EXPECT_EQ(marks_.put().size(), 2u);
  // What a piece takes is not known: the next one waits for it.
  std::thread waiting([&] { Pass(lane); });
  marks_.AwaitLooks();
  EXPECT_EQ(marks_.put().size(), 2u);
  marks_.Reach();
  waiting.join();
  EXPECT_EQ(marks_.put().size(), 3u);
}

TEST_F(GateTest, AnIdleProcessGivesATurnWithAnEndBack) {
  Gate::Lane lane;
  Begin(lane);
  gate_->Settle(lane);
  marks_.Reach();
  Give(1, Now() + kLong);
  EXPECT_EQ(Await(TurnAnswer::Kind::kDone).wants, 0u);
}

TEST_F(GateTest, CapturedWorkIsNotWaitedFor) {
  Gate::Lane lane;
  Begin(lane);
  marks_.captured = kStream;
  gate_->Settle(lane);
  Give(1, Now());
  Await(TurnAnswer::Kind::kDone);
}

TEST_F(GateTest, WorkThatDoesNotEndIsToldAsOvertime) {
  Make({.patience = 1ms});
  Gate::Lane lane;
  Begin(lane);
  gate_->Settle(lane);
  Give(1, Now());
  EXPECT_GE(Await(TurnAnswer::Kind::kDone).busy, 1'000'000);
  marks_.AwaitLooks();
  marks_.Reach();
  while (marks_.events() != 0) std::this_thread::yield();
  std::thread waiting([&] { Pass(lane); });
  EXPECT_GT(Await(TurnAnswer::Kind::kWant).overtime, 0);
  Give(2);
  waiting.join();
}

TEST_F(GateTest, AStreamThatWaitsForTheProgramIsNotWaitedForLong) {
  Make({.patience = 1h, .held = 1ms});
  Gate::Lane lane;
  Begin(lane);
  gate_->Settle(lane);
  gate_->Hold(kStreamId);
  Give(1, Now());
  Await(TurnAnswer::Kind::kDone);
  gate_->Unhold(kStreamId);
}

TEST_F(GateTest, WhatRunsBesideSuchAStreamIsWaitedFor) {
  Make({.patience = 1h, .held = 1ms});
  Gate::Lane lane;
  Begin(lane);
  Pass(lane, kOtherStream);
  gate_->Settle(lane);
  gate_->Hold(kStreamId);
  Give(1, Now());
  EXPECT_FALSE(HasMessage(kQuietMilliseconds));
  gate_->Hold(kOtherStreamId);
  Await(TurnAnswer::Kind::kDone);
}

TEST_F(GateTest, AStreamIsMarkedBeforeItIsDestroyed) {
  Gate::Lane lane, other;
  Begin(lane);
  Pass(other);
  gate_->ForgetStream(other, kStream);
  EXPECT_EQ(marks_.put().size(), 2u) << "of both lanes";
  gate_->Settle(lane);
  gate_->Settle(other);
  EXPECT_EQ(marks_.put().size(), 2u) << "it is there no more";
  Pass(lane);
  gate_->Settle(lane);
  EXPECT_EQ(marks_.put().size(), 3u) << "but another may be, at the same place";
}

TEST_F(GateTest, MarksEndWithTheirContext) {
  Gate::Lane lane;
  Begin(lane);
  gate_->Settle(lane);
  gate_->ForgetContext(kContext);
  EXPECT_EQ(marks_.events(), 0u);
  EXPECT_EQ(marks_.forgotten.load(), kContext);
  Give(1, Now());
  Await(TurnAnswer::Kind::kDone);
}

TEST_F(GateTest, NobodyPassesOrWaitsWhenTheSessionIsOver) {
  Gate::Lane lane;
  std::thread waiting([&] { EXPECT_FALSE(gate_->Enter(lane)); });
  Await(TurnAnswer::Kind::kWant);
  gate_->Close();
  waiting.join();
  Give(1);
  EXPECT_FALSE(gate_->Enter(lane));
}

TEST_F(GateTest, NobodyPassesASessionThatIsOverInATurn) {
  Gate::Lane lane;
  Begin(lane);
  gate_->Close();
  EXPECT_FALSE(gate_->Enter(lane));
}

TEST_F(GateTest, NobodyPassesOrWaitsWhenTheNodeIsGone) {
  Gate::Lane lane;
  std::thread waiting([&] { EXPECT_FALSE(gate_->Enter(lane)); });
  Await(TurnAnswer::Kind::kWant);
  node_.Reset();
  waiting.join();
}

class MeteredGateTest : public GateTest {
 protected:
  MeteredGateTest() {
    Make({}, [this](BusyMeter::Duration busy, Pace::Time) { busy_ += busy.count(); });
  }
  void AwaitBusy() const {
    const int64_t before = busy_;
    while (busy_ == before) std::this_thread::yield();
  }
  void AwaitIdle() const {
    int64_t before;
    do before = busy_;
    while (HasMessage(kQuietMilliseconds) || busy_ != before);
  }

  std::atomic<int64_t> busy_{0};  // nanoseconds
};

TEST_F(MeteredGateTest, AloneTheDeviceIsBusyWhileThereIsWork) {
  const int64_t begin = Now();
  Gate::Lane lane;
  Begin(lane);
  AwaitBusy();
  gate_->Settle(lane);
  AwaitBusy();
  marks_.Reach();
  AwaitIdle();
  EXPECT_LE(busy_, Now() - begin);
  EXPECT_FALSE(HasMessage(2 * BusyMeter::kRest / 1ms)) << "nobody looks any more";
  Pass(lane);
  AwaitBusy();
  gate_->Hold(kStreamId);
  gate_->Settle(lane);
  AwaitIdle();
  gate_->Unhold(kStreamId);
  AwaitBusy();
  marks_.Reach();
}

// A turn that ends again and again while lanes pass: none of them passes behind its end.
TEST_F(GateTest, NobodyPassesBetweenTurns) {
  std::atomic<bool> has_turn{false}, stop{false};
  std::atomic<int> wrong{0}, passed{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, stream = reinterpret_cast<void*>(uintptr_t{16} * (i + 1))] {
      Gate::Lane lane;
      while (gate_->Enter(lane)) {
        if (!has_turn) ++wrong;
        ++passed;
        gate_->Leave(lane, stream);
        marks_.Reach();
        if (passed % 7 == 0) gate_->Settle(lane);
      }
    });
  }
  std::thread reacher([&] {
    while (!stop) {
      marks_.Reach();
      std::this_thread::yield();
    }
  });
  Await(TurnAnswer::Kind::kWant);
  for (uint64_t turn = 1; turn <= 200; ++turn) {
    has_turn = true;
    const int before = passed;
    Give(turn);
    while (passed < before + 20) std::this_thread::yield();
    Give(turn, Now());
    // Until all have come to the gate.
    const TurnAnswer done = Await(TurnAnswer::Kind::kDone);
    has_turn = false;
    if (done.wants == 0) Await(TurnAnswer::Kind::kWant);
  }
  gate_->Close();
  EXPECT_EQ(wrong, 0);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  reacher.join();
}

}  // namespace
}  // namespace outboard::slice
