#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "client/shim/memory_reservations.h"
#include "tests/fakes/free_addresses.h"

namespace outboard::shim {
namespace {

// Pages of address space that nobody else uses: mapped by the test and free while the test says so.
class Space {
 public:
  explicit Space(uint64_t pages)
      : page_(static_cast<uint64_t>(sysconf(_SC_PAGESIZE))), begin_(fakes::FreeAddresses(pages * page_)) {}

  uint64_t page() const { return page_; }
  uint64_t At(uint64_t page) const { return begin_ + page * page_; }

  // Whether something is mapped at the page.
  bool IsMapped(uint64_t page) const {
    unsigned char resident;
    return mincore(reinterpret_cast<void*>(At(page)), page_, &resident) == 0;
  }
  void Map(uint64_t page) {
    void* const wanted = reinterpret_cast<void*>(At(page));
    ASSERT_EQ(mmap(wanted, page_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), wanted);
  }
  void Unmap(uint64_t page) { munmap(reinterpret_cast<void*>(At(page)), page_); }

 private:
  const uint64_t page_, begin_;
};

TEST(Reservations, MapsAndUnmapsWholePages) {
  Space space(8);
  Reservations reservations;
  ASSERT_TRUE(reservations.Reserve(space.At(2) + 100, space.page()));
  EXPECT_FALSE(space.IsMapped(1));
  EXPECT_TRUE(space.IsMapped(2));
  EXPECT_TRUE(space.IsMapped(3));
  EXPECT_FALSE(space.IsMapped(4));
  EXPECT_TRUE(reservations.Holds(space.At(2)));
  EXPECT_TRUE(reservations.Holds(space.At(4) - 1));
  EXPECT_FALSE(reservations.Holds(space.At(4)));
  reservations.Release(space.At(2) + 100, space.page());
  EXPECT_FALSE(space.IsMapped(2));
  EXPECT_FALSE(space.IsMapped(3));
  EXPECT_FALSE(reservations.Holds(space.At(2)));
}

TEST(Reservations, NeighboursShareAPage) {
  Space space(8);
  Reservations reservations;
  ASSERT_TRUE(reservations.Reserve(space.At(0), 100));
  ASSERT_TRUE(reservations.Reserve(space.At(0) + 256, space.page()));  // reaches into page 1
  reservations.Release(space.At(0), 100);
  EXPECT_TRUE(space.IsMapped(0));
  reservations.Release(space.At(0) + 256, space.page());
  EXPECT_FALSE(space.IsMapped(0));
  EXPECT_FALSE(space.IsMapped(1));
}

TEST(Reservations, TheNextOwnerMayComeBeforeTheLastHasGone) {
  Space space(8);
  Reservations reservations;
  ASSERT_TRUE(reservations.Reserve(space.At(1), 2 * space.page()));
  ASSERT_TRUE(reservations.Reserve(space.At(0), 4 * space.page()));
  reservations.Release(space.At(1), 2 * space.page());
  for (uint64_t page = 0; page < 4; ++page) EXPECT_TRUE(space.IsMapped(page)) << page;
  reservations.Release(space.At(0), 4 * space.page());
  for (uint64_t page = 0; page < 4; ++page) EXPECT_FALSE(space.IsMapped(page)) << page;
}

TEST(Reservations, WhatIsForGoodStaysWhateverIsReleased) {
  Space space(8);
  Reservations reservations;
  ASSERT_TRUE(reservations.Reserve(space.At(0), 100));
  ASSERT_TRUE(reservations.ReserveForGood(space.At(0) + 256, 2 * space.page()));  // reaches into page 2
  ASSERT_TRUE(reservations.ReserveForGood(space.At(1), space.page()));
  ASSERT_TRUE(reservations.Reserve(space.At(2), 2 * space.page()));
  reservations.Release(space.At(0), 100);
  reservations.Release(space.At(0) + 256, 2 * space.page());
  reservations.Release(space.At(2), 2 * space.page());
  for (uint64_t page = 0; page < 3; ++page) {
    EXPECT_TRUE(space.IsMapped(page)) << page;
    EXPECT_TRUE(reservations.Holds(space.At(page))) << page;
  }
  EXPECT_FALSE(space.IsMapped(3));
}

TEST(Reservations, NothingIsForGoodWhereTheProcessUsesThePlace) {
  Space space(4);
  space.Map(1);
  Reservations reservations;
  EXPECT_FALSE(reservations.ReserveForGood(space.At(0), 2 * space.page()));
  EXPECT_FALSE(space.IsMapped(0));
  EXPECT_FALSE(reservations.Holds(space.At(0)));
  space.Unmap(1);
}

TEST(Reservations, LeavesNothingBehindWhenTheProcessUsesThePlace) {
  Space space(8);
  space.Map(3);
  Reservations reservations;
  ASSERT_TRUE(reservations.Reserve(space.At(1), space.page()));
  EXPECT_FALSE(reservations.Reserve(space.At(0), 6 * space.page()));
  EXPECT_FALSE(space.IsMapped(0));
  EXPECT_TRUE(space.IsMapped(1));  // has its owner still
  EXPECT_FALSE(space.IsMapped(2));
  EXPECT_TRUE(space.IsMapped(3));
  EXPECT_FALSE(space.IsMapped(4));
  EXPECT_FALSE(reservations.Holds(space.At(0)));
  EXPECT_FALSE(reservations.Holds(space.At(3)));
  space.Unmap(3);
  EXPECT_TRUE(reservations.Reserve(space.At(0), 6 * space.page()));
}

TEST(Reservations, RefusesWhatIsNoUserAddress) {
  Reservations reservations;
  EXPECT_FALSE(reservations.Reserve(0, 4096));
  EXPECT_FALSE(reservations.Reserve(4096, 0));
  EXPECT_FALSE(reservations.Reserve(uint64_t{1} << 47, 4096));
  EXPECT_FALSE(reservations.Reserve(~uint64_t{0} - 4096, 8192));
  EXPECT_FALSE(reservations.Reserve(1 << 20, ~uint64_t{0}));
}

TEST(Reservations, PagesOfTheArenaStay) {
  Reservations reservations;
  const Arena arena = reservations.MakeArena(uint64_t{1} << 30);
  if (arena.size == 0) GTEST_SKIP() << "the address space of this process is limited";
  EXPECT_TRUE(reservations.Holds(arena.begin));
  EXPECT_TRUE(reservations.Holds(arena.begin + arena.size - 1));
  EXPECT_EQ(reservations.MakeArena(uint64_t{1} << 31).begin, arena.begin);
  const auto is_mapped = [](uint64_t address) {
    unsigned char resident;
    return mincore(reinterpret_cast<void*>(address), 4096, &resident) == 0;
  };
  ASSERT_TRUE(reservations.Reserve(arena.begin + (1 << 20), 1 << 20));
  reservations.Release(arena.begin + (1 << 20), 1 << 20);
  EXPECT_TRUE(is_mapped(arena.begin + (1 << 20)));
  EXPECT_TRUE(reservations.Holds(arena.begin + (1 << 20)));
}

TEST(Reservations, MayReachOutOfTheArenaOnBothSides) {
  Reservations reservations;
  const Arena arena = reservations.MakeArena(uint64_t{1} << 30);
  if (arena.size == 0) GTEST_SKIP() << "the address space of this process is limited";
  // The kernel may have put something beside it; what matters is that a refusal is clean and a success is undone.
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  if (reservations.Reserve(arena.begin - page, arena.size + 2 * page)) {
    EXPECT_TRUE(reservations.Holds(arena.begin - 1));
    reservations.Release(arena.begin - page, arena.size + 2 * page);
  }
  EXPECT_FALSE(reservations.Holds(arena.begin - 1));
  EXPECT_FALSE(reservations.Holds(arena.begin + arena.size));
  EXPECT_TRUE(reservations.Holds(arena.begin));
}

TEST(Reservations, CountsWithoutMappingForTests) {
  Space space(4);
  space.Map(1);
  Reservations reservations;
  reservations.DoNotMapForTesting();
  ASSERT_TRUE(reservations.Reserve(space.At(0), 3 * space.page()));
  EXPECT_TRUE(reservations.Holds(space.At(1)));
  EXPECT_FALSE(space.IsMapped(0));
  reservations.Release(space.At(0), 3 * space.page());
  EXPECT_TRUE(space.IsMapped(1));
  space.Unmap(1);
}

}  // namespace
}  // namespace outboard::shim
