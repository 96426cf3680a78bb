#include "server/softgpu/device/shared_event.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace outboard::softgpu {
namespace {

class SharedEventTest : public testing::Test {
 protected:
  SharedEventTest() {
    std::string path = testing::TempDir() + "shared_event_XXXXXX";
    folder_ = mkdtemp(path.data()) == nullptr ? "" : path;
  }
  ~SharedEventTest() override { std::filesystem::remove_all(folder_); }

  std::shared_ptr<SharedEvent> Make() const {
    auto event = SharedEvent::Make(folder_);
    EXPECT_TRUE(event) << event.error().message;
    return event ? std::move(*event) : nullptr;
  }
  size_t Files() const { return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {})); }

  std::string folder_;
};

TEST_F(SharedEventTest, EitherSideSeesTheOthersRecords) {
  const auto made = Make(), opened = SharedEvent::Open(folder_, made->name());
  ASSERT_NE(opened, nullptr);
  EXPECT_TRUE(made->made_here());
  EXPECT_EQ(opened->last(), 0u);
  EXPECT_TRUE(opened->Reached(0));
  const uint64_t first = made->Record();
  EXPECT_EQ(opened->last(), first);
  EXPECT_FALSE(opened->Reached(first));
  std::thread waits([&] { opened->Wait(first); });
  made->Reach(first);
  waits.join();
  const uint64_t second = opened->Record();
  EXPECT_GT(second, first);
  EXPECT_TRUE(made->Reached(first));
  EXPECT_FALSE(made->Reached(second));
  opened->Reach(second);
  EXPECT_TRUE(made->Reached(second));
  made->Reach(first);
  EXPECT_TRUE(made->Reached(second)) << "a late record undoes nothing";
}

TEST_F(SharedEventTest, GoesWithWhoMadeItButNotFromThoseWhoHaveIt) {
  auto made = Make();
  const SharedEvent::Name name = made->name();
  const auto opened = SharedEvent::Open(folder_, name);
  EXPECT_EQ(Files(), 1u);
  made.reset();
  EXPECT_EQ(Files(), 0u);
  EXPECT_EQ(SharedEvent::Open(folder_, name), nullptr);
  opened->Reach(opened->Record());
  EXPECT_TRUE(opened->Reached(1));
  EXPECT_EQ(SharedEvent::Open(folder_, {}), nullptr);
}

TEST_F(SharedEventTest, SaysWhereItCannotBeMade) {
  const auto event = SharedEvent::Make(folder_ + "/none");
  ASSERT_FALSE(event);
  EXPECT_NE(event.error().message.find(folder_ + "/none"), std::string::npos) << event.error().message;
}

TEST_F(SharedEventTest, SoManyHaveItOpenAndNoMore) {
  const auto made = Make();
  std::vector<std::shared_ptr<SharedEvent>> opened;
  for (int i = 1; i < 64; ++i) {
    opened.push_back(SharedEvent::Open(folder_, made->name()));
    ASSERT_NE(opened.back(), nullptr);
  }
  EXPECT_EQ(SharedEvent::Open(folder_, made->name()), nullptr);
  opened.pop_back();
  EXPECT_NE(SharedEvent::Open(folder_, made->name()), nullptr);
}

// What a killed process has recorded counts as reached, and its files go when the next event is made.
TEST_F(SharedEventTest, NobodyWaitsForAKilledProcess) {
  const auto made = Make();
  int pipe_ends[2];
  ASSERT_EQ(pipe(pipe_ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const auto opened = SharedEvent::Open(folder_, made->name());
    const auto own = SharedEvent::Make(folder_);
    opened->Record();
    if (write(pipe_ends[1], "", 1) == 1) pause();
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(pipe_ends[0], &byte, 1), 1);
  EXPECT_EQ(made->last(), 1u);
  EXPECT_FALSE(made->Reached(1));
  EXPECT_EQ(Files(), 2u);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  made->Wait(1);
  const auto other = Make();
  EXPECT_EQ(Files(), 2u);
  close(pipe_ends[0]);
  close(pipe_ends[1]);
}

}  // namespace
}  // namespace outboard::softgpu
