#include <gtest/gtest.h>

#include "common/base/limits.h"
#include "tests/unit/pool/invariants.h"
#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

TEST(Queue, WithoutAWaitNothingIsQueued) {
  World world;
  const Asker nobody = world.Ask({});
  ASSERT_TRUE(world.refused(nobody));
  EXPECT_TRUE(world.refused(nobody)->no_capacity);
  EXPECT_EQ(world.refused(nobody)->reason, "the pool has no nodes.");
  world.AddNode("n1", 1);
  ASSERT_TRUE(world.granted(world.Ask({})));
  const Asker late = world.Ask({});
  ASSERT_TRUE(world.refused(late));
  EXPECT_TRUE(world.refused(late)->no_capacity);
  EXPECT_EQ(world.refused(late)->reason, "node n1 needs 1 GPU that nobody uses and has none.");
}

TEST(Queue, WhatNoNodeCouldEverGiveIsRefusedAtOnce) {
  World world;
  world.AddNode("n1", 4);
  for (const Wish& wish : {Wish{.gpus = 5, .wait = kForever}, Wish{.memory_bytes = 81 * kGib, .wait = kForever},
                           Wish{.filters = {"device.name=H200"}, .wait = kForever}}) {
    const Asker asker = world.Ask(wish);
    ASSERT_TRUE(world.refused(asker));
    EXPECT_FALSE(world.refused(asker)->no_capacity);
  }
  Settings settings;
  settings.queue_impossible = true;
  World patient(settings);
  patient.AddNode("n1", 4);
  const Asker asker = patient.Ask({.gpus = 5, .wait = kForever});
  EXPECT_TRUE(patient.waits(asker));
  patient.AddNode("n2", 8);
  EXPECT_TRUE(patient.granted(asker));
}

TEST(Queue, AWaitEnds) {
  World world;
  world.AddNode("n1", 1);
  ASSERT_EQ(world.Open(world.granted(world.Ask({}))->id), Outcome::kDone);
  const Asker asker = world.Ask({.wait = 2 * kMinute});
  world.Pass(2 * kMinute - kSecond);
  EXPECT_TRUE(world.waits(asker));
  world.Pass(kSecond);
  ASSERT_TRUE(world.refused(asker));
  EXPECT_TRUE(world.refused(asker)->no_capacity);
  EXPECT_EQ(world.refused(asker)->reason,
            "waited for 2 min in vain: node n1 needs 1 GPU that nobody uses and has none.");
}

TEST(Queue, RoomThatComesAtTheEndOfAWaitIsForWhoWaited) {
  World world;
  world.AddNode("n1", 1);
  world.granted(world.Ask({}));  // is not opened within a minute
  const Asker first = world.Ask({.wait = kMinute});
  const Asker second = world.Ask({.wait = kMinute});
  world.Pass(kMinute);
  EXPECT_TRUE(world.granted(first));
  ASSERT_TRUE(world.refused(second));
  EXPECT_EQ(world.refused(second)->reason,
            "waited for 1 min in vain: node n1 needs 1 GPU that nobody uses and has none.");
}

TEST(Queue, NobodyFillsItForOthers) {
  Controller pool({});
  pool.Restore({}, Time{});
  Asker askers = 0;
  const auto ask = [&](const std::string& tenant, const std::string& user) -> std::string {
    const Effects effects = pool.Handle(Ask{++askers, World::User(tenant, user), "", {.wait = kForever}}, Time{});
    const auto* const refused = std::get_if<Refused>(&effects.actions.at(0));
    return refused == nullptr ? "" : refused->reason;
  };
  for (uint32_t i = 0; i < kMaxQueuedRequestsOfUser; ++i) ASSERT_EQ(ask("t", "u"), "");
  EXPECT_EQ(ask("t", "u"), "the queue of u is full; try again when something of it has been granted.");
  EXPECT_EQ(ask("t", "v"), "");
  EXPECT_EQ(ask("s", "u"), "");
  pool.Handle(Withdraw{1}, Time{});
  EXPECT_EQ(ask("t", "u"), "");
  EXPECT_NE(ask("t", "u"), "");
}

