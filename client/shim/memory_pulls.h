#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/base/box.h"

namespace outboard::shim {

// Host-to-device copies whose bytes the worker will ask for when the stream gets there: page-locked
// memory is read then, and not when the copy is called.
//
// Thread-safe.
class Pulls {
 public:
  // A number for the copy. The bytes stay the application's, and must stay readable until they were sent.
  uint64_t Add(const Box& source, const BoxExtent& extent);
  // Forgets the copies that read from anywhere in the range: nobody will ask for them any more.
  void Forget(uint64_t begin, uint64_t size);

  // The bytes that the worker asks for, those of a box without gaps: put together in `gathered`, and only all at once.
  // Nullopt when there is no such copy or less is missing of it.
  std::optional<std::span<const std::byte>> Find(uint64_t pull, uint64_t offset, uint64_t bytes,
                                                 std::vector<std::byte>* gathered) const;
  // So many were taken. The copy is gone when all were.
  void Sent(uint64_t pull, uint64_t bytes);

  // Whether bytes of the range may still be asked for; of anything. The gaps of a box count as if they were read.
  bool MayRead(uint64_t begin, uint64_t size) const;
  bool Any() const { return count_.load(std::memory_order_acquire) != 0; }

 private:
  struct Source {
    Box box;
    BoxExtent extent;
    uint64_t span;     // bytes from the first to the last
    uint64_t missing;  // bytes that were not sent
    bool Meets(uint64_t begin, uint64_t size) const;
  };

  std::atomic<size_t> count_{0};  // of sources_
  mutable std::mutex mutex_;
  uint64_t last_ = 0;  // guarded by mutex_, as is what follows
  std::unordered_map<uint64_t, Source> sources_;
};

}  // namespace outboard::shim
