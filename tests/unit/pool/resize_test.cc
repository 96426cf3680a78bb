#include <gtest/gtest.h>

#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

// A node with one GPU of 80 GiB, and leases of a quarter of it that run.
class Resizes : public testing::Test {
 protected:
  Resizes() { world_.AddNode("n1", 1); }

  LeaseRecord Start(const std::string& tenant = "t", double gpus = 0.25) {
    const LeaseRecord lease = *world_.granted(world_.Ask({.gpus = gpus}, tenant));
    EXPECT_EQ(world_.Open(lease.id), Outcome::kDone);
    return lease;
  }
  const LeaseState& state(const LeaseRecord& lease) { return world_.pool().leases().at(lease.id); }
  LeasedGpu size(const LeaseRecord& lease) { return state(lease).record.gpus[0]; }
  uint64_t free_gib() { return world_.pool().cluster().free_memory_bytes(0, 0) / kGib; }
  int free_share() { return world_.pool().cluster().free_share(0, 0); }
  void ExpectSays(std::initializer_list<const char*> words) {
    for (const char* word : words) {
      EXPECT_NE(world_.outcome_text().find(word), std::string::npos) << world_.outcome_text();
    }
  }

  World world_;
};

TEST_F(Resizes, GrowsByWhatIsFreeAndNoMore) {
  const LeaseRecord lease = Start(), other = Start();
  EXPECT_EQ(world_.Resize(lease.id, 60 * kGib, 750), Outcome::kDone);
  EXPECT_EQ(size(lease).memory_bytes, 60 * kGib);
  EXPECT_EQ(size(lease).share, 750);
  EXPECT_EQ(free_gib(), 0u);
  EXPECT_EQ(free_share(), 0);
  EXPECT_EQ(world_.notices(lease.id).back().kind, Notice::Kind::kResized);
  EXPECT_NE(world_.notices(lease.id).back().text.find("75 % of the compute and 60 GiB"), std::string::npos);

  EXPECT_EQ(world_.Resize(lease.id, 60 * kGib + 1, {}), Outcome::kConflict);
  ExpectSays({"at most 75 % of the compute and 60 GiB", "GPU-n1-0"});
  EXPECT_EQ(world_.Resize(lease.id, {}, 751), Outcome::kConflict);
  EXPECT_EQ(world_.Resize(other.id, 10 * kGib, 125), Outcome::kDone);
  EXPECT_EQ(world_.Resize(lease.id, 70 * kGib, 875), Outcome::kDone);
  EXPECT_EQ(world_.Resize(lease.id, 81 * kGib, {}), Outcome::kConflict);
  EXPECT_EQ(size(lease).memory_bytes, 70 * kGib);
}

TEST_F(Resizes, WhatMeansNothingIsRefused) {
  const LeaseRecord lease = Start();
  EXPECT_EQ(world_.Resize(lease.id, {}, {}), Outcome::kInvalid);
  EXPECT_EQ(world_.Resize(lease.id, 0, {}), Outcome::kInvalid);
  EXPECT_EQ(world_.Resize(lease.id, UINT64_MAX, {}), Outcome::kInvalid);
  EXPECT_EQ(world_.Resize(lease.id, {}, 0), Outcome::kInvalid);
  EXPECT_EQ(world_.Resize(lease.id, {}, 1001), Outcome::kInvalid);
  EXPECT_EQ(world_.Resize({77}, kGib, {}), Outcome::kNotFound);
  EXPECT_EQ(world_.Resize(lease.id, lease.gpus[0].memory_bytes, 250), Outcome::kDone) << "it is so";
  EXPECT_EQ(state(lease).record, lease);
}

