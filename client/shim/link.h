#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "client/session/session.h"
#include "client/transport/transport.h"
#include "common/base/result.h"

// How this process comes to its worker: what gpu-run says of the lease, and the plugin that carries frames.

namespace outboard::shim {

// What gpu-run answers to "outboard 1 session".
struct Lease {
  std::string address;                         // "unix:/path" or "host:port"
  std::string ticket;                          // bytes; may be empty on a private node
  std::vector<std::array<uint8_t, 16>> uuids;  // of the lease's GPUs; empty when they were not said
};

// "ok ADDRESS HEXTICKET [UUID,UUID...]" or "error SENTENCE", of which the sentence becomes the error. The ticket is "-"
// or nothing when there is none.
Result<Lease> ParseLease(std::string_view answer);

// A Unix socket of packets at `path`: asks, and waits for the answer. Blocks as long as gpu-run takes.
Result<Lease> AskForLease(const std::string& path);

struct Link {
  const OutboardTransport* transport = nullptr;  // lives forever
  Lease lease;
  client::SessionOptions session;
};

// Finds both by the environment (OUTBOARD_RUN_SOCKET, OUTBOARD_TRANSPORT_PLUGIN). On failure says what cuInit is to
// return.
std::optional<client::Session::OpenError> FindLink(Link* link);

// What FindLink is to find from now on, in place of what the environment says. For tests that link the shim into their
// own program; called before cuInit.
void SetLinkForTesting(Link link);

// The preamble of the session's connection.
std::vector<std::byte> SessionPreamble(const Lease& lease);

// The ordinals of the lease's GPUs that `visible` (CUDA_VISIBLE_DEVICES, nullopt when not set) leaves, in its order.
// nullopt for all of them. Without knowledge of the UUIDs, ordinals are taken as they are and UUIDs name nothing.
std::optional<std::vector<int32_t>> ChooseDevices(std::optional<std::string_view> visible, const Lease& lease);

}  // namespace outboard::shim
