#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "tests/unit/session/fake_peer.h"

namespace outboard::client {
namespace {

using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;
using wire::Control;

std::vector<std::byte> Bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// The sequence number of the next command that waits for a reply.
uint64_t NextRequest(FakePeer& peer) {
  for (;;) {
    const SentFrame frame = peer.Take();
    for (const wire::Command& command : frame.commands()) {
      if ((command.header.flags & wire::kWantsReply) != 0) return command.sequence;
    }
  }
}

TEST(Receiving, AReplyCarriesResultOutputsAndEarlierError) {
  OpenSession open;
  Lane lane;
  std::thread worker([&] {
    open.peer.Reply(NextRequest(open.peer), CUDA_SUCCESS, Bytes("12345678"), CUDA_ERROR_INVALID_VALUE).Deliver();
    open.peer.Reply(NextRequest(open.peer), CUDA_ERROR_NOT_READY).Deliver();
  });
  const Reply& reply = open.Call(lane);
  EXPECT_EQ(reply.result, CUDA_SUCCESS);
  EXPECT_EQ(reply.earlier, CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(reply.outputs, Bytes("12345678"));
  const Reply& next = open.Call(lane);
  EXPECT_EQ(next.result, CUDA_ERROR_NOT_READY);
  EXPECT_EQ(next.earlier, CUDA_SUCCESS);
  EXPECT_TRUE(next.outputs.empty());
  worker.join();
}

TEST(Receiving, EachThreadGetsItsOwnReplyInWhateverOrder) {
  OpenSession open;
  constexpr int kThreads = 8, kCalls = 200;
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      Lane lane;
      for (int j = 0; j < kCalls; ++j) {
        const Reply& reply = open.Call(lane);
        uint64_t of_lane = 0;
        ASSERT_EQ(reply.outputs.size(), sizeof of_lane);
        std::memcpy(&of_lane, reply.outputs.data(), sizeof of_lane);
        ASSERT_EQ(of_lane, lane.number);
      }
    });
  }
  // Two at a time, the later one answered first, except for the last one of all if it is alone.
  std::vector<wire::Command> waiting;
  std::vector<SentFrame> frames;
  const auto answer = [&] {
    while (!waiting.empty()) {
      const uint64_t lane = waiting.back().header.lane;
      open.peer.Reply(waiting.back().sequence, CUDA_SUCCESS, std::as_bytes(std::span(&lane, 1)));
      waiting.pop_back();
    }
    open.peer.Deliver();
    frames.clear();
  };
  for (int answered = 0; answered < kThreads * kCalls;) {
    frames.push_back(open.peer.Take());
    for (const wire::Command& command : frames.back().commands()) waiting.push_back(command);
    while (const auto more = open.peer.TakeIfSent()) {
      frames.push_back(*more);
      for (const wire::Command& command : frames.back().commands()) waiting.push_back(command);
    }
    answered += static_cast<int>(waiting.size());
    answer();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(open.session.counts().round_trips, uint64_t{kThreads} * kCalls);
}

TEST(Receiving, AWaitingThreadTakesItsReplyFromTheTransportItself) {
  OpenSession* self = nullptr;
  bool polled = false;
  OpenSession open({.flush_age = std::chrono::hours(1), .spin = std::chrono::hours(1)}, [&] {
    polled = true;
    if (const auto frame = self->peer.TakeIfSent()) self->peer.Reply(frame->commands().back().sequence).Deliver();
  });
  self = &open;
  Lane lane;
  EXPECT_EQ(open.Call(lane).result, CUDA_SUCCESS);
  EXPECT_TRUE(polled);
}

TEST(Receiving, BytesLandBeforeTheReplyBehindThem) {
  // Within one frame, and in an earlier one.
  for (const bool together : {true, false}) {
    OpenSession open;
    Lane lane;
    std::thread worker([&] {
      const uint64_t request = NextRequest(open.peer);
      open.peer.Say(Control::kLand, wire::LandHead{.host_address = 0x1000, .bytes = 3}, Bytes("abc"));
      if (!together) open.peer.Deliver();
      open.peer.Reply(request).Deliver();
    });
    open.Call(lane);
    // No lock: the reply orders it.
    EXPECT_EQ(open.events.landings, (std::vector<RecordedEvents::Landing>{{0x1000, Bytes("abc")}}));
    worker.join();
  }
}

TEST(Receiving, ABoxLands) {
  OpenSession open;
  const Box to = {.address = 0x1000, .pitch = 8, .slice_rows = 0};
  const BoxExtent extent = {.width = 3, .height = 2, .depth = 1};
  open.peer.Say(Control::kLandBox, wire::LandBoxHead{.to = to, .extent = extent, .bytes = 6}, Bytes("abcdef"))
      .Deliver();
  EXPECT_EQ(open.events.landings, (std::vector<RecordedEvents::Landing>{{0x1000, Bytes("abcdef")}}));
  EXPECT_EQ(open.events.boxes, (std::vector<std::pair<Box, BoxExtent>>{{to, extent}}));
}

TEST(Receiving, TheWorkerCallsBack) {
  OpenSession open;
  open.peer.Say(Control::kHostFunction, wire::CallHead{.call = 3, .status = CUDA_ERROR_LAUNCH_FAILED})
      .Say(Control::kPull, wire::PullHead{.pull = 4, .offset = 8, .bytes = 16})
      .Say(Control::kOutput, wire::TextHead{.bytes = 5}, Bytes("hello"))
      .Say(Control::kErrorOutput, wire::TextHead{.bytes = 6}, Bytes("failed"))
      .Say(Control::kOutput, wire::TextHead{.bytes = 1}, Bytes("\n"))
      .Deliver();
  EXPECT_EQ(open.events.host_functions, (std::vector<std::pair<uint64_t, CUresult>>{{3, CUDA_ERROR_LAUNCH_FAILED}}));
  ASSERT_EQ(open.events.pulls.size(), 1u);
  EXPECT_EQ(open.events.pulls[0].pull, 4u);
  EXPECT_EQ(open.events.pulls[0].offset, 8u);
  EXPECT_EQ(open.events.pulls[0].bytes, 16u);
  EXPECT_EQ(open.events.output, "hello\n");
  EXPECT_EQ(open.events.error_output, "failed");
}

TEST(Receiving, WhatCameIsAcknowledgedByTheWay) {
  OpenSession open;
  Lane lane;
  open.peer.Say(Control::kOutput, wire::TextHead{.bytes = 0}).Deliver();
  open.Send(lane);
  EXPECT_EQ(open.peer.Take().header().acknowledged, 2u);
}

TEST(Receiving, WhatCameIsAcknowledgedWhenItIsMuch) {
  OpenSession open;
  const std::vector<std::byte> megabyte(1 << 20);
  uint64_t sequence = 1;
  for (int i = 0; i < 15; ++i, ++sequence) {
    open.peer.Say(Control::kLand, wire::LandHead{.host_address = 0, .bytes = megabyte.size()}, megabyte).Deliver();
    ASSERT_FALSE(open.peer.TakeIfSent());
  }
  open.peer.Say(Control::kLand, wire::LandHead{.host_address = 0, .bytes = megabyte.size()}, megabyte).Deliver();
  const SentFrame frame = open.peer.Take();
  EXPECT_EQ(frame.header().count, 0u);
  EXPECT_EQ(frame.header().acknowledged, 17u);
  EXPECT_FALSE(open.peer.TakeIfSent());
}

TEST(Receiving, WhatCameIsAcknowledgedWhenItIsManyCommands) {
  OpenSession open;
  // The hello was one.
  for (uint32_t i = 2; i < kCreditCommands / 4; ++i) open.peer.Say(Control::kOutput, wire::TextHead{.bytes = 0});
  open.peer.Deliver();
  EXPECT_FALSE(open.peer.TakeIfSent());
  open.peer.Say(Control::kOutput, wire::TextHead{.bytes = 0}).Deliver();
  const auto frame = open.peer.TakeIfSent();
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->header().acknowledged, kCreditCommands / 4);
}

