#include "tests/e2e/raw_connection.h"

#include <dlfcn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string_view>
#include <utility>

#include "common/wire/preamble.h"

namespace outboard::e2e {
namespace {

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) Fail(std::string(name) + " is not set");
  return value;
}

struct Lease {
  std::string address, ticket;
};

Lease AskGpuRun() {
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  Variable("OUTBOARD_RUN_SOCKET").copy(at.sun_path, sizeof at.sun_path - 1);
  const int asking = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  constexpr std::string_view kQuestion = "outboard 1 session";
  char answer[8192] = {};
  if (connect(asking, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
      send(asking, kQuestion.data(), kQuestion.size(), 0) < 0 || recv(asking, answer, sizeof answer - 1, 0) <= 0) {
    Fail("gpu-run does not answer");
  }
  close(asking);
  Lease lease;
  std::string ok, hex;
  std::istringstream(answer) >> ok >> lease.address >> hex;
  if (ok != "ok") Fail(answer);
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    lease.ticket += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  }
  return lease;
}

const OutboardTransport* LoadPlugin() {
  void* const plugin = dlopen(Variable("OUTBOARD_TRANSPORT_PLUGIN").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) Fail(dlerror());
  return reinterpret_cast<decltype(&OutboardTransportEntry)>(dlsym(plugin, "OutboardTransportEntry"))(
      kOutboardTransportVersion);
}

}  // namespace

void Fail(const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name, why.c_str());
  std::exit(1);
}

RawConnection::RawConnection(const std::string& ticket) : transport_(LoadPlugin()), events_{this, &OnFrame, &OnClosed} {
  Lease lease = AskGpuRun();
  if (!ticket.empty()) lease.ticket = ticket;
  wire::Preamble preamble;
  preamble.kind = wire::ConnectionKind::kSession;
  preamble.ticket_bytes = static_cast<uint32_t>(lease.ticket.size());
  std::string greeting(reinterpret_cast<const char*>(&preamble), sizeof preamble);
  greeting += lease.ticket;
  char error[256] = {};
  connection_ =
      transport_->open(lease.address.c_str(), greeting.data(), greeting.size(), &events_, error, sizeof error);
  if (connection_ == nullptr) Fail(error);
  ticket_ = std::move(lease.ticket);
}

RawConnection::~RawConnection() { transport_->close(connection_); }

void RawConnection::Send(std::span<const std::byte> frame) {
  transport_->send(connection_, frame.data(), frame.size());
}

std::optional<std::vector<std::byte>> RawConnection::Receive(std::string* reason) {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return !frames_.empty() || closed_.has_value(); });
  if (frames_.empty()) {
    *reason = *closed_;
    return std::nullopt;
  }
  std::vector<std::byte> frame = std::move(frames_.front());
  frames_.pop();
  return frame;
}

void RawConnection::OnFrame(void* user, const void* data, size_t bytes) {
  auto& self = *static_cast<RawConnection*>(user);
  const auto* from = static_cast<const std::byte*>(data);
  const std::lock_guard lock(self.mutex_);
  self.frames_.emplace(from, from + bytes);
  self.arrived_.notify_one();
}

void RawConnection::OnClosed(void* user, const char* reason) {
  auto& self = *static_cast<RawConnection*>(user);
  const std::lock_guard lock(self.mutex_);
  self.closed_ = reason;
  self.arrived_.notify_one();
}

}  // namespace outboard::e2e
