#pragma once

#include <chrono>
#include <cinttypes>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "client/session/outbox.h"
#include "client/session/session.h"
#include "client/transport/transport.h"
#include "common/wire/frame.h"
#include "common/wire/hello.h"

namespace outboard::client {

// A frame that the session sent.
struct SentFrame {
  std::vector<std::byte> bytes;

  wire::FrameReader reader() const;  // fails the test when the frame is malformed
  wire::FrameHeader header() const { return reader().header(); }
  std::vector<wire::Command> commands() const;
};

// A transport whose other end is the test. What the session sends is kept for the test to take; what the test says is
// delivered on the calling thread, as a transport's thread would.
class FakePeer {
 public:
  FakePeer();

  const OutboardTransport* transport() const { return &transport_; }
  std::string address() const;  // tells open() which peer is meant

  // The next frame that was not taken yet. Waits for it.
  SentFrame Take();
  std::optional<SentFrame> TakeIfSent();

  // Says something as the worker: commands are numbered on, and go out together with Deliver. All that the session sent
  // so far is acknowledged, unless the test says up to where.
  FakePeer& Say(wire::Control control, std::span<const std::byte> body);
  template <class Head>
  requires std::is_trivially_copyable_v<Head> FakePeer& Say(wire::Control control, const Head& head,
                                                            std::span<const std::byte> bytes = {}) {
    return Say(control, std::as_bytes(std::span(&head, 1)), bytes);
  }
  FakePeer& Say(wire::Control control, std::span<const std::byte> head, std::span<const std::byte> bytes);
  FakePeer& Reply(uint64_t request, CUresult result = CUDA_SUCCESS, std::span<const std::byte> outputs = {},
                  CUresult earlier = CUDA_SUCCESS);
  void Deliver();
  void Deliver(uint64_t acknowledged);
  void DeliverBytes(std::span<const std::byte> frame);  // as they are
  void Break(const char* reason);                       // the connection is gone

  // Called by Session::Await before it blocks, on its thread, and once by Session::Close, when it has said goodbye. To
  // be set before the session opens.
  std::function<void()> on_poll;
  bool answers_goodbye = true;  // with an end of its own
  std::string refusal;          // not empty: open fails with this

  std::vector<std::byte> preamble() const { return preamble_; }
  bool closed() const;
  bool abandoned() const;

 private:
  void AnswerGoodbye();
  static FakePeer* From(OutboardConnection* connection) { return reinterpret_cast<FakePeer*>(connection); }

  const OutboardTransport transport_;
  OutboardTransportEvents events_{};
  std::vector<std::byte> preamble_;

  std::mutex delivering_;  // one event at a time
  Outbox words_;           // what the worker says next

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<SentFrame> sent_;
  uint64_t last_sent_ = 0;
  bool heard_goodbye_ = false;
  bool closed_ = false;
  bool abandoned_ = false;
};

// Notes what the session tells the rest of the client.
class RecordedEvents : public SessionEvents {
 public:
  struct Landing {
    uint64_t address;
    std::vector<std::byte> bytes;
    bool operator==(const Landing&) const = default;
  };
  bool Land(uint64_t host_address, std::span<const std::byte> bytes) override;
  bool LandBox(const Box& to, const BoxExtent& extent, std::span<const std::byte> bytes) override {
    boxes.push_back({to, extent});
    return Land(to.address, bytes);
  }
  void HostFunction(uint64_t call, CUresult status) override { host_functions.push_back({call, status}); }
  void Pull(uint64_t pull, uint64_t offset, uint64_t bytes) override { pulls.push_back({pull, offset, bytes}); }
  void Output(std::string_view text) override { output += text; }
  void ErrorOutput(std::string_view text) override { error_output += text; }

  std::vector<Landing> landings;
  std::vector<std::pair<Box, BoxExtent>> boxes;  // of those that are boxes
  bool accepts_landings = true;
  std::vector<std::pair<uint64_t, CUresult>> host_functions;
  std::vector<wire::PullHead> pulls;
  std::string output, error_output;
};

// What a worker with one device says first.
wire::WorkerHello WorkerHelloOf(std::vector<uint64_t> op_hashes = wire::OpHashes());

// A peer and an open session. Nothing is sent because of its age: the tests say when.
struct OpenSession {
  explicit OpenSession(SessionOptions options = {.flush_age = std::chrono::hours(1), .spin = std::chrono::seconds(0)},
                       std::function<void()> on_poll = nullptr);

  // A command without arguments but `body_bytes` of zeros.
  void Send(Lane& lane, size_t body_bytes = 0) { Begin(lane, 0, body_bytes); }
  const Reply& Call(Lane& lane) {
    Begin(lane, wire::kWantsReply, 0);
    return session.Await(lane);
  }
  void Begin(Lane& lane, uint16_t flags, size_t body_bytes);

