#include "server/worker/descriptor_exchange.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "common/base/log.h"

namespace outboard::worker {
namespace {

constexpr int kBacklog = 64, kPauseMilliseconds = 10;
constexpr timeval kPatienceToAsk{10, 0}, kPatienceToAnswer{1, 0};
using Bytes16 = std::array<std::byte, 16>;

bool FillRandomly(Bytes16* bytes) { return getrandom(bytes->data(), bytes->size(), 0) == ssize_t{sizeof *bytes}; }

// In the abstract namespace: a zero byte and the name.
socklen_t SetAddress(sockaddr_un* address, const Bytes16& name) {
  address->sun_family = AF_UNIX;
  address->sun_path[0] = '\0';
  std::memcpy(address->sun_path + 1, name.data(), name.size());
  return offsetof(sockaddr_un, sun_path) + 1 + name.size();
}

UniqueFd NewSocket() { return UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)); }

void SetPatience(int socket, const timeval& patience) {
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

// Any process of the machine sees the socket's name, and may take it when we are gone.
bool IsOurUser(int socket) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

// One byte, with a descriptor.
struct Packet {
  Packet() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = CMSG_LEN(sizeof(int));  // no room for a second one
  }
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
};

void Send(int socket, int descriptor) {
  Packet packet;
  cmsghdr* const head = CMSG_FIRSTHDR(&packet.message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  sendmsg(socket, &packet.message, MSG_NOSIGNAL);
}

// None when the other end has closed the socket, or has sent something else.
UniqueFd Receive(int socket) {
  Packet packet;
  ssize_t received;
  do received = recvmsg(socket, &packet.message, MSG_CMSG_CLOEXEC);
  while (received < 0 && errno == EINTR);
  const cmsghdr* const head = received == 1 ? CMSG_FIRSTHDR(&packet.message) : nullptr;
  if (head == nullptr || head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) return UniqueFd();
  int descriptor;
  std::memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
  return UniqueFd(descriptor);
}

}  // namespace

DescriptorExchange::~DescriptorExchange() {
  if (!thread_.joinable()) return;
  eventfd_write(end_.get(), 1);
  thread_.join();
}

// The caller holds mutex_.
bool DescriptorExchange::Open() {
  if (listener_) return true;
  UniqueFd listener = NewSocket(), end(eventfd(0, EFD_CLOEXEC));
  sockaddr_un address{};
  if (!listener || !end || !FillRandomly(&name_) ||
      bind(listener.get(), reinterpret_cast<sockaddr*>(&address), SetAddress(&address, name_)) != 0 ||
      listen(listener.get(), kBacklog) != 0) {
    Log(LogLevel::kError,
        "memory cannot be shared with other processes: a socket cannot be made: %s; check the limit on open files",
        std::strerror(errno));
    return false;
  }
  listener_ = std::move(listener);
  end_ = std::move(end);
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // which the thread inherits
  thread_ = std::thread([this] { Serve(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return true;
}

std::optional<DescriptorExchange::Ticket> DescriptorExchange::Offer(UniqueFd descriptor) {
  std::lock_guard lock(mutex_);
  Ticket ticket;
  if (!Open() || !FillRandomly(&ticket.number)) return std::nullopt;
  ticket.socket = name_;
  offered_.insert_or_assign(ticket.number, std::move(descriptor));
  return ticket;
}

void DescriptorExchange::Withdraw(const Ticket& ticket) {
  decltype(offered_)::node_type withdrawn;  // closed when the lock is gone
  std::lock_guard lock(mutex_);
  withdrawn = offered_.extract(ticket.number);
}

void DescriptorExchange::Serve() const {
  pollfd events[] = {{listener_.get(), POLLIN, 0}, {end_.get(), POLLIN, 0}};
  for (;;) {
    if (poll(events, 2, -1) < 0 && errno != EINTR) return;
    if (events[1].revents != 0) return;
    if ((events[0].revents & POLLIN) == 0) continue;
    const UniqueFd peer(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) poll(&events[1], 1, kPauseMilliseconds);  // there may be no room for descriptors
    if (peer && IsOurUser(peer.get())) Answer(peer.get());
  }
}

// Who asks for what is not offered finds the socket closed.
void DescriptorExchange::Answer(int peer) const {
  SetPatience(peer, kPatienceToAnswer);
  Number number;
  if (recv(peer, number.data(), number.size(), 0) != ssize_t{sizeof number}) return;
  UniqueFd copy;
  {
    std::lock_guard lock(mutex_);
    const auto found = offered_.find(number);
    if (found == offered_.end()) return;
    copy.Reset(fcntl(found->second.get(), F_DUPFD_CLOEXEC, 0));
  }
  if (copy) Send(peer, copy.get());
}

UniqueFd DescriptorExchange::Ask(const Ticket& ticket) {
  const UniqueFd socket = NewSocket();
  if (!socket) return UniqueFd();
  SetPatience(socket.get(), kPatienceToAsk);
  sockaddr_un address{};
  const socklen_t size = SetAddress(&address, ticket.socket);
  if (connect(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 || !IsOurUser(socket.get()) ||
      send(socket.get(), ticket.number.data(), ticket.number.size(), MSG_NOSIGNAL) != ssize_t{sizeof ticket.number}) {
    return UniqueFd();
  }
  return Receive(socket.get());
}

}  // namespace outboard::worker