// What no worker sends. Each ends the session: the worker is told, and so is the user, once.
struct Bad {
  const char* name;
  void (*say)(FakePeer& peer);

  friend void PrintTo(const Bad& bad, std::ostream* to) { *to << bad.name; }
};

void SayCut(FakePeer& peer, Control control, size_t bytes) {
  const std::vector<std::byte> body(bytes, std::byte{1});
  peer.Say(control, std::span<const std::byte>(body)).Deliver();
}

const Bad kBad[] = {
    {"no frame", [](FakePeer& peer) { peer.DeliverBytes(Bytes("HTTP/1.1 400 Bad Request")); }},
    {"empty", [](FakePeer& peer) { peer.DeliverBytes({}); }},
    {"numbers left out",
     [](FakePeer& peer) {
       Outbox other;
       other.Append({.op = static_cast<uint16_t>(Control::kOutput)}, 8, false);
       other.Seal(0);
       other.Append({.op = static_cast<uint16_t>(Control::kOutput)}, 8, false);
       other.Append({.op = static_cast<uint16_t>(Control::kOutput)}, 8, false);
       other.Seal(0);
       other.Append({.op = static_cast<uint16_t>(Control::kOutput)}, 8, false);
       peer.DeliverBytes(other.Seal(0));
     }},
    {"a number twice",
     [](FakePeer& peer) {
       Outbox other;
       wire::Writer(other.Append({.op = static_cast<uint16_t>(Control::kOutput)}, 8, false)).Put(uint64_t{0});
       peer.DeliverBytes(other.Seal(0));
     }},
    {"acknowledges the future", [](FakePeer& peer) { peer.Deliver(1000); }},
    {"an answer to nobody", [](FakePeer& peer) { peer.Reply(77).Deliver(); }},
    {"a second hello", [](FakePeer& peer) { peer.Say(Control::kHello, wire::Encode(WorkerHelloOf())).Deliver(); }},
    {"an operation", [](FakePeer& peer) { SayCut(peer, static_cast<Control>(12), 8); }},
    {"a word of the client's", [](FakePeer& peer) { SayCut(peer, Control::kHostFunctionDone, 16); }},
    {"a word that is none", [](FakePeer& peer) { SayCut(peer, static_cast<Control>(0xffff), 16); }},
    {"flags",
     [](FakePeer& peer) {
       Outbox other;
       other.Append({.op = static_cast<uint16_t>(Control::kOutput)}, 8, false);
       other.Seal(0);
       const uint16_t flags = wire::kWantsReply;
       other.Append({.op = static_cast<uint16_t>(Control::kOutput), .flags = flags}, 8, false);
       peer.DeliverBytes(other.Seal(0));
     }},
    {"a reply cut short", [](FakePeer& peer) { SayCut(peer, Control::kReply, 8); }},
    {"a landing cut short", [](FakePeer& peer) { SayCut(peer, Control::kLand, 8); }},
    {"a landing of too few bytes",
     [](FakePeer& peer) { peer.Say(Control::kLand, wire::LandHead{.bytes = 9}, Bytes("12345678")).Deliver(); }},
    {"a landing of too many bytes",
     [](FakePeer& peer) { peer.Say(Control::kLand, wire::LandHead{.bytes = 8}, Bytes("0123456789")).Deliver(); }},
    {"a landing of very many bytes",
     [](FakePeer& peer) { peer.Say(Control::kLand, wire::LandHead{.bytes = ~uint64_t{0}}).Deliver(); }},
    {"a landing of a box cut short", [](FakePeer& peer) { SayCut(peer, Control::kLandBox, 48); }},
    {"a landing of a box of other bytes than its own",
     [](FakePeer& peer) {
       peer.Say(Control::kLandBox, wire::LandBoxHead{.extent = {4, 3, 1}, .bytes = 8}, Bytes("12345678")).Deliver();
     }},
    {"a landing of a box of more bytes than there can be",
     [](FakePeer& peer) {
       peer.Say(Control::kLandBox, wire::LandBoxHead{.extent = {uint64_t{1} << 32, uint64_t{1} << 32, 1}}).Deliver();
     }},
    {"a host function cut short", [](FakePeer& peer) { SayCut(peer, Control::kHostFunction, 8); }},
    {"a host function too long", [](FakePeer& peer) { SayCut(peer, Control::kHostFunction, 24); }},
    {"a pull cut short", [](FakePeer& peer) { SayCut(peer, Control::kPull, 16); }},
    {"a pull of too much",
     [](FakePeer& peer) { peer.Say(Control::kPull, wire::PullHead{.bytes = kMaxPayloadBytes + 1}).Deliver(); }},
    {"output cut short", [](FakePeer& peer) { SayCut(peer, Control::kOutput, 0); }},
    {"error output cut short", [](FakePeer& peer) { SayCut(peer, Control::kErrorOutput, 0); }},
};

