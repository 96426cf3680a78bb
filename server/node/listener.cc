#include "server/node/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

namespace outboard::node {
namespace {

constexpr std::string_view kUnix = "unix:";
constexpr int kSocketFlags = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

Error CannotListen(const std::string& address, const std::string& why) {
  return {"cannot listen at " + address + ": " + why + "."};
}

bool SomebodyListens(const sockaddr_un& name) {
  const UniqueFd probe(socket(AF_UNIX, kSocketFlags, 0));
  return connect(probe.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0 || errno == EAGAIN;
}

Result<UniqueFd> ListenUnix(const std::string& address) {
  const std::string path = address.substr(kUnix.size());
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return CannotListen(address, "the path is empty or longer than a socket's may be");
  }
  path.copy(name.sun_path, path.size());
  struct stat found;
  if (lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) {
    if (SomebodyListens(name)) return CannotListen(address, "another process does");
    unlink(path.c_str());
  }
  UniqueFd fd(socket(AF_UNIX, kSocketFlags, 0));
  // Before it listens, nobody can connect.
  if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 ||
      chmod(path.c_str(), 0600) != 0 || listen(fd.get(), SOMAXCONN) != 0) {
    return CannotListen(address, std::strerror(errno));
  }
  return fd;
}

uint16_t PortOf(int fd) {
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  getsockname(fd, reinterpret_cast<sockaddr*>(&name), &size);
  // The port lies at the same place in both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&name)->sin_port);
}

}  // namespace

Result<Listener> Listener::Open(const std::string& address) {
  if (address.starts_with(kUnix)) {
    Result<UniqueFd> fd = ListenUnix(address);
    if (!fd) return fd.error();
    return Listener(std::move(*fd), address);
  }

  const size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size()) {
    return CannotListen(address, "it is neither HOST:PORT nor unix:/PATH");
  }
  const std::string written = address.substr(0, colon);
  std::string host = written;
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE;
  addrinfo* all = nullptr;
  if (const int failure = getaddrinfo(host.c_str(), address.c_str() + colon + 1, &hints, &all); failure != 0) {
    return CannotListen(address, gai_strerror(failure));
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(all, freeaddrinfo);
  int failure = EADDRNOTAVAIL;
  for (const addrinfo* each = all; each != nullptr; each = each->ai_next) {
    UniqueFd fd(socket(each->ai_family, kSocketFlags, 0));
    const int yes = 1;
    if (fd && setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) == 0 &&
        bind(fd.get(), each->ai_addr, each->ai_addrlen) == 0 && listen(fd.get(), SOMAXCONN) == 0) {
      const uint16_t port = PortOf(fd.get());
      return Listener(std::move(fd), written + ":" + std::to_string(port));
    }
    failure = errno;
  }
  return CannotListen(address, std::strerror(failure));
}

Listener::~Listener() {
  if (fd_ && address_.starts_with(kUnix)) unlink(address_.c_str() + kUnix.size());
}

}  // namespace outboard::node
