#include "server/node/reception.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/base/limits.h"
#include "common/base/log.h"

namespace outboard::node {
namespace {

constexpr std::chrono::seconds kTimeForPreamble{5};
constexpr std::chrono::milliseconds kPauseWithoutDescriptors{100};

void SetOption(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

// A peer whose machine is gone is noticed by the kernel, while one that was only stopped (Ctrl-Z, a debugger) stays.
void WatchPeer(int fd) {
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, 30);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, 6);
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

// What is wrong with a preamble; null when nothing is.
const char* Complaint(const wire::Preamble& preamble) {
  const wire::Preamble ours;
  if (std::memcmp(preamble.magic, ours.magic, sizeof ours.magic) != 0) return "it does not speak Outboard's protocol";
  if (preamble.major_version != ours.major_version) return "its protocol has another major version";
  if (preamble.ticket_bytes > kMaxTicketBytes) return "its ticket is too long";
  if (preamble.reserved != 0) return "its preamble is malformed";
  switch (preamble.kind) {
    case wire::ConnectionKind::kNode:
      return preamble.ticket_bytes == 0 ? nullptr : "its preamble is malformed";
    case wire::ConnectionKind::kSession:
      return nullptr;
  }
  return "it is for something unknown";
}

}  // namespace

Reception::Reception(Loop* loop, int listener, std::function<void(Visitor)> admit)
    : loop_(loop), listener_(listener), admit_(std::move(admit)) {
  loop_->Watch(listener_, POLLIN, [this](short) { Accept(); });
}

Reception::~Reception() {
  loop_->Forget(listener_);
  loop_->Cancel(pause_);
  while (!waiting_.empty()) Drop(waiting_.begin()->first, nullptr);
}

void Reception::Accept() {
  for (;;) {
    UniqueFd connection(accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!connection) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN || errno == EWOULDBLOCK) return;
      Log(LogLevel::kWarn, "cannot accept a connection: %s", std::strerror(errno));
      // Out of descriptors, say: those who wait are taken when there is room again.
      loop_->Forget(listener_);
      pause_ = loop_->At(Loop::Clock::now() + kPauseWithoutDescriptors,
                         [this] { loop_->Watch(listener_, POLLIN, [this](short) { Accept(); }); });
      return;
    }
    if (waiting_.size() >= kMaxWaitingConnections) {
      Log(LogLevel::kWarn, "closes a connection: %u others have not said yet what they are for",
          kMaxWaitingConnections);
      continue;
    }
    const int fd = connection.get();
    WatchPeer(fd);
    Waiting& entry = waiting_[fd];
    entry.connection = std::move(connection);
    entry.timer = loop_->At(Loop::Clock::now() + kTimeForPreamble,
                            [this, fd] { Drop(fd, "it did not say in time what it is for"); });
    loop_->Watch(fd, POLLIN, [this, fd](short) { Read(fd); });
    Read(fd);
  }
}

void Reception::Read(int fd) {
  Waiting& entry = waiting_.at(fd);
  for (;;) {
    const bool in_head = entry.received < sizeof entry.preamble;
    const size_t at = in_head ? entry.received : entry.received - sizeof entry.preamble;
    char* const into = in_head ? reinterpret_cast<char*>(&entry.preamble) : entry.ticket.data();
    const size_t size = in_head ? sizeof entry.preamble : entry.ticket.size();
    if (at < size) {
      const ssize_t got = recv(fd, into + at, size - at, 0);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
      if (got <= 0) return Drop(fd, "it ended before it said what it is for");
      entry.received += static_cast<size_t>(got);
      if (!in_head || entry.received < sizeof entry.preamble) continue;
      if (const char* why = Complaint(entry.preamble)) return Drop(fd, why);
      entry.ticket.resize(entry.preamble.ticket_bytes);
      continue;
    }
    Visitor visitor{std::move(entry.connection), entry.preamble.kind, std::move(entry.ticket)};
    Drop(fd, nullptr);
    return admit_(std::move(visitor));
  }
}

void Reception::Drop(int fd, const char* why) {
  if (why != nullptr) Log(LogLevel::kWarn, "closes a connection: %s", why);
  loop_->Forget(fd);
  loop_->Cancel(waiting_.at(fd).timer);
  waiting_.erase(fd);
}

}  // namespace outboard::node