class BadWord : public testing::TestWithParam<Bad> {};

TEST_P(BadWord, EndsTheSession) {
  OpenSession open;
  Lane lane;
  CaptureStderr();
  GetParam().say(open.peer);
  open.peer.Say(Control::kOutput, wire::TextHead{.bytes = 0}).Deliver();  // nobody listens any more
  const std::string line = GetCapturedStderr();
  EXPECT_TRUE(line.starts_with("outboard: error: ")) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  EXPECT_EQ(open.session.status(), CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_EQ(open.session.Admit(lane), CUDA_ERROR_DEVICE_UNAVAILABLE);
  const SentFrame goodbye = open.peer.Take();
  EXPECT_EQ(goodbye.commands().back().header.op, static_cast<uint16_t>(Control::kEnd));
  EXPECT_FALSE(open.peer.TakeIfSent());
}

INSTANTIATE_TEST_SUITE_P(All, BadWord, testing::ValuesIn(kBad), [](const auto& info) {
  std::string name = info.param.name;
  for (char& letter : name) {
    if (!std::isalnum(static_cast<unsigned char>(letter))) letter = '_';
  }
  return name;
});

TEST(Receiving, BytesForMemoryThatWasNotAskedForEndTheSession) {
  OpenSession open;
  open.events.accepts_landings = false;
  CaptureStderr();
  open.peer.Say(Control::kLand, wire::LandHead{.host_address = 0x1000, .bytes = 0})
      .Say(Control::kOutput, wire::TextHead{.bytes = 1}, Bytes("x"))
      .Deliver();
  GetCapturedStderr();
  EXPECT_EQ(open.session.status(), CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_EQ(open.events.output, "");
}

TEST(Ending, ALostConnectionWakesEverybodyAndIsTold) {
  OpenSession open;
  std::vector<std::thread> threads;
  std::atomic<int> told{0};
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Lane lane;
      if (open.Call(lane).result == CUDA_ERROR_DEVICE_UNAVAILABLE) ++told;
    });
  }
  for (int i = 0; i < 4; ++i) NextRequest(open.peer);
  CaptureStderr();
  open.peer.Break("the worker was killed");
  for (std::thread& thread : threads) thread.join();
  const std::string line = GetCapturedStderr();
  EXPECT_EQ(told, 4);
  EXPECT_NE(line.find("the worker was killed"), std::string::npos) << line;
  EXPECT_FALSE(open.peer.TakeIfSent());  // there is nobody to say goodbye to
}

