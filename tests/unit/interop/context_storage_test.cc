#include "common/interop/context_storage.h"

#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

#if OUTBOARD_RUNTIME_INTEROP

namespace outboard::interop {
namespace {

template <class T = void*>
T Handle(uintptr_t number) {
  return reinterpret_cast<T>(number);
}

const auto kContext = Handle<CUcontext>(0x1000), kOther = Handle<CUcontext>(0x2000);

std::optional<uintptr_t> Value(const ContextStorage& storage, CUcontext context, uintptr_t key) {
  void* value = Handle(99);
  if (storage.Get(context, Handle(key), &value)) return reinterpret_cast<uintptr_t>(value);
  EXPECT_EQ(value, Handle(99)) << "an output was written without success";
  return std::nullopt;
}

struct Destroyed {
  CUcontext context;
  uintptr_t key, value;
  bool operator==(const Destroyed&) const = default;
};

std::vector<Destroyed>& Destructions() {
  static std::vector<Destroyed> destructions;
  return destructions;
}

void Record(CUcontext context, void* key, void* value) {
  Destructions().push_back({context, reinterpret_cast<uintptr_t>(key), reinterpret_cast<uintptr_t>(value)});
}

class ContextStorageTest : public testing::Test {
 protected:
  ContextStorageTest() { Destructions().clear(); }
  ContextStorage storage_;
};

TEST_F(ContextStorageTest, KeepsOneValueForEachContextAndKey) {
  EXPECT_EQ(Value(storage_, kContext, 1), std::nullopt);
  storage_.Put(kContext, Handle(1), Handle(11), nullptr);
  storage_.Put(kContext, Handle(2), Handle(12), nullptr);
  storage_.Put(kOther, Handle(1), Handle(21), nullptr);
  for (int round = 0; round < 2; ++round) {  // the second time remembered by the thread
    EXPECT_EQ(Value(storage_, kContext, 1), 11);
    EXPECT_EQ(Value(storage_, kContext, 2), 12);
    EXPECT_EQ(Value(storage_, kOther, 1), 21);
    EXPECT_EQ(Value(storage_, kOther, 2), std::nullopt);
  }
}

TEST_F(ContextStorageTest, KeepsANullValue) {
  storage_.Put(kContext, Handle(1), nullptr, nullptr);
  EXPECT_EQ(Value(storage_, kContext, 1), 0);
}

TEST_F(ContextStorageTest, SeesAReplacedValueAtOnce) {
  storage_.Put(kContext, Handle(1), Handle(11), &Record);
  EXPECT_EQ(Value(storage_, kContext, 1), 11);
  storage_.Put(kContext, Handle(1), Handle(12), &Record);
  EXPECT_EQ(Value(storage_, kContext, 1), 12);
  EXPECT_TRUE(Destructions().empty());
  storage_.ContextDestroyed(kContext);
  EXPECT_EQ(Destructions(), (std::vector<Destroyed>{{kContext, 1, 12}}));
}

TEST_F(ContextStorageTest, ForgetsADeletedValueWithoutItsDestructor) {
  storage_.Put(kContext, Handle(1), Handle(11), &Record);
  EXPECT_EQ(Value(storage_, kContext, 1), 11);
  storage_.Delete(kContext, Handle(1));
  EXPECT_EQ(Value(storage_, kContext, 1), std::nullopt);
  storage_.Delete(kContext, Handle(1));
  storage_.Delete(kOther, Handle(1));
  storage_.ContextDestroyed(kContext);
  EXPECT_TRUE(Destructions().empty());
}

TEST_F(ContextStorageTest, RunsTheDestructorsOfADestroyedContextOnce) {
  storage_.Put(kContext, Handle(1), Handle(11), &Record);
  storage_.Put(kContext, Handle(2), Handle(12), nullptr);
  storage_.Put(kContext, Handle(3), Handle(13), &Record);
  storage_.Put(kOther, Handle(1), Handle(21), &Record);
  EXPECT_EQ(Value(storage_, kContext, 1), 11);
  storage_.ContextDestroyed(kContext);
  EXPECT_EQ(Destructions(), (std::vector<Destroyed>{{kContext, 1, 11}, {kContext, 3, 13}}));
  EXPECT_EQ(Value(storage_, kContext, 1), std::nullopt);
  EXPECT_EQ(Value(storage_, kOther, 1), 21);
  storage_.ContextDestroyed(kContext);
  EXPECT_EQ(Destructions().size(), 2u);
}

TEST_F(ContextStorageTest, LetsADestructorCallBack) {
  static ContextStorage* storage = nullptr;
  storage = &storage_;
  const auto call_back = [](CUcontext context, void* key, void* value) {
    Record(context, key, value);
    EXPECT_EQ(Value(*storage, context, 1), std::nullopt);
    storage->Delete(context, key);
    storage->Put(kOther, key, value, nullptr);
  };
  storage_.Put(kContext, Handle(1), Handle(11), call_back);
  storage_.ContextDestroyed(kContext);
  EXPECT_EQ(Destructions().size(), 1u);
  EXPECT_EQ(Value(storage_, kOther, 1), 11);
}

TEST_F(ContextStorageTest, DoesNotRememberAcrossObjects) {
  std::optional<ContextStorage> storage(std::in_place);
  storage->Put(kContext, Handle(1), Handle(11), nullptr);
  EXPECT_EQ(Value(*storage, kContext, 1), 11);
  storage.emplace();
  EXPECT_EQ(Value(*storage, kContext, 1), std::nullopt);
  storage->Put(kContext, Handle(1), Handle(12), nullptr);
  EXPECT_EQ(Value(*storage, kContext, 1), 12);
}

TEST_F(ContextStorageTest, TellsEachThreadOfAChange) {
  storage_.Put(kContext, Handle(1), Handle(11), nullptr);
  EXPECT_EQ(Value(storage_, kContext, 1), 11);
  std::thread([this] {
    EXPECT_EQ(Value(storage_, kContext, 1), 11);
    storage_.Put(kContext, Handle(1), Handle(12), nullptr);
  }).join();
  EXPECT_EQ(Value(storage_, kContext, 1), 12);
}

TEST_F(ContextStorageTest, ServesManyThreads) {
  constexpr int kThreads = 4, kRounds = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([this, t] {
      const uintptr_t key = 100 + t;
      for (int round = 1; round <= kRounds; ++round) {
        storage_.Put(kContext, Handle(key), Handle(round), nullptr);
        ASSERT_EQ(Value(storage_, kContext, key), round);
        ASSERT_EQ(Value(storage_, kContext, key), round);
        if (round % 7 == 0) {
          storage_.Delete(kContext, Handle(key));
          ASSERT_EQ(Value(storage_, kContext, key), std::nullopt);
        }
        if (t == 0 && round % 11 == 0) storage_.ContextDestroyed(kOther);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int t = 0; t < kThreads; ++t) EXPECT_EQ(Value(storage_, kContext, 100 + t), kRounds);
}

}  // namespace
}  // namespace outboard::interop

#endif
