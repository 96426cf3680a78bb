#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "common/wire/frame.h"

namespace outboard::client {

// The frame that is being gathered: commands one behind the other, numbered as they come. Its memory is used again.
// Thread-compatible.
class Outbox {
 public:
  Outbox();

  // Makes room for a command of so many bytes, header included: Append then does not fail.
  void Reserve(size_t command_bytes);
  // Adds a command; `header.bytes` is filled in. Its body, to be written before the next call of anything here, is
  // aligned to 8. Credits are counted for commands that need them.
  std::byte* Append(wire::CommandHeader header, size_t body_bytes, bool needs_credit);

  bool empty() const { return count_ == 0; }
  bool has_one() const { return count_ == 1; }
  size_t bytes() const { return used_; }
  uint64_t last() const { return first_ + count_ - 1; }  // number of the last command that was appended, ever
  size_t credit_bytes() const { return credit_bytes_; }  // of the commands that need credit, headers included
  uint32_t credit_commands() const { return credit_commands_; }
  uint64_t frames_begun() const { return frames_begun_; }  // grows with the first command of each frame

  // The frame as it goes out; alive until the next Append. What follows is the next frame.
  std::span<const std::byte> Seal(uint64_t acknowledged);

 private:
  std::unique_ptr<std::byte[]> buffer_;
  size_t capacity_ = 0;
  size_t used_ = sizeof(wire::FrameHeader);
  uint64_t first_ = 1;
  uint32_t count_ = 0;
  size_t credit_bytes_ = 0;
  uint32_t credit_commands_ = 0;
  uint64_t frames_begun_ = 0;
};

}  // namespace outboard::client
