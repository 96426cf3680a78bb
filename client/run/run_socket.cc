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

constexpr std::string_view kRequest = "outboard 1 session";

bool IsOurs(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

// The request of a connection that is readable; nullopt when there is none yet, empty when there will be none.
std::optional<std::string> ReadRequest(int fd) {
  char packet[64];
  const ssize_t got = recv(fd, packet, sizeof packet, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return got <= 0 ? std::string() : std::string(packet, static_cast<size_t>(got));
}

}  // namespace

Result<std::unique_ptr<RunSocket>> RunSocket::Open(const std::string& path, std::function<std::string()> answer) {
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
  return std::unique_ptr<RunSocket>(new RunSocket(std::move(listener), std::move(stop), std::move(answer)));
}

RunSocket::RunSocket(UniqueFd listener, UniqueFd stop, std::function<std::string()> answer)
    : listener_(std::move(listener)), stop_(std::move(stop)), answer_(std::move(answer)) {
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
      if (!request->empty()) {
        const std::string reply = *request == kRequest
                                      ? answer_()
                                      : "error gpu-run and the library that asks it are of different "
                                        "versions. Start the program with the gpu-run beside the library.";
        send(waiting[i].get(), reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      }
      waiting.erase(waiting.begin() + static_cast<ptrdiff_t>(i));
    }

    if (polled[1].revents != 0) {
      UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd && IsOurs(fd.get()) && waiting.size() < kMaxWaitingConnections) waiting.push_back(std::move(fd));
    }
  }
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
