#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/transport/transport.h"
#include "tests/unit/transport/peer.h"

namespace outboard::transport_test {

using Bytes = std::vector<std::byte>;

// The session's side of a connection. Thread-safe.
class Client {
 public:
  ~Client() { Close(); }

  bool Open(const std::string& address, const std::string& preamble = "") {
    const OutboardTransportEvents events{this, &Client::OnFrame, &Client::OnClosed};
    char error[512] = {};
    connection_ = transport_->open(address.c_str(), preamble.data(), preamble.size(), &events, error, sizeof error);
    error_ = error;
    return connection_ != nullptr;
  }
  void Send(const Bytes& frame) {
    const std::lock_guard lock(sending_);
    transport_->send(connection_, frame.data(), frame.size());
  }
  // Polls as a waiting call does, until `count` frames have come or the connection has ended.
  void PollFor(size_t count) {
    while (frames() < count && reason().empty()) transport_->poll(connection_, 100'000);
  }
  // Waits without polling.
  void WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return frames_.size() >= count || !reason_.empty(); });
  }
  void WaitForEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !reason_.empty(); });
  }
  void Close() {
    if (connection_ != nullptr) transport_->close(std::exchange(connection_, nullptr));
    is_closed_ = true;
  }

  size_t frames() const {
    const std::lock_guard lock(mutex_);
    return frames_.size();
  }
  Bytes frame(size_t i) const {
    const std::lock_guard lock(mutex_);
    return frames_.at(i);
  }
  std::string reason() const {
    const std::lock_guard lock(mutex_);
    return reason_;
  }
  const std::string& error() const { return error_; }
  int closings() const { return closings_; }
  bool all_aligned() const { return all_aligned_; }
  bool called_after_close() const { return called_after_close_; }
  std::thread::id last_thread() const { return last_thread_; }
  const OutboardTransport* transport() const { return transport_; }
  OutboardConnection* connection() const { return connection_; }

 private:
  static void OnFrame(void* user, const void* data, size_t bytes) {
    auto& self = *static_cast<Client*>(user);
    const auto* from = static_cast<const std::byte*>(data);
    if (self.is_closed_) self.called_after_close_ = true;
    const std::lock_guard lock(self.mutex_);
    if (reinterpret_cast<uintptr_t>(data) % 8 != 0) self.all_aligned_ = false;
    self.last_thread_ = std::this_thread::get_id();
    self.frames_.emplace_back(from, from + bytes);
    self.changed_.notify_all();
  }
  static void OnClosed(void* user, const char* reason) {
    auto& self = *static_cast<Client*>(user);
    if (self.is_closed_) self.called_after_close_ = true;
    const std::lock_guard lock(self.mutex_);
    self.reason_ = reason;
    ++self.closings_;
    self.changed_.notify_all();
  }

  const OutboardTransport* const transport_ = LoadPlugin();
  OutboardConnection* connection_ = nullptr;
  std::string error_;
  std::atomic<bool> is_closed_{false}, called_after_close_{false}, all_aligned_{true};
  std::atomic<int> closings_{0};
  std::atomic<std::thread::id> last_thread_{};
  std::mutex sending_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Bytes> frames_;
  std::string reason_;
};

}  // namespace outboard::transport_test
