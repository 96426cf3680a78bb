#include "client/session/outbox.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace outboard::client {
namespace {

constexpr size_t kUsualBytes = 128 << 10;  // a full frame and a command of ordinary size

}  // namespace

Outbox::Outbox() { Reserve(kUsualBytes); }

void Outbox::Reserve(size_t command_bytes) {
  const size_t bytes = used_ + command_bytes;
  if (bytes <= capacity_) return;
  const size_t capacity = std::max(bytes, 2 * capacity_);
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(capacity);
  if (buffer_ != nullptr) std::memcpy(buffer.get(), buffer_.get(), used_);
  buffer_ = std::move(buffer);
  capacity_ = capacity;
}

std::byte* Outbox::Append(wire::CommandHeader header, size_t body_bytes, bool needs_credit) {
  const size_t bytes = sizeof header + body_bytes;
  Reserve(bytes);
  header.bytes = static_cast<uint32_t>(bytes);
  std::byte* at = buffer_.get() + used_;
  std::memcpy(at, &header, sizeof header);
  used_ += bytes;
  if (count_++ == 0) ++frames_begun_;
  if (needs_credit) {
    credit_bytes_ += bytes;
    ++credit_commands_;
  }
  return at + sizeof header;
}

std::span<const std::byte> Outbox::Seal(uint64_t acknowledged) {
  const wire::FrameHeader header{.magic = wire::kFrameMagic,
                                 .bytes = static_cast<uint32_t>(used_),
                                 .first = first_,
                                 .acknowledged = acknowledged,
                                 .count = count_,
                                 .reserved = 0};
  std::memcpy(buffer_.get(), &header, sizeof header);
  const std::span<const std::byte> frame(buffer_.get(), used_);
  first_ += count_;
  used_ = sizeof header;
  count_ = 0;
  credit_bytes_ = 0;
  credit_commands_ = 0;
  return frame;
}

}  // namespace outboard::client
