#include <gtest/gtest.h>

#include <array>
#include <cstdint>

#include "client/shim/memory_pulls.h"

namespace outboard::shim {
namespace {

class PullsTest : public testing::Test {
 protected:
  uint64_t At(size_t offset) const { return reinterpret_cast<uint64_t>(memory_.data()) + offset; }
  uint64_t Add(size_t offset, size_t size) { return pulls_.Add(RowAt(At(offset)), RowOf(size)); }
  std::optional<std::span<const std::byte>> Find(uint64_t pull, uint64_t offset, uint64_t bytes) {
    return pulls_.Find(pull, offset, bytes, &gathered_);
  }

  std::array<std::byte, 16> memory_{};
  std::vector<std::byte> gathered_;
  Pulls pulls_;
};

TEST_F(PullsTest, GivesWhatIsAskedForUntilAllWasSent) {
  const uint64_t pull = Add(4, 8);
  const auto first = Find(pull, 0, 6);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->data(), memory_.data() + 4);
  EXPECT_EQ(first->size(), 6u);
  EXPECT_TRUE(pulls_.Any());
  pulls_.Sent(pull, 6);
  EXPECT_TRUE(pulls_.Any());
  const auto rest = Find(pull, 6, 2);
  ASSERT_TRUE(rest);
  EXPECT_EQ(rest->data(), memory_.data() + 10);
  pulls_.Sent(pull, 2);
  EXPECT_FALSE(pulls_.Any());
  EXPECT_FALSE(Find(pull, 0, 1));
}

TEST_F(PullsTest, RefusesWhatTheCopyDoesNotHave) {
  const uint64_t pull = Add(0, 8);
  EXPECT_FALSE(Find(pull + 1, 0, 1));
  EXPECT_FALSE(Find(pull, 9, 0));
  EXPECT_FALSE(Find(pull, 8, 1));
  EXPECT_FALSE(Find(pull, 4, ~uint64_t{0}));
  EXPECT_TRUE(Find(pull, 8, 0));
  pulls_.Sent(pull, 7);
  EXPECT_FALSE(Find(pull, 0, 2));  // more than is missing
}

TEST_F(PullsTest, PutsTheRowsOfABoxTogether) {
  for (size_t i = 0; i < memory_.size(); ++i) memory_[i] = std::byte(i);
  const uint64_t pull = pulls_.Add({At(1), 5, 0}, {2, 3, 1});
  EXPECT_TRUE(pulls_.MayRead(At(12), 4));
  EXPECT_FALSE(pulls_.MayRead(At(13), 3));
  EXPECT_FALSE(Find(pull, 0, 5));  // all or nothing
  EXPECT_FALSE(Find(pull, 1, 5));
  EXPECT_FALSE(Find(pull, 0, 7));
  const auto bytes = Find(pull, 0, 6);
  ASSERT_TRUE(bytes);
  const std::vector<std::byte> want = {std::byte{1}, std::byte{2},  std::byte{6},
                                       std::byte{7}, std::byte{11}, std::byte{12}};
  EXPECT_EQ(std::vector(bytes->begin(), bytes->end()), want);
  pulls_.Sent(pull, 6);
  EXPECT_FALSE(pulls_.Any());
}

TEST_F(PullsTest, NumbersAreNotUsedAgain) {
  const uint64_t first = Add(0, 1);
  pulls_.Sent(first, 1);
  EXPECT_NE(Add(0, 1), first);
}

TEST_F(PullsTest, KnowsAndForgetsWhatReadsARange) {
  Add(0, 4);
  const uint64_t other = Add(8, 4);
  EXPECT_TRUE(pulls_.MayRead(At(3), 1));
  EXPECT_FALSE(pulls_.MayRead(At(4), 4));
  pulls_.Forget(At(3), 2);
  EXPECT_FALSE(pulls_.MayRead(At(0), 8));
  EXPECT_TRUE(Find(other, 0, 4));
}

}  // namespace
}  // namespace outboard::shim
