#include <gtest/gtest.h>

#include <limits>

#include "common/base/limits.h"
#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

TEST(Nodes, AreRefusedWhenWhatTheySayCannotBe) {
  World world;
  NodeRecord good{.name = "n1", .address = "n1:7000", .gpus = {{"GPU-a", "GPU", kGib}}};
  const auto try_to_register = [&world](const NodeRecord& node, uint64_t epoch = 0) {
    world.Tell(Register{world.next_asker(), World::NodeIdentity(), node, epoch, {}});
    return world.outcome();
  };
  NodeRecord node = good;
  node.name = "with space";
  EXPECT_EQ(try_to_register(node), Outcome::kInvalid);
  node.name = "a\nb" + std::string(4 << 20, 'x');
  EXPECT_EQ(try_to_register(node), Outcome::kInvalid);
  EXPECT_EQ(world.outcome_text().find('\n'), std::string::npos) << "what goes to the log is one line";
  EXPECT_LT(world.outcome_text().size(), 1000u);
  world.Tell(Register{world.next_asker(), World::User("t", "u"), node, 0, {}});
  EXPECT_EQ(world.outcome_text().find('\n'), std::string::npos);
  EXPECT_LT(world.outcome_text().size(), 1000u);
  node = good;
  node.address.clear();
  EXPECT_EQ(try_to_register(node), Outcome::kInvalid);
  node = good;
  node.gpus.push_back(node.gpus[0]);
  EXPECT_EQ(try_to_register(node), Outcome::kInvalid);
  EXPECT_NE(world.outcome_text().find("GPU-a"), std::string::npos);
  node = good;
  node.gpus[0].memory_bytes = 0;
  EXPECT_EQ(try_to_register(node), Outcome::kInvalid);
  node.gpus[0].memory_bytes = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(try_to_register(node), Outcome::kInvalid);
  EXPECT_EQ(try_to_register(good, std::numeric_limits<uint64_t>::max()), Outcome::kInvalid);
  EXPECT_TRUE(world.pool().nodes().empty());
  EXPECT_EQ(try_to_register(good), Outcome::kDone);
  // The same GPU in two machines.
  node = good;
  node.name = "n2";
  EXPECT_EQ(try_to_register(node), Outcome::kInvalid);
  node.is_software = true;
  EXPECT_EQ(try_to_register(node), Outcome::kDone);
}

TEST(Nodes, OneThatLiesAboutNumbersLocksNobodyOut) {
  World world;
  world.AddNode("n1", 1);
  const NodeRecord liar{.name = "liar", .address = "liar:1"};
  const auto register_with = [&](uint64_t epoch) {
    world.Tell(Register{world.next_asker(), World::NodeIdentity(), liar, epoch, {}});
    return world.outcome();
  };
  EXPECT_EQ(register_with(uint64_t{1} << 62), Outcome::kInvalid);
  EXPECT_NE(world.outcome_text().find("Remove the file"), std::string::npos) << world.outcome_text();
  EXPECT_EQ(register_with(uint64_t{1} << 40), Outcome::kDone);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.RegisterNode("n1");
  EXPECT_EQ(world.outcome(), Outcome::kDone);
  EXPECT_TRUE(world.is_live(lease.id));
}

TEST(Nodes, SpeakUpSeveralTimesBeforeTheyCountAsLost) {
  for (const Duration lost_after : {kSecond, 4 * kSecond, 15 * kSecond, 10 * kMinute}) {
    Settings settings;
    settings.lost_after = lost_after;
    EXPECT_GT(HeartbeatEvery(settings), Duration(0));
    EXPECT_LE(2 * HeartbeatEvery(settings), lost_after);
  }
}

