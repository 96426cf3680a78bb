#include <gtest/gtest.h>

#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

class Leases : public ::testing::Test {
 protected:
  Leases() { world_.AddNode("n1", 2); }
  LeaseRecord Granted(Wish wish = {}) {
    const Asker asker = world_.Ask(std::move(wish));
    const LeaseRecord* const lease = world_.granted(asker);
    if (lease == nullptr) ADD_FAILURE() << "was not granted";
    return lease == nullptr ? LeaseRecord{} : *lease;
  }
  World world_;
};

TEST_F(Leases, HalvesFillAGpu) {
  const LeaseRecord lease = Granted({.gpus = 0.5, .filters = {"node.name=n1"}, .client = "somebody"});
  EXPECT_EQ(lease.node, "n1");
  ASSERT_EQ(lease.gpus.size(), 1u);
  EXPECT_EQ(lease.gpus[0].share, 500);
  EXPECT_EQ(lease.gpus[0].memory_bytes, 40 * kGib);
  EXPECT_EQ(lease.client, "somebody");
  for (int i = 0; i < 3; ++i) Granted({.gpus = 0.5});
  EXPECT_TRUE(world_.refused(world_.Ask({.gpus = 0.001}))->no_capacity);
}

TEST_F(Leases, ARequestThatIsMadeTwiceGetsTheSameLease) {
  const Asker first = world_.Ask({}, "t", "u", "name");
  const Asker second = world_.Ask({}, "t", "u", "name");
  EXPECT_EQ(world_.granted(first)->id, world_.granted(second)->id);
  const Asker of_another = world_.Ask({}, "t", "v", "name");
  EXPECT_NE(world_.granted(first)->id, world_.granted(of_another)->id);
  // In the queue too; who asked first hears of it.
  const Asker waits = world_.Ask({.wait = kForever}, "t", "u", "other");
  const Asker waits_again = world_.Ask({.wait = kForever}, "t", "u", "other");
  EXPECT_TRUE(world_.refused(waits));
  EXPECT_TRUE(world_.waits(waits_again));
  world_.Release(*world_.granted(first));
  EXPECT_TRUE(world_.granted(waits_again));
  EXPECT_FALSE(world_.granted(waits));
  // Once it is over, the name means a new one.
  world_.Release(*world_.granted(waits_again));
  EXPECT_NE(world_.granted(world_.Ask({}, "t", "u", "name"))->id, world_.granted(first)->id);
}

TEST_F(Leases, EndWhenNobodyUsesThemInTime) {
  const LeaseRecord lease = Granted();
  world_.Pass(50 * kSecond);
  world_.Tell(Renew{world_.next_asker(), World::User("t", "u"), lease.id});
  EXPECT_EQ(world_.outcome(), Outcome::kDone);
  world_.Pass(50 * kSecond);
  EXPECT_TRUE(world_.is_live(lease.id));
  world_.Pass(11 * kSecond);
  EXPECT_FALSE(world_.is_live(lease.id));
  EXPECT_EQ(world_.Open(lease.id), Outcome::kConflict);
  EXPECT_TRUE(world_.stored().leases.empty());
}

TEST_F(Leases, OnesThatAreOpenGoOnWhileTheirNodeHasThem) {
  const LeaseRecord lease = Granted();
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  world_.Pass(std::chrono::hours(10));
  EXPECT_TRUE(world_.is_live(lease.id));
}

TEST_F(Leases, AreTheirOwnersAlone) {
  const LeaseRecord lease = Granted();
  for (const Identity& other : {World::User("t", "v"), World::User("s", "u"), World::NodeIdentity()}) {
    world_.Tell(Release{world_.next_asker(), other, lease.id});
    EXPECT_EQ(world_.outcome(), Outcome::kNotFound);
    world_.Tell(Renew{world_.next_asker(), other, lease.id});
    EXPECT_EQ(world_.outcome(), Outcome::kNotFound);
    world_.Tell(Revoke{world_.next_asker(), other, lease.id, Duration(0), ""});
    EXPECT_EQ(world_.outcome(), Outcome::kNotFound);
  }
  EXPECT_TRUE(world_.is_live(lease.id));
  world_.Tell(Revoke{world_.next_asker(), World::Admin(), lease.id, Duration(0), "maintenance"});
  EXPECT_EQ(world_.outcome(), Outcome::kDone);
  EXPECT_FALSE(world_.is_live(lease.id));
  EXPECT_NE(world_.notices(lease.id).back().text.find("maintenance"), std::string::npos);
}

