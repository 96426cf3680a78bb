#include "server/softgpu/device/block_heap.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace outboard::softgpu {
namespace {

// A heap over memory that forked children share.
class SharedHeap {
 public:
  explicit SharedHeap(uint64_t granules)
      : bytes_(sizeof(BlockHeap::Head) + (uint64_t{BlockHeap::RecordsFor(granules)} + 1) * sizeof(BlockHeap::Block)),
        begin_(
            static_cast<std::byte*>(mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))),
        heap_(head(), blocks(), granules) {
    heap_.Reset(BlockHeap::RecordsFor(granules));
  }
  ~SharedHeap() { munmap(begin_, bytes_); }

  BlockHeap& operator*() { return heap_; }
  BlockHeap* operator->() { return &heap_; }
  BlockHeap::Head* head() { return reinterpret_cast<BlockHeap::Head*>(begin_); }
  BlockHeap::Block* blocks() { return reinterpret_cast<BlockHeap::Block*>(begin_ + sizeof(BlockHeap::Head)); }
  std::vector<std::byte> Save() const { return {begin_, begin_ + bytes_}; }
  void Restore(const std::vector<std::byte>& saved) { std::copy(saved.begin(), saved.end(), begin_); }

 private:
  const size_t bytes_;
  std::byte* const begin_;
  BlockHeap heap_;
};

TEST(BlockHeap, FillsExactlyAndJoinsFreedNeighbours) {
  SharedHeap heap(64);
  std::vector<uint32_t> blocks;
  for (int i = 0; i < 64; ++i) {
    const uint32_t found = heap->Find(1);
    ASSERT_NE(found, BlockHeap::kNone);
    ASSERT_GE(heap->Available(), 2u);
    blocks.push_back(heap->Take(found, 0, 1, 0));
  }
  EXPECT_EQ(heap->FreeGranules(), 0u);
  EXPECT_EQ(heap->Find(1), BlockHeap::kNone);
  EXPECT_TRUE(heap->Valid());
  for (int i = 0; i < 64; i += 2) heap->Release(blocks[i]);
  EXPECT_EQ(heap->FreeGranules(), 32u);
  EXPECT_EQ(heap->Find(2), BlockHeap::kNone);
  for (int i = 1; i < 64; i += 2) heap->Release(blocks[i]);
  EXPECT_TRUE(heap->Valid());
  EXPECT_NE(heap->Find(64), BlockHeap::kNone);
  EXPECT_EQ(heap->Find(65), BlockHeap::kNone);
  EXPECT_EQ(heap->Find(0), BlockHeap::kNone);
}

TEST(BlockHeap, AgreesWithAModelOverRandomUse) {
  constexpr uint64_t kGranules = 5000;
  SharedHeap heap(kGranules);
  std::mt19937_64 random(7);
  std::map<uint64_t, std::pair<uint64_t, uint32_t>> model;  // begin -> granules, block
  uint64_t used = 0;
  for (int step = 0; step < 40'000; ++step) {
    const bool allocate = model.empty() || random() % 100 < (step / 5000 % 2 == 0 ? 60u : 40u);
    if (allocate) {
      const uint64_t wanted = random() % 4 == 0 ? 1 + random() % 400 : 1 + random() % 8;
      uint64_t largest = 0, position = 0;
      for (const auto& [begin, piece] : model) {
        largest = std::max(largest, begin - position);
        position = begin + piece.first;
      }
      largest = std::max(largest, kGranules - position);
      const uint32_t found = heap->Find(wanted);
      ASSERT_EQ(found != BlockHeap::kNone, largest >= wanted) << "step " << step;
      if (found == BlockHeap::kNone) continue;
      const uint64_t skip = random() % 2 == 0 ? 0 : random() % (heap->Granules(found) - wanted + 1);
      const uint32_t block = heap->Take(found, skip, wanted, 3);
      const uint64_t begin = heap->Begin(block);
      ASSERT_EQ(heap->Granules(block), wanted);
      ASSERT_LE(begin + wanted, kGranules);
      const auto next = model.lower_bound(begin);
      ASSERT_TRUE(next == model.end() || next->first >= begin + wanted);
      ASSERT_TRUE(next == model.begin() || std::prev(next)->first + std::prev(next)->second.first <= begin);
      model.emplace(begin, std::pair{wanted, block});
      used += wanted;
    } else {
      auto victim = model.begin();
      std::advance(victim, random() % model.size());
      used -= victim->second.first;
      heap->Release(victim->second.second);
      model.erase(victim);
    }
    ASSERT_EQ(heap->FreeGranules(), kGranules - used);
    ASSERT_TRUE(step % 50 != 0 || heap->Valid()) << "step " << step;
  }
}

