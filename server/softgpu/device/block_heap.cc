#include "server/softgpu/device/block_heap.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <vector>

namespace outboard::softgpu {
namespace {

struct Bin {
  int level;
  int step;
};

// Sizes below 16 have a bin each; above, a bin holds the sizes with the same five leading bits.
Bin BinOf(uint64_t granules) {
  if (granules < BlockHeap::kSteps) return {0, static_cast<int>(granules)};
  const int top = std::bit_width(granules) - 1;
  return {top - 3, static_cast<int>((granules >> (top - 4)) & (BlockHeap::kSteps - 1))};
}

}  // namespace

uint32_t BlockHeap::RecordsFor(uint64_t granules) {
  return static_cast<uint32_t>(std::min<uint64_t>(kMaxBlocks, granules + 2));
}

BlockHeap::BlockHeap(Head* head, Block* blocks, uint64_t granules)
    : head_(head), blocks_(blocks), granules_(granules), capacity_(RecordsFor(granules)) {}

void BlockHeap::Reset(uint32_t ready) {
  head_->used = 0;
  head_->ready = std::min(ready, capacity_);
  ClearDerived();
  std::memset(head_->holds, 0, sizeof head_->holds);
  const uint32_t all = NewRecord();
  At(all).begin = 0;
  At(all).granules = granules_;
  LinkAfter(all, kNone);
  InsertInBin(all);
  head_->free_granules = granules_;
}

void BlockHeap::ClearDerived() {
  head_->spare = kNone;
  head_->spare_count = 0;
  head_->first = kNone;
  head_->free_granules = 0;
  head_->level_mask = 0;
  std::memset(head_->step_mask, 0, sizeof head_->step_mask);
  std::memset(head_->bins, 0, sizeof head_->bins);
}

uint32_t BlockHeap::Available() const { return head_->spare_count + (head_->ready - head_->used); }

void BlockHeap::AddReady(uint32_t records) { head_->ready += std::min(records, capacity_ - head_->ready); }

uint32_t BlockHeap::NewRecord() {
  uint32_t block = head_->spare;
  if (block != kNone) {
    head_->spare = At(block).next;
    --head_->spare_count;
  } else {
    if (head_->used >= head_->ready) return kNone;
    block = ++head_->used;
  }
  At(block).state.store(kFree, std::memory_order_release);
  return block;
}

void BlockHeap::Retire(uint32_t block) {
  At(block).state.store(kSpare, std::memory_order_release);
  At(block).next = head_->spare;
  head_->spare = block;
  ++head_->spare_count;
}

void BlockHeap::LinkAfter(uint32_t block, uint32_t previous) {
  const uint32_t next = previous == kNone ? head_->first : At(previous).next;
  At(block).previous = previous;
  At(block).next = next;
  if (previous == kNone) {
    head_->first = block;
  } else {
    At(previous).next = block;
  }
  if (next != kNone) At(next).previous = block;
}

void BlockHeap::Unlink(uint32_t block) {
  const Block& gone = At(block);
  if (gone.previous == kNone) {
    head_->first = gone.next;
  } else {
    At(gone.previous).next = gone.next;
  }
  if (gone.next != kNone) At(gone.next).previous = gone.previous;
}

void BlockHeap::InsertInBin(uint32_t block) {
  const auto [level, step] = BinOf(At(block).granules);
  uint32_t& bin = head_->bins[level][step];
  At(block).bin_previous = kNone;
  At(block).bin_next = bin;
  if (bin != kNone) At(bin).bin_previous = block;
  bin = block;
  head_->step_mask[level] |= static_cast<uint16_t>(1u << step);
  head_->level_mask |= uint64_t{1} << level;
}

void BlockHeap::RemoveFromBin(uint32_t block) {
  const Block& gone = At(block);
  if (gone.bin_next != kNone) At(gone.bin_next).bin_previous = gone.bin_previous;
  if (gone.bin_previous != kNone) {
    At(gone.bin_previous).bin_next = gone.bin_next;
    return;
  }
  const auto [level, step] = BinOf(gone.granules);
  head_->bins[level][step] = gone.bin_next;
  if (gone.bin_next != kNone) return;
  head_->step_mask[level] &= static_cast<uint16_t>(~(1u << step));
  if (head_->step_mask[level] == 0) head_->level_mask &= ~(uint64_t{1} << level);
}

uint32_t BlockHeap::Find(uint64_t granules) const {
  if (granules == 0 || granules > granules_) return kNone;
  const auto [level, step] = BinOf(granules);

  // In the request's own bin some blocks are too small. The best of a few comes first, the rest only when no larger bin
  // has a block.
  constexpr int kFew = 16;
  uint32_t best = kNone, block = head_->bins[level][step];
  for (int i = 0; i < kFew && block != kNone; ++i, block = At(block).bin_next) {
    const uint64_t size = At(block).granules;
    if (size >= granules && (best == kNone || size < At(best).granules)) best = block;
  }
  if (best != kNone) return best;

  if (const uint32_t steps = head_->step_mask[level] & (~uint32_t{1} << step))
    return head_->bins[level][std::countr_zero(steps)];
  if (const uint64_t levels = head_->level_mask & (~uint64_t{1} << level)) {
    const int larger = std::countr_zero(levels);
    if (larger < kLevels && head_->step_mask[larger] != 0)
      return head_->bins[larger][std::countr_zero(head_->step_mask[larger])];
  }

  while (block != kNone && At(block).granules < granules) block = At(block).bin_next;
  return block;
}

uint32_t BlockHeap::SplitAt(uint32_t block, uint64_t granules) {
  const uint32_t rest = NewRecord();
  At(rest).begin = At(block).begin + granules;
  At(rest).granules = At(block).granules - granules;
  At(block).granules = granules;
  LinkAfter(rest, block);
  return rest;
}

uint32_t BlockHeap::Take(uint32_t block, uint64_t skip, uint64_t granules, uint32_t owner) {
  RemoveFromBin(block);
  if (skip > 0) {
    const uint32_t rest = SplitAt(block, skip);
    InsertInBin(block);
    block = rest;
  }
  if (At(block).granules > granules) InsertInBin(SplitAt(block, granules));
  head_->free_granules -= granules;
  At(block).owner = owner;
  At(block).share = 0;
  At(block).state.store(kLive, std::memory_order_release);
  return block;
}

void BlockHeap::Release(uint32_t block) { ReleaseAndJoin(block); }

uint32_t BlockHeap::ReleaseAndJoin(uint32_t block) {
  // An exchange, because nothing after it may be written before it.
  At(block).state.exchange(kFree);
  head_->free_granules += At(block).granules;
  const auto is_free = [this](uint32_t other) {
    return other != kNone && At(other).state.load(std::memory_order_relaxed) == kFree;
  };
  const auto absorb_next = [this](uint32_t into) {
    const uint32_t gone = At(into).next;
    At(into).granules += At(gone).granules;
    Unlink(gone);
    Retire(gone);
  };
  if (const uint32_t next = At(block).next; is_free(next)) {
    RemoveFromBin(next);
    absorb_next(block);
  }
  if (const uint32_t previous = At(block).previous; is_free(previous)) {
    RemoveFromBin(previous);
    absorb_next(previous);
    block = previous;
  }
  InsertInBin(block);
  return block;
}

uint64_t BlockHeap::Share(uint32_t block) {
  uint64_t& share = At(block).share;
  if (share == 0) share = ++head_->last_share;
  return share;
}

bool BlockHeap::IsShared(uint32_t block, uint64_t share) const {
  if (block == kNone || block > head_->used) return false;
  const Block& at = At(block);
  return at.state.load(std::memory_order_relaxed) == kLive && share != 0 && at.share == share;
}

bool BlockHeap::AddHold(uint32_t block, uint32_t owner) {
  if (IsLive(block, owner)) return false;
  for (const Hold& hold : head_->holds) {
    if (hold.block == block && hold.owner == owner) return false;
  }
  for (Hold& hold : head_->holds) {
    if (hold.block != kNone) continue;
    hold.owner = owner;
    std::atomic_ref(hold.block).store(block, std::memory_order_release);  // last: a kill before it leaves no hold
    return true;
  }
  return false;
}

void BlockHeap::Leave(uint32_t block, uint32_t owner) {
  if (IsLive(block, owner)) {
    if (!PassOn(block)) Release(block);
    return;
  }
  for (Hold& hold : head_->holds) {
    if (hold.block == block && hold.owner == owner) hold.block = kNone;
  }
}

// Makes one who holds the block its owner. False when nobody does.
bool BlockHeap::PassOn(uint32_t block) {
  Block& at = At(block);
  if (at.share == 0) return false;
  const uint32_t owner = at.owner;
  for (Hold& hold : head_->holds) {
    if (hold.block != block) continue;
    // Who was killed here has left the new owner's hold behind, which is none any more.
    if (hold.owner != owner) std::atomic_ref(at.owner).store(hold.owner, std::memory_order_release);
    hold.block = kNone;
    if (at.owner != owner) return true;
  }
  return false;
}

void BlockHeap::ReleaseOwners(const std::bitset<kMaxAttachments>& owners) {
  for (Hold& hold : head_->holds) {
    if (hold.block != kNone && hold.owner < owners.size() && owners[hold.owner]) hold.block = kNone;
  }
  for (uint32_t block = head_->first; block != kNone; block = At(block).next) {
    const bool live = At(block).state.load(std::memory_order_relaxed) == kLive;
    if (!live || At(block).owner >= owners.size() || !owners[At(block).owner]) continue;
    if (!PassOn(block)) block = ReleaseAndJoin(block);
  }
}

bool BlockHeap::IsLive(uint32_t block, uint32_t owner) const {
  return block != kNone && At(block).state.load(std::memory_order_relaxed) == kLive && At(block).owner == owner;
}

// Whether it is a hold of something, or a free place for one.
bool BlockHeap::Holds(const Hold& hold) const {
  if (hold.block == kNone) return true;
  if (hold.block > head_->used || hold.owner >= kMaxAttachments) return false;
  const Block& block = At(hold.block);
  return block.state.load(std::memory_order_relaxed) == kLive && block.share != 0;
}

bool BlockHeap::Valid() const {
  if (head_->ready > capacity_ || head_->used > head_->ready) return false;
  uint64_t position = 0, free_granules = 0;
  uint32_t blocks = 0, free_blocks = 0, previous = kNone;
  bool previous_free = false;
  for (uint32_t block = head_->first; block != kNone; block = At(block).next) {
    if (block > head_->used || ++blocks > head_->used) return false;
    const Block& at = At(block);
    const uint32_t state = at.state.load(std::memory_order_relaxed);
    if (at.begin != position || at.granules == 0 || at.granules > granules_ - position || at.previous != previous)
      return false;
    if (state == kFree) {
      if (previous_free) return false;
      free_granules += at.granules;
      ++free_blocks;
    } else if (state != kLive || at.owner >= kMaxAttachments) {
      return false;
    }
    previous_free = state == kFree;
    previous = block;
    position += at.granules;
  }
  if (position != granules_ || free_granules != head_->free_granules) return false;
  if (!std::all_of(std::begin(head_->holds), std::end(head_->holds), [this](const Hold& hold) { return Holds(hold); }))
    return false;

  uint32_t spares = 0;
  for (uint32_t block = head_->spare; block != kNone; block = At(block).next) {
    if (block > head_->used || ++spares > head_->used || At(block).state.load(std::memory_order_relaxed) != kSpare)
      return false;
  }
  return spares == head_->spare_count && spares + blocks == head_->used && BinsValid(free_blocks);
}

bool BlockHeap::BinsValid(uint32_t free_blocks) const {
  uint32_t found = 0;
  for (int level = 0; level < kLevels; ++level) {
    for (int step = 0; step < kSteps; ++step) {
      const bool marked = (head_->step_mask[level] >> step & 1) != 0;
      if (marked != (head_->bins[level][step] != kNone)) return false;
      uint32_t previous = kNone;
      for (uint32_t block = head_->bins[level][step]; block != kNone; block = At(block).bin_next) {
        if (block > head_->used || ++found > free_blocks || At(block).bin_previous != previous) return false;
        const Bin bin = BinOf(At(block).granules);
        if (At(block).state.load(std::memory_order_relaxed) != kFree || bin.level != level || bin.step != step)
          return false;
        previous = block;
      }
    }
    if ((head_->step_mask[level] != 0) != ((head_->level_mask >> level & 1) != 0)) return false;
  }
  return found == free_blocks && head_->level_mask >> kLevels == 0;
}

bool BlockHeap::Rebuild() {
  head_->ready = std::min(head_->ready, capacity_);
  head_->used = std::min(head_->used, head_->ready);
  ClearDerived();

  std::vector<uint32_t> live;
  for (uint32_t block = 1; block <= head_->used; ++block) {
    const Block& at = At(block);
    const bool is_live = at.state.load(std::memory_order_relaxed) == kLive;
    if (is_live && at.owner < kMaxAttachments && at.granules > 0 && at.begin < granules_ &&
        at.granules <= granules_ - at.begin) {
      live.push_back(block);
    } else {
      Retire(block);
    }
  }
  std::sort(live.begin(), live.end(), [this](uint32_t a, uint32_t b) { return At(a).begin < At(b).begin; });

  uint64_t position = 0;
  uint32_t previous = kNone;
  const auto fill_gap = [&](uint64_t end) {
    if (position == end) return true;
    const uint32_t gap = NewRecord();
    if (gap == kNone) return false;
    At(gap).begin = position;
    At(gap).granules = end - position;
    LinkAfter(gap, previous);
    InsertInBin(gap);
    head_->free_granules += end - position;
    previous = gap;
    return true;
  };
  for (Hold& hold : head_->holds) {
    if (!Holds(hold)) hold.block = kNone;
  }
  for (const uint32_t block : live) {
    if (At(block).begin < position || !fill_gap(At(block).begin)) return false;
    LinkAfter(block, previous);
    previous = block;
    position = At(block).begin + At(block).granules;
  }
  return fill_gap(granules_);
}

}  // namespace outboard::softgpu
