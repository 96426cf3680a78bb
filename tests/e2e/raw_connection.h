#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <vector>

#include "client/transport/transport.h"

namespace outboard::e2e {

// Prints why on standard error and ends the process with status 1.
[[noreturn]] void Fail(const std::string& why);

// A connection to a worker under gpu-run, over the transport plugin that OUTBOARD_TRANSPORT_PLUGIN names: frames, and
// nothing of what is in them. Whatever cannot be had is a Fail.
class RawConnection {
 public:
  // By a ticket that gpu-run is asked for, or by this one.
  explicit RawConnection(const std::string& ticket = "");
  ~RawConnection();  // what was sent is sent before
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  // What the hello has to show.
  const std::string& ticket() const { return ticket_; }

  // Takes the bytes before it returns. For one thread.
  void Send(std::span<const std::byte> frame);
  // Waits for the next frame; nullopt, and why in `reason`, when there will be none. For one thread.
  std::optional<std::vector<std::byte>> Receive(std::string* reason);

 private:
  static void OnFrame(void* user, const void* data, size_t bytes);
  static void OnClosed(void* user, const char* reason);

  const OutboardTransport* const transport_;
  const OutboardTransportEvents events_;
  OutboardConnection* connection_ = nullptr;
  std::string ticket_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::queue<std::vector<std::byte>> frames_;
  std::optional<std::string> closed_;
};

}  // namespace outboard::e2e