TEST(BlockHeap, ReleasesWhatOwnersHave) {
  SharedHeap heap(100);
  for (uint32_t i = 0; i < 100; ++i) heap->Take(heap->Find(1), 0, 1, i % 3);
  std::bitset<kMaxAttachments> owners;
  owners.set(0).set(2);
  heap->ReleaseOwners(owners);
  EXPECT_TRUE(heap->Valid());
  EXPECT_EQ(heap->FreeGranules(), 67u);
}

TEST(BlockHeap, ASharedBlockIsFreedByTheLastWhoLeavesIt) {
  SharedHeap heap(100);
  const uint32_t block = heap->Take(heap->Find(10), 0, 10, 0);
  EXPECT_FALSE(heap->IsShared(block, 0));
  const uint64_t share = heap->Share(block);
  EXPECT_EQ(heap->Share(block), share);
  EXPECT_TRUE(heap->IsShared(block, share));
  EXPECT_FALSE(heap->IsShared(block, share + 1));
  EXPECT_FALSE(heap->IsShared(77, share));
  EXPECT_TRUE(heap->AddHold(block, 1));
  EXPECT_TRUE(heap->AddHold(block, 2));
  heap->Leave(block, 1);
  heap->Leave(block, 1);
  heap->Leave(block, 0);
  EXPECT_TRUE(heap->IsLive(block, 2));
  EXPECT_TRUE(heap->Valid());
  EXPECT_EQ(heap->FreeGranules(), 90u);
  heap->Leave(block, 2);
  EXPECT_EQ(heap->FreeGranules(), 100u);
  EXPECT_FALSE(heap->IsShared(block, share));
  const uint32_t again = heap->Take(heap->Find(10), 0, 10, 0);
  EXPECT_NE(heap->Share(again), share);
}

TEST(BlockHeap, OwnersThatEndLeaveWhatOthersHold) {
  SharedHeap heap(100);
  const uint32_t first = heap->Take(heap->Find(10), 0, 10, 0), second = heap->Take(heap->Find(10), 0, 10, 0);
  heap->Share(first);
  heap->Share(second);
  EXPECT_TRUE(heap->AddHold(first, 1));
  EXPECT_TRUE(heap->AddHold(second, 2));
  std::bitset<kMaxAttachments> owners;
  owners.set(0).set(2);
  heap->ReleaseOwners(owners);
  EXPECT_TRUE(heap->IsLive(first, 1));
  EXPECT_EQ(heap->FreeGranules(), 90u);
  EXPECT_TRUE(heap->Valid());
}

TEST(BlockHeap, HasRoomForSoManyHoldsAndRebuildDropsThoseOfNothing) {
  SharedHeap heap(kMaxHolds + 1);
  std::vector<uint32_t> blocks;
  for (uint32_t i = 0; i <= kMaxHolds; ++i) {
    blocks.push_back(heap->Take(heap->Find(1), 0, 1, 0));
    heap->Share(blocks.back());
    ASSERT_EQ(heap->AddHold(blocks.back(), 1), i < kMaxHolds);
  }
  heap->Leave(blocks[1], 1);
  EXPECT_TRUE(heap->AddHold(blocks.back(), 1));
  EXPECT_FALSE(heap->AddHold(blocks.front(), 1)) << "it has a part in it already";
  heap->Release(blocks.front());
  EXPECT_FALSE(heap->Valid());
  EXPECT_TRUE(heap->Rebuild());
  EXPECT_TRUE(heap->Valid());
}