TEST(Queue, ANodeGetsNoMoreLeasesThanOneMayHave) {
  Controller pool({});
  pool.Restore({}, Time{});
  NodeRecord node{.name = "n1", .address = "a"};
  for (int i = 0; i < 5; ++i) node.gpus.push_back({"GPU-" + std::to_string(i), "GPU", 80 * kGib});
  pool.Handle(Register{1, World::NodeIdentity(), node, 0, {}}, Time{});
  const auto ask = [&](Asker asker) {
    return pool.Handle(Ask{asker, World::User("t", "u"), "", {.gpus = 0.001}}, Time{}).actions.at(0);
  };
  for (Asker asker = 0; asker < kMaxLeases; ++asker) ASSERT_TRUE(std::holds_alternative<Granted>(ask(asker)));
  const Action refused = ask(kMaxLeases);
  ASSERT_TRUE(std::holds_alternative<Refused>(refused));
  EXPECT_EQ(std::get<Refused>(refused).reason, "node n1 has 4096 leases, and a node may have no more.");
}

TEST(Queue, WhoGoesAwayWaitsNoMore) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  const Asker asker = world.Ask({.wait = kForever});
  world.Tell(Withdraw{asker});
  world.Release(lease);
  EXPECT_FALSE(world.granted(asker));
  EXPECT_TRUE(world.granted(world.Ask({})));
}

TEST(Queue, HigherPrioritiesFirstThenWhoAskedFirst) {
  World world;
  world.AddNode("n1", 1);
  LeaseRecord lease = *world.granted(world.Ask({.priority = 9}));
  const Asker low = world.Ask({.priority = 1, .wait = kForever});
  const Asker first = world.Ask({.priority = 5, .wait = kForever});
  const Asker second = world.Ask({.priority = 5, .wait = kForever});
  for (const Asker next : {first, second, low}) {
    world.Release(lease);
    ASSERT_TRUE(world.granted(next));
    lease = *world.granted(next);
  }
}

TEST(Queue, WaitingCountsAsPriority) {
  Settings settings;
  settings.keep_room_after = kForever;
  World world(settings);
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({.priority = 9}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  const Asker old = world.Ask({.priority = 3, .wait = kForever});
  world.Pass(25 * kMinute);  // two steps
  const Asker fresh = world.Ask({.priority = 5, .wait = kForever});
  world.Release(lease);
  EXPECT_TRUE(world.granted(old));
  EXPECT_TRUE(world.waits(fresh));
}

TEST(Queue, SmallOnesPassABigOneUntilItHasWaitedLong) {
  World world;
  world.AddNode("n1", 2);
  const LeaseRecord first = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(first.id), Outcome::kDone);
  const Asker big = world.Ask({.gpus = 2, .wait = kForever});
  const LeaseRecord passing = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(passing.id), Outcome::kDone);
  world.Pass(3 * kMinute);
  world.Release(passing);
  const Asker late = world.Ask({.wait = kForever});
  EXPECT_TRUE(world.waits(late));
  EXPECT_NE(world.why(late).find("room is kept"), std::string::npos) << world.why(late);
  EXPECT_NE(world.why(big).find("keeps room for it"), std::string::npos) << world.why(big);
  EXPECT_EQ(UntrueReason(world.pool()), "");
  world.Release(first);
  EXPECT_TRUE(world.granted(big));
  EXPECT_TRUE(world.waits(late));
}

TEST(Queue, TheSameRoomIsNotKeptForTwo) {
  World world;
  world.AddNode("n1", 2);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  const Asker first = world.Ask({.gpus = 2, .wait = kForever});
  const Asker second = world.Ask({.gpus = 2, .wait = kForever});
  world.Pass(3 * kMinute);
  EXPECT_TRUE(world.pool().holds().Of(world.request(first)));
  EXPECT_FALSE(world.pool().holds().Of(world.request(second)));
  world.Release(lease);
  EXPECT_TRUE(world.granted(first));
  EXPECT_TRUE(world.waits(second));
}

TEST(Queue, KeptRoomIsGivenUpWhenItIsNotNeeded) {
  World world;
  world.AddNode("n1", 2);
  ASSERT_EQ(world.Open(world.granted(world.Ask({}))->id), Outcome::kDone);
  const Asker big = world.Ask({.gpus = 2, .wait = kForever});
  world.Pass(3 * kMinute);
  const Asker small = world.Ask({.wait = kForever});
  ASSERT_TRUE(world.waits(small));
  world.Tell(Withdraw{big});
  EXPECT_TRUE(world.granted(small));
}

