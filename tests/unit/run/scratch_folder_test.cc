#include "client/run/scratch_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace outboard::run {
namespace {

namespace fs = std::filesystem;

// A base of the test's own, so that folders of others do not matter.
class ScratchFolderTest : public testing::Test {
 protected:
  ScratchFolderTest() {
    if (mkdtemp(base_.data()) == nullptr) ADD_FAILURE();
  }
  ~ScratchFolderTest() override { fs::remove_all(base_); }
  size_t Count() const { return std::distance(fs::directory_iterator(base_), fs::directory_iterator()); }

  std::string base_ = "/tmp/outboard-test-XXXXXX";
};

TEST_F(ScratchFolderTest, IsForThisUserAloneAndGoesAway) {
  {
    const Result<ScratchFolder> folder = ScratchFolder::Make(base_);
    ASSERT_TRUE(folder);
    struct stat found;
    ASSERT_EQ(stat(folder->path().c_str(), &found), 0);
    EXPECT_EQ(found.st_mode & 0777, 0700u);
    std::ofstream(folder->path() + "/file") << "x";
  }
  EXPECT_EQ(Count(), 0u);
}

TEST_F(ScratchFolderTest, FoldersInUseStay) {
  const Result<ScratchFolder> one = ScratchFolder::Make(base_);
  const Result<ScratchFolder> two = ScratchFolder::Make(base_);
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->path(), two->path());
  EXPECT_TRUE(fs::exists(one->path()));
}

TEST_F(ScratchFolderTest, AProcessThatIsKilledLeavesNone) {
  const pid_t child = fork();
  if (child == 0) {
    const Result<ScratchFolder> left = ScratchFolder::Make(base_);
    raise(SIGKILL);
  }
  waitpid(child, nullptr, 0);
  while (Count() != 0) std::this_thread::yield();
}

TEST_F(ScratchFolderTest, WhatWasLeftIsRemovedByTheNext) {
  const fs::path left = base_ + "/outboard-run-left";
  fs::create_directory(left);
  std::ofstream(left / "lock") << "";
  std::ofstream(left / "file") << "x";
  const Result<ScratchFolder> next = ScratchFolder::Make(base_);
  ASSERT_TRUE(next);
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(Count(), 1u);
}

TEST_F(ScratchFolderTest, WhoInheritsTheLockKeepsTheFolder) {
  Result<ScratchFolder> folder = ScratchFolder::Make(base_);
  ASSERT_TRUE(folder);
  const std::string lock = folder->path() + "/lock";
  const UniqueFd inherited(dup(folder->lock_fd()));
  const UniqueFd other(open(lock.c_str(), O_RDONLY));
  EXPECT_NE(flock(other.get(), LOCK_EX | LOCK_NB), 0);
}

TEST_F(ScratchFolderTest, FoldersOfOthersStay) {
  fs::create_directory(base_ + "/something");
  std::ofstream(base_ + "/something/lock") << "";
  fs::create_directory(base_ + "/outboard-run-unlocked");
  const Result<ScratchFolder> folder = ScratchFolder::Make(base_);
  EXPECT_TRUE(fs::exists(base_ + "/something"));
  EXPECT_TRUE(fs::exists(base_ + "/outboard-run-unlocked")) << "it may just be in the making";
}

TEST_F(ScratchFolderTest, ABaseThatIsNotThereIsAnError) { EXPECT_FALSE(ScratchFolder::Make(base_ + "/none")); }

}  // namespace
}  // namespace outboard::run
