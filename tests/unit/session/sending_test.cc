#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "client/session/remote.h"
#include "tests/unit/session/fake_peer.h"

namespace outboard::client {
namespace {

using wire::Control;

constexpr size_t kCommandBytes = 128;
constexpr size_t kBodyBytes = kCommandBytes - sizeof(wire::CommandHeader);

TEST(Sending, TheFirstCommandGoesAtOnceAndTheNextOnesTogether) {
  OpenSession open;
  Lane lane;
  open.Send(lane);
  EXPECT_EQ(open.peer.Take().header().count, 1u);
  // Up to 4 KiB, header of the frame included.
  for (int i = 0; i < 31; ++i) open.Send(lane, kBodyBytes);
  EXPECT_FALSE(open.peer.TakeIfSent());
  open.Send(lane, kBodyBytes);
  const SentFrame frame = open.peer.Take();
  EXPECT_EQ(frame.header().count, 32u);
  EXPECT_EQ(frame.header().first, 3u);
  EXPECT_FALSE(open.peer.TakeIfSent());
}

TEST(Sending, FramesGrowWithWhatIsUnderWay) {
  OpenSession open;
  Lane lane;
  size_t largest = 0;
  uint64_t next = 2;
  for (int i = 0; i < 8192; ++i) {
    open.Send(lane, kBodyBytes);
    while (const auto frame = open.peer.TakeIfSent()) {
      EXPECT_EQ(frame->header().first, next);
      next += frame->header().count;
      largest = std::max<size_t>(largest, frame->header().bytes);
    }
  }
  EXPECT_GE(largest, 64u << 10);
  EXPECT_LT(largest, (64u << 10) + 2 * kCommandBytes);
}

TEST(Sending, WhoWaitsSendsWhatIsGathered) {
  OpenSession open;
  Lane lane;
  open.Send(lane);
  open.peer.Take();
  open.Send(lane);
  open.Send(lane);
  std::thread worker([&] {
    const SentFrame frame = open.peer.Take();
    EXPECT_EQ(frame.header().count, 3u);
    open.peer.Reply(frame.commands().back().sequence).Deliver();
  });
  EXPECT_EQ(open.Call(lane).result, CUDA_SUCCESS);
  worker.join();
}

TEST(Sending, WhatIsGatheredGoesWhenTheWorkerHasCaughtUp) {
  OpenSession open;
  Lane lane;
  open.Send(lane);
  open.peer.Take();
  open.Send(lane);
  EXPECT_FALSE(open.peer.TakeIfSent());
  open.peer.Deliver(1);  // the hello alone
  EXPECT_FALSE(open.peer.TakeIfSent());
  open.peer.Deliver(2);
  EXPECT_EQ(open.peer.Take().header().count, 1u);
}

TEST(Sending, FlushSendsWhatIsGathered) {
  OpenSession open;
  Lane lane;
  open.Send(lane);
  open.Send(lane);
  open.peer.Take();
  open.session.Flush();
  EXPECT_EQ(open.peer.Take().header().count, 1u);
  open.session.Flush();
  EXPECT_FALSE(open.peer.TakeIfSent());
}

TEST(Sending, AgeSendsWhatNobodyElseDoes) {
  OpenSession open({.flush_age = std::chrono::microseconds(50)});
  Lane lane;
  // Again and again, so that the look-out also finds its way back from rest.
  for (uint64_t sent = 1; sent <= 200;) {
    open.Send(lane);
    open.Send(lane);
    for (uint32_t arrived = 0; arrived < 2; sent += 0) {
      const uint32_t count = open.peer.Take().header().count;
      arrived += count;
      sent += count;
    }
  }
}

TEST(Sending, OneOrderOverAllThreads) {
  OpenSession open;
  constexpr int kThreads = 4, kCommands = 2000;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      Lane lane;
      for (int j = 0; j < kCommands; ++j) open.Send(lane, 8 * (j % 5));
    });
  }
  for (std::thread& thread : threads) thread.join();
  open.session.Flush();
  uint64_t next = 2;
  std::array<int, kThreads + 1> of_lane{};
  while (const auto frame = open.peer.TakeIfSent()) {
    for (const wire::Command& command : frame->commands()) {
      EXPECT_EQ(command.sequence, next++);
      ASSERT_GE(command.header.lane, 1u);
      ASSERT_LE(command.header.lane, unsigned{kThreads});
      // Each thread's own commands are in its order.
      EXPECT_EQ(command.body.size(), 8u * (of_lane[command.header.lane]++ % 5));
    }
  }
  EXPECT_EQ(next, 2u + kThreads * kCommands);
}