  FakePeer peer;
  RecordedEvents events;
  Session session;
};

inline wire::FrameReader SentFrame::reader() const {
  auto reader = wire::FrameReader::Open(bytes);
  if (!reader) throw std::runtime_error("the session sent a malformed frame");
  return *reader;
}

inline std::vector<wire::Command> SentFrame::commands() const {
  auto frame = reader();
  std::vector<wire::Command> commands;
  while (auto command = frame.Next()) commands.push_back(*command);
  return commands;
}

inline FakePeer::FakePeer()
    : transport_{
          .version = kOutboardTransportVersion,
          .open = [](const char* address, const void* preamble, size_t preamble_bytes,
                     const OutboardTransportEvents* events, char* error, size_t error_bytes) -> OutboardConnection* {
            uint64_t peer = 0;
            std::sscanf(address, "%" PRIx64, &peer);
            auto* const self = reinterpret_cast<FakePeer*>(peer);
            if (!self->refusal.empty()) {
              std::snprintf(error, error_bytes, "%s", self->refusal.c_str());
              return nullptr;
            }
            self->events_ = *events;
            const auto* bytes = static_cast<const std::byte*>(preamble);
            self->preamble_.assign(bytes, bytes + preamble_bytes);
            return reinterpret_cast<OutboardConnection*>(self);
          },
          .send =
              [](OutboardConnection* connection, const void* frame, size_t bytes) {
                FakePeer* const self = From(connection);
                const auto* from = static_cast<const std::byte*>(frame);
                const std::lock_guard lock(self->mutex_);
                self->sent_.push_back({{from, from + bytes}});
                const wire::FrameHeader header = self->sent_.back().header();
                if (header.count != 0) self->last_sent_ = header.first + header.count - 1;
                for (const wire::Command& command : self->sent_.back().commands()) {
                  self->heard_goodbye_ |= command.header.op == static_cast<uint16_t>(wire::Control::kEnd);
                }
                self->changed_.notify_all();
              },
          .poll =
              [](OutboardConnection* connection, uint64_t) {
                if (From(connection)->on_poll) From(connection)->on_poll();
                From(connection)->AnswerGoodbye();
              },
          .close =
              [](OutboardConnection* connection) {
                const std::lock_guard lock(From(connection)->mutex_);
                From(connection)->closed_ = true;
              },
          .abandon =
              [](OutboardConnection* connection) {
                const std::lock_guard lock(From(connection)->mutex_);
                From(connection)->abandoned_ = true;
              },
      } {}

inline std::string FakePeer::address() const {
  char text[32];
  std::snprintf(text, sizeof text, "%" PRIx64, reinterpret_cast<uint64_t>(this));
  return text;
}

inline SentFrame FakePeer::Take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !sent_.empty(); });
  SentFrame frame = std::move(sent_.front());
  sent_.pop_front();
  return frame;
}

inline std::optional<SentFrame> FakePeer::TakeIfSent() {
  {
    const std::lock_guard lock(mutex_);
    if (sent_.empty()) return std::nullopt;
  }
  return Take();
}

inline FakePeer& FakePeer::Say(wire::Control control, std::span<const std::byte> body) {
  return Say(control, body, {});
}

inline FakePeer& FakePeer::Say(wire::Control control, std::span<const std::byte> head,
                               std::span<const std::byte> bytes) {
  wire::Writer body(words_.Append({.op = static_cast<uint16_t>(control)},
                                  wire::Padded(head.size()) + wire::Padded(bytes.size()), false));
  body.PutBytes(head.data(), head.size());
  body.PutBytes(bytes.data(), bytes.size());
  return *this;
}

inline FakePeer& FakePeer::Reply(uint64_t request, CUresult result, std::span<const std::byte> outputs,
                                 CUresult earlier) {
  return Say(wire::Control::kReply, wire::ReplyHead{.request = request, .result = result, .earlier = earlier}, outputs);
}

inline void FakePeer::Deliver() {
  uint64_t last;
  {
    const std::lock_guard lock(mutex_);
    last = last_sent_;
  }
  Deliver(last);
}

inline void FakePeer::Deliver(uint64_t acknowledged) {
  const auto frame = words_.Seal(acknowledged);
  DeliverBytes(std::vector<std::byte>(frame.begin(), frame.end()));
}

inline void FakePeer::DeliverBytes(std::span<const std::byte> frame) {
  const std::lock_guard lock(delivering_);
  events_.frame(events_.user, frame.data(), frame.size());
}

inline void FakePeer::Break(const char* reason) {
  const std::lock_guard lock(delivering_);
  events_.closed(events_.user, reason);
}

inline void FakePeer::AnswerGoodbye() {
  {
    const std::lock_guard lock(mutex_);
    if (!answers_goodbye || !std::exchange(heard_goodbye_, false)) return;
  }
  Say(wire::Control::kEnd, std::span<const std::byte>()).Deliver();
}

inline bool FakePeer::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_;
}

inline bool FakePeer::abandoned() const {
  const std::lock_guard lock(mutex_);
  return abandoned_;
}

inline bool RecordedEvents::Land(uint64_t host_address, std::span<const std::byte> bytes) {
  landings.push_back({host_address, {bytes.begin(), bytes.end()}});
  return accepts_landings;
}

inline wire::WorkerHello WorkerHelloOf(std::vector<uint64_t> op_hashes) {
  return {
      .major_version = wire::kMajorVersion,
      .driver_version = 13000,
      .devices = {{.name = "Test GPU", .total_memory = 1 << 30, .pci_bus_id = "0000:01:00.0", .attributes = {1, 2}}},
      .session = 7,
      .op_hashes = std::move(op_hashes)};
}

inline OpenSession::OpenSession(SessionOptions options, std::function<void()> on_poll)
    : session(peer.transport(), &events, options) {
  peer.on_poll = std::move(on_poll);
  std::thread worker([this] {
    peer.Take();
    peer.Say(wire::Control::kHello, wire::Encode(WorkerHelloOf())).Deliver();
  });
  const auto error = session.Open(peer.address(), {}, {});
  worker.join();
  if (error) throw std::runtime_error(error->message);
}

inline void OpenSession::Begin(Lane& lane, uint16_t flags, size_t body_bytes) {
  if (session.Admit(lane) != CUDA_SUCCESS) throw std::runtime_error("the session does not admit the lane");
  auto encoding = session.Begin(lane, wire::Op::kcuEventRecord, flags, body_bytes);
  const std::vector<std::byte> body(body_bytes);
  encoding.body().PutBytes(body.data(), body.size());
}

}  // namespace outboard::client
