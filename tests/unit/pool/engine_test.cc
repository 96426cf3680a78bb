#include "server/pool/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
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
  std::atomic<int> commits_{0};   // that worked
  std::atomic<int> failures_{0};  // commits that did not
  std::atomic<bool> is_full_{false};
  MemoryStore disk_;

 private:
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
