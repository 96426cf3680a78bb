#include "client/shim/memory_landings.h"

#include <algorithm>
#include <cstring>

#include "common/base/limits.h"

namespace outboard::shim {
namespace {

// The first landing that may reach `address` or beyond.
template <class Map>
auto FirstNear(Map& landings, uint64_t address) {
  return landings.lower_bound(address < kCopyChunkBytes ? 0 : address - kCopyChunkBytes);
}

}  // namespace

void Landings::Expect(uint64_t begin, uint64_t size) {
  std::lock_guard lock(mutex_);
  landings_.emplace(begin, Landing{size, size});
  Count();
}

void Landings::ExpectBox(const Box& box, const BoxExtent& extent) {
  std::lock_guard lock(mutex_);
  boxes_.emplace(box.address, BoxLanding{box, extent, SpanOf(box, extent).value_or(0)});
  Count();
}

void Landings::Forget(uint64_t begin, uint64_t size) {
  std::lock_guard lock(mutex_);
  for (auto it = FirstNear(landings_, begin); it != landings_.end() && it->first < begin + size;) {
    const auto landing = it++;
    if (landing->first + landing->second.size > begin) landings_.erase(landing);
  }
  std::erase_if(boxes_, [&](const auto& entry) { return entry.second.Meets(begin, size); });
  Count();
}

bool Landings::Land(uint64_t address, std::span<const std::byte> bytes) {
  std::lock_guard lock(mutex_);
  // Of several copies to one place the oldest lands first. A whole copy is the rule; a piece may begin anywhere in it.
  auto found = landings_.lower_bound(address);
  if (found == landings_.end() || found->first != address || found->second.missing < bytes.size()) {
    for (found = FirstNear(landings_, address); found != landings_.end(); ++found) {
      if (found->first > address) return false;
      const uint64_t offset = address - found->first;
      if (offset <= found->second.size && bytes.size() <= found->second.size - offset &&
          bytes.size() <= found->second.missing) {
        break;
      }
    }
    if (found == landings_.end()) return false;
  }
  // Under the lock, so that Forget means what it says.
  if (!bytes.empty()) std::memcpy(reinterpret_cast<void*>(address), bytes.data(), bytes.size());
  found->second.missing -= bytes.size();
  if (found->second.missing == 0) landings_.erase(found);
  Count();
  return true;
}

bool Landings::LandBox(const Box& box, const BoxExtent& extent, std::span<const std::byte> bytes) {
  std::lock_guard lock(mutex_);
  const auto [begin, end] = boxes_.equal_range(box.address);
  const auto found = std::find_if(
      begin, end, [&](const auto& entry) { return entry.second.box == box && entry.second.extent == extent; });
  if (found == end || bytes.size() != PackedBytes(extent)) return false;
  CopyBox(box, PackedAt(bytes.data(), extent), extent);
  boxes_.erase(found);
  Count();
  return true;
}

bool Landings::MayWrite(uint64_t begin, uint64_t size) const {
  if (!Any()) return false;
  std::lock_guard lock(mutex_);
  for (auto it = FirstNear(landings_, begin); it != landings_.end() && it->first < begin + size; ++it) {
    if (it->first + it->second.size > begin) return true;
  }
  return std::any_of(boxes_.begin(), boxes_.end(), [&](const auto& entry) { return entry.second.Meets(begin, size); });
}

void Landings::Count() { count_.store(landings_.size() + boxes_.size(), std::memory_order_release); }

}  // namespace outboard::shim
