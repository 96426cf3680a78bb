#include "common/libcuda/handles.h"

#include <gtest/gtest.h>

#include <set>

namespace outboard::softgpu::api {
namespace {

struct Apple : Object {
  static constexpr Kind kKind = Kind::kStream;
  explicit Apple(const void* tree = nullptr) : tree(tree) {}
  const void* owner() const override { return tree; }
  const void* tree;
};

struct Pear : Object {
  static constexpr Kind kKind = Kind::kEvent;
};

TEST(HandleTable, FindsWhatWasAdded) {
  HandleTable table;
  const auto apple = std::make_shared<Apple>();
  table.Add(apple);
  ASSERT_NE(apple->handle(), nullptr);
  EXPECT_EQ(table.Find<Apple>(apple->handle()), apple);
}

TEST(HandleTable, RefusesAnotherKind) {
  HandleTable table;
  const auto apple = std::make_shared<Apple>();
  table.Add(apple);
  EXPECT_EQ(table.Find<Pear>(apple->handle()), nullptr);
  EXPECT_EQ(table.Remove<Pear>(apple->handle()), nullptr);
  EXPECT_EQ(table.Find<Apple>(apple->handle()), apple);
}

TEST(HandleTable, RefusesAStaleHandleEvenWhenItsSlotIsUsedAgain) {
  HandleTable table;
  const auto first = std::make_shared<Apple>();
  table.Add(first);
  EXPECT_EQ(table.Remove<Apple>(first->handle()), first);
  const auto second = std::make_shared<Apple>();
  table.Add(second);
  EXPECT_NE(first->handle(), second->handle());
  EXPECT_EQ(table.Find<Apple>(first->handle()), nullptr);
  EXPECT_EQ(table.Remove<Apple>(first->handle()), nullptr);
}

TEST(HandleTable, RefusesValuesThatItNeverGaveOut) {
  HandleTable table;
  const auto apple = std::make_shared<Apple>();
  table.Add(apple);
  const auto value = reinterpret_cast<uint64_t>(apple->handle());
  EXPECT_EQ(table.Find<Apple>(nullptr), nullptr);
  EXPECT_EQ(table.Find<Apple>(apple.get()), nullptr);
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_EQ(table.Find<Apple>(reinterpret_cast<void*>(value ^ uint64_t{1} << bit)), nullptr) << bit;
  }
}

TEST(HandleTable, GivesNoCanonicalAddresses) {
  HandleTable table;
  const auto apple = std::make_shared<Apple>();
  table.Add(apple);
  const auto top = static_cast<int64_t>(reinterpret_cast<uint64_t>(apple->handle())) >> 47;
  EXPECT_NE(top, 0);
  EXPECT_NE(top, -1);
}

TEST(HandleTable, NeverGivesAValueTwice) {
  HandleTable table;
  std::set<void*> seen;
  for (int i = 0; i < 10000; ++i) {
    const auto apple = std::make_shared<Apple>();
    table.Add(apple);
    EXPECT_TRUE(seen.insert(apple->handle()).second);
    if (i % 3 != 0) table.Remove<Apple>(apple->handle());
  }
}

TEST(HandleTable, RemovesWhatAnOwnerOwns) {
  HandleTable table;
  const int tree = 0, other_tree = 0;
  const auto mine = std::make_shared<Apple>(&tree);
  const auto other = std::make_shared<Apple>(&other_tree);
  const auto nobodys = std::make_shared<Pear>();
  table.Add(mine);
  table.Add(other);
  table.Add(nobodys);
  const auto removed = table.RemoveOwnedBy(&tree);
  ASSERT_EQ(removed.size(), 1u);
  EXPECT_EQ(removed[0], mine);
  EXPECT_EQ(table.Find<Apple>(mine->handle()), nullptr);
  EXPECT_EQ(table.Find<Apple>(other->handle()), other);
  EXPECT_EQ(table.Find<Pear>(nobodys->handle()), nobodys);
}

}  // namespace
}  // namespace outboard::softgpu::api
