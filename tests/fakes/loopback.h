#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "client/transport/transport.h"
#include "server/worker/session.h"

namespace outboard::fakes {

// One direction of a connection: frames, and the thread that delivers them. Thread-safe.
class Pipe {
 public:
  // `deliver` gets each frame, aligned to 8, and says whether more are wanted; `ended` is called last, unless the pipe
  // was dropped. Both by the pipe's thread.
  Pipe(std::function<bool(std::span<const std::byte>)> deliver, std::function<void()> ended);
  ~Pipe();  // as Drop

  void Send(std::span<const std::byte> frame);
  void End();   // after what was sent
  void Cut();   // instead of what was sent
  void Drop();  // at once; when it returns nothing is delivered any more. Not for the pipe's own thread
  // Waits until a frame was delivered or the pipe has ended, for at most `nanoseconds`.
  void AwaitDelivery(uint64_t nanoseconds);
  // Waits until everything that was sent was delivered, or the pipe has ended.
  void Drain();

 private:
  struct Frame {
    std::vector<uint64_t> memory;
    size_t bytes;
  };
  void Run();

  const std::function<bool(std::span<const std::byte>)> deliver_;
  const std::function<void()> ended_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> frames_;
  uint64_t deliveries_ = 0;
  bool delivering_ = false, ending_ = false, dropped_ = false, over_ = false;

  std::thread thread_;  // last: uses the rest
};

// A transport whose peer is a worker's session in the same process. Each direction has a thread of its own, as a real
// connection has. One connection at a time; a new one gets a new session.
//
// The address that transport()->open is given leads to the object, which outlives the connection.
class Loopback final : public worker::FrameSink {
 public:
  explicit Loopback(worker::Session::Config config);
  ~Loopback() override;  // after close

  static const OutboardTransport* transport();
  std::string address() const;

  // Of the connection that there is.
  worker::Session& session() { return *session_; }
  // The preamble that it began with.
  const std::string& preamble() const { return preamble_; }
  // Breaks the connection, as a network does: each end sees that the other is gone, and what is under way is lost.
  void Break();

  // worker::FrameSink.
  void Send(std::span<const std::byte> frame) override { to_client_->Send(frame); }
  void End() override { to_client_->End(); }

 private:
  static Loopback* Find(const std::string& address);
  static OutboardConnection* Open(const char* address, const void* preamble, size_t preamble_bytes,
                                  const OutboardTransportEvents* events, char* error, size_t error_bytes);
  static void Send(OutboardConnection* connection, const void* frame, size_t bytes);
  static void Poll(OutboardConnection* connection, uint64_t nanoseconds);
  static void Close(OutboardConnection* connection);
  static void Abandon(OutboardConnection* connection);

  void Connect(const OutboardTransportEvents& events);

  const worker::Session::Config config_;
  std::string preamble_;
  std::string end_;  // what the client is told; written before to_client_ ends
  std::unique_ptr<Pipe> to_client_;
  std::unique_ptr<worker::Session> session_;  // sends to to_client_
  std::unique_ptr<Pipe> to_worker_;           // delivers to session_
};

}  // namespace outboard::fakes
