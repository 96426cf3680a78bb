#include "client/session/ids.h"

#include <gtest/gtest.h>

#include <thread>
#include <unordered_set>

namespace outboard::client {
namespace {

using wire::HandleId;
using wire::HandleKind;

TEST(Ids, AHandleIsLiveFromNewToRelease) {
  Ids ids;
  const HandleId event = ids.New(HandleKind::kEvent);
  EXPECT_EQ(wire::KindOf(event), HandleKind::kEvent);
  EXPECT_TRUE(ids.IsLive(HandleKind::kEvent, event));
  EXPECT_FALSE(ids.IsLive(HandleKind::kStream, event));
  ids.Release(event);
  EXPECT_FALSE(ids.IsLive(HandleKind::kEvent, event));
}

TEST(Ids, AHandleIsNeverGivenOutTwice) {
  Ids ids;
  std::unordered_set<HandleId> seen;
  for (int i = 0; i < 1000; ++i) {
    const HandleId id = ids.New(i % 2 == 0 ? HandleKind::kEvent : HandleKind::kStream);
    EXPECT_TRUE(seen.insert(id).second);
    ids.Release(id);
    for (const HandleId old : seen) ASSERT_FALSE(ids.IsLive(wire::KindOf(old), old));
  }
}

TEST(Ids, ASlotWhoseGenerationsAreUsedUpRests) {
  Ids ids(kMaxHandles, 3);
  const HandleId first = ids.New(HandleKind::kEvent);
  HandleId last = first;
  for (uint32_t generation = 2; generation <= 3; ++generation) {
    ids.Release(last);
    last = ids.New(HandleKind::kEvent);
  }
  ASSERT_EQ(wire::SlotOf(last), wire::SlotOf(first));
  ASSERT_EQ(wire::GenerationOf(last), 3u);
  ids.Release(last);
  EXPECT_NE(wire::SlotOf(ids.New(HandleKind::kEvent)), wire::SlotOf(first));
}

TEST(Ids, WhatIsNotLiveIsNotReleased) {
  Ids ids;
  const HandleId old = ids.New(HandleKind::kEvent);
  ids.Release(old);
  const HandleId heir = ids.New(HandleKind::kEvent);
  ASSERT_EQ(wire::SlotOf(heir), wire::SlotOf(old));
  EXPECT_FALSE(ids.IsLive(HandleKind::kEvent, old));
  ids.Release(old);
  ids.Release(0);
  ids.Release(1);
  ids.Release(wire::MakeHandle(HandleKind::kEvent, 1, ~0u));
  EXPECT_TRUE(ids.IsLive(HandleKind::kEvent, heir));
}

TEST(Ids, WhatWasNeverGivenOutIsNotLive) {
  const Ids ids;
  EXPECT_FALSE(ids.IsLive(HandleKind::kStream, 0));
  EXPECT_FALSE(ids.IsLive(HandleKind::kEvent, 0x7fff12345678));
  EXPECT_FALSE(ids.IsLive(HandleKind::kNone, 0));
  EXPECT_FALSE(ids.IsLive(HandleKind::kEvent, wire::MakeHandle(HandleKind::kEvent, 1, wire::kFirstSlot)));
  EXPECT_FALSE(ids.IsLive(HandleKind::kEvent, wire::MakeHandle(HandleKind::kEvent, 1, ~0u)));
}

TEST(Ids, BuiltInStreamsAreLive) {
  const Ids ids;
  EXPECT_TRUE(ids.IsLive(HandleKind::kStream, reinterpret_cast<HandleId>(CU_STREAM_LEGACY)));
  EXPECT_TRUE(ids.IsLive(HandleKind::kStream, reinterpret_cast<HandleId>(CU_STREAM_PER_THREAD)));
  EXPECT_FALSE(ids.IsLive(HandleKind::kEvent, reinterpret_cast<HandleId>(CU_STREAM_LEGACY)));
}

TEST(Ids, AKernelStandsForAFunction) {
  Ids ids;
  const HandleId kernel = ids.New(HandleKind::kKernel), function = ids.New(HandleKind::kFunction);
  EXPECT_TRUE(ids.IsLive(HandleKind::kFunction, kernel));
  EXPECT_TRUE(ids.IsLive(HandleKind::kFunction, function));
  EXPECT_FALSE(ids.IsLive(HandleKind::kKernel, function));
}

TEST(Ids, PrimaryContextsHaveHandlesOfTheirOwn) {
  Ids ids;
  const HandleId primary = wire::PrimaryContextHandle(3);
  EXPECT_FALSE(ids.IsLive(HandleKind::kContext, primary));
  ids.AddPrimaryContext(3);
  EXPECT_TRUE(ids.IsLive(HandleKind::kContext, primary));
  EXPECT_FALSE(ids.IsLive(HandleKind::kContext, wire::PrimaryContextHandle(2)));
  // No other context is ever taken for one.
  for (int i = 0; i < 200; ++i) EXPECT_GE(wire::SlotOf(ids.New(HandleKind::kContext)), kMaxDevices);
  ids.Release(primary);
  EXPECT_TRUE(ids.IsLive(HandleKind::kContext, primary));
  ids.RemovePrimaryContext(3);
  EXPECT_FALSE(ids.IsLive(HandleKind::kContext, primary));
}

TEST(Ids, ThereIsAnEndOfThem) {
  Ids ids(10'000);
  HandleId last = 0;
  for (uint32_t i = wire::kFirstSlot; i < 10'000; ++i) last = ids.New(HandleKind::kEvent);
  EXPECT_NE(last, 0u);
  EXPECT_EQ(ids.New(HandleKind::kEvent), 0u);
  ids.Release(last);
  EXPECT_NE(ids.New(HandleKind::kEvent), 0u);
}

TEST(Ids, ThreadsGetDifferentOnes) {
  Ids ids;
  constexpr int kThreads = 4, kEach = 20'000;
  std::vector<std::vector<HandleId>> got(kThreads);
  std::vector<std::thread> threads;
  for (auto& mine : got) {
    threads.emplace_back([&ids, &mine] {
      for (int i = 0; i < kEach; ++i) {
        mine.push_back(ids.New(HandleKind::kEvent));
        ASSERT_TRUE(ids.IsLive(HandleKind::kEvent, mine.back()));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::unordered_set<HandleId> all;
  for (const auto& mine : got) all.insert(mine.begin(), mine.end());
  EXPECT_EQ(all.size(), size_t{kThreads} * kEach);
}

}  // namespace
}  // namespace outboard::client
