#pragma once

#include <cstdint>
#include <mutex>

#include "common/base/limits.h"

namespace outboard::worker {

// What the client may still send, and what it is told to have been done with. Commands of the spec take credit when
// they arrive and give it back when they are done, or have let the next one begin; Control commands need none.
//
// Thread-safe.
class Credits {
 public:
  // Commands have arrived. False when the client had no credit for them.
  [[nodiscard]] bool Take(uint64_t commands, uint64_t bytes);
  // All commands up to sequence number `sequence` are done with; `commands` and `bytes` of them had taken credit. In
  // order of the sequence numbers.
  void Release(uint64_t sequence, uint64_t commands, uint64_t bytes);

  // For FrameHeader::acknowledged of a frame that is sent now.
  uint64_t Acknowledge();
  // Whether a quarter of the window waits for being acknowledged: the client is told even if there is nothing to say.
  bool IsDue() const;
  // Whether anything does.
  bool HasNews() const;

 private:
  struct Amount {
    uint64_t commands = 0, bytes = 0;  // since the session's begin
  };
  mutable std::mutex mutex_;
  Amount taken_, released_, told_;
  uint64_t released_sequence_ = 0, told_sequence_ = 0;
};

}  // namespace outboard::worker
