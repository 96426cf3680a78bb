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

TEST(Ledger, SaysSinceWhenNobodyIsAtWork) {
  const auto before = Ledger::Clock::now();
  Ledger ledger = NewLedger();
  const uint32_t one = *ledger.OpenAccount(), other = *ledger.OpenAccount();
  const auto first = ledger.at_rest_since();
  ASSERT_TRUE(first);
  EXPECT_GE(*first, before);
  ledger.SetAtWork(one, true);
  ledger.SetAtWork(other, true);
  EXPECT_EQ(ledger.at_rest_since(), std::nullopt);
  const auto then = Ledger::Clock::now();
  ledger.SetAtWork(one, false);
  EXPECT_EQ(ledger.at_rest_since(), std::nullopt);
  ledger.Settle(other);  // it was killed at work
  ASSERT_TRUE(ledger.at_rest_since());
  EXPECT_GE(*ledger.at_rest_since(), then);
  ledger.SetAtWork(kMaxWorkersPerLease, true);
  EXPECT_TRUE(ledger.at_rest_since());
}

TEST(Ledger, SaysHowBusyTheDeviceWasInTheLastSecond) {
  using std::chrono::milliseconds, std::chrono::seconds;
  const Ledger::Clock::time_point begin(seconds(1000));
  Ledger ledger = NewLedger();
  EXPECT_EQ(ledger.busy(begin), seconds(0));
  ledger.AddBusy(milliseconds(100), begin + milliseconds(300));
  ledger.AddBusy(milliseconds(50), begin + milliseconds(900));  // of another worker
  EXPECT_EQ(ledger.busy(begin + milliseconds(999)), seconds(0)) << "the second is not over";
  EXPECT_EQ(ledger.busy(begin + milliseconds(1000)), milliseconds(150));
  ledger.AddBusy(milliseconds(30), begin + milliseconds(1010));
  EXPECT_EQ(ledger.busy(begin + milliseconds(1999)), milliseconds(170)) << "20 ms were of the second before";
  EXPECT_EQ(ledger.busy(begin + milliseconds(2000)), milliseconds(10));
  EXPECT_EQ(ledger.busy(begin + milliseconds(3000)), seconds(0)) << "it is idle since";
  for (int worker = 0; worker < 256; ++worker) ledger.AddBusy(seconds(900), begin + seconds(7));
  EXPECT_EQ(ledger.busy(begin + seconds(7)), seconds(1)) << "all of it";
  ledger.AddBusy(milliseconds(5), begin + milliseconds(3500));  // of a worker that was stopped in between
  EXPECT_EQ(ledger.busy(begin + seconds(7)), seconds(1));
  EXPECT_EQ(ledger.busy(begin + seconds(4)), seconds(0));
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

Export Memory(uint64_t charged) { return {ExportKind::kMemory, {std::byte{9}}, charged - 1, charged}; }

TEST(Ledger, OthersOpenWhatAnAccountHasExported) {
  Ledger ledger = NewLedger();
  const uint32_t owner = *ledger.OpenAccount(), other = *ledger.OpenAccount(), third = *ledger.OpenAccount();
  ASSERT_TRUE(ledger.Charge(owner, 500));
  const auto name = ledger.AddExport(owner, Memory(500));
  ASSERT_TRUE(name);
  EXPECT_TRUE(ledger.IsExportOf(*name, owner));
  EXPECT_FALSE(ledger.IsExportOf(*name, other));
  const auto opened = ledger.OpenExport(*name, ExportKind::kMemory, other);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->bytes, 499u);
  EXPECT_EQ(opened->handle[0], std::byte{9});
  EXPECT_FALSE(ledger.OpenExport(*name, ExportKind::kMemory, other)) << "it has it open";
  EXPECT_FALSE(ledger.OpenExport(*name, ExportKind::kMemory, owner)) << "it is its own";
  EXPECT_FALSE(ledger.OpenExport(*name, ExportKind::kEvent, third));
  EXPECT_FALSE(ledger.OpenExport({name->place, name->key + 1}, ExportKind::kMemory, third));
  EXPECT_FALSE(ledger.OpenExport({name->place + 1, name->key}, ExportKind::kMemory, third));
  EXPECT_FALSE(ledger.OpenExport({kMaxExportsPerLedger, name->key}, ExportKind::kMemory, third));
  EXPECT_FALSE(ledger.OpenExport({name->place + 1, 0}, ExportKind::kMemory, third));
  EXPECT_EQ(ledger.used(), 500u) << "opening costs nothing";
  EXPECT_EQ(ledger.used(other), 0u);
  ledger.CloseExport(*name, other);
  ledger.CloseExport(*name, other);
  EXPECT_TRUE(ledger.OpenExport(*name, ExportKind::kMemory, third)) << "it is still there";
}