TEST(Queue, KeptRoomIsGivenUpWhenTheRequestFitsElsewhere) {
  World world;
  world.AddNode("n1", 2);
  ASSERT_EQ(world.Open(world.granted(world.Ask({}))->id), Outcome::kDone);
  const Asker big = world.Ask({.gpus = 2, .wait = kForever});
  world.Pass(3 * kMinute);
  const Asker small = world.Ask({.wait = kForever});
  ASSERT_TRUE(world.waits(small));
  world.AddNode("n2", 2);
  EXPECT_EQ(world.granted(big)->node, "n2");
  EXPECT_EQ(world.granted(small)->node, "n1");
}

TEST(Tenants, AMaximumIsNeverExceeded) {
  World world;
  world.AddNode("n1", 4);
  world.SetTenant("t", 0, 1, 2);
  EXPECT_FALSE(world.refused(world.Ask({.gpus = 3, .wait = kForever}))->no_capacity);
  const LeaseRecord first = *world.granted(world.Ask({.gpus = 1}));
  ASSERT_EQ(world.Open(first.id), Outcome::kDone);
  const LeaseRecord second = *world.granted(world.Ask({.gpus = 0.5}));
  ASSERT_EQ(world.Open(second.id), Outcome::kDone);
  const Asker third = world.Ask({.gpus = 1, .wait = kForever});
  ASSERT_TRUE(world.waits(third));
  EXPECT_EQ(world.why(third), "the tenant t has 1.5 of at most 2 GPUs, and 1 more would be too many.");
  EXPECT_TRUE(world.granted(world.Ask({}, "s")));
  // One that has waited long is not overtaken within its tenant.
  world.Pass(3 * kMinute);
  const Asker fourth = world.Ask({.gpus = 0.5, .wait = kForever});
  world.Release(second);
  EXPECT_TRUE(world.granted(third));
  EXPECT_TRUE(world.waits(fourth));
  EXPECT_EQ(UntrueReason(world.pool()), "");
  world.SetTenant("t", 0, 1, 3);
  EXPECT_TRUE(world.granted(fourth));
}

TEST(Tenants, WhoIsBehindAnOldRequestForTheMaximumIsToldSo) {
  World world;
  world.AddNode("n1", 4);
  world.SetTenant("t", 0, 1, 2);
  ASSERT_EQ(world.Open(world.granted(world.Ask({}))->id), Outcome::kDone);
  const Asker big = world.Ask({.gpus = 2, .wait = kForever});
  world.Pass(3 * kMinute);
  world.SetTenant("s", 0);  // gives everybody another turn
  const Asker small = world.Ask({.wait = kForever});
  ASSERT_TRUE(world.waits(small));
  EXPECT_EQ(world.why(small), "request " + std::to_string(world.request(big)) +
                                  " came first and waits for the maximum of the same tenant or pool.");
  world.Tell(Withdraw{big});
  EXPECT_TRUE(world.granted(small));
}

