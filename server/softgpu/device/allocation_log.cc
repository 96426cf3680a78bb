#include "server/softgpu/device/allocation_log.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "server/softgpu/device/block_heap.h"

namespace outboard::softgpu {

AllocationLog::Blocks::iterator AllocationLog::BlockAt(uint64_t address) {
  const auto after = blocks_.upper_bound(address);
  if (after == blocks_.begin()) return blocks_.end();
  const auto block = std::prev(after);
  return address - block->first < block->second.bytes ? block : blocks_.end();
}

void AllocationLog::Free(uint64_t begin, uint64_t bytes, const std::string& what) {
  freed_.push_front({begin, bytes, what, true});
  if (freed_.size() > kMaxFreed) freed_.pop_back();
  extents_.reset();
}

// What was freed there is forgotten, up to the end of the last granule and `beyond` it.
void AllocationLog::Cover(uint64_t begin, uint64_t bytes, uint64_t beyond) {
  Free(begin, (bytes + kGranule - 1) / kGranule * kGranule + beyond, {});
  freed_.front().is_freed = false;
}

void AllocationLog::Add(uint64_t begin, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (!freed_.empty()) Cover(begin, bytes, kGranule);
  blocks_.insert_or_assign(begin, Block{bytes});
  extents_.reset();
}

void AllocationLog::Remove(uint64_t begin) {
  const std::lock_guard lock(mutex_);
  const auto block = blocks_.find(begin);
  if (block == blocks_.end()) return;
  for (const auto& [part, about] : block->second.parts) Free(part, about.bytes, about.what);
  if (!block->second.is_divided) Free(begin, block->second.bytes, block->second.what);
  blocks_.erase(block);
  extents_.reset();
}

void AllocationLog::Name(uint64_t begin, std::string what) {
  const std::lock_guard lock(mutex_);
  if (const auto block = blocks_.find(begin); block != blocks_.end()) block->second.what = std::move(what);
}

void AllocationLog::Divide(uint64_t address) {
  const std::lock_guard lock(mutex_);
  if (const auto block = BlockAt(address); block != blocks_.end()) block->second.is_divided = true;
  extents_.reset();
}

void AllocationLog::AddPart(uint64_t begin, uint64_t bytes, std::string what, bool is_writable) {
  const std::lock_guard lock(mutex_);
  const auto block = BlockAt(begin);
  if (block == blocks_.end() || bytes == 0) return;
  block->second.parts.emplace(begin, Part{bytes, std::move(what), is_writable});
  if (!freed_.empty()) Cover(begin, bytes, 0);
  extents_.reset();
}

void AllocationLog::RemovePart(uint64_t begin, uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  const auto block = BlockAt(begin);
  if (block == blocks_.end()) return;
  auto& parts = block->second.parts;
  const auto [first, last] = parts.equal_range(begin);
  // Of several the first to come is the first to go.
  const auto part = std::find_if(first, last, [&](const auto& each) { return each.second.bytes == bytes; });
  if (part == last) return;
  Free(begin, bytes, part->second.what);
  parts.erase(part);
  // Others may have the place already.
  for (const auto& [place, other] : parts) {
    if (place < begin + bytes && begin < place + other.bytes) Cover(place, other.bytes, 0);
  }
}

void AllocationLog::Append(const Blocks::value_type& block, const std::function<std::byte*(uint64_t)>& to_host,
                           ExtentTable* extents) {
  const auto& [begin, about] = block;
  if (!about.is_divided) return extents->push_back({begin, begin + about.bytes, to_host(begin)});
  uint64_t end = 0;
  for (const auto& [part, each] : about.parts) {
    if (part < end) {  // two have it: what belongs to either may be touched
      extents->back().end = std::max(extents->back().end, part + each.bytes);
    } else {
      extents->push_back({part, part + each.bytes, to_host(part), each.is_writable});
    }
    end = extents->back().end;
  }
}

std::shared_ptr<const ExtentTable> AllocationLog::Extents(const std::function<std::byte*(uint64_t)>& to_host) const {
  const std::lock_guard lock(mutex_);
  if (extents_ == nullptr) {
    auto table = std::make_shared<ExtentTable>();
    for (const auto& block : blocks_) Append(block, to_host, table.get());
    extents_ = std::move(table);
  }
  return extents_;
}

void AllocationLog::AppendBlock(uint64_t block, const std::function<std::byte*(uint64_t)>& to_host,
                                ExtentTable* extents) const {
  const std::lock_guard lock(mutex_);
  if (const auto found = blocks_.find(block); found != blocks_.end()) Append(*found, to_host, extents);
}

std::optional<LoggedPiece> AllocationLog::FindFreed(uint64_t address) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(freed_.begin(), freed_.end(), [&](const LoggedPiece& piece) {
    return address >= piece.begin && address - piece.begin < piece.bytes;
  });
  return found == freed_.end() || !found->is_freed ? std::nullopt : std::optional(*found);
}

std::optional<LoggedPiece> AllocationLog::FindNearest(uint64_t address) const {
  const std::lock_guard lock(mutex_);
  std::optional<LoggedPiece> nearest;
  uint64_t least = UINT64_MAX;
  const auto consider = [&](uint64_t begin, uint64_t bytes, const std::string& what) {
    const uint64_t end = begin + bytes;
    const uint64_t distance = address < begin ? begin - address : address < end ? 0 : address - end;
    if (distance >= least) return;
    least = distance;
    nearest = LoggedPiece{begin, bytes, what};
  };
  for (const auto& [begin, block] : blocks_) {
    if (!block.is_divided) consider(begin, block.bytes, block.what);
    for (const auto& [part, about] : block.parts) consider(part, about.bytes, about.what);
  }
  return nearest;
}

}  // namespace outboard::softgpu
