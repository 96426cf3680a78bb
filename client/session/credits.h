#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/limits.h"

namespace outboard::client {

// What was sent and had not its turn in the worker yet: kCreditBytes and kCreditCommands at most. Thread-compatible.
class Credits {
 public:
  Credits();

  // Whether one command more may be sent behind those that are under way and those that are gathered.
  bool Allow(size_t command_bytes, size_t gathered_bytes, uint32_t gathered_commands) const {
    return bytes_ + gathered_bytes + command_bytes <= kCreditBytes && commands_ + gathered_commands < kCreditCommands;
  }

  // A frame went out, whose last command has number `last`. Only commands that need credit count.
  void Sent(uint64_t last, size_t bytes, uint32_t commands);
  // The worker acknowledged the commands up to this one. A frame gives its credits back as a whole.
  void Acknowledged(uint64_t last);

  bool nothing_under_way() const { return commands_ == 0; }
  size_t bytes() const { return bytes_; }

 private:
  struct Frame {
    uint64_t last;
    size_t bytes;
    uint32_t commands;
  };
  Frame& At(size_t i) { return frames_[(begin_ + i) & (frames_.size() - 1)]; }

  std::vector<Frame> frames_;  // a ring, its size a power of two
  size_t begin_ = 0, count_ = 0;
  size_t bytes_ = 0;
  uint32_t commands_ = 0;
};

}  // namespace outboard::client