TEST(Nodes, AnotherNodeOfTheSameNameIsRefusedWhileTheFirstIsHeardOf) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  NodeRecord copy = world.record("n1");
  copy.address = "elsewhere:7000";
  const auto come = [&](bool other_is_attached) {
    world.Tell(Register{world.next_asker(), World::NodeIdentity(), copy, 0, {}, "another", other_is_attached});
    return world.outcome();
  };
  EXPECT_EQ(come(true), Outcome::kConflict);
  EXPECT_NE(world.outcome_text().find("n1:7000"), std::string::npos) << world.outcome_text();
  EXPECT_TRUE(world.is_live(lease.id));
  world.Silence("n1");
  world.Pass(Settings().lost_after / 2);
  EXPECT_EQ(come(true), Outcome::kConflict);
  world.Pass(Settings().lost_after);
  EXPECT_EQ(come(true), Outcome::kDone);
}

TEST(Nodes, OnlyWhoIsOneMaySpeakAsOne) {
  World world;
  world.AddNode("n1", 1);
  const Identity user = World::User("t", "u");
  world.Tell(Register{1000, user, world.record("n1"), 0, {}});
  EXPECT_EQ(world.outcome(), Outcome::kForbidden);
  world.Tell(Heartbeat{1001, user, "n1", {{}}, {}});
  EXPECT_EQ(world.outcome(), Outcome::kNotFound);
  Identity other = World::NodeIdentity();
  other.node = "n2";
  world.Tell(Register{1002, other, world.record("n1"), 0, {}});
  EXPECT_EQ(world.outcome(), Outcome::kForbidden);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(Over{1003, user, "n1", lease.id});
  world.Tell(Over{1004, other, "n1", lease.id});
  EXPECT_TRUE(world.is_live(lease.id));
}

TEST(Nodes, OnlyAdministratorsChangeThem) {
  World world;
  world.AddNode("n1", 1);
  const Identity user = World::User("t", "u");
  world.Tell(Cordon{1000, user, "n1", true});
  EXPECT_EQ(world.outcome(), Outcome::kForbidden);
  world.Tell(StartDrain{1001, user, "n1", kMinute, true});
  EXPECT_EQ(world.outcome(), Outcome::kForbidden);
  world.Tell(StopDrain{1002, user, "n1"});
  EXPECT_EQ(world.outcome(), Outcome::kForbidden);
  world.Tell(Forget{1003, user, "n1"});
  EXPECT_EQ(world.outcome(), Outcome::kForbidden);
  world.Tell(Cordon{1004, World::Admin(), "n7", true});
  EXPECT_EQ(world.outcome(), Outcome::kNotFound);
  EXPECT_TRUE(world.granted(world.Ask({})));
}

TEST(Nodes, ASilentOneGetsNothingAndItsLeasesOutliveTheSilenceForATime) {
  World world;
  world.AddNode("n1", 2);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Silence("n1");
  world.Pass(20 * kSecond);
  const Asker asker = world.Ask({.wait = kForever}, "t", "v");
  EXPECT_TRUE(world.waits(asker));
  EXPECT_NE(world.why(asker).find("n1 does not answer"), std::string::npos) << world.why(asker);
  EXPECT_EQ(world.notices(lease.id).back().kind, Notice::Kind::kWarning);
  const auto warning = [&] { return pool::Leases::NextWarning(world.pool().leases().at(lease.id)); };
  ASSERT_TRUE(warning()) << "whoever asks later is told as well";
  EXPECT_EQ(warning()->deadline, world.notices(lease.id).back().deadline);
  world.Tell(Stalled{});
  EXPECT_EQ(warning()->deadline, world.now() + 5 * kMinute);
  EXPECT_EQ(world.notices(lease.id).back().deadline, warning()->deadline);

  world.Wake("n1");
  EXPECT_FALSE(warning());
  EXPECT_EQ(world.notices(lease.id).back().kind, Notice::Kind::kReprieve);
  EXPECT_TRUE(world.granted(asker));
  EXPECT_TRUE(world.is_live(lease.id));

  world.Silence("n1");
  const Time last_heard = world.now();
  world.Pass(10 * kMinute);
  EXPECT_FALSE(world.is_live(lease.id));
  // Nobody pays for a node's silence.
  EXPECT_EQ(world.pool().ledger().usage().at({"t", "u"}).gpu_microseconds,
            static_cast<uint64_t>((last_heard - lease.granted_at).count()) * 1000);
}

