#include "server/worker/outbox.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/limits.h"
#include "server/worker/session.h"

namespace outboard::worker {
namespace {

constexpr size_t kKeptBytes = 2u << 20;  // of a buffer, between frames: a chunk of a copy fits
constexpr size_t kGoodbyeBytes = 1024;   // of each frame, for kEnd

}  // namespace

std::byte* FrameBuffer::Extend(size_t bytes) {
  if (size_ + bytes > capacity_) {
    const size_t capacity = std::max({size_ + bytes, capacity_ * 2, size_t{4096}});
    std::unique_ptr<std::byte[]> larger(new std::byte[capacity]);
    if (size_ != 0) std::memcpy(larger.get(), bytes_.get(), size_);
    bytes_ = std::move(larger);
    capacity_ = capacity;
  }
  return bytes_.get() + std::exchange(size_, size_ + bytes);
}

void FrameBuffer::Clear() {
  size_ = 0;
  if (capacity_ <= kKeptBytes) return;
  bytes_.reset();
  capacity_ = 0;
}

Outbox::Hold::Hold(Outbox& outbox) : outbox_(outbox) {
  std::lock_guard lock(outbox_.mutex_);
  holds_ = outbox_.holder_ == std::thread::id();
  if (holds_) outbox_.holder_ = std::this_thread::get_id();
}

void Outbox::Hold::Release() {
  if (!std::exchange(holds_, false)) return;
  std::lock_guard lock(outbox_.mutex_);
  outbox_.holder_ = std::thread::id();
}

Outbox::Encoding::Encoding(Outbox& outbox, wire::Control control, uint32_t lane, size_t body_bytes)
    : outbox_(outbox), lock_(outbox.mutex_) {
  outbox_.MakeRoom(lock_, sizeof(wire::CommandHeader) + body_bytes);
  if (outbox_.takes_commands()) body_ = outbox_.Append(control, lane, body_bytes);
}

Outbox::Encoding::~Encoding() {
  if (body_ != nullptr && outbox_.holder_ != std::this_thread::get_id()) outbox_.Flush(lock_);
}

// Until `bytes` more fit into the next frame, beside a goodbye.
void Outbox::MakeRoom(std::unique_lock<std::mutex>& lock, size_t bytes) {
  while (takes_commands() && next_.size() + bytes > kMaxFrameBytes - kGoodbyeBytes) {
    if (sending_) {
      sent_one_.wait(lock);
    } else {
      Flush(lock);
    }
  }
}

std::byte* Outbox::Append(wire::Control control, uint32_t lane, size_t body_bytes) {
  if (next_.size() == 0) next_.Extend(sizeof(wire::FrameHeader));
  std::byte* at = next_.Extend(sizeof(wire::CommandHeader) + body_bytes);
  const wire::CommandHeader header = {
      .bytes = static_cast<uint32_t>(sizeof(wire::CommandHeader) + body_bytes),
      .op = static_cast<uint16_t>(control),
      .flags = 0,
      .lane = lane,
      .device = 0,
      .context = 0,
  };
  std::memcpy(at, &header, sizeof header);
  ++count_;
  ++sequence_;
  return at + sizeof header;
}

void Outbox::Flush(std::unique_lock<std::mutex>& lock) {
  if (sending_) return;  // who is sending sends this as well
  sending_ = true;
  while (!closed_ && (count_ != 0 || acknowledge_)) {
    if (next_.size() == 0) next_.Extend(sizeof(wire::FrameHeader));
    const wire::FrameHeader header = {
        .magic = wire::kFrameMagic,
        .bytes = static_cast<uint32_t>(next_.size()),
        .first = sequence_ + 1 - count_,
        .acknowledged = credits_->Acknowledge(),
        .count = count_,
        .reserved = 0,
    };
    std::memcpy(next_.data(), &header, sizeof header);
    std::swap(next_, out_);
    count_ = 0;
    acknowledge_ = false;
    lock.unlock();
    sink_->Send({out_.data(), out_.size()});
    lock.lock();
    out_.Clear();
    sent_one_.notify_all();
  }
  sending_ = false;
  if (ending_ && !closed_ && !std::exchange(ended_, true)) {
    lock.unlock();
    sink_->End();
    lock.lock();
  }
}

void Outbox::Acknowledge() {
  if (!credits_->HasNews()) return;
  std::unique_lock lock(mutex_);
  if (!takes_commands()) return;
  acknowledge_ = true;
  Flush(lock);
}

void Outbox::AcknowledgeIfDue() {
  if (credits_->IsDue()) Acknowledge();
}

void Outbox::Mute() {
  std::lock_guard lock(mutex_);
  muted_ = true;
  sent_one_.notify_all();
}

bool Outbox::End(const std::string& reason) {
  std::unique_lock lock(mutex_);
  if (ending_ || closed_) return false;
  const size_t bytes = std::min(reason.size(), kGoodbyeBytes - sizeof(wire::CommandHeader) - 8);
  wire::Writer(Append(wire::Control::kEnd, 0, wire::Padded(bytes))).PutBytes(reason.data(), bytes);
  ending_ = true;
  sent_one_.notify_all();
  Flush(lock);
  return true;
}

void Outbox::End() {
  std::unique_lock lock(mutex_);
  if (ending_ || closed_) return;
  ending_ = true;
  Flush(lock);
}

void Outbox::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  sent_one_.notify_all();
}

uint64_t Outbox::sent() const {
  std::lock_guard lock(mutex_);
  return sequence_;
}

}  // namespace outboard::worker
