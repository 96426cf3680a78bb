#include "common/base/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/base/unique_fd.h"

namespace outboard {
namespace {

// What a service manager hears at a socket of that name, whose first byte is 0 where it is of no folder.
std::string Heard(const std::string& name, const std::string& variable) {
  const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  name.copy(address.sun_path, name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), size), 0);
  setenv("NOTIFY_SOCKET", variable.c_str(), 1);
  TellServiceManager("READY=1");
  unsetenv("NOTIFY_SOCKET");
  char text[64];
  const ssize_t got = recv(fd.get(), text, sizeof text, 0);
  return got < 0 ? "nothing" : std::string(text, static_cast<size_t>(got));
}

TEST(ServiceManager, HearsWhatIsToldAtASocket) {
  char folder[] = "/tmp/outboard-notify-XXXXXX";
  ASSERT_NE(mkdtemp(folder), nullptr);
  const std::string path = std::string(folder) + "/socket";
  EXPECT_EQ(Heard(path, path), "READY=1");
  std::filesystem::remove_all(folder);
  const std::string name = "outboard-notify-" + std::to_string(getpid());
  EXPECT_EQ(Heard(std::string(1, '\0') + name, "@" + name), "READY=1");
}

TEST(ServiceManager, IsNotNeeded) {
  unsetenv("NOTIFY_SOCKET");
  TellServiceManager("READY=1");
  setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
  TellServiceManager("READY=1");
  setenv("NOTIFY_SOCKET", std::string(500, 'x').c_str(), 1);
  TellServiceManager("READY=1");
  unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace outboard
