#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "server/slice/gate.h"
#include "server/slice/turn_messages.h"
#include "server/worker/marks.h"
#include "server/worker/session.h"
#include "tests/unit/worker/fake_client.h"
#include "tests/unit/worker_softgpu/software_gpu.h"

// A session whose lease has the GPU in turns; the test is the node that gives them.

namespace outboard::worker {
namespace {

using slice::Received;
using slice::TurnAnswer;
using slice::TurnGiven;
using wire::HandleKind;
using wire::Op;

constexpr int kTestMilliseconds = 60'000;
constexpr size_t kBytes = 4096;

int64_t Now() { return slice::Pace::Clock::now().time_since_epoch() / std::chrono::nanoseconds(1); }

class GovernedTest : public testing::Test {
 protected:
  GovernedTest() : ledger_(std::move(*slice::Ledger::Create(32u << 20))), marks_(SoftwareGpu()) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    node_ = UniqueFd(ends[0]);
    gate_.emplace(UniqueFd(ends[1]), &marks_);
    session_.emplace(Session::Config{.driver = &SoftwareGpu(),
                                     .devices = {{0, &ledger_, *ledger_.OpenAccount()}},
                                     .gate = &*gate_,
                                     .number = 1,
                                     .ticket_is_good = [](const std::string&) { return true; }},
                     &client_);
    EXPECT_EQ(client_.Greet(*session_).error, "");
    EXPECT_EQ(client_.ResultOf(Send(Op::koutboardPrimaryCtxRetain, {0})), CUDA_SUCCESS);
    context_ = wire::PrimaryContextHandle(0);
    EXPECT_EQ(client_.ResultOf(Send(Op::kcuStreamCreate, {stream_, CU_STREAM_NON_BLOCKING})), CUDA_SUCCESS);
    EXPECT_FALSE(HasMessage(0)) << "none of this gives the GPU work";
  }

  uint64_t Send(Op op, std::vector<uint64_t> body, uint32_t lane = 1) {
    return client_.Send(*session_, {{static_cast<uint16_t>(op), lane, kAsksAll, std::move(body), context_}});
  }
  uint64_t Fill(uint32_t lane = 1) { return Send(Op::kcuMemsetD8Async, {memory_, 7, kBytes, stream_}, lane); }
  bool HasMessage(int milliseconds) const {
    pollfd polled{node_.get(), POLLIN, 0};
    return poll(&polled, 1, milliseconds) == 1;
  }
  TurnAnswer Await(TurnAnswer::Kind kind) {
    TurnAnswer answer;
    EXPECT_TRUE(HasMessage(kTestMilliseconds)) << "the worker says nothing";
    EXPECT_EQ(Receive(node_.get(), &answer), Received::kMessage);
    EXPECT_EQ(answer.kind, kind);
    return answer;
  }
  void Give(int64_t until = TurnGiven::kNoEnd) { EXPECT_TRUE(slice::Send(node_.get(), TurnGiven{++turn_, until})); }
  // Ends the turn, and waits until it is given back.
  void EndTurn() {
    EXPECT_TRUE(slice::Send(node_.get(), TurnGiven{turn_, Now()}));
    const TurnAnswer done = Await(TurnAnswer::Kind::kDone);
    EXPECT_EQ(done.turn, turn_);
    wants_ = done.wants != 0;
  }
  void AwaitWish() {
    if (!wants_) Await(TurnAnswer::Kind::kWant);
  }

  // Memory, for which the session gets a turn without an end.
  void Allocate() {
    const uint64_t sequence = Send(Op::kcuMemAlloc_v2, {1, kBytes});
    Await(TurnAnswer::Kind::kWant);
    Give();
    const auto answer = client_.Await(sequence);
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->result, CUDA_SUCCESS);
    std::memcpy(&memory_, answer->outputs.data(), sizeof memory_);
  }

  slice::Ledger ledger_;
  Marks marks_;
  UniqueFd node_;
  std::optional<slice::Gate> gate_;
  FakeClient client_;
  std::optional<Session> session_;
  wire::HandleId context_ = 0;
  const wire::HandleId stream_ = wire::MakeHandle(HandleKind::kStream, 1, 1000);
  CUdeviceptr memory_ = 0;
  uint64_t turn_ = 0;
  bool wants_ = false;  // the worker has said so with the end of its last turn
};

TEST_F(GovernedTest, MemoryIsZeroedInATurn) { Allocate(); }

TEST_F(GovernedTest, WorkWaitsForTheNextTurn) {
  Allocate();
  EXPECT_EQ(client_.ResultOf(Fill()), CUDA_SUCCESS);
  EndTurn();
  const uint64_t waiting = Fill();
  AwaitWish();
  // Calls that give no work do not wait.
  EXPECT_EQ(client_.ResultOf(Send(Op::kcuStreamQuery, {stream_}, 2)), CUDA_SUCCESS);
  Give(Now() + int64_t{3600} * 1'000'000'000);
  EXPECT_EQ(client_.ResultOf(waiting), CUDA_SUCCESS);
  EXPECT_GT(Await(TurnAnswer::Kind::kDone).busy, 0) << "it has nothing more to do";
}

TEST_F(GovernedTest, TheWorkOfADestroyedStreamIsSeenToEnd) {
  Allocate();
  for (int i = 0; i < 20; ++i) EXPECT_EQ(client_.ResultOf(Fill()), CUDA_SUCCESS);
  EXPECT_EQ(client_.ResultOf(Send(Op::kcuStreamDestroy_v2, {stream_})), CUDA_SUCCESS);
  EndTurn();
}

TEST_F(GovernedTest, TheWorkOfADestroyedContextIsSeenToEnd) {
  Allocate();
  EXPECT_EQ(client_.ResultOf(Fill()), CUDA_SUCCESS);
  EXPECT_EQ(client_.ResultOf(Send(Op::kcuDevicePrimaryCtxReset_v2, {0})), CUDA_SUCCESS);
  EndTurn();
}

TEST_F(GovernedTest, ASessionThatIsLostWaitsForNoTurn) {
  Send(Op::kcuMemAlloc_v2, {1, kBytes});
  Await(TurnAnswer::Kind::kWant);
  session_->OnClosed();
  EXPECT_TRUE(session_->Wait(std::chrono::milliseconds(kTestMilliseconds)));
}

TEST_F(GovernedTest, WhatAClientLeavesBehindWaitsForATurnToo) {
  Allocate();
  EndTurn();
  Fill();
  AwaitWish();
  client_.Send(*session_, {{static_cast<uint16_t>(wire::Control::kEnd), 0, 0, {}}});
  std::thread finishing([this] { session_->Finish(); });
  Give();
  finishing.join();
}

}  // namespace
}  // namespace outboard::worker
