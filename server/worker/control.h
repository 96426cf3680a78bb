#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "common/base/result.h"
#include "common/base/unique_fd.h"

// What gpu-node and a gpu-worker tell each other over the worker's control socket (SOCK_SEQPACKET, one packet per
// message). A worker says once that it is ready, gets one assignment, serves it and exits. Either end reads the closing
// of the socket as the end of the other.
//
// The node does not trust a worker: what it receives is bounded and carries no descriptors.

namespace outboard::worker {

// Worker to node: the driver was loaded, or why not. A worker that is not ready exits after it.
struct Ready {
  int32_t result = 0;          // CUresult of cuInit; CUDA_ERROR_SHARED_OBJECT_INIT_FAILED when there is no driver
  int32_t driver_version = 0;  // as cuDriverGetVersion
  std::string error;           // a sentence; empty when all is well
};

// Node to worker: the session to serve.
struct Assignment {
  struct Device {
    int32_t ordinal = 0;         // as the worker's driver counts
    uint32_t account = 0;        // opened by the node in the ledger
    UniqueFd ledger;             // slice::Ledger::Map
    uint64_t context_bytes = 0;  // that the driver takes for a context there; 0: nothing, or it is not known
  };
  uint64_t session = 0;    // for logs
  std::string ticket;      // that the connection's preamble carried, verified by the node; at most kMaxTicketBytes
  std::string read_ahead;  // bytes of the connection that were read behind the preamble; at most kMaxReadAheadBytes
  UniqueFd turns;          // slice::Gate; none: the lease has whole GPUs, or nobody governs
  UniqueFd connection;     // connected stream socket; the node closes its own copy at once
  std::vector<Device> devices;  // of the lease, in its order; at most kMaxDevices
};

// Sends one message; waits for room. Does not take the descriptors.
std::optional<Error> SendReady(int socket, const Ready& ready);
std::optional<Error> SendAssignment(int socket, const Assignment& assignment);

// Waits for the message. nullopt: the other end has closed the socket.
Result<std::optional<Ready>> ReceiveReady(int socket);
Result<std::optional<Assignment>> ReceiveAssignment(int socket);

}  // namespace outboard::worker