TEST(Nodes, OneThatComesBackStillHasTheRoomOfWhatItRunsUntilThatIsOver) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Silence("n1");
  world.Pass(10 * kMinute);
  ASSERT_FALSE(world.is_live(lease.id));
  const Asker asker = world.Ask({.wait = kForever});
  world.Hang("n1");
  world.Wake("n1");
  EXPECT_TRUE(world.waits(asker)) << "the lease that is over still runs there";
  world.Finish("n1");
  EXPECT_TRUE(world.granted(asker));
}

TEST(Nodes, HaveTheirTimeAgainWhenThePoolWasHeldUp) {
  World world;
  world.AddNode("n1", 1);
  world.Silence("n1");
  world.Pass(14 * kSecond);
  world.Tell(Stalled{});
  world.Pass(14 * kSecond);
  EXPECT_TRUE(world.pool().nodes().at("n1").up);
  world.Pass(2 * kSecond);
  EXPECT_FALSE(world.pool().nodes().at("n1").up);
}

TEST(Nodes, ARebootEndsWhatRan) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Reboot("n1");
  EXPECT_FALSE(world.is_live(lease.id));
  EXPECT_EQ(world.notices(lease.id).back().kind, Notice::Kind::kEnded);
  EXPECT_TRUE(world.granted(world.Ask({})));
}

TEST(Nodes, TheirInventoryMayChangeUnderLeases) {
  World world;
  world.AddNode("n1", 3);
  const LeaseRecord first = *world.granted(world.Ask({}));
  const LeaseRecord second = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(first.id), Outcome::kDone);
  ASSERT_EQ(world.Open(second.id), Outcome::kDone);
  NodeRecord& record = world.record("n1");
  ASSERT_EQ(first.gpus[0].uuid, record.gpus[0].uuid);
  record.gpus.erase(record.gpus.begin());  // the first GPU died; the others have other places now
  world.reports("n1").pop_back();
  world.RegisterNode("n1");
  EXPECT_FALSE(world.is_live(first.id));
  EXPECT_TRUE(world.is_live(second.id));
  EXPECT_EQ(world.pool().leases().at(second.id).placement.slices[0].gpu, 0);
  EXPECT_TRUE(world.granted(world.Ask({})));
  EXPECT_TRUE(world.refused(world.Ask({})));
  // And become smaller than what is given out of it.
  record.gpus[0].memory_bytes = kGib;
  world.RegisterNode("n1");
  EXPECT_FALSE(world.is_live(second.id));
}

TEST(Nodes, OneThatSaysOtherThanItRegisteredHasToRegisterAgain) {
  World world;
  world.AddNode("n1", 2);
  world.Tell(Heartbeat{1000, World::NodeIdentity(), "n1", {{}}, {}});
  EXPECT_EQ(world.outcome(), Outcome::kInvalid);
  world.Tell(Heartbeat{1001, World::NodeIdentity(), "n2", {{}}, {}});
  EXPECT_EQ(world.outcome(), Outcome::kNotFound);
  std::vector<HeldLease> many(5000);
  world.Tell(Heartbeat{1002, World::NodeIdentity(), "n1", {{}, {}}, many});
  EXPECT_EQ(world.outcome(), Outcome::kInvalid);
}