TEST(Ending, WhoComesAfterTheLossIsAnsweredAtOnce) {
  OpenSession open;
  Lane lane;
  ASSERT_EQ(open.session.Admit(lane), CUDA_SUCCESS);
  CaptureStderr();
  open.peer.Break("the worker was killed");
  GetCapturedStderr();
  // As a call does that was admitted just before.
  { auto encoding = open.session.Begin(lane, wire::Op::kcuEventRecord, wire::kWantsReply, 64); }
  EXPECT_EQ(open.session.Await(lane).result, CUDA_ERROR_DEVICE_UNAVAILABLE);
  EXPECT_FALSE(open.peer.TakeIfSent());
}

TEST(Ending, TheWorkersReasonIsTold) {
  OpenSession open;
  CaptureStderr();
  const auto reason = Bytes("the lease has ended");
  open.peer.Say(Control::kEnd, reason).Deliver();
  EXPECT_EQ(GetCapturedStderr(),
            "outboard: error: the connection to the GPU is lost: the lease has ended; every CUDA call of this process "
            "fails from now on\n");
  EXPECT_EQ(open.session.status(), CUDA_ERROR_DEVICE_UNAVAILABLE);
}

TEST(Ending, CloseSendsWhatIsLeftAndSaysGoodbye) {
  OpenSession open;
  Lane lane;
  open.Send(lane);
  open.peer.Take();
  open.Send(lane);
  CaptureStderr();
  open.session.Close();
  open.session.Close();
  EXPECT_EQ(GetCapturedStderr(), "");
  const SentFrame last = open.peer.Take();
  const auto commands = last.commands();
  ASSERT_EQ(commands.size(), 2u);
  EXPECT_EQ(commands[1].header.op, static_cast<uint16_t>(Control::kEnd));
  EXPECT_TRUE(open.peer.closed());
  EXPECT_EQ(open.session.status(), CUDA_ERROR_DEINITIALIZED);
}

