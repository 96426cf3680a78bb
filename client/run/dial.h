#pragma once

#include <string>

#include "common/base/result.h"
#include "common/base/unique_fd.h"

namespace outboard::run {

// Who is dialled, for messages.
struct Callee {
  const char* what = "node";
  const char* program = "gpu-node";
};

// Connects to a node or pool at "unix:/path" or "host:port" ("[::1]:port" for IPv6) within a few seconds. The socket
// does not block, and the kernel answers for it while this process is stopped or asleep, so that Ctrl-Z ends no lease.
Result<UniqueFd> Dial(const std::string& address, const Callee& callee = {});

}  // namespace outboard::run