TEST(Nodes, ALeaseWithOtherGpusThanWereGivenOutEnds) {
  World world;
  world.AddNode("n1", 2);
  const LeaseRecord lease = *world.granted(world.Ask({.gpus = 0.5}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  HeldLease lie{lease};
  lie.lease.gpus[0].memory_bytes *= 2;
  world.Tell(Heartbeat{1000, World::NodeIdentity(), "n1", {{}, {}}, {lie}});
  EXPECT_FALSE(world.is_live(lease.id));
}

TEST(Nodes, InventedLeasesHarmNobody) {
  World world;
  world.AddNode("n1", 1);
  HeldLease lie;
  lie.lease.id = {3};
  lie.lease.gpus = {{"GPU-n1-0", -5, kGib}, {"GPU-n1-0", 4000, 1000 * kGib}, {"GPU-n1-0", 1000, 1}};
  HeldLease other = lie;
  other.lease.id = {std::numeric_limits<uint64_t>::max()};
  other.lease.gpus = {{"GPU-of-another", 1, 1}};
  const Effects effects = world.Tell(Heartbeat{1000, World::NodeIdentity(), "n1", {{}}, {lie, other, lie}});
  EXPECT_EQ(world.outcome(), Outcome::kDone);
  // The honest node has nothing of them.
  world.Pass(kMinute);
  EXPECT_TRUE(world.pool().leases().empty());
  EXPECT_TRUE(world.granted(world.Ask({})));
}

TEST(Nodes, WhatIsNoNumberIsNoUtilization) {
  World world;
  world.AddNode("n1", 1);
  world.reports("n1")[0].utilization = std::numeric_limits<double>::quiet_NaN();
  world.Pass(6 * kSecond);
  EXPECT_EQ(world.pool().nodes().at("n1").reports[0].utilization, 0);
}

TEST(Nodes, UnusableGpusGetNoNewLeases) {
  World world;
  world.AddNode("n1", 2);
  world.reports("n1")[0] = {.usable = false, .why = "Xid 79"};
  world.Pass(6 * kSecond);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  EXPECT_EQ(lease.gpus[0].uuid, "GPU-n1-1");
  const Asker asker = world.Ask({.wait = kForever});
  EXPECT_TRUE(world.waits(asker));
  world.reports("n1")[0].usable = true;
  world.Pass(6 * kSecond);
  EXPECT_TRUE(world.granted(asker));
}

TEST(Nodes, CordonedOnesKeepTheirLeasesAndGetNoOthers) {
  World world;
  world.AddNode("n1", 2);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(Cordon{1000, World::Admin(), "n1", true});
  const Asker asker = world.Ask({.wait = kForever});
  EXPECT_TRUE(world.waits(asker));
  EXPECT_NE(world.why(asker).find("n1 is cordoned"), std::string::npos) << world.why(asker);
  EXPECT_TRUE(world.is_live(lease.id));
  world.Tell(Cordon{1001, World::Admin(), "n1", false});
  EXPECT_TRUE(world.granted(asker));
}

TEST(Nodes, ADrainWarnsAndEvictsAtItsDeadline) {
  World world;
  world.AddNode("n1", 2);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(StartDrain{1000, World::Admin(), "n1", 10 * kMinute, true});
  ASSERT_EQ(world.notices(lease.id).size(), 1u);
  EXPECT_EQ(world.notices(lease.id)[0].deadline, world.now() + 10 * kMinute);
  EXPECT_TRUE(world.refused(world.Ask({})));
  world.Pass(10 * kMinute - kSecond);
  EXPECT_TRUE(world.is_live(lease.id));
  world.Pass(kSecond);
  EXPECT_FALSE(world.is_live(lease.id));
  world.Tell(StopDrain{1001, World::Admin(), "n1"});
  EXPECT_TRUE(world.granted(world.Ask({})));
}

TEST(Nodes, ADrainThatEvictsNeedsADeadline) {
  World world;
  world.AddNode("n1", 1);
  world.Tell(StartDrain{1000, World::Admin(), "n1", kForever, true});
  EXPECT_EQ(world.outcome(), Outcome::kInvalid);
  EXPECT_TRUE(world.granted(world.Ask({})));
}

TEST(Nodes, ADrainWithoutEvictionWaits) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(StartDrain{1000, World::Admin(), "n1", kMinute, false});
  world.Pass(60 * kMinute);
  EXPECT_TRUE(world.is_live(lease.id));
}

TEST(Nodes, ADrainThatIsStoppedReprieves) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(StartDrain{1000, World::Admin(), "n1", kMinute, true});
  world.Tell(StopDrain{1001, World::Admin(), "n1"});
  EXPECT_EQ(world.notices(lease.id).back().kind, Notice::Kind::kReprieve);
  world.Pass(10 * kMinute);
  EXPECT_TRUE(world.is_live(lease.id));
}

