#include "common/base/spawn.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "common/base/unique_fd.h"

namespace outboard {
namespace {

// What a shell script writes to descriptor 3.
std::string OutputOf(const std::string& script, Program program = {}) {
  int ends[2];
  EXPECT_EQ(pipe2(ends, O_CLOEXEC), 0);
  UniqueFd from(ends[0]), to(ends[1]);
  program.arguments = {"sh", "-c", script};
  program.descriptors.emplace_back(to.get(), 3);
  const std::variant<pid_t, SpawnError> started = Spawn(program);
  to.Reset();
  if (!std::holds_alternative<pid_t>(started)) return "not started";
  std::string output;
  char piece[256];
  for (ssize_t got; (got = read(from.get(), piece, sizeof piece)) > 0;) output.append(piece, static_cast<size_t>(got));
  waitpid(std::get<pid_t>(started), nullptr, 0);
  return output;
}

TEST(Spawn, GivesArgumentsEnvironmentAndDescriptors) {
  Program program;
  program.environment = {"COLOUR=blue"};
  EXPECT_EQ(OutputOf("echo $COLOUR $HOME >&3", program), "blue\n");
}

TEST(Spawn, DescriptorsMayTradePlaces) {
  int one[2], two[2];
  ASSERT_EQ(pipe2(one, O_CLOEXEC), 0);
  ASSERT_EQ(pipe2(two, O_CLOEXEC), 0);
  const UniqueFd from_one(one[0]), to_one(one[1]), from_two(two[0]), to_two(two[1]);
  Program program;
  program.arguments = {"sh", "-c",
                       "echo one >&" + std::to_string(to_two.get()) + "; echo two >&" + std::to_string(to_one.get())};
  program.descriptors = {{to_one.get(), to_two.get()}, {to_two.get(), to_one.get()}};
  const auto started = Spawn(program);
  ASSERT_TRUE(std::holds_alternative<pid_t>(started));
  int status = 1;
  waitpid(std::get<pid_t>(started), &status, 0);
  EXPECT_EQ(status, 0);
  char text[8] = {};
  EXPECT_EQ(read(from_one.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "one\n");
  EXPECT_EQ(read(from_two.get(), text, sizeof text), 4);
  EXPECT_STREQ(text, "two\n");
}

TEST(Spawn, AQuietProgramHasNoInputAndNoOutput) {
  Program program;
  program.quiet = true;
  EXPECT_EQ(OutputOf("echo $(readlink /proc/$$/fd/0) $(readlink /proc/$$/fd/1) >&3", program), "/dev/null /dev/null\n");
}

TEST(Spawn, AProgramOfItsOwnSessionLeadsIt) {
  Program program;
  program.own_session = true;
  EXPECT_EQ(OutputOf("read -r _ _ _ _ _ session _ </proc/$$/stat; [ $session = $$ ] && echo yes >&3", program),
            "yes\n");
}

TEST(Spawn, SignalsAreBlockedAsAsked) {
  Program program;
  sigaddset(&program.signal_mask, SIGUSR1);
  EXPECT_EQ(OutputOf("exec grep SigBlk /proc/self/status >&3", program), "SigBlk:\t0000000000000200\n");
}

TEST(Spawn, SaysWhyAProgramCannotBeStarted) {
  Program program;
  program.arguments = {"/no/such/program"};
  EXPECT_EQ(std::get<SpawnError>(Spawn(program)).error, ENOENT);
  program.arguments = {"/etc/passwd"};
  EXPECT_EQ(std::get<SpawnError>(Spawn(program)).error, EACCES);
}

}  // namespace
}  // namespace outboard
