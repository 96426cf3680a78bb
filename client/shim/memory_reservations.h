#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>

namespace outboard::shim {

// Addresses, [begin, begin + size) in bytes.
struct Arena {
  uint64_t begin = 0;
  uint64_t size = 0;
};

// Keeps the addresses that a worker's memory has out of the way of this process's own mappings: maps them without
// access, so that nothing else comes to lie there and touching a device pointer faults. Works on whole pages and
// counts, because neighbouring allocations share pages and because an address can be handed out again before its last
// owner has let go of it here.
//
// Thread-safe.
class Reservations {
 public:
  Reservations() = default;
  ~Reservations();  // for tests: unmaps everything
  Reservations(const Reservations&) = delete;
  Reservations& operator=(const Reservations&) = delete;

  // Takes a large piece of address space that the worker is asked to place its memory in; it is never given back. As
  // large as can be had from `wanted` bytes downwards; none when that is too little to be worth it, or when the
  // process's address space is limited (RLIMIT_AS), which an arena would eat up.
  Arena MakeArena(uint64_t wanted);

  // False, and nothing is reserved, when something of this process lies in the range or it is no range of user
  // addresses.
  [[nodiscard]] bool Reserve(uint64_t begin, uint64_t size);
  // The same, and the pages stay reserved whatever is released.
  [[nodiscard]] bool ReserveForGood(uint64_t begin, uint64_t size);
  // Ends one Reserve of exactly this range.
  void Release(uint64_t begin, uint64_t size);

  // Whether the address is reserved, or lies in the arena: then it is no host memory.
  bool Holds(uint64_t address) const;

  // Counts and maps nothing: for tests whose worker lives in this process, where it holds its addresses itself.
  void DoNotMapForTesting();

 private:
  // From the key to the next key, pages have this many owners, or kForGood.
  using Counts = std::map<uint64_t, uint64_t>;

  Counts::iterator SplitAt(uint64_t address);
  void MergeAround(uint64_t begin, uint64_t end);
  void Decrease(uint64_t begin, uint64_t end);
  bool Map(uint64_t begin, uint64_t end);
  void Unmap(uint64_t begin, uint64_t end);
  std::array<Arena, 2> OutsideArena(uint64_t begin, uint64_t end) const;

  mutable std::mutex mutex_;
  Arena arena_;  // guarded by mutex_, as is what follows
  bool maps_ = true;
  Counts counts_{{0, 0}};
};

}  // namespace outboard::shim