TEST_F(Resizes, BelowWhatIsInUseOnlyWhenItIsFree) {
  const LeaseRecord lease = Start();
  world_.Use(lease.id, 15 * kGib);
  EXPECT_EQ(world_.Resize(lease.id, 10 * kGib, 100), Outcome::kConflict);
  ExpectSays({"it uses more."});
  EXPECT_EQ(size(lease), lease.gpus[0]) << "nothing of it was done";
  EXPECT_EQ(free_gib(), 60u);
  EXPECT_EQ(free_share(), 750);

  EXPECT_EQ(world_.Resize(lease.id, 10 * kGib, 100, /*when_free=*/true), Outcome::kDone);
  EXPECT_EQ(size(lease).memory_bytes, 10 * kGib);
  EXPECT_EQ(state(lease).over_bytes, std::vector<uint64_t>{5 * kGib});
  EXPECT_EQ(free_gib(), 65u) << "what is in use is nobody else's";
  EXPECT_EQ(free_share(), 900);
  world_.Use(lease.id, 12 * kGib);
  world_.Pass(10 * kSecond);
  EXPECT_EQ(free_gib(), 68u);
  world_.Use(lease.id, 3 * kGib);
  world_.Pass(10 * kSecond);
  EXPECT_EQ(free_gib(), 70u);
  EXPECT_EQ(state(lease).over_bytes, std::vector<uint64_t>{0});
}

TEST_F(Resizes, WhatIsStillInUseCanBeHadBack) {
  const LeaseRecord lease = Start();
  world_.Use(lease.id, 20 * kGib);
  ASSERT_EQ(world_.Resize(lease.id, 5 * kGib, {}, true), Outcome::kDone);
  Start("other", 0.75);
  EXPECT_EQ(free_gib(), 0u);
  EXPECT_EQ(world_.Resize(lease.id, 20 * kGib, {}), Outcome::kDone);
  EXPECT_EQ(world_.Resize(lease.id, 21 * kGib, {}), Outcome::kConflict);
}

TEST_F(Resizes, RoomThatBecomesFreeIsForWhoWaits) {
  const LeaseRecord lease = Start("t", 1);
  const Asker half = world_.Ask({.gpus = 0.5, .wait = kForever}, "other");
  EXPECT_TRUE(world_.waits(half));
  ASSERT_EQ(world_.Resize(lease.id, 40 * kGib, {}), Outcome::kDone);
  EXPECT_TRUE(world_.waits(half)) << "the compute is not free";
  ASSERT_EQ(world_.Resize(lease.id, {}, 500), Outcome::kDone);
  EXPECT_TRUE(world_.granted(half));
}

TEST_F(Resizes, OwnersMakeTheirsSmallerAndAdministratorsLarger) {
  const LeaseRecord lease = Start();
  EXPECT_EQ(world_.ResizeAs(World::User("t", "u"), lease.id, 21 * kGib, {}), Outcome::kForbidden);
  EXPECT_EQ(world_.ResizeAs(World::User("t", "u"), lease.id, {}, 251), Outcome::kForbidden);
  EXPECT_EQ(world_.ResizeAs(World::User("t", "v"), lease.id, 1 * kGib, {}), Outcome::kNotFound);
  EXPECT_EQ(world_.ResizeAs(World::User("t", "u"), lease.id, 19 * kGib, 249), Outcome::kDone);
}

TEST_F(Resizes, NothingIsGivenBeyondAMaximum) {
  world_.SetTenant("t", 0, 1, 0.5);
  const LeaseRecord lease = Start();
  EXPECT_EQ(world_.Resize(lease.id, {}, 501), Outcome::kConflict);
  ExpectSays({"tenant t has 0.25 of at most 0.5 GPUs", "0.251 more"});
  EXPECT_EQ(world_.Resize(lease.id, 40 * kGib, {}), Outcome::kDone) << "it counts by its memory";
  EXPECT_EQ(world_.pool().ledger().tenants().Of("t").used, 500);
  EXPECT_EQ(world_.Resize(lease.id, {}, 500), Outcome::kDone);
  EXPECT_EQ(world_.Resize(lease.id, 8 * kGib, 10), Outcome::kDone);
  EXPECT_EQ(world_.pool().ledger().tenants().Of("t").used, 100);
}

