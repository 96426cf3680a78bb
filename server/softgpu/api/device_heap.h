#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

namespace outboard::softgpu::api {

// The heap of device-side malloc and free: one piece of device memory whose bookkeeping lies in host memory, so that no
// kernel can spoil it. First fit. Thread-safe.
class DeviceHeap {
 public:
  explicit DeviceHeap(uint64_t limit) : limit_(limit) {}

  // Bytes that the heap has, or will have once it is placed.
  uint64_t limit() const;
  // False when the heap is placed already.
  bool set_limit(uint64_t bytes);

  bool placed() const;
  // Gives the heap its limit() bytes at this device address, aligned to 16 bytes.
  void Place(uint64_t address);
  // Forgets all pieces. Returns the heap's address; nullopt when it has none.
  std::optional<uint64_t> Unplace();

  // A piece aligned to 16 bytes; 0 when there is none large enough.
  uint64_t Allocate(uint64_t bytes);
  // False when `address` is not the start of a live piece.
  bool Free(uint64_t address);

 private:
  mutable std::mutex mutex_;
  uint64_t limit_;
  uint64_t address_ = 0;
  std::map<uint64_t, uint64_t> free_;  // address to bytes; neighbours are always merged
  std::map<uint64_t, uint64_t> live_;  // address to bytes
};

}  // namespace outboard::softgpu::api
