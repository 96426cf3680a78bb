#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "client/shim/memory_pulls.h"

namespace outboard::shim {
namespace {

class PullsTest : public testing::Test {
 protected:
  uint64_t At(size_t offset) const { return reinterpret_cast<uint64_t>(memory_.data()) + offset; }
  std::span<const std::byte> Bytes(size_t offset, size_t size) const { return {memory_.data() + offset, size}; }

  std::array<std::byte, 16> memory_{};
  Pulls pulls_;
};

TEST_F(PullsTest, GivesWhatIsAskedForUntilAllWasSent) {
  const uint64_t pull = pulls_.Add(Bytes(4, 8));
  const auto first = pulls_.Find(pull, 0, 6);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->data(), memory_.data() + 4);
  EXPECT_EQ(first->size(), 6u);
  EXPECT_TRUE(pulls_.Any());
  pulls_.Sent(pull, 6);
  EXPECT_TRUE(pulls_.Any());
  const auto rest = pulls_.Find(pull, 6, 2);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->data(), memory_.data() + 10);
  pulls_.Sent(pull, 2);
  EXPECT_FALSE(pulls_.Any());
  EXPECT_FALSE(pulls_.Find(pull, 0, 1));
}

TEST_F(PullsTest, RefusesWhatTheCopyDoesNotHave) {
  const uint64_t pull = pulls_.Add(Bytes(0, 8));
  EXPECT_FALSE(pulls_.Find(pull + 1, 0, 1));
  EXPECT_FALSE(pulls_.Find(pull, 9, 0));
  EXPECT_FALSE(pulls_.Find(pull, 8, 1));
  EXPECT_FALSE(pulls_.Find(pull, 4, ~uint64_t{0}));
  EXPECT_TRUE(pulls_.Find(pull, 8, 0));
  pulls_.Sent(pull, 7);
  EXPECT_FALSE(pulls_.Find(pull, 0, 2));  // more than is missing
}

TEST_F(PullsTest, NumbersAreNotUsedAgain) {
  const uint64_t first = pulls_.Add(Bytes(0, 1));
  pulls_.Sent(first, 1);
  EXPECT_NE(pulls_.Add(Bytes(0, 1)), first);
}

TEST_F(PullsTest, KnowsAndForgetsWhatReadsARange) {
  pulls_.Add(Bytes(0, 4));
  const uint64_t other = pulls_.Add(Bytes(8, 4));
  EXPECT_TRUE(pulls_.MayRead(At(3), 1));
  EXPECT_FALSE(pulls_.MayRead(At(4), 4));
  pulls_.Forget(At(3), 2);
  EXPECT_FALSE(pulls_.MayRead(At(0), 8));
  EXPECT_TRUE(pulls_.Find(other, 0, 4));
}

}  // namespace
}  // namespace outboard::shim
