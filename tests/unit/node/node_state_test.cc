#include "server/node/node_state.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/fakes/temporary_folder.h"

namespace outboard::node {
namespace {

TEST(NodeStateFolder, IsReadAgain) {
  const fakes::TemporaryFolder folder;
  std::string instance;
  {
    Result<NodeState> state = NodeState::Open(folder.path() + "/a/b");
    ASSERT_TRUE(state) << state.error().message;
    instance = state->instance();
    EXPECT_EQ(instance.size(), 32u);
    EXPECT_EQ(state->highest_epoch(), 0u);
    EXPECT_FALSE(state->Saw(7));
    EXPECT_FALSE(state->Saw(5));
    EXPECT_EQ(state->highest_epoch(), 7u);
  }
  Result<NodeState> state = NodeState::Open(folder.path() + "/a/b");
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->instance(), instance);
  EXPECT_EQ(state->highest_epoch(), 7u);
  Result<NodeState> other = NodeState::Open(folder.path() + "/other");
  ASSERT_TRUE(other);
  EXPECT_NE(other->instance(), instance);
}

TEST(NodeStateFolder, IsForOneProcess) {
  const fakes::TemporaryFolder folder;
  Result<NodeState> state = NodeState::Open(folder.path());
  ASSERT_TRUE(state);
  const Result<NodeState> second = NodeState::Open(folder.path());
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(folder.path()), std::string::npos) << second.error().message;
}

TEST(NodeStateFolder, AFileThatIsNotWholeIsRefused) {
  for (const char* const text :
       {"", "instance \nhighest-epoch 1\n", "instance a\n", "highest-epoch 1\n", "instance a\nhighest-epoch x\n"}) {
    const fakes::TemporaryFolder folder;
    std::ofstream(folder.path() + "/pool") << text;
    const Result<NodeState> state = NodeState::Open(folder.path());
    ASSERT_FALSE(state) << text;
    EXPECT_NE(state.error().message.find("/pool"), std::string::npos) << state.error().message;
  }
}

TEST(NodeStateFolder, WhatCannotBeWrittenIsAnError) {
  const fakes::TemporaryFolder folder;
  EXPECT_FALSE(NodeState::Open("/proc/none"));
  Result<NodeState> state = NodeState::Open(folder.path());
  ASSERT_TRUE(state);
  std::filesystem::create_directory(folder.path() + "/pool.new");
  EXPECT_TRUE(state->Saw(3));
  EXPECT_EQ(state->highest_epoch(), 0u);
}

}  // namespace
}  // namespace outboard::node