TEST(Sending, ACommandCarriesItsThreadAndContext) {
  OpenSession open;
  Lane first, second;
  first.context = 0xB100000100000040;
  open.Send(first);
  open.Send(second);
  open.session.Flush();
  const SentFrame one = open.peer.Take(), two = open.peer.Take();
  EXPECT_EQ(one.commands()[0].header.lane, 1u);
  EXPECT_EQ(one.commands()[0].header.context, first.context);
  EXPECT_EQ(two.commands()[0].header.lane, 2u);
  EXPECT_EQ(two.commands()[0].header.context, 0u);
}

TEST(Sending, ThreadsAreNumberedAsTheyAppear) {
  OpenSession open;
  Lane early, late;
  ASSERT_EQ(open.session.Admit(early), CUDA_SUCCESS);
  open.Send(late);
  open.Send(early);
  EXPECT_EQ(late.number, 1u);
  EXPECT_EQ(early.number, 2u);
}

TEST(Sending, TheNumberOfAThreadThatEndedIsUsedAgain) {
  OpenSession open;
  Lane first;
  open.Send(first);
  uint32_t number;
  {
    Lane second;
    open.Send(second);
    number = second.number;
  }
  Lane third;
  open.Send(third);
  EXPECT_EQ(number, 2u);
  EXPECT_EQ(third.number, 2u);
}

TEST(Sending, ThreadsPastTheMostAreRefused) {
  OpenSession open;
  Lane other;
  {
    std::vector<Lane> lanes(kMaxLanes);
    for (Lane& lane : lanes) {
      ASSERT_EQ(open.session.Admit(lane), CUDA_SUCCESS);
      open.Send(lane);
    }
    EXPECT_EQ(lanes.back().number, kMaxLanes);
    EXPECT_EQ(open.session.Admit(other), CUDA_ERROR_OUT_OF_MEMORY);
  }
  EXPECT_EQ(open.session.Admit(other), CUDA_SUCCESS);
}

TEST(Sending, ManyCallsThatNobodyWaitsForAreOneRoundTrip) {
  OpenSession open;
  Lane lane;
  open.session.ids().AddPrimaryContext(0);
  lane.context = wire::PrimaryContextHandle(0);
  const auto event = reinterpret_cast<CUevent>(open.session.ids().New(wire::HandleKind::kEvent));
  std::thread worker([&] {
    for (;;) {
      const SentFrame frame = open.peer.Take();
      for (const wire::Command& command : frame.commands()) {
        if ((command.header.flags & wire::kWantsReply) == 0) continue;
        open.peer.Reply(command.sequence).Deliver();
        return;
      }
    }
  });
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(
        (Remote<wire::Op::kcuEventRecord, wire::Class::kAsync, false, wire::Handle<CUevent>, wire::Handle<CUstream>>(
            open.session, lane, true, event, CU_STREAM_LEGACY)),
        CUDA_SUCCESS);
  }
  EXPECT_EQ((Remote<wire::Op::kcuStreamSynchronize, wire::Class::kBlocking, false, wire::Handle<CUstream>>(
                open.session, lane, true, CU_STREAM_LEGACY)),
            CUDA_SUCCESS);
  worker.join();
  EXPECT_EQ(open.session.counts().commands, 1001u);
  EXPECT_EQ(open.session.counts().round_trips, 1u);
  EXPECT_LT(open.session.counts().frames, 20u);
}

