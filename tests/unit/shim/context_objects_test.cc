#include "client/shim/context_objects.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace outboard::shim {
namespace {

using wire::HandleKind;
using wire::MakeHandle;

const auto kFirst = reinterpret_cast<CUcontext>(0x10);
const auto kSecond = reinterpret_cast<CUcontext>(0x20);

TEST(ContextObjectsTest, KnowsTheContextOfWhatWasAdded) {
  ContextObjects objects;
  const auto near = MakeHandle(HandleKind::kStream, 1, 3);
  const auto far = MakeHandle(HandleKind::kEvent, 1, kMaxHandles - 1);
  objects.Add(near, kFirst);
  objects.Add(far, kSecond);
  EXPECT_EQ(objects.ContextOf(near), kFirst);
  EXPECT_EQ(objects.ContextOf(far), kSecond);
  EXPECT_EQ(objects.ContextOf(MakeHandle(HandleKind::kStream, 1, 4)), nullptr);
  EXPECT_EQ(objects.ContextOf(MakeHandle(HandleKind::kStream, 1, 9000)), nullptr);
}

TEST(ContextObjectsTest, TellsGenerationsAndKindsApart) {
  ContextObjects objects;
  objects.Add(MakeHandle(HandleKind::kStream, 2, 3), kFirst);
  EXPECT_EQ(objects.ContextOf(MakeHandle(HandleKind::kStream, 1, 3)), nullptr);
  EXPECT_EQ(objects.ContextOf(MakeHandle(HandleKind::kEvent, 2, 3)), nullptr);
  objects.Remove(MakeHandle(HandleKind::kStream, 1, 3));  // a stale handle takes nothing away
  EXPECT_EQ(objects.ContextOf(MakeHandle(HandleKind::kStream, 2, 3)), kFirst);
}

TEST(ContextObjectsTest, TakesTheStreamsOfAGreenContextAlone) {
  ContextObjects objects;
  const auto green = reinterpret_cast<CUgreenCtx>(uintptr_t{7});
  const auto stream = MakeHandle(HandleKind::kStream, 1, 3), other = MakeHandle(HandleKind::kStream, 1, 4);
  objects.Add(stream, kFirst, green);
  objects.Add(other, kFirst);
  EXPECT_EQ(objects.ContextOf(stream), kFirst);
  EXPECT_EQ(objects.GreenOf(stream), green);
  EXPECT_EQ(objects.GreenOf(other), nullptr);
  EXPECT_EQ(objects.Take(green), std::vector{stream});
  EXPECT_EQ(objects.ContextOf(stream), nullptr);
  EXPECT_EQ(objects.ContextOf(other), kFirst);
}

TEST(ContextObjectsTest, StreamsOfEveryContextAreOfNone) {
  ContextObjects objects;
  EXPECT_EQ(objects.ContextOf(reinterpret_cast<wire::HandleId>(CU_STREAM_LEGACY)), nullptr);
  EXPECT_EQ(objects.ContextOf(reinterpret_cast<wire::HandleId>(CU_STREAM_PER_THREAD)), nullptr);
}

TEST(ContextObjectsTest, IgnoresHandlesThatNobodyChose) {
  ContextObjects objects;
  const auto wild = MakeHandle(HandleKind::kStream, 1, kMaxHandles);
  objects.Add(wild, kFirst);
  EXPECT_EQ(objects.ContextOf(wild), nullptr);
  objects.Remove(wild);
}

TEST(ContextObjectsTest, TakesAllOfAContextAtItsEnd) {
  ContextObjects objects;
  const auto stream = MakeHandle(HandleKind::kStream, 1, 0), event = MakeHandle(HandleKind::kEvent, 1, 5000);
  const auto other = MakeHandle(HandleKind::kEvent, 1, 5001), gone = MakeHandle(HandleKind::kEvent, 1, 5002);
  objects.Add(stream, kFirst);
  objects.Add(event, kFirst);
  objects.Add(other, kSecond);
  objects.Add(gone, kFirst);
  objects.Remove(gone);
  auto taken = objects.Take(kFirst);
  std::sort(taken.begin(), taken.end());
  EXPECT_EQ(taken, (std::vector{stream, event}));
  EXPECT_EQ(objects.ContextOf(event), nullptr);
  EXPECT_EQ(objects.ContextOf(other), kSecond);
  EXPECT_TRUE(objects.Take(kFirst).empty());
}

}  // namespace
}  // namespace outboard::shim
