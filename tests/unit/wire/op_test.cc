#include "common/wire/op.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace outboard::wire {
namespace {

TEST(OpTest, AreInOrderOfTheirNumbers) {
  const auto number = [](const OpInfo& info) { return static_cast<uint16_t>(info.op); };
  ASSERT_FALSE(Ops().empty());
  EXPECT_EQ(std::ranges::adjacent_find(Ops(), std::ranges::greater_equal(), number), Ops().end());
  EXPECT_GT(number(Ops().front()), 0);
  EXPECT_LT(number(Ops().back()), 0x4000);
}

TEST(OpTest, HaveHashesOfTheirOwn) {
  std::vector<uint64_t> hashes;
  for (const OpInfo& info : Ops()) hashes.push_back(info.hash);
  std::ranges::sort(hashes);
  EXPECT_EQ(std::ranges::adjacent_find(hashes), hashes.end());
  EXPECT_NE(hashes.front(), 0u);  // stands for an operation that one end does not know
}

TEST(OpTest, AreFoundByNumberAndNothingElseIs) {
  size_t found = 0;
  for (uint32_t number = 0; number <= UINT16_MAX; ++number) {
    const OpInfo* info = FindOp(static_cast<uint16_t>(number));
    if (info == nullptr) continue;
    EXPECT_EQ(static_cast<uint32_t>(info->op), number);
    ++found;
  }
  EXPECT_EQ(found, Ops().size());
  EXPECT_EQ(FindOp(static_cast<uint16_t>(Op::kcuEventRecord))->name, std::string("cuEventRecord"));
}

}  // namespace
}  // namespace outboard::wire
