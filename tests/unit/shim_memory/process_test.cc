#include "client/shim/process.h"

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/unit/shim_memory/fake_worker.h"

namespace outboard::shim {
namespace {

class ProcessTest : public testing::Test {
 protected:
  FakeWorker& worker_ = FakeWorker::Get();
};

TEST_F(ProcessTest, AChildThatNoForkHandlerSawIsNotInitialized) {
  ASSERT_EQ(Process::Get().Enter(), CUDA_SUCCESS);
  const long child = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  ASSERT_GE(child, 0);
  if (child == 0) _exit(Process::Get().Enter() == CUDA_ERROR_NOT_INITIALIZED ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(static_cast<pid_t>(child), &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(Process::Get().Enter(), CUDA_SUCCESS) << "its parent goes on";
}

TEST_F(ProcessTest, AHostFunctionMayNotCall) {
  ThisThread().in_host_function = true;
  EXPECT_EQ(Process::Get().Enter(), CUDA_ERROR_NOT_PERMITTED);
  ThisThread().in_host_function = false;
  EXPECT_EQ(Process::Get().Enter(), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::shim