TEST(BlockHeap, ValidNoticesDamageAndRebuildRepairsWhatIsDerived) {
  SharedHeap heap(1000);
  std::vector<uint32_t> blocks;
  for (int i = 0; i < 20; ++i) blocks.push_back(heap->Take(heap->Find(10), 3, 10, 1));
  for (int i = 0; i < 20; i += 3) heap->Release(blocks[i]);
  const uint64_t free_granules = heap->FreeGranules();
  const std::vector<std::byte> good = heap.Save();

  const auto expect_repaired = [&](const char* what) {
    EXPECT_FALSE(heap->Valid()) << what;
    EXPECT_TRUE(heap->Rebuild()) << what;
    EXPECT_TRUE(heap->Valid()) << what;
    EXPECT_EQ(heap->FreeGranules(), free_granules) << what;
    heap.Restore(good);
  };
  heap.head()->free_granules += 1;
  expect_repaired("free count");
  heap.head()->first = 0;
  expect_repaired("first block");
  heap.head()->spare = 0xffffffff;
  expect_repaired("spare list");
  heap.head()->level_mask = ~uint64_t{0};
  expect_repaired("level mask");
  heap.head()->step_mask[0] ^= 0xffff;
  expect_repaired("step mask");
  heap.blocks()[blocks[1]].next = blocks[1];
  expect_repaired("a cycle");
  heap.blocks()[blocks[4]].previous = 0x7fffffff;
  expect_repaired("a wild link");
  heap.blocks()[heap.head()->first].granules += 1;
  expect_repaired("size of a free block");

  heap.blocks()[blocks[1]].granules = 900;  // two live blocks overlap: nothing can be believed
  EXPECT_FALSE(heap->Valid());
  EXPECT_FALSE(heap->Rebuild());
}

// Runs `operation` in a child, instruction by instruction. After each, a copy of the heap is what survivors would find
// if the child were killed there.
template <class Operation>
void ExpectSurvivesKills(SharedHeap& heap, uint64_t granules, uint64_t free_after, Operation operation) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizer's instructions take minutes";
#endif
  const uint64_t free_before = heap->FreeGranules();
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(77);
    raise(SIGSTOP);
    operation();
    raise(SIGUSR2);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) GTEST_SKIP() << "ptrace is not allowed here";

  SharedHeap survivor(granules);
  int done = 0, not_done = 0, repaired = 0;
  std::vector<std::byte> last = heap.Save();
  while (WIFSTOPPED(status) && WSTOPSIG(status) != SIGUSR2 && ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0) {
    waitpid(child, &status, 0);
    std::vector<std::byte> now = heap.Save();
    if (now == last) continue;
    last = std::move(now);
    survivor.Restore(last);
    if (!survivor->Valid()) {
      ++repaired;
      if (!survivor->Rebuild() || !survivor->Valid()) break;
    }
    if (survivor->FreeGranules() == free_after) {
      ++done;
    } else if (survivor->FreeGranules() == free_before) {
      ++not_done;
    } else {
      break;
    }
  }
  EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGUSR2) << "broken after " << done + not_done << " stores";
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  EXPECT_GT(done + not_done, 10);
  EXPECT_GT(done, 0);
  EXPECT_GT(repaired, 5);
}

TEST(BlockHeap, SurvivesAKillAtAnyInstructionOfTake) {
  SharedHeap heap(1000);
  ExpectSurvivesKills(heap, 1000, 900, [&] { heap->Take(heap->Find(100), 5, 100, 0); });
}

TEST(BlockHeap, SurvivesAKillAtAnyInstructionOfRelease) {
  SharedHeap heap(1000);
  heap->Take(heap->Find(100), 0, 100, 0);
  const uint32_t second = heap->Take(heap->Find(100), 0, 100, 0);
  const uint32_t third = heap->Take(heap->Find(100), 0, 100, 0);
  heap->Take(heap->Find(100), 0, 100, 0);
  heap->Release(second);
  ExpectSurvivesKills(heap, 1000, 800, [&] { heap->Release(third); });
}

}  // namespace
}  // namespace outboard::softgpu