TEST_F(Leases, RoomOfOneThatIsOpenIsFreeWhenItsNodeSaysSo) {
  world_.Hang("n1");
  const LeaseRecord lease = Granted({.gpus = 2});
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  EXPECT_EQ(world_.Release(lease), Outcome::kDone);
  EXPECT_EQ(world_.Release(lease), Outcome::kNotFound) << "it is over for its owner";
  const Asker asker = world_.Ask({.wait = kForever});
  EXPECT_TRUE(world_.waits(asker));
  world_.Pass(kMinute);
  EXPECT_TRUE(world_.waits(asker)) << "heartbeats say that it still runs";
  world_.Finish("n1");
  EXPECT_TRUE(world_.granted(asker));
}

TEST_F(Leases, RoomOfOneThatWasNeverOpenedIsFreeAtOnce) {
  world_.Hang("n1");
  const LeaseRecord lease = Granted({.gpus = 2});
  world_.Release(lease);
  EXPECT_TRUE(world_.granted(world_.Ask({})));
  EXPECT_EQ(world_.Open(lease.id), Outcome::kConflict) << "its node must not run it any more";
}

TEST_F(Leases, ANodeIsToldToEndWithAHigherEpoch) {
  const LeaseRecord lease = Granted();
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  const Effects effects = world_.Tell(Release{world_.next_asker(), World::User("t", "u"), lease.id});
  uint64_t epoch = 0;
  for (const Action& action : effects.actions) {
    if (const auto* end = std::get_if<EndAtNode>(&action)) epoch = end->epoch;
  }
  EXPECT_GT(epoch, lease.epoch);
  EXPECT_GT(Granted().epoch, epoch);
}

TEST_F(Leases, AnOpeningWithAnotherEpochOrOfAnotherNodeIsRefused) {
  world_.AddNode("n2", 1);
  const LeaseRecord lease = Granted({.filters = {"node.name=n1"}});
  world_.Tell(Open{world_.next_asker(), World::NodeIdentity(), "n1", lease.id, lease.epoch - 1});
  EXPECT_EQ(world_.outcome(), Outcome::kConflict);
  world_.Tell(Open{world_.next_asker(), World::NodeIdentity(), "n2", lease.id, lease.epoch});
  EXPECT_EQ(world_.outcome(), Outcome::kConflict);
  EXPECT_EQ(world_.Open(lease.id), Outcome::kDone);
}

TEST_F(Leases, ARevocationWithGraceWarnsFirst) {
  const LeaseRecord lease = Granted();
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  world_.Tell(Revoke{world_.next_asker(), World::Admin(), lease.id, kMinute, ""});
  EXPECT_EQ(world_.notices(lease.id).back().kind, Notice::Kind::kWarning);
  world_.Pass(59 * kSecond);
  EXPECT_TRUE(world_.is_live(lease.id));
  world_.Pass(kSecond);
  EXPECT_FALSE(world_.is_live(lease.id));
}

TEST_F(Leases, ItsOwnerCannotPutOffARevocation) {
  const LeaseRecord lease = Granted();
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  const auto revoke = [&](const Identity& from, Duration grace) {
    world_.Tell(Revoke{world_.next_asker(), from, lease.id, grace, ""});
    return world_.outcome();
  };
  EXPECT_EQ(revoke(World::Admin(), 2 * kMinute), Outcome::kDone);
  EXPECT_EQ(revoke(World::User("t", "u"), std::chrono::hours(24)), Outcome::kConflict);
  EXPECT_EQ(revoke(World::User("t", "u"), kMinute), Outcome::kDone);
  world_.Pass(kMinute);
  EXPECT_FALSE(world_.is_live(lease.id));
}

TEST_F(Leases, AnAdministratorMayPutARevocationOff) {
  const LeaseRecord lease = Granted();
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  for (const Duration grace : {kMinute, 3 * kMinute}) {
    world_.Tell(Revoke{world_.next_asker(), World::Admin(), lease.id, grace, ""});
    EXPECT_EQ(world_.outcome(), Outcome::kDone);
  }
  world_.Pass(2 * kMinute);
  EXPECT_TRUE(world_.is_live(lease.id));
  world_.Pass(kMinute);
  EXPECT_FALSE(world_.is_live(lease.id));
}

TEST_F(Leases, IdleOnesEndAfterAWarning) {
  const LeaseRecord lease = Granted({.idle_release = 10 * kMinute});
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  world_.SetIdle(lease.id, 7 * kMinute);
  world_.Pass(10 * kSecond);
  EXPECT_TRUE(world_.notices(lease.id).empty());
  world_.SetIdle(lease.id, 8 * kMinute);
  world_.Pass(10 * kSecond);
  ASSERT_EQ(world_.notices(lease.id).size(), 1u);
  EXPECT_EQ(world_.notices(lease.id)[0].kind, Notice::Kind::kWarning);
  EXPECT_GT(world_.notices(lease.id)[0].deadline, world_.now() + kMinute);
  // It works again.
  world_.SetIdle(lease.id, kSecond);
  world_.Pass(10 * kSecond);
  EXPECT_EQ(world_.notices(lease.id).back().kind, Notice::Kind::kReprieve);
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.is_live(lease.id));
  world_.SetIdle(lease.id, 60 * kMinute);
  world_.Pass(10 * kSecond);
  EXPECT_TRUE(world_.is_live(lease.id)) << "the warning comes first";
  world_.Pass(2 * kMinute);
  EXPECT_FALSE(world_.is_live(lease.id));
}

