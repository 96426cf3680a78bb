#include <gtest/gtest.h>

#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

TEST(Restart, WhatRunsGoesOn) {
  World world;
  world.AddNode("n1", 2);
  world.SetTenant("t", 1, 2, 3);
  const LeaseRecord open = *world.granted(world.Ask({}, "t", "u", "name"));
  ASSERT_EQ(world.Open(open.id), Outcome::kDone);
  const LeaseRecord unopened = *world.granted(world.Ask({}));
  world.Restart();
  EXPECT_TRUE(world.is_live(open.id));
  EXPECT_EQ(world.pool().ledger().tenants().Of("t").used, 2000);
  EXPECT_EQ(world.pool().ledger().tenants().Of("t").record.weight, 2);
  EXPECT_TRUE(world.refused(world.Ask({}))) << "the node has not spoken yet";
  EXPECT_EQ(world.granted(world.Ask({}, "t", "u", "name"))->id, open.id) << "the name still means the same";
  world.Pass(30 * kSecond);
  EXPECT_TRUE(world.is_live(open.id));
  EXPECT_TRUE(world.is_live(unopened.id));
  EXPECT_EQ(world.Open(unopened.id), Outcome::kDone);
  world.Pass(10 * kMinute);
  EXPECT_TRUE(world.is_live(open.id));
  EXPECT_TRUE(world.is_live(unopened.id));
  world.Release(open);
  EXPECT_TRUE(world.granted(world.Ask({})));
}

TEST(Restart, ALeaseThatItsNodeDoesNotHaveEnds) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  world.Restart();
  world.Pass(30 * kSecond);
  EXPECT_TRUE(world.is_live(lease.id)) << "it may be opened yet";
  world.Pass(kMinute);
  EXPECT_FALSE(world.is_live(lease.id));
}

TEST(Restart, NodesAndTheirStatesAreRemembered) {
  World world;
  world.AddNode("n1", 1);
  world.AddNode("n2", 1);
  world.AddNode("n3", 1);
  world.Tell(Cordon{1000, World::Admin(), "n1", true});
  world.Tell(StartDrain{1001, World::Admin(), "n2", 10 * kMinute, true});
  const LeaseRecord lease = *world.granted(world.Ask({}));
  EXPECT_EQ(lease.node, "n3");
  const NodeRecord drained = world.pool().nodes().at("n2").record;
  world.Restart();
  world.Pass(10 * kSecond);
  EXPECT_TRUE(world.pool().nodes().at("n1").record.cordoned);
  EXPECT_EQ(world.pool().nodes().at("n2").record, drained);
  EXPECT_TRUE(world.refused(world.Ask({})));
}

TEST(Restart, ADrainGoesOn) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(StartDrain{1000, World::Admin(), "n1", 10 * kMinute, true});
  world.Restart();
  world.Pass(9 * kMinute);
  EXPECT_TRUE(world.is_live(lease.id));
  world.Pass(kMinute);
  EXPECT_FALSE(world.is_live(lease.id));
}

TEST(Restart, ALeaseThatWasTakenAwayEndsWhenItsGraceIsOver) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(Revoke{1000, World::Admin(), lease.id, 10 * kMinute, "maintenance"});
  world.Pass(kMinute);
  world.Restart();
  world.Pass(9 * kMinute - kSecond);
  EXPECT_TRUE(world.is_live(lease.id));
  world.Pass(kSecond);
  EXPECT_FALSE(world.is_live(lease.id));
  EXPECT_NE(world.notices(lease.id).back().text.find("maintenance"), std::string::npos);
}

TEST(Restart, ALeaseThatEndedWhileItsNodeStillRunsItKeepsItsRoom) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Hang("n1");
  ASSERT_EQ(world.Release(lease), Outcome::kDone);
  world.Restart();
  const Asker asker = world.Ask({.wait = kForever});
  world.Pass(30 * kSecond);
  EXPECT_TRUE(world.waits(asker));
  EXPECT_EQ(world.Release(lease), Outcome::kNotFound) << "what was acknowledged is not undone";
  world.Finish("n1");
  EXPECT_TRUE(world.granted(asker));
}

TEST(Restart, NumbersAreNeverUsedAgain) {
  World world;
  world.AddNode("n1", 1);
  LeaseId last;
  for (int i = 0; i < 3; ++i) {
    const LeaseRecord lease = *world.granted(world.Ask({}));
    EXPECT_GT(lease.id, last);
    last = lease.id;
    world.Release(lease);
    world.Restart();
    world.Pass(10 * kSecond);
  }
}

