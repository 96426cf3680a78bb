#include "client/transport/grpc/connection.h"

#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace outboard::transport {
namespace {

// How long a caller of Poll looks for a frame before it lets the kernel wake it: about a round trip in a rack.
constexpr std::chrono::microseconds kSpin{50};
// After so long without a caller of Poll the connection's thread leads.
constexpr std::chrono::microseconds kHandOver{250};
constexpr std::chrono::seconds kGoodbye{1};

uint64_t Inode(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

}  // namespace

Connection::Connection(Socket socket, const OutboardTransportEvents& events)
    : events_(events),
      socket_(socket.fd.get()),
      socket_inode_(Inode(socket_)),
      stream_(std::move(socket.fd), !socket.is_local),
      thread_([this] { RunThread(); }) {}

Connection::~Connection() = default;

void Connection::Send(std::span<const std::byte> bytes) {
  OutgoingFrame frame(bytes);
  std::unique_lock lock(mutex_);
  if (quiet()) return;
  if (writing_) {
    queue_.push_back(std::move(frame));
    return;
  }
  writing_ = true;
  lock.unlock();
  if (stream_.Write(std::move(frame), false) == Stream::Event::kWritten) SendQueued();
  lock.lock();
  if (writing_ && leader_ == Leader::kNone) {
    thread_is_wanted_ = true;
    thread_changed_.notify_one();
  }
}

void Connection::SendQueued() {
  std::unique_lock lock(mutex_);
  do {
    if (queue_.empty()) {
      writing_ = false;
      return;
    }
    OutgoingFrame frame = std::move(queue_.front());
    queue_.pop_front();
    const bool more = !queue_.empty();
    lock.unlock();
    if (stream_.Write(std::move(frame), more) != Stream::Event::kWritten) return;
    lock.lock();
  } while (!over_);
}

void Connection::Poll(std::chrono::nanoseconds time) {
  const Clock::time_point deadline = Clock::now() + time;
  std::unique_lock lock(mutex_);
  if (quiet()) return;
  if (leader_ != Leader::kNone) {
    if (time <= std::chrono::nanoseconds(0)) return;
    if (leader_ == Leader::kThread && polls_pay_ && !std::exchange(woken_, true)) stream_.Wake();
    const uint64_t before = deliveries_;
    ++followers_;
    followers_changed_.wait_until(lock, deadline,
                                  [&] { return leader_ == Leader::kNone || deliveries_ != before || quiet(); });
    --followers_;
    if (closing_) followers_changed_.notify_all();
    if (deliveries_ != before) polls_pay_ = true;
    if (leader_ != Leader::kNone || quiet()) return;
    if (deliveries_ != before) {
      // Who led left the next frame to those that followed, and this is the last of them.
      if (followers_ == 0) WakeThread(writing_);
      return;
    }
  }
  leader_ = Leader::kCaller;
  ++turns_;
  lock.unlock();
  const bool delivered = Lead(deadline);
  lock.lock();
  polls_pay_ = delivered;
  last_poll_ = Clock::now();
  StopLeading();
  if (followers_ != 0) return;
  // Who got nothing is likely to block now, and the next frame must find somebody who leads.
  WakeThread(writing_ || !delivered);
}

void Connection::WakeThread(bool is_wanted) {
  thread_is_wanted_ = is_wanted;
  if (thread_is_wanted_ || thread_sleeps_) thread_changed_.notify_one();
}

void Connection::StopLeading() {
  leader_ = Leader::kNone;
  woken_ = false;
  if (closing_) {
    followers_changed_.notify_all();
  } else if (followers_ != 0) {
    followers_changed_.notify_one();
  }
}

bool Connection::Lead(Clock::time_point deadline) {
  Clock::time_point now = Clock::now();
  const Clock::time_point spin_end = std::min(deadline, now + kSpin);
  do {
    const bool looks = now < spin_end || now >= deadline;
    const Stream::Event event = stream_.Next(looks ? std::chrono::nanoseconds(0) : deadline - now);
    if (event != Stream::Event::kNothing) {
      Handle(event);
      if (event == Stream::Event::kFrame) return true;
      const std::lock_guard lock(mutex_);
      if (quiet()) return false;
    } else if (looks) {
      sched_yield();  // the worker may be on this CPU
    }
    now = Clock::now();
  } while (now < deadline);
  return false;
}

void Connection::Handle(Stream::Event event) {
  switch (event) {
    case Stream::Event::kFrame:
      return Deliver();
    case Stream::Event::kWritten:
      return SendQueued();
    case Stream::Event::kOver:
      return ReportEnd();
    default:
      return;
  }
}

void Connection::Deliver() {
  const std::optional<std::span<const std::byte>> frame = stream_.frame();
  if (!frame) return;
  has_received_ = true;
  std::unique_lock lock(mutex_);
  if (!closing_) {
    lock.unlock();
    events_.frame(events_.user, frame->data(), frame->size());
    lock.lock();
  }
  ++deliveries_;
  if (followers_ != 0) followers_changed_.notify_all();
  lock.unlock();
  stream_.StartRead();
}

void Connection::ReportEnd() {
  std::string reason = "the worker ended the session";
  if (!stream_.ended_well()) {
    reason = has_received_ ? "the connection to the worker broke (" + stream_.outcome() + ")"
                           : "the node closed the connection before the session began (" + stream_.outcome() +
                                 "); its log says why";
  }
  std::unique_lock lock(mutex_);
  over_ = true;
  queue_.clear();
  const bool tell = !closing_;
  lock.unlock();
  if (tell) events_.closed(events_.user, reason.c_str());
  followers_changed_.notify_all();
}

void Connection::RunThread() {
  std::unique_lock lock(mutex_);
  const auto idle = [this] { return leader_ == Leader::kNone && thread_is_wanted_; };
  while (!stopping_) {
    if (quiet()) {
      thread_changed_.wait(lock, [this] { return stopping_; });
    } else if (leader_ != Leader::kNone) {
      const uint64_t turn = turns_;
      thread_changed_.wait_for(lock, kHandOver, [&] { return stopping_ || idle(); });
      if (leader_ == Leader::kNone || turns_ != turn) continue;
      // A long wait of its leader: that one says when it is over.
      thread_sleeps_ = true;
      thread_changed_.wait(lock, [&] { return stopping_ || leader_ == Leader::kNone; });
      thread_sleeps_ = false;
    } else if (const auto away = Clock::now() - last_poll_; away < kHandOver && !thread_is_wanted_) {
      thread_changed_.wait_for(lock, kHandOver - away, [&] { return stopping_ || idle(); });
    } else {
      thread_is_wanted_ = false;
      leader_ = Leader::kThread;
      ++turns_;
      lock.unlock();
      Handle(stream_.Next(std::nullopt));
      lock.lock();
      if (followers_ != 0) last_poll_ = Clock::now();
      StopLeading();
    }
  }
}

void Connection::Close() {
  const Clock::time_point deadline = Clock::now() + kGoodbye;
  std::unique_lock lock(mutex_);
  closing_ = true;
  if (leader_ != Leader::kNone) stream_.Wake();
  followers_changed_.notify_all();
  followers_changed_.wait(lock, [this] { return leader_ == Leader::kNone && followers_ == 0; });
  stopping_ = true;
  thread_changed_.notify_one();
  lock.unlock();
  thread_.join();
  SayGoodbye(deadline);
}

void Connection::SayGoodbye(Clock::time_point deadline) {
  bool finished = false;
  for (Clock::time_point now = Clock::now(); now < deadline && !over_; now = Clock::now()) {
    if (!writing_ && !std::exchange(finished, true)) stream_.Finish();
    Handle(stream_.Next(deadline - now));
  }
}

void Connection::Abandon() {
  if (socket_inode_ != 0 && Inode(socket_) == socket_inode_) close(socket_);
}

}  // namespace outboard::transport
