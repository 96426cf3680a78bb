#include "common/base/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <optional>
#include <string>

#include "common/base/env.h"
#include "common/base/unique_fd.h"

namespace outboard {

void TellServiceManager(std::string_view state) {
  const std::optional<std::string> path = GetEnv("NOTIFY_SOCKET");
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (!path || path->size() >= sizeof name.sun_path) return;
  path->copy(name.sun_path, path->size());
  if (name.sun_path[0] == '@') name.sun_path[0] = '\0';  // of no folder
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path->size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  // Whoever does not take it will see the time run out.
  sendto(fd.get(), state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&name), size);
}

}  // namespace outboard