TEST_F(Leases, IdleOnesDoNotEndByOldNews) {
  for (const bool works_again : {true, false}) {
    const LeaseRecord lease = Granted({.idle_release = 10 * kMinute});
    ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
    world_.SetIdle(lease.id, 8 * kMinute);
    world_.Pass(6 * kSecond);
    ASSERT_EQ(world_.notices(lease.id).back().kind, Notice::Kind::kWarning);
    world_.Silence("n1");
    world_.Pass(3 * kMinute);
    EXPECT_TRUE(world_.is_live(lease.id)) << "nobody knows whether it is idle";
    world_.SetIdle(lease.id, works_again ? Duration(0) : 11 * kMinute);
    world_.Wake("n1");
    EXPECT_EQ(world_.is_live(lease.id), works_again);
    EXPECT_EQ(world_.notices(lease.id).back().kind, works_again ? Notice::Kind::kReprieve : Notice::Kind::kEnded);
  }
}

TEST_F(Leases, EndAfterTheLongestTimeThatWasAskedFor) {
  const LeaseRecord lease = Granted({.longest = 30 * kMinute});
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  world_.Pass(30 * kMinute - 31 * kSecond);
  EXPECT_TRUE(world_.notices(lease.id).empty());
  world_.Pass(kSecond);
  ASSERT_EQ(world_.notices(lease.id).size(), 1u) << "its owner is warned";
  EXPECT_EQ(world_.notices(lease.id)[0].kind, Notice::Kind::kWarning);
  EXPECT_EQ(world_.notices(lease.id)[0].deadline, lease.granted_at + 30 * kMinute);
  world_.Pass(29 * kSecond);
  EXPECT_TRUE(world_.is_live(lease.id));
  world_.Pass(kSecond);
  EXPECT_FALSE(world_.is_live(lease.id));

  const LeaseRecord brief = Granted({.longest = 10 * kSecond});
  world_.Pass(5 * kSecond);
  EXPECT_EQ(world_.notices(brief.id).size(), 1u) << "half of a short time";
}

TEST_F(Leases, UsageIsShareTimesTime) {
  const LeaseRecord half = Granted({.gpus = 0.5});
  ASSERT_EQ(world_.Open(half.id), Outcome::kDone);
  const Asker other = world_.Ask({}, "t", "v");
  ASSERT_EQ(world_.Open(world_.granted(other)->id), Outcome::kDone);
  world_.Pass(100 * kSecond);
  world_.Release(half);
  world_.Release(*world_.granted(other));
  EXPECT_EQ(world_.pool().ledger().usage().at({"t", "u"}).gpu_microseconds, 50'000'000u);
  EXPECT_EQ(world_.pool().ledger().usage().at({"t", "v"}).gpu_microseconds, 100'000'000u);
  EXPECT_EQ(world_.pool().ledger().usage().at({"t", "v"}).leases, 1u);
  ASSERT_EQ(world_.stored().usage.size(), 2u);
  EXPECT_EQ(world_.stored().usage[0].gpu_microseconds, 50'000'000u);
}

TEST_F(Leases, AClockThatGoesBackDoesNoHarm) {
  const LeaseRecord lease = Granted();
  ASSERT_EQ(world_.Open(lease.id), Outcome::kDone);
  world_.pool().Handle(Tick{}, world_.now() - std::chrono::hours(5));
  EXPECT_TRUE(world_.is_live(lease.id));
  world_.Release(lease);
  EXPECT_EQ(world_.pool().ledger().usage().at({"t", "u"}).gpu_microseconds, 0u);
}

TEST_F(Leases, APoolThatWasAsleepBlamesNobody) {
  const LeaseRecord open = Granted();
  ASSERT_EQ(world_.Open(open.id), Outcome::kDone);
  const LeaseRecord unopened = Granted();
  world_.pool().Handle(Tick{}, world_.now() + std::chrono::hours(5));
  EXPECT_TRUE(world_.is_live(open.id));
  EXPECT_TRUE(world_.is_live(unopened.id));
  EXPECT_TRUE(world_.pool().nodes().at("n1").up);
}

}  // namespace
}  // namespace outboard::pool
