#pragma once

#include <cstdint>
#include <optional>
#include <string>

// What gpu-node and a worker tell each other about turns, over a socket of their own (SOCK_SEQPACKET, one packet per
// message). Times are nanoseconds of CLOCK_MONOTONIC, which is one for all processes of a machine.
//
// The node does not trust a worker: what comes of a worker that lies is bounded by the node's own clock.

namespace outboard::slice {

// Node to worker: the worker's lease has the turn, and the worker may use it.
struct TurnGiven {
  static constexpr int64_t kNoEnd = INT64_MAX;
  uint64_t turn = 0;       // numbers rise; the same one again: it has another end now
  int64_t until = kNoEnd;  // when the worker is to be done
};

// Worker to node.
struct TurnAnswer {
  enum class Kind : uint32_t { kWant = 1, kDone = 2 };
  Kind kind = Kind::kWant;
  uint32_t wants = 0;    // of kDone: 1 when it has more to do
  uint64_t turn = 0;     // of kDone
  int64_t busy = 0;      // of kDone: nanoseconds in which the device had work of this worker in the turn
  int64_t first = 0;     // of kDone: when it gave the first work to the device
  int64_t last = 0;      // of kDone: when the last work was done
  int64_t overtime = 0;  // nanoseconds of device time used outside of turns, not told before
};

// Never wait. False when the message could not be sent: the other end is gone, or does not read.
bool Send(int socket, const TurnGiven& message);
bool Send(int socket, const TurnAnswer& message);

enum class Received { kMessage, kNothing, kEnd, kMalformed };
Received Receive(int socket, TurnGiven* message);
Received Receive(int socket, TurnAnswer* message);

}  // namespace outboard::slice