// Plays a worker that acknowledges only when told to.
TEST(Credits, WhoRunsOutSendsAndWaits) {
  OpenSession open;
  std::atomic<uint32_t> sent{0};
  std::thread application([&] {
    Lane lane;
    for (uint32_t i = 0; i <= kCreditCommands; ++i) {
      open.Send(lane);
      ++sent;
    }
  });
  // Every command that there is credit for arrives without any acknowledgement.
  uint64_t arrived = 0;
  while (arrived < kCreditCommands) arrived += open.peer.Take().header().count;
  EXPECT_EQ(arrived, kCreditCommands);
  EXPECT_LE(sent, kCreditCommands);
  EXPECT_FALSE(open.peer.TakeIfSent());
  // The hello is no command that needs credit.
  open.peer.Deliver(1);
  EXPECT_FALSE(open.peer.TakeIfSent());
  open.peer.Deliver();
  EXPECT_EQ(open.peer.Take().header().count, 1u);
  application.join();
}

TEST(Credits, BytesCountToo) {
  OpenSession open;
  constexpr size_t kBody = 1 << 20;
  std::thread application([&] {
    Lane lane;
    for (int i = 0; i < 64; ++i) open.Send(lane, kBody);
  });
  uint64_t bytes = 0;
  for (int i = 0; i < 63; ++i) bytes += open.peer.Take().header().bytes;
  EXPECT_LE(bytes, kCreditBytes);
  open.peer.Deliver();
  open.peer.Take();
  application.join();
  EXPECT_FALSE(open.peer.TakeIfSent());
}

TEST(Credits, WhatTheWorkerWaitsForNeedsNone) {
  OpenSession open;
  std::thread application([&] {
    Lane lane;
    for (uint32_t i = 0; i <= kCreditCommands; ++i) open.Send(lane);
  });
  uint64_t arrived = 0;
  while (arrived < kCreditCommands) arrived += open.peer.Take().header().count;
  const std::byte bytes[3] = {std::byte{1}, std::byte{2}, std::byte{3}};
  open.session.HostFunctionDone(5);
  open.session.SendPulled(6, 4096, bytes);

  const SentFrame done = open.peer.Take(), pulled = open.peer.Take();
  const auto first = done.commands(), second = pulled.commands();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].header.op, static_cast<uint16_t>(Control::kHostFunctionDone));
  wire::CallHead call;
  ASSERT_TRUE(wire::Reader(first[0].body).Get(&call));
  EXPECT_EQ(call.call, 5u);
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].header.op, static_cast<uint16_t>(Control::kPulled));
  wire::Reader reader(second[0].body);
  wire::PullHead head;
  ASSERT_TRUE(reader.Get(&head));
  EXPECT_EQ(head.pull, 6u);
  EXPECT_EQ(head.offset, 4096u);
  EXPECT_EQ(head.bytes, 3u);
  const std::byte* const content = reader.Take(3);
  ASSERT_NE(content, nullptr);
  EXPECT_EQ(content[2], std::byte{3});
  EXPECT_TRUE(reader.AtEnd());

  open.peer.Deliver();
  application.join();
}

TEST(Credits, ALostSessionHoldsNobodyBack) {
  OpenSession open;
  std::thread application([&] {
    Lane lane;
    for (uint32_t i = 0; i <= kCreditCommands && open.session.status() == CUDA_SUCCESS; ++i) open.Send(lane);
  });
  uint64_t arrived = 0;
  while (arrived < kCreditCommands) arrived += open.peer.Take().header().count;
  open.peer.Break("the cable was cut");
  application.join();
  EXPECT_EQ(open.session.status(), CUDA_ERROR_DEVICE_UNAVAILABLE);
}

}  // namespace
}  // namespace outboard::client
