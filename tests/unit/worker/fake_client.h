#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/wire/codec.h"
#include "common/wire/frame.h"
#include "common/wire/hello.h"
#include "common/wire/op.h"
#include "server/worker/session.h"

namespace outboard::worker {

// A command that a client sends.
struct Outgoing {
  uint16_t op;
  uint32_t lane;
  uint16_t flags;
  std::vector<uint64_t> body;
  uint64_t context = 0;
};
inline constexpr uint16_t kAsks = wire::kWantsReply, kAsksAll = wire::kWantsReply | wire::kTakesEarlier;

inline std::vector<std::byte> MakeFrame(uint64_t first, uint64_t acknowledged, const std::vector<Outgoing>& commands) {
  size_t bytes = sizeof(wire::FrameHeader);
  for (const Outgoing& command : commands) bytes += sizeof(wire::CommandHeader) + 8 * command.body.size();
  std::vector<std::byte> frame(bytes);
  wire::Writer writer(frame.data());
  writer.Put(wire::FrameHeader{.magic = wire::kFrameMagic,
                               .bytes = static_cast<uint32_t>(bytes),
                               .first = first,
                               .acknowledged = acknowledged,
                               .count = static_cast<uint32_t>(commands.size()),
                               .reserved = 0});
  for (const Outgoing& command : commands) {
    writer.Put(
        wire::CommandHeader{.bytes = static_cast<uint32_t>(sizeof(wire::CommandHeader) + 8 * command.body.size()),
                            .op = command.op,
                            .flags = command.flags,
                            .lane = command.lane,
                            .device = 0,
                            .context = command.context});
    writer.PutBytes(command.body.data(), 8 * command.body.size());
  }
  return frame;
}

// A hello as a good client says it.
inline wire::ClientHello GoodHello() {
  wire::ClientHello hello;
  hello.major_version = wire::kMajorVersion;
  hello.abi = wire::kAbi;
  hello.ticket = "good ticket";
  hello.client = "test";
  for (const wire::OpInfo& info : wire::Ops()) {
    hello.op_hashes.resize(static_cast<size_t>(info.op) + 1);
    hello.op_hashes.back() = info.hash;
  }
  return hello;
}

// The other end of a session: makes frames and keeps what comes. Sending is for one thread; the rest is thread-safe.
class FakeClient final : public FrameSink {
 public:
  struct Incoming {
    wire::CommandHeader header;
    uint64_t sequence;
    std::vector<std::byte> body;
    size_t frame;  // index of the frame that it came in
  };
  struct Answer {
    CUresult result, earlier;
    std::vector<std::byte> outputs;
    uint64_t acknowledged;  // by the frame that it came in
  };

  // Sends one frame. The sequence number of its first command.
  uint64_t Send(Session& session, const std::vector<Outgoing>& commands) {
    const uint64_t first = next_;
    next_ += commands.size();
    session.OnFrame(MakeFrame(first, 0, commands));
    return first;
  }
  // Sends a hello and waits for the answer.
  wire::WorkerHello Greet(Session& session, const wire::ClientHello& hello = GoodHello()) {
    const std::vector<std::byte> encoded = wire::Encode(hello);
    std::vector<uint64_t> body((encoded.size() + 7) / 8);
    std::memcpy(body.data(), encoded.data(), encoded.size());
    Send(session, {{static_cast<uint16_t>(wire::Control::kHello), 0, 0, body}});
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !incoming_.empty(); });
    EXPECT_EQ(incoming_[0].header.op, static_cast<uint16_t>(wire::Control::kHello));
    auto answer = wire::DecodeWorkerHello(incoming_[0].body);
    EXPECT_TRUE(answer) << answer.error().message;
    return *answer;
  }
  // Waits for the reply to a command; nullopt when the session ends without.
  std::optional<Answer> Await(uint64_t sequence) {
    std::unique_lock lock(mutex_);
    size_t seen = 0;
    for (;;) {
      for (; seen < incoming_.size(); ++seen) {
        const Incoming& command = incoming_[seen];
        if (command.header.op != static_cast<uint16_t>(wire::Control::kReply)) continue;
        wire::ReplyHead head;
        std::memcpy(&head, command.body.data(), sizeof head);
        if (head.request != sequence) continue;
        return Answer{static_cast<CUresult>(head.result),
                      static_cast<CUresult>(head.earlier),
                      {command.body.begin() + sizeof head, command.body.end()},
                      frames_[command.frame].acknowledged};
      }
      if (ended_) return std::nullopt;
      changed_.wait(lock);
    }
  }
  CUresult ResultOf(uint64_t sequence) {
    const std::optional<Answer> answer = Await(sequence);
    return answer.has_value() ? answer->result : CUDA_ERROR_UNKNOWN;
  }
  // Waits until the worker has acknowledged a command.
  void AwaitAcknowledgement(uint64_t sequence) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !frames_.empty() && frames_.back().acknowledged >= sequence; });
  }
  // Waits for the end of the session and gives the worker's reason; empty when there was none.
  std::string AwaitEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ended_; });
    if (incoming_.empty() || incoming_.back().header.op != static_cast<uint16_t>(wire::Control::kEnd)) return "";
    const std::vector<std::byte>& body = incoming_.back().body;
    std::string reason(reinterpret_cast<const char*>(body.data()), body.size());
    return reason.substr(0, reason.find('\0'));
  }
  bool ended() const {
    std::lock_guard lock(mutex_);
    return ended_;
  }
  size_t frames() const {
    std::lock_guard lock(mutex_);
    return frames_.size();
  }
  // What has come, in its order.
  std::vector<wire::Control> controls() const {
    std::lock_guard lock(mutex_);
    std::vector<wire::Control> controls;
    for (const Incoming& command : incoming_) controls.push_back(static_cast<wire::Control>(command.header.op));
    return controls;
  }
  uint64_t next() const { return next_; }

  void Send(std::span<const std::byte> frame) override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended_) << "nothing follows the end";
    std::optional<wire::FrameReader> reader = wire::FrameReader::Open(frame);
    ASSERT_TRUE(reader.has_value());
    EXPECT_EQ(reader->header().first, incoming_.size() + 1);
    frames_.push_back(reader->header());
    while (const auto command = reader->Next()) {
      incoming_.push_back(
          {command->header, command->sequence, {command->body.begin(), command->body.end()}, frames_.size() - 1});
    }
    changed_.notify_all();
  }
  void End() override {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(ended_) << "ended twice";
    ended_ = true;
    changed_.notify_all();
  }

 private:
  uint64_t next_ = 1;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<wire::FrameHeader> frames_;
  std::vector<Incoming> incoming_;
  bool ended_ = false;
};

}  // namespace outboard::worker
