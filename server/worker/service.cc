#include "server/worker/service.h"

#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <utility>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

constexpr char kMethod[] = "/outboard.Session/Run";

// How long the reader looks for the next completion before it lets the kernel wake it.
constexpr std::chrono::microseconds kSpin{50};
// A client that took up a lease begins its stream within that time, or it is no client.
constexpr std::chrono::seconds kBegin{30};
constexpr std::chrono::milliseconds kLookForHangUp{100};
// Past it a client that does not read is not read from either.
constexpr int kPingMilliseconds = 5'000;

void* AsTag(auto tag) { return reinterpret_cast<void*>(tag); }

// The client may be stopped for as long as its user likes, by a debugger or Ctrl-Z: its kernel still answers these
// probes, where gRPC's own pings would end the session. Has no effect on a Unix socket.
void ProbeByKernel(int fd) {
  const int on = 1, idle_seconds = 10, interval_seconds = 5, probes = 3;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_seconds, sizeof idle_seconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_seconds, sizeof interval_seconds);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", strlen("cubic"));
}

bool HasHungUp(int fd) {
  pollfd look{fd, POLLRDHUP, 0};
  return poll(&look, 1, 0) > 0;
}

}  // namespace

void TuneAllocatorForFrames() {
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  mallopt(M_TOP_PAD, 16 << 20);
}

StreamService::StreamService() {
  grpc::ServerBuilder builder;
  builder.RegisterAsyncGenericService(&generic_);
  builder.SetMaxReceiveMessageSize(kMaxFrameBytes);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 1);
  // The client's pings are welcome (its transport sends them every ten seconds).
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, kPingMilliseconds);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
  queue_ = builder.AddCompletionQueue();
  acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, grpc::InsecureServerCredentials());
  server_ = builder.BuildAndStart();
  context_.AsyncNotifyWhenDone(AsTag(Tag::kDone));
  generic_.RequestCall(&context_, &stream_, queue_.get(), queue_.get(), AsTag(Tag::kBegun));
}

StreamService::~StreamService() {
  server_->Shutdown(std::chrono::system_clock::now());
  queue_->Shutdown();
  void* tag;
  bool ok;
  while (queue_->Next(&tag, &ok)) {
  }
}

void StreamService::Serve(UniqueFd connection, std::string_view read_ahead, const Receiver& receiver) {
  UniqueFd watched(dup(connection.get()));
  Accept(std::move(connection), read_ahead);
  const bool begun = AwaitStream(watched.get());
  watched.Reset();
  if (begun) {
    RunStream(receiver);
  } else {
    receiver.closed();
  }
}

void StreamService::Accept(UniqueFd connection, std::string_view read_ahead) {
  ProbeByKernel(connection.get());
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  if (!read_ahead.empty()) {
    const grpc::Slice slice(read_ahead.data(), read_ahead.size());
    parameters.read_buffer = grpc::ByteBuffer(&slice, 1);
  }
  parameters.fd = connection.Release();
  acceptor_->HandleNewConnection(&parameters);
}

bool StreamService::AwaitStream(int connection) {
  const auto limit = Clock::now() + kBegin;
  while (Clock::now() < limit && !HasHungUp(connection)) {
    void* tag;
    bool ok;
    const auto got = queue_->AsyncNext(&tag, &ok, std::chrono::system_clock::now() + kLookForHangUp);
    if (got == grpc::CompletionQueue::GOT_EVENT) return ok && context_.method() == kMethod;
  }
  return false;
}

