#include "server/slice/ledger.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "common/base/limits.h"

namespace outboard::slice {
namespace {

constexpr uint64_t kLimit = 1000;

Ledger NewLedger(uint64_t limit = kLimit) {
  Result<Ledger> ledger = Ledger::Create(limit);
  EXPECT_TRUE(ledger) << ledger.error().message;
  return std::move(*ledger);
}

// Runs `body` in a child and returns how it ended, as waitpid says.
pid_t Fork(const std::function<void()>& body) {
  const pid_t child = fork();
  if (child != 0) return child;
  body();
  _exit(0);
}
int Wait(pid_t child) {
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

TEST(Ledger, KnowsWhatEachAccountHas) {
  Ledger ledger = NewLedger();
  const uint32_t one = *ledger.OpenAccount(), other = *ledger.OpenAccount();
  EXPECT_TRUE(ledger.Charge(one, 5));
  EXPECT_TRUE(ledger.Charge(other, 7));
  ledger.Refund(other, 1);
  EXPECT_EQ(ledger.used(one), 5u);
  EXPECT_EQ(ledger.used(other), 6u);
  EXPECT_EQ(ledger.used(), 11u);
  ledger.Settle(one);
  EXPECT_EQ(ledger.used(one), 0u);
  EXPECT_EQ(ledger.used(kMaxWorkersPerLease), 0u);
}

TEST(Ledger, TakesAllOrNothingUpToTheLimit) {
  Ledger ledger = NewLedger();
  const uint32_t account = *ledger.OpenAccount();
  EXPECT_EQ(ledger.limit(), kLimit);
  EXPECT_TRUE(ledger.Charge(account, 999));
  EXPECT_FALSE(ledger.Charge(account, 2));
  EXPECT_EQ(ledger.used(), 999u);
  EXPECT_TRUE(ledger.Charge(account, 1));
  EXPECT_TRUE(ledger.Charge(account, 0));
  EXPECT_EQ(ledger.used(), kLimit);
  EXPECT_FALSE(ledger.Charge(account, UINT64_MAX));
  EXPECT_FALSE(ledger.Charge(account, kLimit + 1));
  ledger.Refund(account, 400);
  EXPECT_EQ(ledger.used(), 600u);
  EXPECT_FALSE(ledger.Charge(account, UINT64_MAX - 599));
  EXPECT_TRUE(ledger.Charge(account, 400));
}

TEST(Ledger, RefundsNoMoreThanTheAccountHas) {
  Ledger ledger = NewLedger();
  const uint32_t first = *ledger.OpenAccount(), second = *ledger.OpenAccount();
  ASSERT_TRUE(ledger.Charge(first, 300));
  ASSERT_TRUE(ledger.Charge(second, 500));
  ledger.Refund(first, 301);
  EXPECT_EQ(ledger.used(), 500u);
  ledger.Refund(kMaxWorkersPerLease, 1);
  EXPECT_EQ(ledger.used(), 500u);
}

TEST(Ledger, ChargesOnlyOpenAccounts) {
  Ledger ledger = NewLedger();
  EXPECT_FALSE(ledger.Charge(0, 1));
  EXPECT_FALSE(ledger.Charge(kMaxWorkersPerLease, 1));
  const uint32_t account = *ledger.OpenAccount();
  ASSERT_TRUE(ledger.Charge(account, 1));
  ledger.Settle(account);
  EXPECT_FALSE(ledger.Charge(account, 1));
  EXPECT_EQ(ledger.used(), 0u);
}

TEST(Ledger, HasAnAccountForEachWorkerAndNoMore) {
  Ledger ledger = NewLedger();
  for (uint32_t i = 0; i < kMaxWorkersPerLease; ++i) ASSERT_TRUE(ledger.OpenAccount().has_value());
  EXPECT_FALSE(ledger.OpenAccount().has_value());
  ledger.Settle(17);
  EXPECT_EQ(ledger.OpenAccount(), 17u);
}

TEST(Ledger, SettlesOneAccountAndLeavesTheOthers) {
  Ledger ledger = NewLedger();
  const uint32_t dead = *ledger.OpenAccount(), alive = *ledger.OpenAccount();
  ASSERT_TRUE(ledger.Charge(dead, 600));
  ASSERT_TRUE(ledger.Charge(alive, 300));
  ledger.Settle(dead);
  EXPECT_EQ(ledger.used(), 300u);
  ledger.Settle(dead);
  EXPECT_EQ(ledger.used(), 300u);
  EXPECT_TRUE(ledger.Charge(alive, 700));
}

TEST(Ledger, IsSharedWithWhoMapsItsDescriptor) {
  Ledger ledger = NewLedger();
  Result<Ledger> other = Ledger::Map(dup(ledger.fd()));
  ASSERT_TRUE(other) << other.error().message;
  const uint32_t account = *ledger.OpenAccount();
  EXPECT_TRUE(other->Charge(account, 700));
  EXPECT_EQ(ledger.used(), 700u);
  EXPECT_EQ(other->limit(), kLimit);
  EXPECT_FALSE(ledger.Charge(account, 301));
  const Ledger moved = std::move(*other);
  EXPECT_EQ(moved.used(), 700u);
}

TEST(Ledger, RefusesDescriptorsThatAreNoLedgers) {
  EXPECT_FALSE(Ledger::Map(-1));
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  EXPECT_FALSE(Ledger::Map(pipe_ends[0]));
  close(pipe_ends[1]);

  Ledger ledger = NewLedger();
  const off_t size = lseek(ledger.fd(), 0, SEEK_END);
  const int shrinkable = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(ftruncate(shrinkable, size), 0);
  EXPECT_FALSE(Ledger::Map(shrinkable));
  EXPECT_NE(ftruncate(ledger.fd(), 0), 0) << "a worker could make the node fault";
}

TEST(Ledger, EightProcessesTogetherNeverPassTheLimit) {
  constexpr int kProcesses = 8, kRounds = 1'500'000;
  Ledger ledger = NewLedger();
  struct Shared {
    std::atomic<int> started;
    std::array<std::atomic<uint64_t>, kProcesses> held;  // what each of them has at its end
  };
  auto* const shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(shared, MAP_FAILED);
  std::vector<pid_t> children;
  for (int i = 0; i < kProcesses; ++i) {
    const uint32_t account = *ledger.OpenAccount();
    children.push_back(Fork([&, i, account] {
      // All at a time: each of them alone takes less time than it takes to start one.
      for (++shared->started; shared->started != kProcesses;) sched_yield();
      uint64_t state = static_cast<uint64_t>(i) * 7919 + 1, has = 0;
      for (int round = 0; round < kRounds; ++round) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        const uint64_t bytes = state >> 33 & 63;  // so many that some charges are refused
        if ((state >> 63) != 0) {
          if (ledger.Charge(account, bytes)) has += bytes;
        } else {
          ledger.Refund(account, bytes);
          has -= std::min(bytes, has);
        }
        if (ledger.used() > kLimit) _exit(1);
      }
      while (ledger.Charge(account, 1)) ++has;
      shared->held[i] = has;
    }));
  }
  for (const pid_t child : children) EXPECT_EQ(Wait(child), 0);
  uint64_t sum = 0;
  for (const auto& has : shared->held) sum += has;
  EXPECT_EQ(sum, ledger.used());
  EXPECT_EQ(sum, kLimit) << "the last one filled it up";
  munmap(shared, sizeof *shared);
}

TEST(Ledger, GivesBackWhatKilledWorkersHad) {
  Ledger ledger = NewLedger();
  for (int round = 0; round < 50; ++round) {
    const uint32_t account = *ledger.OpenAccount();
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    const pid_t child = Fork([&] {
      bool told = false;
      for (;;) {
        static_cast<void>(ledger.Charge(account, 7));
        ledger.Refund(account, 3);
        if (!told && write(ready[1], "", 1) == 1) told = true;
      }
    });
    char byte;
    ASSERT_EQ(read(ready[0], &byte, 1), 1);
    ASSERT_EQ(kill(child, SIGKILL), 0);
    EXPECT_TRUE(WIFSIGNALED(Wait(child)));
    EXPECT_GT(ledger.used(), 0u);
    ledger.Settle(account);
    ASSERT_EQ(ledger.used(), 0u) << "round " << round;
    close(ready[0]);
    close(ready[1]);
  }
}

}  // namespace
}  // namespace outboard::slice
