#include "client/transport/grpc/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <memory>

namespace outboard::transport {
namespace {

// Waits until `fd` can be written. False with errno when that takes too long.
bool WaitWritable(int fd) {
  pollfd wait{fd, POLLOUT, 0};
  int ready;
  do ready = poll(&wait, 1, kConnectSeconds * 1000);
  while (ready < 0 && errno == EINTR);
  if (ready == 0) errno = ETIMEDOUT;
  return ready > 0;
}

// errno says why not.
bool ConnectTo(int fd, const sockaddr* address, socklen_t bytes) {
  if (connect(fd, address, bytes) == 0) return true;
  if (errno == EAGAIN) errno = ECONNREFUSED;  // a Unix socket whose backlog is full
  if (errno != EINPROGRESS && errno != EINTR) return false;
  if (!WaitWritable(fd)) return false;
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return false;
  errno = error;
  return error == 0;
}

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      if (!WaitWritable(fd)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

Error CannotReach(const std::string& address, const char* why) {
  return Error{"no gpu-node can be reached at " + address + " (" + why + "); is it running there?"};
}

void TuneTcp(int fd) {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  // The usual alternative as a host's default, bbr, paces small bursts. Refused where it is not permitted: as well.
  setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", strlen("cubic"));
}

Result<UniqueFd> ConnectUnix(const std::string& address, const std::string& path) {
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof to.sun_path) {
    return Error{"the path in " + address + " is empty or longer than a Unix socket's can be"};
  }
  memcpy(to.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd || !ConnectTo(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to)) {
    return CannotReach(address, strerror(errno));
  }
  return fd;
}

Result<UniqueFd> ConnectTcp(const std::string& address) {
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return Error{"the node's address " + address + " is neither unix:/path nor host:port"};
  }
  std::string host = address.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &found);
  if (failed != 0) return CannotReach(address, gai_strerror(failed));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  int error = ENOENT;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    UniqueFd fd(socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (fd && ConnectTo(fd.get(), at->ai_addr, at->ai_addrlen)) {
      TuneTcp(fd.get());
      return fd;
    }
    error = errno;
  }
  return CannotReach(address, strerror(error));
}

}  // namespace

Result<Socket> Connect(const std::string& address, std::string_view greeting) {
  static constexpr std::string_view kUnix = "unix:";
  const bool is_local = address.starts_with(kUnix);
  Result<UniqueFd> fd = is_local ? ConnectUnix(address, address.substr(kUnix.size())) : ConnectTcp(address);
  if (!fd) return fd.error();
  if (!SendAll(fd->get(), greeting)) return CannotReach(address, strerror(errno));
  return Socket{std::move(*fd), is_local};
}

}  // namespace outboard::transport
