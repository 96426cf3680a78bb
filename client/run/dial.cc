#include "client/run/dial.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace outboard::run {
namespace {

constexpr int kConnectMilliseconds = 5000;

// 0, or an errno.
int Connect(int fd, const sockaddr* address, socklen_t length) {
  if (connect(fd, address, length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd waiting = {fd, POLLOUT, 0};
  int ready;
  while ((ready = poll(&waiting, 1, kConnectMilliseconds)) < 0 && errno == EINTR) {
  }
  if (ready == 0) return ETIMEDOUT;
  int outcome = 0;
  socklen_t size = sizeof outcome;
  if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &outcome, &size) != 0) return errno;
  return outcome;
}

Error Unreachable(const std::string& address, const Callee& callee, const std::string& why) {
  return {"cannot reach the " + std::string(callee.what) + " at " + address + ": " + why + ". Is " + callee.program +
          " running there?"};
}

Result<UniqueFd> DialUnix(const std::string& address, const Callee& callee, const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return Error{"the " + std::string(callee.what) + "'s address " + address +
                 " has a path that is empty or longer than a socket's may be."};
  }
  path.copy(name.sun_path, path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Unreachable(address, callee, std::strerror(errno));
  const int failure = Connect(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name);
  if (failure != 0) return Unreachable(address, callee, std::strerror(failure));
  return fd;
}

void SetOption(int fd, int level, int name, int value) { setsockopt(fd, level, name, &value, sizeof value); }

}  // namespace

Result<UniqueFd> Dial(const std::string& address, const Callee& callee) {
  constexpr std::string_view kUnix = "unix:";
  if (address.starts_with(kUnix)) return DialUnix(address, callee, address.substr(kUnix.size()));

  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return Error{"the " + std::string(callee.what) + "'s address " + address + " is neither HOST:PORT nor unix:/PATH."};
  }
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int failure = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found); failure != 0) {
    return Unreachable(address, callee, gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, freeaddrinfo);
  int failure = EADDRNOTAVAIL;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    UniqueFd fd(socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) {
      failure = errno;
      continue;
    }
    failure = Connect(fd.get(), each->ai_addr, each->ai_addrlen);
    if (failure != 0) continue;
    SetOption(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
    SetOption(fd.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
    SetOption(fd.get(), IPPROTO_TCP, TCP_KEEPIDLE, 30);
    SetOption(fd.get(), IPPROTO_TCP, TCP_KEEPINTVL, 10);
    SetOption(fd.get(), IPPROTO_TCP, TCP_KEEPCNT, 6);
    return fd;
  }
  return Unreachable(address, callee, std::strerror(failure));
}

}  // namespace outboard::run
