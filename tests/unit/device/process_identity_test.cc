#include "server/softgpu/device/process_identity.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace outboard::softgpu {
namespace {

TEST(ProcessIdentity, ThisProcessHasNotEnded) {
  const ProcessIdentity self = ThisProcess();
  EXPECT_EQ(self.pid, getpid());
  EXPECT_NE(self.start_time, 0u);
  EXPECT_NE(self.pid_namespace, 0u);
  EXPECT_NE(self.program, 0u);
  EXPECT_FALSE(HasEnded(self, ThisProcess()));
}

TEST(ProcessIdentity, TheParentHasNotEndedForItsChild) {
  const ProcessIdentity parent = ThisProcess();
  const pid_t child = fork();
  if (child == 0) _exit(HasEnded(parent, ThisProcess()) ? 1 : 0);
  int status;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

TEST(ProcessIdentity, AReapedChildHasEnded) {
  const ProcessIdentity self = ThisProcess();
  ProcessIdentity child = self;
  child.pid = fork();
  if (child.pid == 0) _exit(0);
  waitpid(child.pid, nullptr, 0);
  EXPECT_TRUE(HasEnded(child, self));
  child.pid_namespace += 1;  // ids of another namespace say nothing
  EXPECT_FALSE(HasEnded(child, self));
}

TEST(ProcessIdentity, AProcessWithTheSameIdIsAnotherOne) {
  const ProcessIdentity self = ThisProcess();
  ProcessIdentity earlier = self;
  earlier.start_time -= 1;
  EXPECT_TRUE(HasEnded(earlier, self));
  ProcessIdentity before_exec = self;
  before_exec.program += 1;
  EXPECT_TRUE(HasEnded(before_exec, self));
}

}  // namespace
}  // namespace outboard::softgpu
