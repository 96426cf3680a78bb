#include "server/pool/door.h"

#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

namespace outboard::pool {
namespace {

TEST(Door, TheKernelSaysWhoIsAtAUnixSocket) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  const UniqueFd one(ends[0]);
  const UniqueFd other(ends[1]);
  const passwd* const user = getpwuid(geteuid());
  const std::string name = user == nullptr ? "uid" + std::to_string(geteuid()) : user->pw_name;
  const std::optional<Identity> peer = PeerOf(one.get(), {"unix:/x"}, {{name, "team"}});
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->user, name);
  EXPECT_EQ(peer->tenant, "team");
}

TEST(Door, NobodyIsTakenForSomebodyElse) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd one(ends[0]);
  const UniqueFd other(ends[1]);
  EXPECT_FALSE(PeerOf(one.get(), {"unix:/x"}, {})) << "a pipe has no peer";
  EXPECT_EQ(PeerOf(one.get(), {"127.0.0.1:0"}, {})->user, "loopback");
}

}  // namespace
}  // namespace outboard::pool
