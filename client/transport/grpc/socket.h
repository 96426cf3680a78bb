#pragma once

#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::transport {

// A socket that is connected to a node.
struct Socket {
  UniqueFd fd;            // non-blocking, closed on exec
  bool is_local = false;  // a Unix socket: the kernel tells at once when the peer is gone
};

// Connects to `address` ("unix:/path" or "host:port", "[v6]:port") and sends it `greeting`. Waits for at most about
// kConnectSeconds per address that the name stands for.
Result<Socket> Connect(const std::string& address, std::string_view greeting);

inline constexpr int kConnectSeconds = 10;

}  // namespace outboard::transport
