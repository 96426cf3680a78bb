#include "client/shim/memory_reservations.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace outboard::shim {
namespace {

constexpr int kProtection = PROT_NONE;
constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
constexpr uint64_t kLeastArena = uint64_t{1} << 30;
constexpr uint64_t kUserAddresses = uint64_t{1} << 47;
constexpr uint64_t kForGood = UINT64_MAX;

uint64_t PageSize() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }
uint64_t FirstPage(uint64_t begin) { return begin & ~(PageSize() - 1); }
uint64_t EndPage(uint64_t begin, uint64_t size) { return (begin + size + PageSize() - 1) & ~(PageSize() - 1); }

}  // namespace

Reservations::~Reservations() {
  for (auto it = counts_.begin(); it != counts_.end(); ++it) {
    if (it->second > 0) Unmap(it->first, std::next(it)->first);
  }
  if (arena_.size != 0) munmap(reinterpret_cast<void*>(arena_.begin), arena_.size);
}

Arena Reservations::MakeArena(uint64_t wanted) {
  std::lock_guard lock(mutex_);
  rlimit limit{};
  if (arena_.size != 0 || !maps_ || getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY) return arena_;
  for (uint64_t bytes = wanted; bytes >= kLeastArena; bytes /= 2) {
    void* const got = mmap(nullptr, bytes, kProtection, kFlags, -1, 0);
    if (got == MAP_FAILED) continue;
    madvise(got, bytes, MADV_DONTDUMP);
    arena_ = {reinterpret_cast<uint64_t>(got), bytes};
    break;
  }
  return arena_;
}

bool Reservations::Reserve(uint64_t begin, uint64_t size) {
  if (size == 0 || size > kUserAddresses || begin > kUserAddresses - size || begin < PageSize()) return false;
  const uint64_t first = FirstPage(begin), end = EndPage(begin, size);
  std::lock_guard lock(mutex_);
  const auto from = SplitAt(first), to = SplitAt(end);
  for (auto it = from; it != to; ++it) {
    if (it->second == 0 && !Map(it->first, std::next(it)->first)) {
      Decrease(first, it->first);
      MergeAround(first, end);
      return false;
    }
    if (it->second != kForGood) ++it->second;
  }
  MergeAround(first, end);
  return true;
}

bool Reservations::ReserveForGood(uint64_t begin, uint64_t size) {
  if (!Reserve(begin, size)) return false;
  const uint64_t first = FirstPage(begin), end = EndPage(begin, size);
  std::lock_guard lock(mutex_);
  const auto from = SplitAt(first), to = SplitAt(end);
  for (auto it = from; it != to; ++it) it->second = kForGood;
  MergeAround(first, end);
  return true;
}

void Reservations::Release(uint64_t begin, uint64_t size) {
  std::lock_guard lock(mutex_);
  const uint64_t first = FirstPage(begin), end = EndPage(begin, size);
  SplitAt(first);
  SplitAt(end);
  Decrease(first, end);
}

bool Reservations::Holds(uint64_t address) const {
  std::lock_guard lock(mutex_);
  if (address >= arena_.begin && address - arena_.begin < arena_.size) return true;
  return std::prev(counts_.upper_bound(address))->second > 0;
}

void Reservations::DoNotMapForTesting() {
  std::lock_guard lock(mutex_);
  maps_ = false;
}

Reservations::Counts::iterator Reservations::SplitAt(uint64_t address) {
  const auto after = counts_.upper_bound(address);
  const auto at = std::prev(after);
  return at->first == address ? at : counts_.emplace_hint(after, address, at->second);
}

// Both ends are keys.
void Reservations::Decrease(uint64_t begin, uint64_t end) {
  for (auto it = counts_.find(begin); it->first != end; ++it) {
    if (it->second > 0 && it->second != kForGood && --it->second == 0) Unmap(it->first, std::next(it)->first);
  }
  MergeAround(begin, end);
}

// Drops keys that say what the one before them says.
void Reservations::MergeAround(uint64_t begin, uint64_t end) {
  for (auto it = counts_.lower_bound(begin); it != counts_.end() && it->first <= end;) {
    it = it != counts_.begin() && std::prev(it)->second == it->second ? counts_.erase(it) : std::next(it);
  }
}

bool Reservations::Map(uint64_t begin, uint64_t end) {
  if (!maps_) return true;
  const auto pieces = OutsideArena(begin, end);
  for (const Arena& piece : pieces) {
    if (piece.size == 0) continue;
    void* const wanted = reinterpret_cast<void*>(piece.begin);
    void* const got = mmap(wanted, piece.size, kProtection, kFlags | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == wanted) {
      madvise(got, piece.size, MADV_DONTDUMP);
      continue;
    }
    // A kernel that does not know the flag takes the address as a hint.
    if (got != MAP_FAILED) munmap(got, piece.size);
    Unmap(begin, piece.begin);
    return false;
  }
  return true;
}

void Reservations::Unmap(uint64_t begin, uint64_t end) {
  if (!maps_) return;
  for (const Arena& piece : OutsideArena(begin, end)) {
    if (piece.size != 0) munmap(reinterpret_cast<void*>(piece.begin), piece.size);
  }
}

// Pages of the arena stay mapped: these are the others.
std::array<Arena, 2> Reservations::OutsideArena(uint64_t begin, uint64_t end) const {
  const uint64_t below = std::min(end, std::max(begin, arena_.begin));
  const uint64_t above = std::max(begin, std::min(end, arena_.begin + arena_.size));
  return {Arena{begin, below - begin}, Arena{above, end - above}};
}

}  // namespace outboard::shim