TEST(Ending, CloseWakesWhoWaits) {
  OpenSession open;
  CUresult result = CUDA_SUCCESS;
  std::thread waiting([&] {
    Lane lane;
    result = open.Call(lane).result;
  });
  NextRequest(open.peer);
  open.session.Close();
  waiting.join();
  EXPECT_EQ(result, CUDA_ERROR_DEINITIALIZED);
}

// An open session whose peer does not answer a goodbye by itself. `on_goodbye` is called when Close has said it.
struct Farewell : OpenSession {
  explicit Farewell(std::chrono::milliseconds limit, std::function<void()> on_goodbye = nullptr)
      : OpenSession({.flush_age = std::chrono::hours(1), .spin = std::chrono::seconds(0), .farewell = limit},
                    std::move(on_goodbye)) {
    peer.answers_goodbye = false;
  }
  std::string CloseAndRead() {
    CaptureStderr();
    session.Close();
    return GetCapturedStderr();
  }
};

TEST(Ending, CloseWaitsForTheWorkersEnd) {
  bool was_closed = true;
  std::thread worker;
  Farewell* at = nullptr;
  Farewell open(std::chrono::hours(1), [&] {
    worker = std::thread([&] {
      // Nobody waits for a reply any more, and bytes are not wanted; both are no breach.
      at->peer.Reply(1).Say(Control::kLand, wire::LandHead{.bytes = 8}, Bytes("12345678")).Deliver();
      was_closed = at->peer.closed();
      at->peer.Say(Control::kEnd, std::span<const std::byte>()).Deliver();
    });
  });
  at = &open;
  EXPECT_EQ(open.CloseAndRead(), "");
  ASSERT_TRUE(worker.joinable()) << "it did not look for the worker's end";
  worker.join();
  EXPECT_FALSE(was_closed);
  EXPECT_TRUE(open.peer.closed());
  EXPECT_TRUE(open.events.landings.empty());
}

TEST(Ending, CloseDoesNotWaitForAWorkerThatIsGone) {
  Farewell* at = nullptr;
  Farewell open(std::chrono::hours(1), [&] { at->peer.Break("the worker was killed"); });
  at = &open;
  EXPECT_EQ(open.CloseAndRead(), "");
  EXPECT_TRUE(open.peer.closed());
}

TEST(Ending, CloseSaysWhyTheWorkerDidNotEndWell) {
  Farewell* at = nullptr;
  Farewell open(std::chrono::hours(1), [&] { at->peer.Say(Control::kEnd, Bytes("a kernel still runs")).Deliver(); });
  at = &open;
  EXPECT_EQ(open.CloseAndRead(), "outboard: warn: a kernel still runs\n");
}

TEST(Ending, CloseWaitsNoLongerThanItMay) {
  Farewell open(std::chrono::milliseconds(1));
  const std::string line = open.CloseAndRead();
  EXPECT_TRUE(line.starts_with("outboard: warn: the worker does not confirm")) << line;
  EXPECT_EQ(line.find('\n'), line.size() - 1) << line;
  EXPECT_TRUE(open.peer.closed());
}

TEST(Ending, AbandonSaysNothing) {
  OpenSession open;
  Lane lane;
  open.Send(lane);
  open.peer.Take();
  open.Send(lane);
  open.session.Abandon();
  open.session.Flush();
  EXPECT_FALSE(open.peer.TakeIfSent());
  EXPECT_TRUE(open.peer.abandoned());
  EXPECT_EQ(open.session.status(), CUDA_ERROR_NOT_INITIALIZED);
}

}  // namespace
}  // namespace outboard::client
