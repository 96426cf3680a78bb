#include <gtest/gtest.h>

#include <thread>

#include "client/session/remote.h"
#include "tests/unit/session/fake_peer.h"

namespace outboard::client {
namespace {

std::vector<std::byte> Request(int number) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  return {bytes.begin(), bytes.end()};
}

std::shared_ptr<const Reply> Answer(CUresult result) { return std::make_shared<const Reply>(Reply{.result = result}); }

TEST(QueryCache, RemembersByRequest) {
  QueryCache cache;
  EXPECT_EQ(cache.Find(Request(1)), nullptr);
  const auto answer = Answer(CUDA_SUCCESS);
  cache.Keep(Request(1), answer, cache.epoch());
  EXPECT_EQ(cache.Find(Request(1)), answer);
  EXPECT_EQ(cache.Find(Request(2)), nullptr);
}

TEST(QueryCache, ForgetsWhatChanged) {
  QueryCache cache;
  cache.Keep(Request(1), Answer(CUDA_SUCCESS), cache.epoch());
  cache.Forget();
  EXPECT_EQ(cache.Find(Request(1)), nullptr);
}

TEST(QueryCache, DoesNotKeepWhatCrossedAChange) {
  QueryCache cache;
  const uint64_t asked = cache.epoch();
  cache.Forget();
  cache.Keep(Request(1), Answer(CUDA_SUCCESS), asked);
  EXPECT_EQ(cache.Find(Request(1)), nullptr);
}

TEST(QueryCache, DoesNotGrowWithoutEnd) {
  QueryCache cache;
  std::weak_ptr<const Reply> first;
  for (int i = 0; i < 100'000; ++i) {
    const auto answer = Answer(CUDA_SUCCESS);
    if (i == 0) first = answer;
    cache.Keep(Request(i), answer, cache.epoch());
  }
  EXPECT_TRUE(first.expired());
  EXPECT_NE(cache.Find(Request(99'999)), nullptr);
}

// A call as the generated code makes it.
CUresult GetPriority(OpenSession& open, Lane& lane, CUstream stream, int* priority) {
  return Remote<wire::Op::kcuStreamGetPriority, wire::Class::kQuery, false, wire::Handle<CUstream>, wire::Out<int>>(
      open.session, lane, true, stream, priority);
}

TEST(Query, IsAskedOncePerContextAndArguments) {
  OpenSession open;
  Lane lane;
  lane.context = wire::PrimaryContextHandle(0);
  const auto stream = reinterpret_cast<CUstream>(open.session.ids().New(wire::HandleKind::kStream));
  std::thread worker([&] {
    for (uint64_t answer = 40; answer < 43; ++answer) {
      const SentFrame frame = open.peer.Take();
      open.peer.Reply(frame.commands().back().sequence, CUDA_SUCCESS, std::as_bytes(std::span(&answer, 1))).Deliver();
    }
    const SentFrame frame = open.peer.Take();
    open.peer.Reply(frame.commands().back().sequence, CUDA_ERROR_INVALID_HANDLE).Deliver();
    for (uint64_t answer = 43; answer < 46; ++answer) {
      const SentFrame again = open.peer.Take();
      open.peer.Reply(again.commands().back().sequence, CUDA_SUCCESS, std::as_bytes(std::span(&answer, 1))).Deliver();
    }
  });
  int priority = 0;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(GetPriority(open, lane, stream, &priority), CUDA_SUCCESS);
    EXPECT_EQ(priority, 40);
  }
  lane.context = wire::PrimaryContextHandle(1);
  EXPECT_EQ(GetPriority(open, lane, stream, &priority), CUDA_SUCCESS);
  EXPECT_EQ(priority, 41);
  EXPECT_EQ(GetPriority(open, lane, CU_STREAM_LEGACY, &priority), CUDA_SUCCESS);
  EXPECT_EQ(priority, 42);
  // An error is no answer to keep.
  const auto other = reinterpret_cast<CUstream>(open.session.ids().New(wire::HandleKind::kStream));
  EXPECT_EQ(GetPriority(open, lane, other, &priority), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(GetPriority(open, lane, other, &priority), CUDA_SUCCESS);
  EXPECT_EQ(priority, 43);
  EXPECT_EQ(GetPriority(open, lane, other, &priority), CUDA_SUCCESS);
  EXPECT_EQ(priority, 43);
  // Each thread has such a stream of its own.
  EXPECT_EQ(GetPriority(open, lane, CU_STREAM_PER_THREAD, &priority), CUDA_SUCCESS);
  EXPECT_EQ(priority, 44);
  EXPECT_EQ(GetPriority(open, lane, CU_STREAM_PER_THREAD, &priority), CUDA_SUCCESS);
  EXPECT_EQ(priority, 45);
  worker.join();
  EXPECT_EQ(open.session.counts().round_trips, 7u);
}

TEST(Query, IsAskedAgainAfterACallThatChangesItsAnswer) {
  OpenSession* self = nullptr;
  OpenSession open({.flush_age = std::chrono::hours(1), .spin = std::chrono::hours(1)}, [&] {
    while (const auto frame = self->peer.TakeIfSent()) {
      for (const wire::Command& command : frame->commands()) {
        if ((command.header.flags & wire::kWantsReply) == 0) continue;
        self->peer.Reply(command.sequence, CUDA_SUCCESS, std::as_bytes(std::span(&command.sequence, 1))).Deliver();
      }
    }
  });
  self = &open;
  Lane lane;
  lane.context = wire::PrimaryContextHandle(0);
  const auto event = reinterpret_cast<CUevent>(open.session.ids().New(wire::HandleKind::kEvent));
  int before = 0, after = 0;
  EXPECT_EQ(GetPriority(open, lane, CU_STREAM_LEGACY, &before), CUDA_SUCCESS);
  // Nobody waits for it.
  EXPECT_EQ((Remote<wire::Op::kcuEventRecord, wire::Class::kAsync, true, wire::Handle<CUevent>, wire::Handle<CUstream>>(
                open.session, lane, true, event, CU_STREAM_LEGACY)),
            CUDA_SUCCESS);
  EXPECT_EQ(GetPriority(open, lane, CU_STREAM_LEGACY, &after), CUDA_SUCCESS);
  EXPECT_NE(after, before);
  EXPECT_EQ(open.session.counts().round_trips, 2u);
}

TEST(Remote, TellsTheErrorOfEarlierWork) {
  OpenSession open;
  Lane lane;
  lane.context = wire::PrimaryContextHandle(0);
  std::thread worker([&] {
    const SentFrame frame = open.peer.Take();
    const auto command = frame.commands().back();
    EXPECT_EQ(command.header.flags, wire::kWantsReply | wire::kTakesEarlier);
    const uint64_t answer = 40;
    open.peer.Reply(command.sequence, CUDA_SUCCESS, std::as_bytes(std::span(&answer, 1)), CUDA_ERROR_INVALID_VALUE)
        .Deliver();
  });
  int priority = 0;
  EXPECT_EQ(GetPriority(open, lane, CU_STREAM_LEGACY, &priority), CUDA_ERROR_INVALID_VALUE);
  worker.join();
}

TEST(Remote, ACallWithoutProofWaits) {
  OpenSession open;
  Lane lane;
  lane.context = wire::PrimaryContextHandle(0);
  const auto unknown = reinterpret_cast<CUevent>(wire::MakeHandle(wire::HandleKind::kEvent, 9, 900));
  std::thread worker([&] {
    const SentFrame frame = open.peer.Take();
    open.peer.Reply(frame.commands().back().sequence, CUDA_ERROR_INVALID_HANDLE).Deliver();
  });
  EXPECT_EQ(
      (Remote<wire::Op::kcuEventRecord, wire::Class::kAsync, false, wire::Handle<CUevent>, wire::Handle<CUstream>>(
          open.session, lane, true, unknown, CU_STREAM_LEGACY)),
      CUDA_ERROR_INVALID_HANDLE);
  worker.join();
}

TEST(Remote, AnObjectIsThereAtOnceAndGoneWhenItsMakingFailed) {
  OpenSession open;
  Lane lane;
  lane.context = wire::PrimaryContextHandle(0);
  const auto create = [&](bool certain, CUstream* stream) {
    return Remote<wire::Op::kcuStreamCreate, wire::Class::kAsync, false, wire::Creates<CUstream>,
                  wire::Flags<unsigned, 1u>>(open.session, lane, certain, stream, 1u);
  };
  CUstream stream = nullptr;
  ASSERT_EQ(create(true, &stream), CUDA_SUCCESS);
  EXPECT_TRUE(open.session.ids().IsLive(wire::HandleKind::kStream, reinterpret_cast<wire::HandleId>(stream)));
  open.peer.Take();

  wire::HandleId proposed = 0;
  std::thread worker([&] {
    const SentFrame frame = open.peer.Take();
    const auto command = frame.commands().back();
    EXPECT_EQ(command.header.flags, wire::kWantsReply) << "an earlier error would make its caller lose the object";
    ASSERT_TRUE(wire::Reader(command.body).Get(&proposed));
    open.peer.Reply(command.sequence, CUDA_ERROR_OUT_OF_MEMORY).Deliver();
  });
  CUstream untouched = CU_STREAM_LEGACY;
  EXPECT_EQ(create(false, &untouched), CUDA_ERROR_OUT_OF_MEMORY);
  worker.join();
  EXPECT_EQ(untouched, CU_STREAM_LEGACY);
  EXPECT_EQ(wire::KindOf(proposed), wire::HandleKind::kStream);
  EXPECT_FALSE(open.session.ids().IsLive(wire::HandleKind::kStream, proposed));
}

TEST(Remote, AReplyOfTheWrongLengthIsAnError) {
  OpenSession open;
  Lane lane;
  lane.context = wire::PrimaryContextHandle(0);
  std::thread worker([&] {
    const SentFrame frame = open.peer.Take();
    const uint64_t outputs[2] = {1, 2};
    open.peer.Reply(frame.commands().back().sequence, CUDA_SUCCESS, std::as_bytes(std::span(outputs))).Deliver();
  });
  int priority = 0;
  EXPECT_EQ(GetPriority(open, lane, CU_STREAM_LEGACY, &priority), CUDA_ERROR_UNKNOWN);
  worker.join();
}

}  // namespace
}  // namespace outboard::client
