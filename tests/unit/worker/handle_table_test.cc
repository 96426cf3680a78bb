#include "server/worker/handle_table.h"

#include <gtest/gtest.h>

#include <vector>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

using wire::HandleKind;
using wire::MakeHandle;

void* Object(uintptr_t number) { return reinterpret_cast<void*>(number); }

TEST(HandleTable, FindsExactlyWhatWasAdded) {
  HandleTable table;
  const wire::HandleId stream = MakeHandle(HandleKind::kStream, 1, 100);
  ASSERT_TRUE(table.Add(HandleKind::kStream, stream, Object(1)));
  EXPECT_EQ(table.Find(HandleKind::kStream, stream), Object(1));
  EXPECT_EQ(table.Find(HandleKind::kEvent, stream), std::nullopt) << "asked for as another kind";
  EXPECT_EQ(table.Find(HandleKind::kEvent, MakeHandle(HandleKind::kEvent, 1, 100)), std::nullopt);
  EXPECT_EQ(table.Find(HandleKind::kStream, MakeHandle(HandleKind::kStream, 2, 100)), std::nullopt);
  EXPECT_EQ(table.Find(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, 99)), std::nullopt);
  EXPECT_EQ(table.Find(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, 101)), std::nullopt);
  EXPECT_EQ(table.Find(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, 0xffffffff)), std::nullopt);
  EXPECT_EQ(table.Find(HandleKind::kStream, 0), std::nullopt);
  EXPECT_EQ(table.Find(HandleKind::kNone, 0), std::nullopt);
}

TEST(HandleTable, FindsKernelsAsFunctionsButNotFunctionsAsKernels) {
  HandleTable table;
  const wire::HandleId kernel = MakeHandle(HandleKind::kKernel, 1, 100);
  const wire::HandleId function = MakeHandle(HandleKind::kFunction, 1, 101);
  ASSERT_TRUE(table.Add(HandleKind::kKernel, kernel, Object(1)));
  ASSERT_TRUE(table.Add(HandleKind::kFunction, function, Object(2)));
  EXPECT_EQ(table.Find(HandleKind::kFunction, kernel), Object(1));
  EXPECT_EQ(table.Find(HandleKind::kKernel, function), std::nullopt);
}

TEST(HandleTable, RefusesWhatWasUsedBefore) {
  HandleTable table;
  const wire::HandleId first = MakeHandle(HandleKind::kStream, 5, 100);
  ASSERT_TRUE(table.Add(HandleKind::kStream, first, Object(1)));
  EXPECT_FALSE(table.Add(HandleKind::kStream, first, Object(2))) << "in use";
  EXPECT_FALSE(table.Add(HandleKind::kEvent, MakeHandle(HandleKind::kEvent, 6, 100), Object(2))) << "slot in use";
  ASSERT_TRUE(table.Remove(first));
  EXPECT_FALSE(table.Remove(first));
  EXPECT_EQ(table.Find(HandleKind::kStream, first), std::nullopt);
  EXPECT_FALSE(table.Add(HandleKind::kStream, first, Object(2))) << "used before";
  EXPECT_FALSE(table.Add(HandleKind::kEvent, MakeHandle(HandleKind::kEvent, 4, 100), Object(2)))
      << "older than another";
  const wire::HandleId second = MakeHandle(HandleKind::kEvent, 6, 100);
  ASSERT_TRUE(table.Add(HandleKind::kEvent, second, Object(3)));
  EXPECT_EQ(table.Find(HandleKind::kStream, first), std::nullopt) << "not resolved to its successor";
  EXPECT_FALSE(table.Remove(first)) << "does not remove its successor";
  EXPECT_EQ(table.Find(HandleKind::kEvent, second), Object(3));
}

TEST(HandleTable, DoesNotUseASlotAgainWhoseGenerationsAreUsedUp) {
  HandleTable table;
  const wire::HandleId last = MakeHandle(HandleKind::kStream, wire::kMaxGeneration, 100);
  ASSERT_TRUE(table.Add(HandleKind::kStream, last, Object(1)));
  ASSERT_TRUE(table.Remove(last));
  EXPECT_FALSE(table.Add(HandleKind::kStream, last, Object(2)));
  EXPECT_FALSE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, 100), Object(2)));
}

TEST(HandleTable, RefusesWhatIsNoHandleOfTheKind) {
  HandleTable table;
  EXPECT_FALSE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kEvent, 1, 100), Object(1)));
  EXPECT_FALSE(table.Add(HandleKind::kFunction, MakeHandle(HandleKind::kKernel, 1, 100), Object(1)));
  EXPECT_FALSE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kStream, 0, 100), Object(1))) << "generation 0";
  EXPECT_FALSE(table.Add(HandleKind::kStream, 0, Object(1)));
  EXPECT_FALSE(table.Add(HandleKind::kStream, 1, Object(1))) << "a built-in stream";
  EXPECT_FALSE(table.Add(HandleKind::kNone, 0, Object(1)));
  EXPECT_FALSE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, kMaxHandles), Object(1)));
  EXPECT_TRUE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, kMaxHandles - 1), Object(1)));
}