TEST(Tenants, MemoryCountsAsComputeDoes) {
  World world;
  world.AddNode("n1", 2, 80 * kGib);
  world.AddNode("n2", 1, 240 * kGib);
  world.SetTenant("t", 0, 1, 1);
  const Wish wish{.gpus = 0.1, .memory_bytes = 60 * kGib, .filters = {"node.name=n1"}, .wait = kForever};
  const Asker first = world.Ask(wish);
  ASSERT_TRUE(world.granted(first));
  ASSERT_EQ(world.Open(world.granted(first)->id), Outcome::kDone);
  EXPECT_EQ(world.granted(first)->amount, 750);
  const Asker second = world.Ask(wish);
  ASSERT_TRUE(world.waits(second));
  EXPECT_EQ(world.why(second), "the tenant t has 0.75 of at most 1 GPUs, and 0.75 more would be too many.");
  // Of a larger GPU it is a smaller part, and where compute is more, that counts.
  const Wish elsewhere{.gpus = 0.1, .memory_bytes = 60 * kGib, .filters = {"device.memory=200GiB"}};
  const Asker large = world.Ask(elsewhere, "t", "v");
  ASSERT_TRUE(world.granted(large));
  EXPECT_EQ(world.granted(large)->amount, 250);
  EXPECT_EQ(world.granted(world.Ask({.gpus = 1, .share = 0.5, .memory_bytes = kGib}, "s"))->amount, 500);
  world.Pass(100 * kSecond);
  world.Release(*world.granted(first));
  EXPECT_EQ(world.pool().ledger().usage().at({"t", "u"}).gpu_microseconds / 1000, 75'000u);
}

TEST(Tenants, WhatNoGpuIsKnownForCountsAsWholeOnes) {
  World world;
  world.SetTenant("t", 0, 1, 1);
  const Asker first = world.Ask({.gpus = 0.1, .memory_bytes = 60 * kGib, .wait = kForever});
  const Asker second = world.Ask({.gpus = 0.1, .memory_bytes = 60 * kGib, .wait = kForever});
  world.AddNode("n1", 2, 61 * kGib);
  EXPECT_TRUE(world.granted(first));
  EXPECT_TRUE(world.waits(second));
}

TEST(Tenants, ALowerMaximumRefusesWhatItWouldNeverAllow) {
  World world;
  world.AddNode("n1", 4);
  world.SetTenant("t", 0, 1, 4);
  const LeaseRecord first = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(first.id), Outcome::kDone);
  const Asker big = world.Ask({.gpus = 4, .wait = kForever});
  world.Pass(3 * kMinute);
  const Asker small = world.Ask({.gpus = 2, .wait = kForever});
  ASSERT_TRUE(world.waits(big));
  world.SetTenant("t", 0, 1, 2);
  ASSERT_TRUE(world.refused(big));
  EXPECT_EQ(world.refused(big)->reason, "4 GPUs were asked for, and the tenant t may have 2 at most.");
  EXPECT_FALSE(world.refused(big)->no_capacity);
  world.Release(first);
  EXPECT_TRUE(world.granted(small));
}

TEST(Tenants, DescriptionsThatMakeNoSenseAreRefused) {
  World world;
  world.SetTenant("", 1);
  EXPECT_EQ(world.outcome(), Outcome::kInvalid);
  world.SetTenant("t", -1);
  EXPECT_EQ(world.outcome(), Outcome::kInvalid);
  world.SetTenant("t", 1, 0);
  EXPECT_EQ(world.outcome(), Outcome::kInvalid);
  world.SetTenant("t", 3, 1, 2);
  EXPECT_EQ(world.outcome(), Outcome::kInvalid);
  world.Tell(SetTenant{1000, World::User("t", "u"), {"t", 1000, 1, -1}});
  EXPECT_EQ(world.outcome(), Outcome::kForbidden);
  EXPECT_TRUE(world.stored().tenants.empty());
}

// Two tenants ask without end for what there is; who gets how much of what is nobody's own?
std::map<std::string, int> FairShares(World& world, const std::vector<std::string>& tenants, int rounds) {
  std::vector<std::pair<Asker, std::string>> waiting;
  std::vector<LeaseRecord> running;
  const auto ask = [&](const std::string& tenant) {
    waiting.push_back({world.Ask({.wait = kForever}, tenant), tenant});
  };
  for (int i = 0; i < 20; ++i) {
    for (const std::string& tenant : tenants) ask(tenant);
  }
  std::map<std::string, int> holds;
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < waiting.size();) {
      const LeaseRecord* const lease = world.granted(waiting[i].first);
      if (lease == nullptr) {
        ++i;
        continue;
      }
      const std::string tenant = waiting[i].second;
      running.push_back(*lease);
      waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
      ask(tenant);
    }
    if (round >= rounds / 2) {
      for (const LeaseRecord& lease : running) ++holds[lease.tenant];
    }
    world.Release(running.front());
    running.erase(running.begin());
  }
  return holds;
}

TEST(Tenants, BeyondQuotasTheWeightsDecide) {
  World world;
  world.AddNode("n1", 8);
  world.SetTenant("a", 0, 3);
  world.SetTenant("b", 0, 1);
  std::map<std::string, int> holds = FairShares(world, {"a", "b"}, 200);
  EXPECT_NEAR(static_cast<double>(holds["a"]) / holds["b"], 3, 0.7);
}

TEST(Tenants, QuotasComeFirst) {
  World world;
  world.AddNode("n1", 8);
  world.SetTenant("a", 6, 1);
  world.SetTenant("b", 0, 1);
  std::map<std::string, int> holds = FairShares(world, {"b", "a"}, 200);
  // Six of its own, and half of the other two.
  EXPECT_NEAR(static_cast<double>(holds["a"]) / holds["b"], 7, 2.5);
}

}  // namespace
}  // namespace outboard::pool