TEST(Nodes, AreForgottenWhenTheyAreGone) {
  World world;
  world.AddNode("n1", 1);
  world.AddNode("n2", 1);
  const LeaseRecord lease = *world.granted(world.Ask({.filters = {"node.name=n1"}}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Tell(Forget{1000, World::Admin(), "n1"});
  EXPECT_EQ(world.outcome(), Outcome::kConflict);
  world.Silence("n1");
  world.Pass(kMinute);
  world.Tell(Forget{1001, World::Admin(), "n1"});
  EXPECT_EQ(world.outcome(), Outcome::kDone);
  EXPECT_FALSE(world.is_live(lease.id));
  EXPECT_EQ(world.stored().nodes.size(), 1u);
  EXPECT_TRUE(world.granted(world.Ask({})));
  const Asker asker = world.Ask({.wait = kForever});
  EXPECT_EQ(world.why(asker).find("does not answer"), std::string::npos) << world.why(asker);
}

TEST(Nodes, ThereAreNoMoreThanTheMost) {
  Controller pool({});
  pool.Restore({}, Time{});
  Outcome outcome = Outcome::kDone;
  std::string text;
  const auto tell = [&](const Event& event) {
    for (const Action& action : pool.Handle(event, Time{}).actions) {
      outcome = std::get<Answer>(action).outcome;
      text = std::get<Answer>(action).text;
    }
  };
  const auto add = [&](uint32_t number) {
    const std::string name = "n" + std::to_string(number);
    tell(Register{1, World::NodeIdentity(), {.name = name, .address = name, .gpus = {}}, 0, {}});
  };
  for (uint32_t i = 0; i < kMaxNodes; ++i) add(i);
  EXPECT_EQ(outcome, Outcome::kDone);
  add(kMaxNodes);
  EXPECT_EQ(outcome, Outcome::kConflict);
  EXPECT_NE(text.find("forget"), std::string::npos) << text;
  add(7);
  EXPECT_EQ(outcome, Outcome::kDone) << "it was there before";
}

TEST(Nodes, OnesThatAreForgottenLeaveNothingBehind) {
  World world;
  world.AddNode("stays", 1);
  world.Silence("stays");
  NodeRecord node{.name = "", .address = "a", .gpus = {{"", "", kGib}}};
  for (int i = 0; i < 50; ++i) {
    node.name = "n" + std::to_string(i);
    node.gpus[0] = {"GPU-" + node.name, "model " + node.name, kGib};
    world.Tell(Register{world.next_asker(), World::NodeIdentity(), node, 0, {}});
    ASSERT_EQ(world.outcome(), Outcome::kDone);
    node.gpus[0].model += " of another kind";
    world.Tell(Register{world.next_asker(), World::NodeIdentity(), node, 0, {}});
    ASSERT_EQ(world.outcome(), Outcome::kDone);
    world.Pass(kMinute);
    world.Tell(Forget{world.next_asker(), World::Admin(), node.name});
    ASSERT_EQ(world.outcome(), Outcome::kDone);
  }
  EXPECT_LE(world.pool().cluster().size(), 2);
  EXPECT_LE(world.pool().cluster().models().size(), 3u);
  world.Wake("stays");
  EXPECT_TRUE(world.granted(world.Ask({.filters = {"device.name=GPU"}})));
}

TEST(Nodes, WhatAForgottenOneStillRunsIsOver) {
  World world;
  world.AddNode("n1", 1);
  const LeaseRecord lease = *world.granted(world.Ask({}));
  ASSERT_EQ(world.Open(lease.id), Outcome::kDone);
  world.Silence("n1");
  world.Pass(kMinute);
  world.Tell(Forget{1000, World::Admin(), "n1"});
  ASSERT_FALSE(world.is_live(lease.id));
  const Asker asker = world.Ask({.wait = kForever});
  world.Hang("n1");
  world.Wake("n1");
  EXPECT_FALSE(world.is_live(lease.id));
  EXPECT_TRUE(world.waits(asker)) << "it still runs there";
  EXPECT_TRUE(world.stored().leases.empty());
  world.Finish("n1");
  EXPECT_TRUE(world.granted(asker));
}

}  // namespace
}  // namespace outboard::pool
