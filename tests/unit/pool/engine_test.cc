#include "server/pool/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>

#include "server/pool/memory_store.h"
#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

// What a store and those who wait for actions see. Thread-safe.
class Observer {
 public:
  void Perform(const Action& action) {
    if (std::holds_alternative<Refused>(action)) PassTime(each_refusal_takes_);
    std::lock_guard lock(mutex_);
    actions_.push_back({action, commits_.load()});
    changed_.notify_all();
  }
  // The answer to an Ask, and how many commits had been done by then.
  std::pair<Action, int> AnswerTo(Asker asker) {
    std::unique_lock lock(mutex_);
    std::pair<Action, int> found;
    changed_.wait(lock, [&] {
      for (const auto& each : actions_) {
        const auto* const granted = std::get_if<Granted>(&each.first);
        const auto* const refused = std::get_if<Refused>(&each.first);
        const auto* const answer = std::get_if<Answer>(&each.first);
        if ((granted != nullptr && granted->asker == asker) || (refused != nullptr && refused->asker == asker) ||
            (answer != nullptr && answer->asker == asker)) {
          found = each;
          return true;
        }
      }
      return false;
    });
    return found;
  }
  // Whether somebody was told that a lease will end.
  bool Warned() {
    std::lock_guard lock(mutex_);
    return std::any_of(actions_.begin(), actions_.end(), [](const auto& each) {
      const auto* const notice = std::get_if<Notice>(&each.first);
      return notice != nullptr && notice->kind == Notice::Kind::kWarning;
    });
  }
  std::chrono::steady_clock::time_point now() const {
    return std::chrono::steady_clock::time_point(std::chrono::milliseconds(milliseconds_));
  }
  void PassTime(Duration duration) { milliseconds_ += duration.count(); }

  std::function<void()> on_commit_;                        // the next time; of the engine's thread
  std::atomic<Duration> each_refusal_takes_{Duration{0}};  // to be said
  std::atomic<int> commits_{0};   // that worked
  std::atomic<int> failures_{0};  // commits that did not
  std::atomic<bool> is_full_{false};
  MemoryStore disk_;

 private:
  std::atomic<int64_t> milliseconds_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<Action, int>> actions_;
};

class ObservedStore final : public Store {
 public:
  explicit ObservedStore(Observer* observer) : observer_(observer) {}
  Result<Snapshot> Load() override { return observer_->disk_.Load(); }
  std::optional<Error> Commit(std::span<const Change> changes) override {
    if (observer_->is_full_) {
      ++observer_->failures_;
      observer_->failures_.notify_all();
      return Error{"the disk is full."};
    }
    observer_->disk_.Commit(changes);
    if (observer_->on_commit_) std::exchange(observer_->on_commit_, {})();
    if (!changes.empty()) ++observer_->commits_;
    return std::nullopt;
  }

 private:
  Observer* const observer_;
};

std::unique_ptr<Engine> StartEngine(Observer* observer) {
  Result<std::unique_ptr<Engine>> engine = Engine::Start(
      {}, std::make_unique<ObservedStore>(observer), [observer](const Action& action) { observer->Perform(action); });
  return std::move(*engine);
}

// Its time passes when the observer says so.
std::unique_ptr<Engine> StartEngineInItsOwnTime(Observer* observer) {
  Result<std::unique_ptr<Engine>> engine = Engine::Start(
      {}, std::make_unique<ObservedStore>(observer), [observer](const Action& action) { observer->Perform(action); },
      [observer] { return observer->now(); });
  return std::move(*engine);
}

Register SomeNode(Asker asker) {
  NodeRecord node{.name = "n1", .address = "n1:7000"};
  for (int i = 0; i < 4; ++i) node.gpus.push_back({"GPU-" + std::to_string(i), "GPU", kGib});
  return {asker, World::NodeIdentity(), node, 0, {}};
}

TEST(Engine, NothingIsAcknowledgedBeforeItIsStored) {
  Observer observer;
  const std::unique_ptr<Engine> engine = StartEngine(&observer);
  engine->Post(SomeNode(1));
  observer.AnswerTo(1);
  EXPECT_EQ(observer.commits_, 1);
  engine->Post(Ask{2, World::User("t", "u"), "", {}});
  const auto [action, commits] = observer.AnswerTo(2);
  EXPECT_TRUE(std::holds_alternative<Granted>(action));
  EXPECT_GE(commits, 2);
}

TEST(Engine, WhileNothingCanBeStoredNothingIsDecidedAndAfterwardsItGoesOn) {
  Observer observer;
  const std::unique_ptr<Engine> engine = StartEngine(&observer);
  engine->Post(SomeNode(1));
  observer.AnswerTo(1);
  observer.is_full_ = true;
  engine->Post(Ask{2, World::User("t", "u"), "", {}});  // is decided, and waits for the disk
  observer.failures_.wait(0);
  engine->Post(Ask{3, World::User("t", "u"), "", {}});
  engine->Post(SomeNode(4));
  EXPECT_EQ(std::get<Answer>(observer.AnswerTo(4).first).outcome, Outcome::kUnavailable);
  const Action refused = observer.AnswerTo(3).first;
  ASSERT_TRUE(std::holds_alternative<Refused>(refused));
  EXPECT_NE(std::get<Refused>(refused).reason.find("the disk is full"), std::string::npos);
  observer.is_full_ = false;
  EXPECT_TRUE(std::holds_alternative<Granted>(observer.AnswerTo(2).first));
}

