#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>

#include "common/base/limits.h"

// The first bytes of every connection to a node, before HTTP/2: what the connection is for. One port serves all.

namespace outboard::wire {

enum class ConnectionKind : uint32_t {
  kNode = 1,     // gRPC service Node (proto/node.proto), spoken to the node itself
  kSession = 2,  // a session; the node hands the connection to a worker
};

// Followed by `ticket_bytes` bytes of the ticket (none for kNode). The peer answers nothing; a connection that is
// refused is closed.
struct Preamble {
  char magic[8] = {'O', 'U', 'T', 'B', 'O', 'A', 'R', 'D'};
  uint32_t major_version = 1;
  ConnectionKind kind = ConnectionKind::kNode;
  uint32_t ticket_bytes = 0;  // at most kMaxTicketBytes
  uint32_t reserved = 0;
};
static_assert(sizeof(Preamble) == 24);

}  // namespace outboard::wire