TEST(Ledger, AnotherLeasesNamesAreNone) {
  Ledger ledger = NewLedger(), other = NewLedger();
  const auto name = ledger.AddExport(*ledger.OpenAccount(), Memory(1));
  const uint32_t account = *other.OpenAccount();
  ASSERT_TRUE(other.AddExport(*other.OpenAccount(), Memory(1)));
  EXPECT_FALSE(other.OpenExport(*name, ExportKind::kMemory, account));
}

TEST(Ledger, ExportedMemoryStaysTakenUntilNobodyHasIt) {
  Ledger ledger = NewLedger();
  const uint32_t owner = *ledger.OpenAccount(), other = *ledger.OpenAccount();
  // Whoever goes first, and however.
  for (const bool owner_dies : {false, true}) {
    for (const bool other_dies : {false, true}) {
      const uint32_t now = owner_dies ? *ledger.OpenAccount() : owner,
                     user = other_dies ? *ledger.OpenAccount() : other;
      ASSERT_TRUE(ledger.Charge(now, 300));
      const auto name = ledger.AddExport(now, Memory(300));
      ASSERT_TRUE(ledger.OpenExport(*name, ExportKind::kMemory, user));
      owner_dies ? ledger.Settle(now) : ledger.EndExport(*name, now);
      EXPECT_EQ(ledger.used(), 300u);
      EXPECT_EQ(ledger.used(now) + ledger.used(user), 0u);
      EXPECT_FALSE(ledger.OpenExport(*name, ExportKind::kMemory, *ledger.OpenAccount())) << "it was freed";
      ledger.EndExport(*name, now);
      other_dies ? ledger.Settle(user) : ledger.CloseExport(*name, user);
      EXPECT_EQ(ledger.used(), 0u);
    }
  }
  ASSERT_TRUE(ledger.Charge(owner, 300));
  const auto name = ledger.AddExport(owner, Memory(300));
  ASSERT_TRUE(ledger.OpenExport(*name, ExportKind::kMemory, other));
  ledger.CloseExport(*name, other);
  EXPECT_EQ(ledger.used(owner), 300u);
  ledger.EndExport(*name, owner);
  EXPECT_EQ(ledger.used(), 0u);
}

TEST(Ledger, HasRoomForSoManyExports) {
  Ledger ledger = NewLedger();
  const uint32_t account = *ledger.OpenAccount();
  std::vector<ExportName> names;
  for (uint32_t i = 0; i < kMaxExportsPerLedger; ++i) names.push_back(*ledger.AddExport(account, Memory(1)));
  EXPECT_FALSE(ledger.AddExport(account, Memory(1)));
  ledger.EndExport(names[5], account);
  const auto name = ledger.AddExport(account, Memory(1));
  ASSERT_TRUE(name);
  EXPECT_EQ(name->place, names[5].place);
  EXPECT_NE(name->key, names[5].key);
  ledger.EndExport(names[5], account);
  EXPECT_TRUE(ledger.IsExportOf(*name, account)) << "a former name ends nothing";
  ledger.Settle(account);
  EXPECT_TRUE(ledger.AddExport(*ledger.OpenAccount(), Memory(1)));
}

