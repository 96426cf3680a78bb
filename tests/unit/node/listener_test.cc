#include "server/node/listener.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "tests/fakes/temporary_folder.h"

namespace outboard::node {
namespace {

TEST(Listener, ChoosesAFreePort) {
  const Result<Listener> listener = Listener::Open("127.0.0.1:0");
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_TRUE(listener->address().starts_with("127.0.0.1:"));
  EXPECT_NE(listener->address(), "127.0.0.1:0");
  const Result<Listener> same = Listener::Open(listener->address());
  ASSERT_FALSE(same);
  EXPECT_NE(same.error().message.find(listener->address()), std::string::npos) << same.error().message;
}

TEST(Listener, AUnixSocketIsForThisUserAloneAndIsRemoved) {
  const fakes::TemporaryFolder folder;
  const std::string path = folder.path() + "/socket";
  {
    const Result<Listener> listener = Listener::Open("unix:" + path);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(listener->address(), "unix:" + path);
    struct stat found;
    ASSERT_EQ(stat(path.c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0600u);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Listener, ReplacesASocketThatNobodyListensAt) {
  const fakes::TemporaryFolder folder;
  const std::string path = folder.path() + "/socket";
  {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    path.copy(name.sun_path, path.size());
    const UniqueFd left_behind(socket(AF_UNIX, SOCK_STREAM, 0));
    ASSERT_EQ(bind(left_behind.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name), 0);
  }
  const Result<Listener> listener = Listener::Open("unix:" + path);
  ASSERT_TRUE(listener) << listener.error().message;
  EXPECT_FALSE(Listener::Open("unix:" + path)) << "somebody listens there";
  EXPECT_TRUE(std::filesystem::exists(path));
}

TEST(Listener, AddressesThatAreNoneAreErrors) {
  for (const std::string address :
       {"", "host", ":1", "host:", "127.0.0.1:notaport", "unix:", "unix:/no/such/folder/x"}) {
    const Result<Listener> listener = Listener::Open(address);
    EXPECT_FALSE(listener) << address;
  }
  EXPECT_FALSE(Listener::Open("unix:/" + std::string(200, 'a')));
}

}  // namespace
}  // namespace outboard::node