TEST(HandleTable, LetsPrimaryContextsComeBack) {
  HandleTable table;
  const wire::HandleId primary = wire::PrimaryContextHandle(2);
  const wire::HandleId made = MakeHandle(HandleKind::kContext, 2, 2);  // same slot, but of the client's numbering
  ASSERT_TRUE(table.Add(HandleKind::kContext, made, Object(7)));
  ASSERT_TRUE(table.Add(HandleKind::kContext, primary, Object(1)));
  EXPECT_TRUE(table.Add(HandleKind::kContext, primary, Object(1))) << "retained twice";
  ASSERT_TRUE(table.Remove(primary));
  EXPECT_EQ(table.Find(HandleKind::kContext, primary), std::nullopt);
  ASSERT_TRUE(table.Add(HandleKind::kContext, primary, Object(3)));
  EXPECT_EQ(table.Find(HandleKind::kContext, primary), Object(3));
  EXPECT_EQ(table.Find(HandleKind::kContext, made), Object(7));
}

TEST(HandleTable, TellsWhenContextsChange) {
  HandleTable table;
  const uint64_t before = table.context_changes();
  ASSERT_TRUE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, 100), Object(1)));
  EXPECT_EQ(table.context_changes(), before);
  const wire::HandleId context = MakeHandle(HandleKind::kContext, 1, 101);
  ASSERT_TRUE(table.Add(HandleKind::kContext, context, Object(2)));
  const uint64_t added = table.context_changes();
  EXPECT_NE(added, before);
  ASSERT_TRUE(table.Remove(context));
  EXPECT_NE(table.context_changes(), added);
}

TEST(HandleTable, FindsHandlesByObject) {
  HandleTable table;
  const wire::HandleId module = MakeHandle(HandleKind::kModule, 3, 100);
  ASSERT_TRUE(table.Add(HandleKind::kModule, module, Object(1)));
  ASSERT_TRUE(table.Add(HandleKind::kContext, wire::PrimaryContextHandle(0), Object(1)));
  EXPECT_EQ(table.HandleOf(HandleKind::kModule, Object(1)), module);
  EXPECT_EQ(table.HandleOf(HandleKind::kContext, Object(1)), wire::PrimaryContextHandle(0));
  EXPECT_EQ(table.HandleOf(HandleKind::kStream, Object(1)), 0u);
  EXPECT_EQ(table.HandleOf(HandleKind::kModule, Object(2)), 0u);
}

TEST(HandleTable, VisitsTheNewestFirstAndMayBeChangedMeanwhile) {
  HandleTable table;
  std::vector<wire::HandleId> added;
  for (const uint32_t slot : {300u, 100u, 200u}) {
    added.push_back(MakeHandle(HandleKind::kEvent, 1, slot));
    ASSERT_TRUE(table.Add(HandleKind::kEvent, added.back(), Object(slot)));
    ASSERT_TRUE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kStream, 1, slot + 1), Object(slot)));
  }
  std::vector<wire::HandleId> visited;
  table.ForEach(HandleKind::kEvent, [&](wire::HandleId id, void*) {
    visited.insert(visited.begin(), id);
    EXPECT_TRUE(table.Remove(id));
  });
  EXPECT_EQ(visited, added);
}

TEST(HandleTable, WhatAContextOwnsGoesWithIt) {
  HandleTable table;
  const wire::HandleId context = MakeHandle(HandleKind::kContext, 1, 100),
                       other = MakeHandle(HandleKind::kContext, 1, 101);
  const wire::HandleId stream = MakeHandle(HandleKind::kStream, 1, 1), theirs = MakeHandle(HandleKind::kStream, 1, 2);
  const wire::HandleId library = MakeHandle(HandleKind::kLibrary, 1, 3);
  ASSERT_TRUE(table.Add(HandleKind::kStream, stream, Object(1), context));
  ASSERT_TRUE(table.Add(HandleKind::kStream, theirs, Object(2), other));
  ASSERT_TRUE(table.Add(HandleKind::kLibrary, library, Object(3)));
  EXPECT_EQ(table.RemoveOwned(context), std::vector<void*>{Object(1)});
  EXPECT_EQ(table.Find(HandleKind::kStream, stream), std::nullopt);
  EXPECT_EQ(table.Find(HandleKind::kStream, theirs), Object(2));
  EXPECT_EQ(table.Find(HandleKind::kLibrary, library), Object(3));
  EXPECT_TRUE(table.Add(HandleKind::kStream, MakeHandle(HandleKind::kStream, 2, 1), Object(4), other)) << "free again";
}

// What is made in a green context is its primary context's, and so is the green context itself.
TEST(HandleTable, WhatAnOwnedContextOwnsIsItsOwners) {
  HandleTable table;
  const wire::HandleId primary = wire::PrimaryContextHandle(0), green = MakeHandle(HandleKind::kContext, 1, 100);
  const wire::HandleId event = MakeHandle(HandleKind::kEvent, 1, 101);
  ASSERT_TRUE(table.Add(HandleKind::kContext, primary, Object(1)));
  ASSERT_TRUE(table.Add(HandleKind::kContext, green, Object(2), primary));
  ASSERT_TRUE(table.Add(HandleKind::kEvent, event, Object(3), green));
  EXPECT_EQ(table.OwnerOf(green), primary);
  EXPECT_EQ(table.OwnerOf(event), primary);
  EXPECT_EQ(table.OwnerOf(primary), 0u);
  EXPECT_TRUE(table.RemoveOwned(green).empty());
  const uint64_t changes = table.context_changes();
  EXPECT_EQ(table.RemoveOwned(primary).size(), 2u);
  EXPECT_NE(table.context_changes(), changes);
}

}  // namespace
}  // namespace outboard::worker