TEST(Engine, WhoLeavesWhileNothingCanBeStoredIsForgottenAfterwards) {
  Observer observer;
  const std::unique_ptr<Engine> engine = StartEngine(&observer);
  engine->Post(SomeNode(1));
  engine->Post(Ask{2, World::User("t", "u"), "", {.gpus = 4}});
  engine->Post(Ask{3, World::User("t", "u"), "", {.wait = kForever}});
  observer.AnswerTo(2);
  observer.is_full_ = true;
  engine->Post(Cordon{4, World::Admin(), "n1", true});  // waits for the disk
  observer.failures_.wait(0);
  engine->Post(Withdraw{3});
  engine->Post(SomeNode(5));
  EXPECT_EQ(std::get<Answer>(observer.AnswerTo(5).first).outcome, Outcome::kUnavailable);
  observer.is_full_ = false;
  observer.AnswerTo(4);
  std::promise<size_t> requests;
  engine->Post([&requests](Controller& pool) { requests.set_value(pool.requests().size()); });
  EXPECT_EQ(requests.get_future().get(), 0u);
}

TEST(Engine, ANewOneGoesOnWithWhatIsStored) {
  Observer observer;
  std::unique_ptr<Engine> engine = StartEngine(&observer);
  engine->Post(SomeNode(1));
  engine->Post(Ask{2, World::User("t", "u"), "name", {}});
  const LeaseRecord lease = std::get<Granted>(observer.AnswerTo(2).first).lease;
  engine.reset();
  engine = StartEngine(&observer);
  engine->Post(Ask{3, World::User("t", "u"), "name", {}});
  EXPECT_EQ(std::get<Granted>(observer.AnswerTo(3).first).lease.id, lease.id);
  engine->Post(Release{4, World::User("t", "u"), lease.id});
  observer.AnswerTo(4);
  engine.reset();
  EXPECT_TRUE(observer.disk_.Load()->leases.empty());
}

// The node of SomeNode gets a lease on all of its GPUs, and holds it.
Heartbeat OpenLease(Engine& engine, Observer& observer) {
  engine.Post(SomeNode(100));
  observer.AnswerTo(100);
  engine.Post(Ask{101, World::User("t", "u"), "", {.gpus = 4}});
  const LeaseRecord lease = std::get<Granted>(observer.AnswerTo(101).first).lease;
  engine.Post(Open{102, World::NodeIdentity(), "n1", lease.id, lease.epoch});
  observer.AnswerTo(102);
  return {0, World::NodeIdentity(), "n1", {{}, {}, {}, {}}, {{lease}}};
}

// What the engine sees, once it has done what was posted before.
bool IsUp(Engine& engine) {
  std::promise<bool> up;
  engine.Post([&up](Controller& pool) { up.set_value(pool.nodes().at("n1").up); });
  return up.get_future().get();
}

TEST(Engine, NobodyIsTakenForSilentWhileItStores) {
  Observer observer;
  const std::unique_ptr<Engine> engine = StartEngineInItsOwnTime(&observer);
  Heartbeat heartbeat = OpenLease(*engine, observer);
  std::promise<void> ready;
  engine->Post([&](Controller&) {
    observer.on_commit_ = [&] {
      observer.PassTime(16 * kSecond);
      heartbeat.asker = 2;
      engine->Post(heartbeat);
    };
    ready.set_value();
  });
  ready.get_future().wait();
  engine->Post(Cordon{1, World::Admin(), "n1", true});
  observer.AnswerTo(2);
  EXPECT_TRUE(IsUp(*engine));
  EXPECT_FALSE(observer.Warned());
}

TEST(Engine, WhatNodesSayGoesBeforeWhatOthersWant) {
  Observer observer;
  const std::unique_ptr<Engine> engine = StartEngineInItsOwnTime(&observer);
  Heartbeat heartbeat = OpenLease(*engine, observer);
  observer.PassTime(10 * kSecond);
  std::promise<void> posted;
  engine->Post([&](Controller&) { posted.get_future().wait(); });
  observer.each_refusal_takes_ = Duration(3);
  for (Asker asker = 1000; asker < 3500; ++asker) engine->Post(Ask{asker, World::User("t", "u"), "", {}});
  heartbeat.asker = 1;
  engine->Post(heartbeat);
  posted.set_value();
  observer.AnswerTo(1);
  observer.AnswerTo(3499);
  EXPECT_TRUE(IsUp(*engine));
  EXPECT_FALSE(observer.Warned());
}

TEST(Engine, WhoLooksWhileNothingCanBeStoredIsToldSo) {
  Observer observer;
  const std::unique_ptr<Engine> engine = StartEngine(&observer);
  engine->Post(SomeNode(1));
  observer.AnswerTo(1);
  observer.is_full_ = true;
  engine->Post(Cordon{2, World::Admin(), "n1", true});
  observer.failures_.wait(0);
  std::promise<std::string> told;
  engine->Post([&told](Controller&) { told.set_value(""); }, [&told](const std::string& why) { told.set_value(why); });
  EXPECT_NE(told.get_future().get().find("the disk is full"), std::string::npos);
  observer.is_full_ = false;
  EXPECT_TRUE(IsUp(*engine));
}

TEST(Engine, WhoLooksSeesWhatIsStored) {
  Observer observer;
  const std::unique_ptr<Engine> engine = StartEngine(&observer);
  engine->Post(SomeNode(1));
  std::promise<size_t> nodes;
  engine->Post([&nodes](Controller& pool) { nodes.set_value(pool.nodes().size()); });
  EXPECT_EQ(nodes.get_future().get(), 1u);
  EXPECT_EQ(observer.disk_.Load()->nodes.size(), 1u);
}

}  // namespace
}  // namespace outboard::pool
