#include "client/run/run_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include "common/base/limits.h"

namespace outboard::run {
namespace {

constexpr std::string_view kSession = "outboard 1 session";
constexpr std::string_view kGpus = "outboard 1 gpus";

std::optional<ucred> PeerOf(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return std::nullopt;
  return peer;
}

bool IsOurs(int fd) {
  const std::optional<ucred> peer = PeerOf(fd);
  return peer && peer->uid == geteuid();
}

// The request of a connection that is readable; nullopt when there is none yet, empty when there will be none.
std::optional<std::string> ReadRequest(int fd) {
  char packet[64];
  const ssize_t got = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return got <= 0 ? std::string() : std::string(packet, static_cast<size_t>(got));
}

// A packet that the peer has not taken yet must fit into the socket's buffer whole.
void Send(int fd, const std::string& reply) {
  const int bytes = static_cast<int>(reply.size()) + 4096;
  int room = 0;
  socklen_t size = sizeof room;
  if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 && room < bytes) {
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  }
  send(fd, reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Result<std::unique_ptr<RunSocket>> RunSocket::Open(const std::string& path, Answers answers) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path) return Error{"the path " + path + " is longer than a socket's may be."};
  path.copy(name.sun_path, path.size());
  UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  UniqueFd stop(eventfd(0, EFD_CLOEXEC));
  if (!listener || !stop || bind(listener.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 ||
      listen(listener.get(), SOMAXCONN) != 0) {
    return Error{"cannot listen at " + path + ": " + std::strerror(errno) + "."};
  }
  return std::unique_ptr<RunSocket>(new RunSocket(std::move(listener), std::move(stop), std::move(answers)));
}

RunSocket::RunSocket(UniqueFd listener, UniqueFd stop, Answers answers)
    : listener_(std::move(listener)), stop_(std::move(stop)), answers_(std::move(answers)) {
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  thread_ = std::thread(&RunSocket::Serve, this);
  pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

RunSocket::~RunSocket() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written =
      write(stop_.get(), &one, sizeof one);  // an eventfd that is not full takes it
  thread_.join();
}

void RunSocket::Serve() {
  std::vector<UniqueFd> waiting;
  std::vector<pollfd> polled;
  for (;;) {
    polled.assign({{stop_.get(), POLLIN, 0}, {listener_.get(), POLLIN, 0}});
    for (const UniqueFd& fd : waiting) polled.push_back({fd.get(), POLLIN, 0});
    if (poll(polled.data(), polled.size(), -1) < 0) continue;
    if (polled[0].revents != 0) return;

    for (size_t i = waiting.size(); i-- > 0;) {
      if (polled[2 + i].revents == 0) continue;
      const std::optional<std::string> request = ReadRequest(waiting[i].get());
      if (!request) continue;
      if (!request->empty()) Send(waiting[i].get(), Answer(*request, waiting[i].get()));
      waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(i));
    }

    if (polled[1].revents != 0) {
      UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd && IsOurs(fd.get()) && waiting.size() < kMaxWaitingConnections) waiting.push_back(std::move(fd));
    }
  }
}

std::string RunSocket::Answer(const std::string& request, int fd) const {
  if (request == kSession) {
    const std::optional<ucred> peer = PeerOf(fd);
    return answers_.session(peer ? peer->pid : 0);
  }
  if (request == kGpus) return answers_.gpus();
  return "error gpu-run and the library that asks it are of different versions. Start the program with the gpu-run "
         "beside the library.";
}

std::string SessionAnswer(const std::string& address, const std::string& ticket) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string answer = "ok " + address + " ";
  for (const unsigned char byte : ticket) {
    answer += kDigits[byte >> 4];
    answer += kDigits[byte & 15];
  }
  return answer;
}

}  // namespace outboard::run
