#pragma once

#include <atomic>
#include <bitset>
#include <cstddef>
#include <cstdint>

namespace outboard::softgpu {

inline constexpr uint64_t kGranule = 512;          // bytes; unit and alignment of every allocation
inline constexpr uint32_t kMaxAttachments = 1024;  // owners: DeviceMemory objects of one device, over all processes
inline constexpr uint32_t kMaxHolds = 4096;        // of blocks, by others than their owners

// The allocator of a device's memory. Its structures lie in memory that processes share; this class is a view of them.
// It counts in granules and never touches the memory it hands out.
//
// Blocks tile the memory; neighbours are linked, no two free ones touch. Free blocks also hang in bins by size, sixteen
// to each power of two. Take and Release are constant time, Find nearly so; all are exact: Find fails only when no free
// block is large enough.
//
// A block may be shared: then others hold it beside its owner, and it is freed when the last of them leaves it. An
// owner that leaves first makes a holder the owner.
//
// Promise to survivors of a process that was killed at any instruction of Take or Release: Rebuild restores everything,
// and the block in question is then either allocated or free. It needs only the records in state kLive, and one store
// makes or ends that state.
//
// Not thread-safe: the caller holds the lock that goes with the memory.
class BlockHeap {
 public:
  struct Block {
    uint64_t begin;
    uint64_t granules;
    std::atomic<uint32_t> state;
    uint32_t owner;           // below kMaxAttachments; of a kLive block
    uint32_t previous, next;  // neighbours by address; `next` also links spare records
    uint32_t bin_previous, bin_next;
    uint64_t share;  // of a kLive block: not 0 once it is shared, and then no other has had this number
  };
  struct Hold {
    uint32_t block;  // kNone: of none
    uint32_t owner;
  };
  static constexpr uint32_t kSpare = 0, kFree = 1, kLive = 2;

  static constexpr int kLevels = 48, kSteps = 16;

  struct Head {
    uint64_t free_granules;
    uint32_t used;   // records 1..used have been in use at some time
    uint32_t ready;  // records 0..ready may be written
    uint32_t spare;  // first of the spare records among 1..used
    uint32_t spare_count;
    uint32_t first;  // block at the lowest address
    uint32_t padding;
    uint64_t level_mask;  // levels with a block
    uint16_t step_mask[kLevels];
    uint32_t bins[kLevels][kSteps];
    uint64_t last_share;
    Hold holds[kMaxHolds];
  };

  // Blocks are named by the number of their record; this is none of them.
  static constexpr uint32_t kNone = 0;
  static constexpr uint32_t kMaxBlocks = 1u << 20;

  // Records that a memory of so many granules needs at most, without record 0.
  static uint32_t RecordsFor(uint64_t granules);

  // `blocks` has RecordsFor(granules) + 1 records. Both outlive the view.
  BlockHeap(Head* head, Block* blocks, uint64_t granules);

  // Makes all memory one free block. `ready` >= 1 as in Head.
  void Reset(uint32_t ready);

  // How many new blocks can be made before `AddReady` is needed.
  uint32_t Available() const;
  void AddReady(uint32_t records);
  uint32_t ready() const { return head_->ready; }

  // A free block of at least so many granules, or kNone.
  uint32_t Find(uint64_t granules) const;

  // Allocates `granules` of the free block `block`, `skip` granules from its start. Precondition: they fit, and
  // Available() >= 2. Returns the allocated block.
  uint32_t Take(uint32_t block, uint64_t skip, uint64_t granules, uint32_t owner);

  // Frees an allocated block and joins it with free neighbours.
  void Release(uint32_t block);

  // Lets others hold an allocated block from now on; they name it by this number as well.
  uint64_t Share(uint32_t block);
  bool IsShared(uint32_t block, uint64_t share) const;
  // Makes `owner` one of those who hold the shared block. False when it has a part in it already, or there are
  // kMaxHolds.
  [[nodiscard]] bool AddHold(uint32_t block, uint32_t owner);
  // Ends the part that `owner` has in an allocated block, if any.
  void Leave(uint32_t block, uint32_t owner);

  // Ends what the named owners have and hold.
  void ReleaseOwners(const std::bitset<kMaxAttachments>& owners);

  // Calls `visit(begin, granules)` for every free block, in order of address.
  template <class Visit>
  void ForEachFree(Visit visit) const {
    for (uint32_t block = head_->first; block != kNone; block = At(block).next) {
      if (At(block).state.load(std::memory_order_relaxed) == kFree) visit(At(block).begin, At(block).granules);
    }
  }

  bool IsLive(uint32_t block, uint32_t owner) const;
  uint64_t Begin(uint32_t block) const { return At(block).begin; }
  uint64_t Granules(uint32_t block) const { return At(block).granules; }
  uint64_t FreeGranules() const { return head_->free_granules; }

  // Looks at everything, believing nothing.
  bool Valid() const;

  // Restores a heap that is not Valid. False when that is impossible, because the memory was overwritten by something
  // else.
  bool Rebuild();

 private:
  // Record 0 stands in for neighbours that are not there, and for numbers out of range in a damaged heap.
  Block& At(uint32_t block) const { return blocks_[block <= capacity_ ? block : kNone]; }

  uint32_t NewRecord();
  void Retire(uint32_t block);
  uint32_t SplitAt(uint32_t block, uint64_t granules);
  uint32_t ReleaseAndJoin(uint32_t block);
  bool PassOn(uint32_t block);
  void LinkAfter(uint32_t block, uint32_t previous);
  void Unlink(uint32_t block);
  void InsertInBin(uint32_t block);
  void RemoveFromBin(uint32_t block);
  void ClearDerived();
  bool BinsValid(uint32_t free_blocks) const;
  bool Holds(const Hold& hold) const;

  Head* head_;
  Block* blocks_;
  uint64_t granules_;
  uint32_t capacity_;
};

}  // namespace outboard::softgpu