// Kills workers while they export, open, close and free: once all accounts are settled nothing is taken.
TEST(Ledger, SettlesExportsOfKilledWorkers) {
  Ledger ledger = NewLedger();
  for (int round = 0; round < 50; ++round) {
    const uint32_t owner = *ledger.OpenAccount(), other = *ledger.OpenAccount();
    int names[2];
    ASSERT_EQ(pipe(names), 0);
    const pid_t exporter = Fork([&] {
      for (;;) {
        if (!ledger.Charge(owner, 7)) continue;
        const auto name = ledger.AddExport(owner, Memory(7));
        if (name && write(names[1], &*name, sizeof *name) < 0) _exit(1);
        if (name) ledger.EndExport(*name, owner);
      }
    });
    int opened[2];
    ASSERT_EQ(pipe(opened), 0);
    const pid_t opener = Fork([&] {
      ExportName name;
      for (bool told = false; read(names[0], &name, sizeof name) == sizeof name;) {
        if (ledger.OpenExport(name, ExportKind::kMemory, other)) ledger.CloseExport(name, other);
        if (!told && write(opened[1], "", 1) == 1) told = true;
      }
    });
    char byte;
    ASSERT_EQ(read(opened[0], &byte, 1), 1);
    kill(round % 2 == 0 ? exporter : opener, SIGKILL);
    EXPECT_TRUE(WIFSIGNALED(Wait(round % 2 == 0 ? exporter : opener)));
    ledger.Settle(round % 2 == 0 ? owner : other);
    EXPECT_LE(ledger.used(), kLimit);
    kill(round % 2 == 0 ? opener : exporter, SIGKILL);
    Wait(round % 2 == 0 ? opener : exporter);
    ledger.Settle(round % 2 == 0 ? other : owner);
    ASSERT_EQ(ledger.used(), 0u) << "round " << round;
    for (const int end : {names[0], names[1], opened[0], opened[1]}) close(end);
  }
  const uint32_t account = *ledger.OpenAccount();
  for (uint32_t i = 0; i < kMaxExportsPerLedger; ++i) ASSERT_TRUE(ledger.AddExport(account, Memory(1)));
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

TEST(Ledger, AnotherLimitCountsForAllAtOnce) {
  Ledger ledger = NewLedger();
  Result<Ledger> worker = Ledger::Map(dup(ledger.fd()));
  ASSERT_TRUE(worker);
  const uint32_t account = *ledger.OpenAccount();
  ASSERT_TRUE(worker->Charge(account, 600));
  EXPECT_TRUE(ledger.SetLimit(2000, false));
  EXPECT_EQ(worker->limit(), 2000u);
  EXPECT_EQ(worker->free(), 1400u);
  EXPECT_EQ(ledger.used(), 600u);
  EXPECT_FALSE(worker->Charge(account, 1401));
  EXPECT_TRUE(worker->Charge(account, 1400));
  worker->Refund(account, 1400);
  EXPECT_TRUE(ledger.SetLimit(600, false));
  EXPECT_EQ(worker->free(), 0u);
  EXPECT_FALSE(worker->Charge(account, 1));
  EXPECT_TRUE(worker->Charge(account, 0));
}

TEST(Ledger, ALimitBelowWhatIsTakenIsRefusedUnlessItIsAccepted) {
  Ledger ledger = NewLedger();
  const uint32_t account = *ledger.OpenAccount(), other = *ledger.OpenAccount();
  ASSERT_TRUE(ledger.Charge(account, 600));
  EXPECT_FALSE(ledger.SetLimit(599, false));
  EXPECT_EQ(ledger.limit(), kLimit);
  EXPECT_TRUE(ledger.Charge(account, 400)) << "nothing has changed";

  EXPECT_TRUE(ledger.SetLimit(300, true));
  EXPECT_EQ(ledger.limit(), 300u);
  EXPECT_EQ(ledger.used(), kLimit);
  EXPECT_EQ(ledger.free(), 0u);
  EXPECT_FALSE(ledger.Charge(other, 0)) << "not even that while too much is taken";
  ledger.Refund(account, 700);
  EXPECT_FALSE(ledger.Charge(other, 1));
  ledger.Refund(account, 10);
  EXPECT_EQ(ledger.free(), 10u);
  EXPECT_FALSE(ledger.Charge(other, 11));
  EXPECT_TRUE(ledger.Charge(other, 10));
  ledger.Settle(account);
  EXPECT_EQ(ledger.used(), 10u);
  ledger.Settle(other);
  EXPECT_EQ(ledger.used(), 0u);
  EXPECT_EQ(ledger.free(), 300u);
  EXPECT_TRUE(ledger.SetLimit(0, false));
  EXPECT_FALSE(ledger.Charge(*ledger.OpenAccount(), 1));
}

TEST(Ledger, WhatTheDriverTakesByItselfIsChargedInAnyCase) {
  Ledger ledger = NewLedger();
  const uint32_t account = *ledger.OpenAccount(), other = *ledger.OpenAccount();
  ASSERT_TRUE(ledger.Charge(account, 500));
  ledger.SetUnseen(account, {300, 0});
  ledger.SetUnseen(other, {100, 0});
  EXPECT_EQ(ledger.used(), 900u);
  EXPECT_EQ(ledger.used(account), 800u);
  EXPECT_FALSE(ledger.Charge(account, 101));
  ledger.SetUnseen(account, {300, 250});  // in all, not once more
  EXPECT_EQ(ledger.used(), 1150u) << "there is no room for it";
  EXPECT_EQ(ledger.free(), 0u);
  EXPECT_FALSE(ledger.Charge(other, 1));
  EXPECT_EQ(ledger.unseen(), (Unseen{400, 250}));
  ledger.SetUnseen(account, {300, 50});
  EXPECT_EQ(ledger.free(), 50u);
  EXPECT_EQ(ledger.peak(), 1150u);
  ledger.Settle(account);
  EXPECT_EQ(ledger.unseen(), (Unseen{100, 0}));
  EXPECT_EQ(ledger.used(), 100u);
  ledger.SetUnseen(account, {300, 0});
  ledger.SetUnseen(kMaxWorkersPerLease, {300, 0});
  EXPECT_EQ(ledger.used(), 100u) << "its account is closed";
}

TEST(Ledger, KnowsTheMostThatWasTaken) {
  Ledger ledger = NewLedger();
  const uint32_t account = *ledger.OpenAccount();
  EXPECT_EQ(ledger.peak(), 0u);
  ASSERT_TRUE(ledger.Charge(account, 600));
  ledger.Refund(account, 600);
  ASSERT_TRUE(ledger.Charge(account, 100));
  EXPECT_EQ(ledger.peak(), 600u);
  ASSERT_TRUE(ledger.SetLimit(5000, false));
  ASSERT_FALSE(ledger.SetLimit(50, false));
  EXPECT_EQ(ledger.peak(), 600u) << "another limit takes nothing";
  ASSERT_TRUE(ledger.Charge(account, 900));
  EXPECT_EQ(ledger.peak(), 1000u);
}

// While a process takes and gives back up to the least limit, and now and then more than the largest, nothing of that
// goes wrong, however often the limit changes; and what is free in the end is what nobody has.
TEST(Ledger, ChargesAndLimitsNeverSeeHalfOfEachOther) {
  constexpr uint64_t kLeast = 500, kMost = 2000, kRounds = 8'000'000;
  Ledger ledger = NewLedger(kMost);
  const uint32_t account = *ledger.OpenAccount();
  struct Shared {
    std::atomic<uint64_t> rounds;  // of the child
    std::atomic<bool> is_over;
  };
  auto* const shared =
      static_cast<Shared*>(mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(shared, MAP_FAILED);
  const pid_t child = Fork([&] {
    while (!shared->is_over) {
      if (!ledger.Charge(account, kLeast)) _exit(1);
      if (ledger.Charge(account, kMost - kLeast + 1)) _exit(2);
      const bool got_more = ledger.Charge(account, 300);
      ledger.Refund(account, kLeast + (got_more ? 300 : 0));
      ++shared->rounds;
    }
  });
  int refused = 0, done = 0;
  siginfo_t ended{};
  // Both at a time, and so often.
  for (uint64_t i = 0; i < kRounds || shared->rounds < kRounds; ++i) {
    if (i % 1024 == 0 && waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        ended.si_pid != 0) {
      break;
    }
    EXPECT_TRUE(ledger.SetLimit(kMost, false));
    (ledger.SetLimit(kLeast, false) ? done : refused) += 1;
  }
  shared->is_over = true;
  EXPECT_EQ(Wait(child), 0);
  EXPECT_GT(done, 0);
  EXPECT_GT(refused, 0);
  EXPECT_EQ(ledger.free(), ledger.limit()) << "nobody has anything";
  munmap(shared, sizeof *shared);
}

}  // namespace
}  // namespace outboard::slice