TEST(Restart, FromAnOldCopyItAdoptsWhatNodesHave) {
  World world;
  world.AddNode("n1", 2);
  world.AddNode("n2", 2);
  world.Release(*world.granted(world.Ask({})));
  const LeaseRecord ended = *world.granted(world.Ask({}, "t", "somebody"));
  ASSERT_EQ(world.Open(ended.id), Outcome::kDone);
  const Snapshot old = world.stored();
  world.Release(ended);
  std::vector<LeaseRecord> leases;
  for (int i = 0; i < 3; ++i) {
    leases.push_back(*world.granted(world.Ask({}, "t", "u" + std::to_string(i))));
    ASSERT_EQ(world.Open(leases.back().id), Outcome::kDone);
  }
  world.Restart(old);
  world.Pass(10 * kSecond);
  for (const LeaseRecord& lease : leases) {
    ASSERT_TRUE(world.is_live(lease.id));
    EXPECT_EQ(world.pool().leases().at(lease.id).record.user, lease.user);
  }
  EXPECT_EQ(world.stored().leases.size(), 3u);
  const LeaseRecord next = *world.granted(world.Ask({}));
  EXPECT_GT(next.id, leases.back().id);
  EXPECT_TRUE(world.refused(world.Ask({})));
}

// The numbers of the new store begin anew, as the clock says nothing.
TEST(Restart, WithoutItsStoreAPoolGivesOutNothingThatIsInUse) {
  World world;
  world.AddNode("n1", 1);
  world.AddNode("n2", 1);
  const LeaseRecord old = *world.granted(world.Ask({.filters = {"node.name=n2"}}));
  ASSERT_EQ(world.Open(old.id), Outcome::kDone);
  world.Silence("n1");
  world.Silence("n2");
  world.Restart(Snapshot{});
  world.Wake("n1");
  const LeaseRecord lease = *world.granted(world.Ask({}, "t", "v"));
  ASSERT_EQ(lease.id, old.id);
  ASSERT_EQ(lease.node, "n1");
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  const Asker asker = world.Ask({.wait = kForever});
  ASSERT_TRUE(world.waits(asker));
  world.Hang("n2");
  world.Wake("n2");
  world.Pass(kMinute);
  EXPECT_TRUE(world.waits(asker)) << "another lease of that number still runs there";
  world.Finish("n2");
  EXPECT_TRUE(world.granted(asker));
  EXPECT_TRUE(world.is_live(lease.id));
}

TEST(Restart, AStrayLeaseTakesNoRoomOnceItsNodeHasItNoMore) {
  for (const std::string how : {"reboot", "forget", "inventory", "the other one ends"}) {
    SCOPED_TRACE(how);
    World world;
    world.AddNode("n1", 1);
    world.AddNode("n2", 1);
    ASSERT_EQ(world.Open(world.granted(world.Ask({.filters = {"node.name=n2"}}))->id), Outcome::kDone);
    world.Silence("n1");
    world.Silence("n2");
    world.Restart(Snapshot{});
    world.Wake("n1");
    const LeaseRecord lease = *world.granted(world.Ask({}, "t", "v"));
    ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
    world.Hang("n2");
    world.Wake("n2");
    const Asker asker = world.Ask({.filters = {"node.name=n2"}, .wait = kForever});
    ASSERT_TRUE(world.waits(asker));
    if (how == "forget") {
      world.Silence("n2");
      world.Pass(kMinute);
      world.Tell(Forget{world.next_asker(), World::Admin(), "n2"});
    } else if (how == "inventory") {
      world.record("n2").gpus[0].memory_bytes *= 2;
      world.RegisterNode("n2");
      EXPECT_TRUE(world.waits(asker));
    } else if (how == "the other one ends") {
      world.Release(lease);
      world.Pass(kMinute);
      EXPECT_TRUE(world.waits(asker));
    }
    world.Reboot("n2");
    EXPECT_TRUE(world.granted(asker));
    EXPECT_TRUE(world.pool().strays().empty());
  }
}

TEST(Restart, WithoutItsStoreAPoolAdoptsWhatNodesHave) {
  World world({}, Time(std::chrono::sys_days(std::chrono::year(2027) / 5 / 1)));
  world.AddNode("n1", 1);
  world.AddNode("n2", 1);
  const LeaseRecord old = *world.granted(world.Ask({.filters = {"node.name=n2"}}));
  ASSERT_EQ(world.Open(old.id), Outcome::kDone);
  world.Silence("n1");
  world.Silence("n2");
  world.Pass(kMinute);
  world.Restart(Snapshot{});
  world.Wake("n1");
  const LeaseRecord lease = *world.granted(world.Ask({}, "t", "v"));
  EXPECT_GT(lease.id, old.id);
  world.Wake("n2");
  EXPECT_TRUE(world.is_live(old.id));
  EXPECT_EQ(world.pool().leases().at(old.id).record.user, old.user);
}

TEST(Restart, LeasesOfANodeThatNeverComesBackEnd) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Silence("n1");
  world.Restart();
  world.Pass(4 * kMinute);
  EXPECT_TRUE(world.is_live(lease.id));
  world.Pass(2 * kMinute);
  EXPECT_FALSE(world.is_live(lease.id));
}

TEST(Restart, AStoreThatMakesNoSenseGivesNothingOutTwice) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  Snapshot snapshot = world.stored();
  snapshot.leases.push_back(lease);
  snapshot.leases.back().id.number += 1;
  snapshot.leases.push_back(lease);
  snapshot.leases.back().id.number += 2;
  snapshot.leases.back().node = "nowhere";
  world.Restart(snapshot);
  EXPECT_EQ(world.pool().leases().size(), 1u);
  EXPECT_EQ(world.stored().leases.size(), 1u);
}

}  // namespace
}  // namespace outboard::pool
