// Requests that take the place of leases.

#include <gtest/gtest.h>

#include "tests/unit/pool/world.h"

namespace outboard::pool {
namespace {

class Replacement : public ::testing::Test {
 protected:
  Replacement() { world_.AddNode("n1", 2); }
  LeaseRecord Running(Wish wish = {}, const std::string& tenant = "t") {
    const Asker asker = world_.Ask(std::move(wish), tenant);
    const LeaseRecord* const lease = world_.granted(asker);
    if (lease == nullptr) {
      ADD_FAILURE() << "was not granted";
      return {};
    }
    EXPECT_EQ(world_.Open(lease->id), Outcome::kDone);
    return *lease;
  }
  World world_;
};

TEST_F(Replacement, AHigherPriorityTakesThePlaceAfterWarningAndGrace) {
  const LeaseRecord victim = Running({.gpus = 2, .priority = 2});
  world_.Pass(10 * kMinute);
  const Asker urgent = world_.Ask({.priority = 8, .wait = kForever});
  ASSERT_EQ(world_.notices(victim.id).size(), 1u);
  EXPECT_EQ(world_.notices(victim.id)[0].kind, Notice::Kind::kWarning);
  EXPECT_EQ(world_.notices(victim.id)[0].deadline, world_.now() + 30 * kSecond);
  world_.Pass(29 * kSecond);
  EXPECT_TRUE(world_.is_live(victim.id));
  world_.Pass(kSecond);
  EXPECT_FALSE(world_.is_live(victim.id));
  EXPECT_TRUE(world_.granted(urgent));
}

TEST_F(Replacement, NotBeforeTheMinimumRunIsOver) {
  const LeaseRecord victim = Running({.gpus = 2, .priority = 2});
  const Asker urgent = world_.Ask({.priority = 8, .wait = kForever});
  EXPECT_TRUE(world_.notices(victim.id).empty());
  world_.Pass(5 * kMinute - kSecond);
  EXPECT_TRUE(world_.is_live(victim.id));
  EXPECT_EQ(world_.notices(victim.id).size(), 1u) << "the warning comes so early that the end is in time";
  world_.Pass(2 * kSecond);
  EXPECT_FALSE(world_.is_live(victim.id));
  EXPECT_TRUE(world_.granted(urgent));
}

TEST_F(Replacement, NotForAnEqualPriority) {
  const LeaseRecord running = Running({.gpus = 2, .priority = 5});
  world_.Pass(10 * kMinute);
  const Asker asker = world_.Ask({.priority = 5, .wait = kForever});
  world_.Pass(60 * kMinute);
  EXPECT_TRUE(world_.is_live(running.id));
  EXPECT_TRUE(world_.waits(asker));
}

TEST_F(Replacement, TheLowestPriorityAndThenTheYoungestGoes) {
  const LeaseRecord older = Running({.priority = 3});
  world_.Pass(kMinute);
  const LeaseRecord younger = Running({.priority = 3});
  world_.Pass(10 * kMinute);
  world_.Ask({.priority = 8, .wait = kForever});
  EXPECT_TRUE(world_.notices(older.id).empty());
  EXPECT_EQ(world_.notices(younger.id).size(), 1u);
}

TEST_F(Replacement, NoMoreGoThanNeeded) {
  const LeaseRecord half = Running({.gpus = 0.5, .priority = 1});
  const LeaseRecord other_half = Running({.gpus = 0.5, .priority = 2});
  const LeaseRecord whole = Running({.priority = 3});
  world_.Pass(10 * kMinute);
  world_.Ask({.priority = 8, .wait = kForever});
  // One of priority 3 is not asked for where two of 1 and 2 do.
  EXPECT_EQ(world_.notices(half.id).size(), 1u);
  EXPECT_EQ(world_.notices(other_half.id).size(), 1u);
  EXPECT_TRUE(world_.notices(whole.id).empty());
  world_.Ask({.priority = 8, .wait = kForever});
  EXPECT_EQ(world_.notices(whole.id).size(), 1u) << "another request needs another place";
}

TEST_F(Replacement, NothingEndsForWhatWouldNotFitAllTheSame) {
  const LeaseRecord low = Running({.priority = 1});
  Running({.priority = 9});
  world_.Pass(10 * kMinute);
  const Asker big = world_.Ask({.gpus = 2, .priority = 8, .wait = kForever});
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.waits(big));
  EXPECT_TRUE(world_.is_live(low.id));
}

TEST_F(Replacement, NobodyElseGetsThePlace) {
  world_.Hang("n1");
  const LeaseRecord victim = Running({.gpus = 2, .priority = 2});
  world_.Pass(10 * kMinute);
  const Asker urgent = world_.Ask({.gpus = 2, .priority = 8, .wait = kForever});
  const Asker small = world_.Ask({.wait = kForever});
  world_.Pass(kMinute);
  EXPECT_FALSE(world_.is_live(victim.id));
  world_.Finish("n1");
  EXPECT_TRUE(world_.granted(urgent));
  EXPECT_TRUE(world_.waits(small));
}

TEST_F(Replacement, IsCalledOffWhenTheRequestGoesAway) {
  const LeaseRecord victim = Running({.gpus = 2, .priority = 2});
  world_.Pass(10 * kMinute);
  const Asker urgent = world_.Ask({.priority = 8, .wait = kForever});
  world_.Tell(Withdraw{urgent});
  EXPECT_EQ(world_.notices(victim.id).back().kind, Notice::Kind::kReprieve);
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.is_live(victim.id));
}

