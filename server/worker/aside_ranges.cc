#include "server/worker/aside_ranges.h"

namespace outboard::worker {
namespace {

constexpr size_t kMaxRanges = 4096;

}  // namespace

bool AsideRanges::Add(CUdeviceptr begin, size_t bytes) {
  std::lock_guard lock(mutex_);
  if (ranges_.size() >= kMaxRanges) return false;
  ranges_.push_back({begin, begin + bytes});
  return true;
}

void AsideRanges::Remove(CUdeviceptr begin) {
  std::lock_guard lock(mutex_);
  std::erase_if(ranges_, [&](const Range& range) { return range.begin == begin; });
}

size_t AsideRanges::BytesFrom(CUdeviceptr address, size_t bytes) const {
  std::lock_guard lock(mutex_);
  for (const Range& range : ranges_) {
    if (range.begin < address + bytes && address < range.end) return range.end - address;
  }
  return 0;
}

}  // namespace outboard::worker
