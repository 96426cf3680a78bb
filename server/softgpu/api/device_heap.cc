#include "server/softgpu/api/device_heap.h"

#include <iterator>

namespace outboard::softgpu::api {

constexpr uint64_t kAlignment = 16;

uint64_t DeviceHeap::limit() const {
  std::lock_guard lock(mutex_);
  return limit_;
}

bool DeviceHeap::set_limit(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (address_ != 0) return false;
  limit_ = bytes;
  return true;
}

bool DeviceHeap::placed() const {
  std::lock_guard lock(mutex_);
  return address_ != 0;
}

void DeviceHeap::Place(uint64_t address) {
  std::lock_guard lock(mutex_);
  address_ = address;
  live_.clear();
  free_.clear();
  free_.emplace(address, limit_);
}

std::optional<uint64_t> DeviceHeap::Unplace() {
  std::lock_guard lock(mutex_);
  if (address_ == 0) return std::nullopt;
  const uint64_t address = address_;
  address_ = 0;
  free_.clear();
  live_.clear();
  return address;
}

uint64_t DeviceHeap::Allocate(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  if (bytes == 0 || bytes > limit_) return 0;
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    if (piece->second < bytes) continue;
    const auto [address, size] = *piece;
    free_.erase(piece);
    if (size > bytes) free_.emplace(address + bytes, size - bytes);
    live_.emplace(address, bytes);
    return address;
  }
  return 0;
}

bool DeviceHeap::Free(uint64_t address) {
  std::lock_guard lock(mutex_);
  const auto found = live_.find(address);
  if (found == live_.end()) return false;
  uint64_t size = found->second;
  live_.erase(found);
  auto next = free_.lower_bound(address);
  if (next != free_.end() && address + size == next->first) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == address) {
      before->second += size;
      return true;
    }
  }
  free_.emplace_hint(next, address, size);
  return true;
}

}  // namespace outboard::softgpu::api
