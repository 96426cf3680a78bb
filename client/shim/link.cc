#include "client/shim/link.h"

#include <cuda.h>

#include <cstring>
#include <utility>

#include "client/ask/ask_gpu_run.h"
#include "client/shim/plugin.h"
#include "common/base/env.h"
#include "common/base/limits.h"
#include "common/base/visible_devices.h"
#include "common/wire/preamble.h"

namespace outboard::shim {
namespace {

constexpr std::string_view kQuestion = "outboard 1 session";
constexpr size_t kMaxAnswerBytes = 2 * kMaxTicketBytes + 8192;

std::optional<Link>& LinkForTesting() {
  static std::optional<Link> link;
  return link;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::optional<std::string> BytesOfHex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    const int high = HexDigit(hex[i]), low = HexDigit(hex[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

// "GPU-" and 32 hexadecimal digits, with or without hyphens.
std::optional<std::array<uint8_t, 16>> ParseUuid(std::string_view text) {
  if (!text.starts_with("GPU-")) return std::nullopt;
  std::string digits;
  for (char c : text.substr(4)) {
    if (c != '-') digits += c;
  }
  const auto bytes = BytesOfHex(digits);
  std::array<uint8_t, 16> uuid;
  if (!bytes || bytes->size() != uuid.size()) return std::nullopt;
  std::memcpy(uuid.data(), bytes->data(), uuid.size());
  return uuid;
}

// Cuts the text up to the next separator off the front of *rest.
std::string_view TakeWord(std::string_view* rest, char separator) {
  const size_t end = rest->find(separator);
  const std::string_view word = rest->substr(0, end);
  rest->remove_prefix(end == std::string_view::npos ? rest->size() : end + 1);
  return word;
}

}  // namespace

Result<Lease> ParseLease(std::string_view answer) {
  std::string_view rest = answer;
  const std::string_view verdict = TakeWord(&rest, ' ');
  if (verdict == "error" && !rest.empty()) return Error{std::string(rest)};
  Lease lease;
  lease.address = TakeWord(&rest, ' ');
  const std::string_view hex = TakeWord(&rest, ' ');
  const auto ticket = BytesOfHex(hex == "-" ? "" : hex);
  bool is_good = verdict == "ok" && !lease.address.empty() && ticket && ticket->size() <= kMaxTicketBytes;
  while (is_good && !rest.empty()) {
    is_good = lease.uuids.size() < kMaxDevices;
    // A name of another form, such as a part of a GPU has, is no UUID that a program would give.
    if (is_good) lease.uuids.push_back(ParseUuid(TakeWord(&rest, ',')).value_or(std::array<uint8_t, 16>{}));
  }
  if (!is_good) return Error{"gpu-run's answer about the lease is not understood; gpu-run and the library differ"};
  lease.ticket = *ticket;
  return lease;
}

Result<Lease> AskForLease(const std::string& path) {
  const auto answer = client::AskGpuRun(path, kQuestion, kMaxAnswerBytes);
  if (!answer) return answer.error();
  return ParseLease(*answer);
}

std::optional<client::Session::OpenError> FindLink(Link* link) {
  if (LinkForTesting()) {
    *link = *LinkForTesting();
    return std::nullopt;
  }
  const auto socket = GetEnv("OUTBOARD_RUN_SOCKET");
  if (!socket) {
    return client::Session::OpenError{CUDA_ERROR_NO_DEVICE,
                                      "this process has no lease of a GPU, since it was not started by gpu-run "
                                      "(OUTBOARD_RUN_SOCKET is not set); start it with: gpu-run -- COMMAND"};
  }
  // Before the ticket, which is good for a short time.
  const auto transport = LoadTransport();
  if (!transport) return client::Session::OpenError{CUDA_ERROR_SYSTEM_NOT_READY, transport.error().message};
  auto lease = AskForLease(*socket);
  if (!lease) return client::Session::OpenError{CUDA_ERROR_DEVICE_UNAVAILABLE, lease.error().message};
  *link = {*transport, std::move(*lease)};
  return std::nullopt;
}

void SetLinkForTesting(Link link) { LinkForTesting() = std::move(link); }

std::vector<std::byte> SessionPreamble(const Lease& lease) {
  wire::Preamble preamble;
  preamble.kind = wire::ConnectionKind::kSession;
  preamble.ticket_bytes = static_cast<uint32_t>(lease.ticket.size());
  std::vector<std::byte> bytes(sizeof preamble + lease.ticket.size());
  std::memcpy(bytes.data(), &preamble, sizeof preamble);
  std::memcpy(bytes.data() + sizeof preamble, lease.ticket.data(), lease.ticket.size());
  return bytes;
}

std::optional<std::vector<int32_t>> ChooseDevices(std::optional<std::string_view> visible, const Lease& lease) {
  if (!visible) return std::nullopt;
  // Devices of which nothing is known: all alike, so that no UUID names one of them.
  std::vector<std::array<uint8_t, 16>> uuids = lease.uuids;
  if (uuids.empty()) uuids.resize(kMaxDevices);
  std::vector<int32_t> chosen;
  for (const unsigned ordinal : VisibleDevices(visible, uuids)) chosen.push_back(static_cast<int32_t>(ordinal));
  return chosen;
}

}  // namespace outboard::shim
