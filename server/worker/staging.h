#pragma once

#include <cuda.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/limits.h"
#include "server/driver/driver_table.h"

namespace outboard::worker {

// A piece of page-locked host memory. The driver knows it by the same address on the device (unified addressing).
struct Block {
  std::byte* bytes = nullptr;
  size_t size = 0;
  unsigned users = 0;      // copies and rings that still need it; guarded by the owner of the copies
  uint64_t last_user = 0;  // number of the last copy that was given it; likewise
};

// Page-locked memory and events of one context, kept for the next copy instead of being given back to the driver.
//
// Thread-safe; blocks and events are the caller's between Take and Give. Take functions need the context to be the
// current one.
class Staging {
 public:
  // `total` counts the bytes of all contexts of the session, which never pass kMaxStagingBytes.
  Staging(const driver::DriverTable& driver, CUcontext context, std::atomic<uint64_t>* total);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  CUcontext context() const { return context_; }

  // A block of at least `bytes` (at most kCopyChunkBytes) with one user; null when none is free. With `grow` null only
  // when the limit is reached or the driver refuses.
  Block* Take(size_t bytes, bool grow);
  void Give(Block* block);  // has no user

  // An event without timing; null when the driver refuses.
  CUevent TakeEvent(CUresult* result);
  void GiveEvent(CUevent event);

  // Gives everything back to the driver. The context is current; nothing is used any more, and nothing is taken from
  // here on.
  void Destroy();
  // The same when the context has ended, and the driver has taken everything back itself.
  void Abandon();

 private:
  struct Kind {
    size_t block_bytes;
    size_t slab_bytes;  // taken from the driver at once
  };
  static constexpr std::array<Kind, 3> kKinds{
      {{4u << 10, 256u << 10}, {64u << 10, 1u << 20}, {kCopyChunkBytes, 4 * kCopyChunkBytes}}};
  static size_t KindFor(size_t bytes);
  bool Grow(size_t kind);
  void Clear();

  const driver::DriverTable& driver_;
  const CUcontext context_;
  std::atomic<uint64_t>* const total_;

  std::mutex mutex_;
  std::deque<Block> blocks_;  // all of them; addresses stay
  std::array<std::vector<Block*>, kKinds.size()> free_;
  std::vector<void*> slabs_;
  uint64_t bytes_ = 0;  // of slabs_
  bool is_over_ = false;
  std::vector<CUevent> events_;
};

}  // namespace outboard::worker