TEST_F(Resizes, EachSizeCountsForItsTime) {
  const LeaseRecord lease = Start();
  world_.Pass(100 * kSecond);
  ASSERT_EQ(world_.Resize(lease.id, {}, 500), Outcome::kDone);
  world_.Pass(100 * kSecond);
  world_.Release(lease);
  const UsageRecord& usage = world_.pool().ledger().usage().at({"t", "u"});
  EXPECT_EQ(usage.gpu_microseconds, uint64_t{(250 + 500) * 100'000});
  EXPECT_EQ(usage.leases, 1u);
}

TEST_F(Resizes, OfSeveralGpusTheMemory) {
  world_.AddNode("n2", 2);
  const LeaseRecord lease = *world_.granted(world_.Ask({.gpus = 2}));
  EXPECT_EQ(world_.Resize(lease.id, 40 * kGib, {}), Outcome::kConflict);
  ExpectSays({"has not begun"});
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  EXPECT_EQ(world_.Resize(lease.id, 40 * kGib, 500), Outcome::kInvalid);
  EXPECT_EQ(world_.Resize(lease.id, 40 * kGib, {}), Outcome::kDone);
  for (int gpu = 0; gpu < 2; ++gpu) EXPECT_EQ(world_.pool().cluster().free_memory_bytes(1, gpu), 40 * kGib);
}

// The node never hears of it; both sizes are taken until it has said which it is.
TEST_F(Resizes, ANodeThatDoesNotAnswerKeepsRoomForBothSizes) {
  const LeaseRecord lease = Start();
  world_.LoseResizes("n1");
  EXPECT_EQ(world_.Resize(lease.id, 30 * kGib, 100), Outcome::kUnavailable);
  ExpectSays({"n1", "has not said yet"});
  EXPECT_EQ(free_gib(), 50u);
  EXPECT_EQ(free_share(), 750);
  EXPECT_EQ(world_.Resize(lease.id, 10 * kGib, {}), Outcome::kConflict) << "one after the other";
  ExpectSays({"is being resized to 10 % of the compute and 30 GiB"});
  world_.HearResizes("n1");
  world_.RegisterNode("n1");  // and is told again
  EXPECT_EQ(size(lease).memory_bytes, 30 * kGib);
  EXPECT_EQ(free_share(), 900);
}

TEST_F(Resizes, OutlivesTheRestartOfThePool) {
  const LeaseRecord lease = Start(), other = Start();
  world_.Use(other.id, 20 * kGib);
  ASSERT_EQ(world_.Resize(other.id, 5 * kGib, {}, true), Outcome::kDone);
  world_.LoseResizes("n1");
  EXPECT_EQ(world_.Resize(lease.id, 10 * kGib, 500), Outcome::kUnavailable);
  world_.Restart();
  world_.HearResizes("n1");
  world_.RegisterNode("n1");
  EXPECT_TRUE(world_.is_live(lease.id));
  EXPECT_EQ(size(lease).memory_bytes, 10 * kGib);
  EXPECT_EQ(size(lease).share, 500);
  EXPECT_EQ(size(other).memory_bytes, 5 * kGib);
  EXPECT_EQ(free_gib(), 50u) << "what the other one still has is not free";
  world_.Use(other.id, 0);
  world_.Pass(10 * kSecond);
  EXPECT_EQ(free_gib(), 65u);
  world_.Restart();
  world_.Pass(10 * kSecond);
  EXPECT_TRUE(world_.is_live(lease.id) && world_.is_live(other.id));
  EXPECT_EQ(free_gib(), 65u);
}

// The node has done it, and the pool has not heard of that when it ends.
TEST_F(Resizes, WhatTheNodeHasDoneIsSoAfterARestart) {
  const LeaseRecord lease = Start();
  world_.LoseResizes("n1");
  EXPECT_EQ(world_.Resize(lease.id, 30 * kGib, {}), Outcome::kUnavailable);
  const Snapshot pending = world_.stored();
  world_.HearResizes("n1");
  world_.RegisterNode("n1");
  ASSERT_EQ(size(lease).memory_bytes, 30 * kGib);
  world_.Restart(pending);
  world_.Pass(10 * kSecond);
  EXPECT_TRUE(world_.is_live(lease.id));
  EXPECT_EQ(size(lease).memory_bytes, 30 * kGib);
  EXPECT_FALSE(state(lease).record.resizing);
  EXPECT_EQ(world_.Resize(lease.id, 20 * kGib, {}), Outcome::kDone);
}

TEST_F(Resizes, ALeaseThatEndsBeforeItsNodeAnswers) {
  const LeaseRecord lease = Start();
  world_.LoseResizes("n1");
  const Asker asker = world_.next_asker();
  const Effects effects = world_.Tell(Resize{asker, World::Admin(), lease.id, 30 * kGib, {}, false});
  EXPECT_FALSE(effects.changes.empty()) << "it is stored before the node hears of it";
  const Effects ended = world_.Tell(Release{world_.next_asker(), World::User("t", "u"), lease.id});
  bool answered = false;
  for (const Action& action : ended.actions) {
    const auto* answer = std::get_if<Answer>(&action);
    answered = answered || (answer != nullptr && answer->asker == asker && answer->outcome == Outcome::kConflict);
  }
  EXPECT_TRUE(answered);
  EXPECT_EQ(free_gib(), 80u);
}

// A node that was started anew has none of it; the lease may still be opened, by its first ticket.
TEST_F(Resizes, IsDroppedWhereTheNodeHasLostTheLease) {
  const LeaseRecord lease = Start();
  world_.LoseResizes("n1");
  EXPECT_EQ(world_.Resize(lease.id, 30 * kGib, {}), Outcome::kUnavailable);
  world_.Restart();
  world_.Reboot("n1");
  ASSERT_TRUE(world_.is_live(lease.id));
  EXPECT_EQ(free_gib(), 60u);
  EXPECT_EQ(world_.Open(lease.id), Outcome::kDone);
  EXPECT_EQ(size(lease).memory_bytes, 20 * kGib);
}

// The store is a copy from before; what its node has is so, and what it does not have gives way.
TEST_F(Resizes, FromAnOldCopyTheNodesWordCounts) {
  const LeaseRecord lease = Start(), gone = Start("t", 0.5);
  const Snapshot old = world_.stored();
  world_.Release(gone);
  ASSERT_EQ(world_.Resize(lease.id, 60 * kGib, 750), Outcome::kDone);
  const LeaseRecord after = Start();
  world_.Restart(old);
  world_.Pass(10 * kSecond);
  ASSERT_TRUE(world_.is_live(lease.id) && world_.is_live(after.id));
  EXPECT_FALSE(world_.is_live(gone.id));
  EXPECT_EQ(size(lease).memory_bytes, 60 * kGib);
  EXPECT_EQ(world_.pool().ledger().tenants().Of("t").used, 1000);
  EXPECT_EQ(world_.Resize(lease.id, 10 * kGib, 100), Outcome::kDone) << "with a newer epoch than the node knows";
}

// A node says more than can be.
TEST_F(Resizes, NobodyGetsRoomBySayingThatItIsInUse) {
  const LeaseRecord lease = Start();
  LeaseRecord held = lease;
  world_.Tell(Heartbeat{world_.next_asker(),
                        World::NodeIdentity(),
                        "n1",
                        std::vector<GpuReport>(1),
                        {{held, Duration(0), {UINT64_MAX, 7}}}});
  EXPECT_TRUE(world_.is_live(lease.id));
  EXPECT_EQ(free_gib(), 60u);
}

}  // namespace
}  // namespace outboard::pool