void StreamService::RunStream(const Receiver& receiver) {
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
  }
  StartRead();
  bool is_open = true;  // the receiver has not been told otherwise
  const auto close = [&] {
    if (std::exchange(is_open, false)) receiver.closed();
  };
  for (;;) {
    bool ok;
    const Tag tag = Next(&ok);
    switch (tag) {
      case Tag::kRead:
        if (!ok) {  // the client has said all that it wants to say and waits for the end, or it is gone: then kDone
          close();
        } else if (receiver.frame(Assemble(incoming_))) {
          StartRead();
        }  // else the session is over, and its last frame is still to come
        break;
      case Tag::kWritten:
        Written(ok);
        break;
      case Tag::kFinished:
        close();
        return;
      case Tag::kDone:  // the call is over on the wire too
        close();
        End();
        break;
      case Tag::kBegun:
        break;
    }
  }
}

StreamService::Tag StreamService::Next(bool* ok) {
  void* tag;
  while (Clock::now() < spin_end_) {
    const auto got = queue_->AsyncNext(&tag, ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
    if (got == grpc::CompletionQueue::GOT_EVENT) {
      spin_end_ = Clock::now() + kSpin;
      return static_cast<Tag>(reinterpret_cast<uintptr_t>(tag));
    }
    sched_yield();  // lanes may need this CPU
  }
  queue_->Next(&tag, ok);
  spin_end_ = Clock::now() + kSpin;
  return static_cast<Tag>(reinterpret_cast<uintptr_t>(tag));
}

void StreamService::StartRead() {
  {
    const std::lock_guard lock(mutex_);
    reading_is_due_ = outgoing_bytes_ > kMaxOutgoingBytes;
    if (reading_is_due_) return;
  }
  stream_.Read(&incoming_, AsTag(Tag::kRead));
}

std::span<const std::byte> StreamService::Assemble(const grpc::ByteBuffer& message) {
  if (!message.Dump(&pieces_).ok()) return {};
  if (pieces_.size() == 1 && reinterpret_cast<uintptr_t>(pieces_[0].begin()) % 8 == 0) {
    return std::as_bytes(std::span(pieces_[0].begin(), pieces_[0].size()));
  }
  const size_t bytes = message.Length();
  if (assembled_.size() * 8 < bytes) assembled_.resize((bytes + 7) / 8);
  size_t at = 0;
  for (const grpc::Slice& piece : pieces_) {
    memcpy(reinterpret_cast<std::byte*>(assembled_.data()) + at, piece.begin(), piece.size());
    at += piece.size();
  }
  return std::as_bytes(std::span(assembled_)).first(bytes);
}

void StreamService::Send(std::span<const std::byte> frame) {
  const grpc::Slice slice(frame.data(), frame.size());
  std::unique_lock lock(mutex_);
  if (!running_ || ending_) return;
  outgoing_.emplace_back(&slice, 1);
  outgoing_bytes_ += frame.size();
  Advance(lock);
}

void StreamService::End() {
  std::unique_lock lock(mutex_);
  ending_ = true;
  Advance(lock);
}

void StreamService::Written(bool ok) {
  std::unique_lock lock(mutex_);
  writing_ = false;
  if (!ok) outgoing_.clear();
  if (outgoing_.empty()) outgoing_bytes_ = 0;
  const bool read = reading_is_due_ && outgoing_bytes_ <= kMaxOutgoingBytes;
  if (read) reading_is_due_ = false;
  Advance(lock);
  if (read) stream_.Read(&incoming_, AsTag(Tag::kRead));
}

void StreamService::Advance(std::unique_lock<std::mutex>& lock) {
  if (!running_ || writing_ || finishing_) return;
  if (!outgoing_.empty()) {
    const grpc::ByteBuffer frame = std::move(outgoing_.front());
    outgoing_.pop_front();
    outgoing_bytes_ -= frame.Length();
    grpc::WriteOptions options;
    if (!outgoing_.empty()) options.set_buffer_hint();
    writing_ = true;
    lock.unlock();
    stream_.Write(frame, options, AsTag(Tag::kWritten));
  } else if (ending_) {
    finishing_ = true;
    lock.unlock();
    stream_.Finish(grpc::Status::OK, AsTag(Tag::kFinished));
  }
}

}  // namespace outboard::worker
