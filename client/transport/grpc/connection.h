#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>
#include <thread>

#include "client/transport/grpc/socket.h"
#include "client/transport/grpc/stream.h"
#include "client/transport/transport.h"

namespace outboard::transport {

// A session's connection over a gRPC stream.
//
// gRPC works while a thread is in Stream::Next, and whoever is there gets the frames: that one leads. A caller of Poll
// leads if it can, so that the reply it waits for wakes no other thread. While nobody has polled for kHandOver the
// connection's own thread leads, and at once after a poll in which nothing came. It goes out of the way of a caller of
// Poll, and stays away while they keep coming, unless frames lately came later than callers were willing to look.
//
// Thread-safe.
class Connection {
 public:
  // Takes the socket. Throws std::system_error when no thread can be started.
  Connection(Socket socket, const OutboardTransportEvents& events);
  ~Connection();  // after Close

  // As in OutboardTransport.
  void Send(std::span<const std::byte> frame);
  void Poll(std::chrono::nanoseconds time);
  void Close();
  void Abandon();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Leader { kNone, kCaller, kThread };

  void RunThread();
  // Leads until a frame was delivered, the time is up, or there is no reason to go on. Whether a frame was delivered.
  bool Lead(Clock::time_point deadline);
  void Handle(Stream::Event event);
  // The stream can take the next frame, if there is one.
  void SendQueued();
  void StopLeading();
  // Nobody leads: the connection's thread is to look after that, at once or when callers stay away.
  void WakeThread(bool is_wanted);
  void Deliver();
  void ReportEnd();
  // Sends what is queued, until `deadline`, and takes leave of the peer.
  void SayGoodbye(Clock::time_point deadline);
  bool quiet() const { return closing_ || over_; }

  const OutboardTransportEvents events_;
  const int socket_;             // of stream_; only for Abandon
  const uint64_t socket_inode_;  // to tell whether socket_ is still the same
  Stream stream_;

  // Of who leads.
  bool has_received_ = false;

  std::mutex mutex_;
  std::condition_variable followers_changed_, thread_changed_;
  Leader leader_ = Leader::kNone;
  uint64_t turns_ = 0;  // how often somebody began to lead
  uint64_t deliveries_ = 0;
  uint32_t followers_ = 0;  // callers of Poll that wait
  bool polls_pay_ = true;   // a frame came during the last poll
  bool woken_ = false;      // who leads was asked to stop
  bool thread_sleeps_ = false;
  bool thread_is_wanted_ = false;  // to lead at once
  bool stopping_ = false;
  Clock::time_point last_poll_{};
  bool writing_ = false;  // between Write and kWritten
  std::deque<OutgoingFrame> queue_;
  bool closing_ = false;  // no event function is called any more
  bool over_ = false;

  std::thread thread_;
};

}  // namespace outboard::transport
