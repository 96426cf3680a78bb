#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory_resource>
#include <mutex>
#include <span>

#include "common/base/box.h"

namespace outboard::shim {

// Host memory into which device-to-host copies that nobody waits for are still to land. Until then its bytes are no
// source for another copy, and it is not given back.
//
// Thread-safe. Allocates only when more landings are outstanding than ever before.
class Landings {
 public:
  // To be called before the copy is sent. `size` in bytes, at most kCopyChunkBytes.
  void Expect(uint64_t begin, uint64_t size);
  // The same for a box of several rows, of any span.
  void ExpectBox(const Box& box, const BoxExtent& extent);
  // Forgets what is outstanding anywhere in the range: nothing will land there any more.
  void Forget(uint64_t begin, uint64_t size);

  // Writes bytes that have come, all of an expected copy or a piece of it. False, and nothing is written, when no such
  // copy is outstanding.
  [[nodiscard]] bool Land(uint64_t address, std::span<const std::byte> bytes);
  // The same for all of a box that was expected with this place and extent. `bytes` has no gaps, and as many bytes.
  [[nodiscard]] bool LandBox(const Box& box, const BoxExtent& extent, std::span<const std::byte> bytes);

  // Whether a copy may still write into the range; into anything. The gaps of a box count as if they were written.
  bool MayWrite(uint64_t begin, uint64_t size) const;
  bool Any() const { return count_.load(std::memory_order_acquire) != 0; }

 private:
  struct Landing {
    uint64_t size;
    uint64_t missing;  // bytes that have not come
  };
  struct BoxLanding {
    Box box;
    BoxExtent extent;
    uint64_t span;  // bytes from the first to the last
    bool Meets(uint64_t begin, uint64_t size) const { return box.address < begin + size && box.address + span > begin; }
  };
  using Map = std::pmr::multimap<uint64_t, Landing>;  // by first address

  void Count();  // after a change; the caller holds mutex_

  std::atomic<size_t> count_{0};  // of landings_ and boxes_
  mutable std::mutex mutex_;
  std::pmr::unsynchronized_pool_resource nodes_;  // guarded by mutex_, as is what follows
  Map landings_{&nodes_};
  std::pmr::multimap<uint64_t, BoxLanding> boxes_{&nodes_};  // by first address
};

}  // namespace outboard::shim
