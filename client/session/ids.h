#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/limits.h"
#include "common/wire/handle.h"

namespace outboard::client {

// The handles that this process has chosen for objects of the driver.
//
// Thread-safe. IsLive takes no lock: it is asked for every handle of every call that is sent without waiting.
class Ids {
 public:
  // Tests have smaller limits.
  explicit Ids(uint32_t slots = kMaxHandles, uint32_t generations = wire::kMaxGeneration)
      : slots_(slots), generations_(generations) {}

  // A handle that was never given out before; 0 when all slots are in use.
  wire::HandleId New(wire::HandleKind kind);
  void Release(wire::HandleId id);  // one that is not live is ignored

  // Whether `id` was given out and not released. A null handle is not; a built-in stream is a live stream. A kernel's
  // handle counts as a function's.
  bool IsLive(wire::HandleKind kind, wire::HandleId id) const;

  // Notes the fixed handle of a primary context (wire::PrimaryContextHandle), and that it is gone.
  void AddPrimaryContext(CUdevice device);
  void RemovePrimaryContext(CUdevice device);

 private:
  // What a slot holds: the handle that is live in it, or, with kind kNone, the last one that was; 0 before the first.
  using Slot = std::atomic<wire::HandleId>;
  static constexpr uint32_t kChunkSlots = 4096;
  using Chunk = std::array<Slot, kChunkSlots>;
  static_assert(kMaxHandles % kChunkSlots == 0);
  static_assert(kMaxDevices <= 64);

  const Slot* Find(uint32_t slot) const;  // null past the slots that were ever in use

  const uint32_t slots_, generations_;

  std::array<std::atomic<Chunk*>, kMaxHandles / kChunkSlots> chunks_{};  // made as they are needed, and kept
  std::atomic<uint64_t> primary_contexts_{0};                            // one bit per device

  std::mutex mutex_;  // guards what follows, and who writes slots
  std::vector<std::unique_ptr<Chunk>> owned_;
  std::vector<uint32_t> free_;
  uint32_t next_slot_ = wire::kFirstSlot;  // never in use so far
};

}  // namespace outboard::client
