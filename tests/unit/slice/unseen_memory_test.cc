#include "server/slice/unseen_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

namespace outboard::slice {
namespace {

class UnseenMemoryTest : public testing::Test {
 protected:
  void Look(std::optional<uint64_t> has) {
    has_ = has;
    memory_.Look();
  }

  std::optional<uint64_t> has_;
  Ledger ledger_ = std::move(*Ledger::Create(1000));
  const uint32_t account_ = *ledger_.OpenAccount();
  UnseenMemory memory_{{{&ledger_, account_}}, [this](size_t) { return has_; }};
};

TEST_F(UnseenMemoryTest, WhatIsThereFirstIsTheContextAndTheRestGrowth) {
  Look(300);
  EXPECT_EQ(ledger_.unseen(), (Unseen{300, 0}));
  ASSERT_TRUE(ledger_.Charge(account_, 100));
  Look(400);
  EXPECT_EQ(ledger_.unseen(), (Unseen{300, 0})) << "what was asked for is no growth";
  Look(450);
  EXPECT_EQ(ledger_.unseen(), (Unseen{300, 50}));
  EXPECT_EQ(ledger_.used(), 450u);
  Look(450);
  EXPECT_EQ(ledger_.used(), 450u) << "once";
  ledger_.Refund(account_, 100);
  Look(350);
  EXPECT_EQ(ledger_.used(), 350u);
  Look(0);
  EXPECT_EQ(ledger_.used(), 0u) << "the context is gone";
  Look(320);
  EXPECT_EQ(ledger_.unseen(), (Unseen{320, 0})) << "of the next one";
}

TEST_F(UnseenMemoryTest, WhereTheDriverHasLessThanItWasAskedForThereIsNothing) {
  ASSERT_TRUE(ledger_.Charge(account_, 100));
  Look(60);  // pools give back late
  EXPECT_EQ(ledger_.unseen(), Unseen{});
  EXPECT_EQ(ledger_.used(), 100u);
}

TEST_F(UnseenMemoryTest, WhatIsNotKnownChangesNothing) {
  Look(300);
  Look(std::nullopt);
  EXPECT_EQ(ledger_.unseen(), (Unseen{300, 0}));
}

TEST_F(UnseenMemoryTest, MoreThanThereIsRoomForIsChargedAllTheSame) {
  ASSERT_TRUE(ledger_.Charge(account_, 900));
  Look(1200);
  EXPECT_EQ(ledger_.used(), 1200u);
  EXPECT_FALSE(ledger_.Charge(account_, 1));
}

// Three processes of a lease, on a driver that takes 300 bytes for each context.
TEST(UnseenContexts, AreChargedBeforeThereIsOneAndRefusedWhereThereIsNoRoom) {
  Ledger ledger = std::move(*Ledger::Create(1000));
  const auto worker = [&](std::optional<uint64_t> has) {
    return UnseenMemory({{&ledger, *ledger.OpenAccount(), 300}}, [has](size_t) { return has; });
  };
  UnseenMemory first = worker(280), second = worker(std::nullopt), third = worker(0);
  EXPECT_TRUE(first.MakeRoom(0));
  EXPECT_EQ(ledger.unseen(), (Unseen{300, 0}));
  first.EndRoom(0, true);
  first.Look();
  EXPECT_EQ(ledger.used(), 280u) << "it took a little less";
  EXPECT_TRUE(first.MakeRoom(0));
  first.EndRoom(0, false);
  EXPECT_EQ(ledger.used(), 280u) << "it has one already";
  EXPECT_TRUE(second.MakeRoom(0));
  second.EndRoom(0, false);
  EXPECT_EQ(ledger.used(), 280u) << "none was made";
  EXPECT_TRUE(second.MakeRoom(0));
  second.EndRoom(0, true);
  second.Look();
  EXPECT_EQ(ledger.used(), 580u) << "what NVML does not tell is as it was measured";
  ASSERT_TRUE(ledger.Charge(0, 121));
  EXPECT_FALSE(third.MakeRoom(0));
  EXPECT_EQ(ledger.used(), 701u);
  ledger.Refund(0, 1);
  EXPECT_TRUE(third.MakeRoom(0));
  EXPECT_EQ(ledger.free(), 0u);
  EXPECT_EQ(ledger.unseen(), (Unseen{880, 0}));
}

TEST(UnseenContexts, OfADriverThatTakesNothingNeedNoRoom) {
  Ledger ledger = std::move(*Ledger::Create(1000));
  const uint32_t account = *ledger.OpenAccount();
  UnseenMemory memory({{&ledger, account}}, [](size_t) { return std::nullopt; });
  ASSERT_TRUE(ledger.Charge(account, 1000));
  EXPECT_TRUE(memory.MakeRoom(0));
  EXPECT_EQ(ledger.used(), 1000u);
}

// The library of the tests knows the GPU "GPU-1".
TEST(ProcessByNvml, IsFoundByItsNumberAmongOthers) {
  const std::string mine = std::to_string(getpid());
  setenv("FAKE_NVML_PROCESSES", ("7:1," + mine + ":4096,8:2").c_str(), 1);
  const UnseenMemory::Read read = ReadProcessByNvml(OUTBOARD_FAKE_NVML, {"GPU-1", "GPU-2"});
  EXPECT_EQ(read(0), 4096u);
  EXPECT_EQ(read(1), std::nullopt) << "a GPU that it does not know";
  std::string many;
  for (int pid = 1'000'000; pid < 1'000'200; ++pid) many += std::to_string(pid) + ":1,";
  setenv("FAKE_NVML_PROCESSES", (many + mine + ":77").c_str(), 1);
  EXPECT_EQ(read(0), 77u);
  setenv("FAKE_NVML_PROCESSES", "7:1", 1);
  EXPECT_EQ(read(0), 0u) << "it has no context any more";
  EXPECT_EQ(ReadProcessByNvml(OUTBOARD_FAKE_NVML, {"GPU-1"})(0), std::nullopt) << "processes of another namespace";
  setenv("FAKE_NVML_PROCESSES", (mine + ":" + std::to_string(~0ull)).c_str(), 1);
  EXPECT_EQ(read(0), std::nullopt) << "NVML_VALUE_NOT_AVAILABLE";
  unsetenv("FAKE_NVML_PROCESSES");
  EXPECT_EQ(ReadProcessByNvml("/no/such/library", {"GPU-1"})(0), std::nullopt);
  setenv("FAKE_NVML", "refuse", 1);
  EXPECT_EQ(ReadProcessByNvml(OUTBOARD_FAKE_NVML, {"GPU-1"})(0), std::nullopt);
  unsetenv("FAKE_NVML");
}

}  // namespace
}  // namespace outboard::slice