TEST_F(Replacement, IsCalledOffWhenThereIsRoomElsewhere) {
  const LeaseRecord victim = Running({.gpus = 2, .priority = 2});
  world_.Pass(10 * kMinute);
  const Asker urgent = world_.Ask({.priority = 8, .wait = kForever});
  world_.AddNode("n2", 1);
  EXPECT_EQ(world_.granted(urgent)->node, "n2");
  EXPECT_EQ(world_.notices(victim.id).back().kind, Notice::Kind::kReprieve);
}

TEST_F(Replacement, NotBeyondTheMaximumOfWhoAsks) {
  world_.SetTenant("s", 0, 1, 1);
  const LeaseRecord own = Running({.priority = 5}, "s");
  const LeaseRecord victim = Running({.priority = 2});
  world_.Pass(10 * kMinute);
  world_.Ask({.priority = 8, .wait = kForever}, "s");
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.is_live(victim.id));
  EXPECT_TRUE(world_.is_live(own.id));
}

TEST_F(Replacement, AQuotaIsTakenBackFromWhoIsBeyondHis) {
  world_.SetTenant("s", 1);
  world_.SetTenant("t", 1);
  const LeaseRecord first = Running({.priority = 9});
  const LeaseRecord second = Running({.priority = 9});
  world_.Pass(10 * kMinute);
  const Asker own = world_.Ask({.priority = 0, .wait = kForever}, "s");
  const Asker beyond = world_.Ask({.priority = 0, .wait = kForever}, "s");
  world_.Pass(kMinute / 2);
  ASSERT_TRUE(world_.granted(own));
  ASSERT_EQ(world_.Open(world_.granted(own)->id), Outcome::kDone);
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.waits(beyond)) << "one is its quota";
  ASSERT_NE(world_.is_live(first.id), world_.is_live(second.id));
  const LeaseId over = world_.is_live(first.id) ? second.id : first.id;
  EXPECT_NE(world_.notices(over).back().text.find("takes back"), std::string::npos);
}

TEST_F(Replacement, WhatIsWithinAQuotaIsSafeFromOtherTenants) {
  world_.SetTenant("t", 2);
  const LeaseRecord first = Running({.priority = 0});
  const LeaseRecord second = Running({.priority = 0});
  world_.Pass(10 * kMinute);
  const Asker other = world_.Ask({.priority = 9, .wait = kForever}, "s");
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.waits(other));
  EXPECT_TRUE(world_.is_live(first.id));
  EXPECT_TRUE(world_.is_live(second.id));
  const Asker own = world_.Ask({.priority = 9, .wait = kForever}, "t");
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.granted(own)) << "but not from its own";
}

TEST_F(Replacement, IsCalledOffWhenTheLeaseHasComeWithinItsQuota) {
  world_.SetTenant("t", 1);
  const LeaseRecord first = Running({.priority = 5});
  const LeaseRecord second = Running({.priority = 0});
  world_.Pass(10 * kMinute);
  const Asker other = world_.Ask({.gpus = 1, .filters = {"node.name=n1"}, .priority = 9, .wait = kForever}, "s");
  ASSERT_EQ(world_.notices(second.id).back().kind, Notice::Kind::kWarning);
  world_.Hang("n1");
  ASSERT_EQ(world_.Release(first), Outcome::kDone);
  EXPECT_EQ(world_.notices(second.id).back().kind, Notice::Kind::kReprieve);
  world_.Pass(10 * kMinute);
  EXPECT_TRUE(world_.is_live(second.id)) << "one is the quota of t";
  world_.Finish("n1");
  EXPECT_TRUE(world_.granted(other));
}

TEST_F(Replacement, ADrainOfTheNodeFreesTheRequest) {
  const LeaseRecord victim = Running({.gpus = 2, .priority = 2});
  world_.Pass(10 * kMinute);
  const Asker urgent = world_.Ask({.priority = 8, .wait = kForever});
  world_.Tell(StartDrain{world_.next_asker(), World::Admin(), "n1"});
  EXPECT_EQ(world_.notices(victim.id).back().kind, Notice::Kind::kReprieve);
  world_.AddNode("n2", 1);
  EXPECT_EQ(world_.granted(urgent)->node, "n2");
}

}  // namespace
}  // namespace outboard::pool
