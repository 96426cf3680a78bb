#include "common/libcuda/virtual_ranges.h"

#include <gtest/gtest.h>

namespace outboard {
namespace {

constexpr uint64_t kBegin = 0x1000;
constexpr auto kReadWrite = CU_MEM_ACCESS_FLAGS_PROT_READWRITE, kRead = CU_MEM_ACCESS_FLAGS_PROT_READ,
               kNone = CU_MEM_ACCESS_FLAGS_PROT_NONE;

class VirtualRangesTest : public testing::Test {
 protected:
  VirtualRangesTest() { EXPECT_TRUE(ranges_.Reserve(kBegin, 100)); }
  void Map(uint64_t begin, uint64_t size) {
    ASSERT_TRUE(ranges_.IsRoom(begin, size));
    ranges_.Map({begin, size, ++last_, 0, last_, 100 + last_});
  }

  VirtualRanges ranges_;
  uint64_t last_ = 0;
};

TEST_F(VirtualRangesTest, RangesDoNotOverlap) {
  EXPECT_FALSE(ranges_.Reserve(kBegin, 1));
  EXPECT_FALSE(ranges_.Reserve(kBegin + 99, 10));
  EXPECT_FALSE(ranges_.Reserve(kBegin - 10, 11));
  EXPECT_TRUE(ranges_.Reserve(kBegin + 100, 10));
  EXPECT_EQ(ranges_.FindReserved(kBegin + 99)->begin, kBegin);
  EXPECT_EQ(ranges_.FindReserved(kBegin + 100)->begin, kBegin + 100);
  EXPECT_FALSE(ranges_.FindReserved(kBegin - 1));
  EXPECT_FALSE(ranges_.FindReserved(kBegin + 110));
}

TEST_F(VirtualRangesTest, ARangeIsFreedWholeAndEmpty) {
  EXPECT_FALSE(ranges_.Free(kBegin, 99));
  EXPECT_FALSE(ranges_.Free(kBegin + 1, 99));
  Map(kBegin + 90, 10);
  EXPECT_FALSE(ranges_.Free(kBegin, 100));
  ranges_.Unmap(kBegin + 90);
  EXPECT_TRUE(ranges_.Free(kBegin, 100));
  EXPECT_FALSE(ranges_.Free(kBegin, 100));
  EXPECT_TRUE(ranges_.empty());
}

TEST_F(VirtualRangesTest, AMappingLiesInOneRangeWhereNothingElseIs) {
  ASSERT_TRUE(ranges_.Reserve(kBegin + 100, 100));
  EXPECT_FALSE(ranges_.IsRoom(kBegin - 10, 20));
  EXPECT_FALSE(ranges_.IsRoom(kBegin + 90, 20)) << "over the border of two ranges";
  EXPECT_FALSE(ranges_.IsRoom(kBegin, UINT64_MAX));
  Map(kBegin + 40, 20);
  EXPECT_FALSE(ranges_.IsRoom(kBegin + 30, 11));
  EXPECT_FALSE(ranges_.IsRoom(kBegin + 59, 10));
  EXPECT_FALSE(ranges_.IsRoom(kBegin, 100));
  EXPECT_TRUE(ranges_.IsRoom(kBegin, 40));
  EXPECT_TRUE(ranges_.IsRoom(kBegin + 60, 40));
}

TEST_F(VirtualRangesTest, WholeMappingsFillARange) {
  Map(kBegin, 10);
  Map(kBegin + 10, 20);
  Map(kBegin + 40, 10);
  EXPECT_EQ(ranges_.Filling(kBegin, 10).size(), 1u);
  EXPECT_EQ(ranges_.Filling(kBegin, 30).size(), 2u);
  EXPECT_EQ(ranges_.Filling(kBegin + 10, 20).at(0).memory, 2u);
  EXPECT_TRUE(ranges_.Filling(kBegin, 0).empty());
  EXPECT_TRUE(ranges_.Filling(kBegin, 20).empty()) << "half of the second";
  EXPECT_TRUE(ranges_.Filling(kBegin + 1, 9).empty()) << "the end of the first";
  EXPECT_TRUE(ranges_.Filling(kBegin, 50).empty()) << "with a gap";
  EXPECT_TRUE(ranges_.Filling(kBegin + 40, 20).empty()) << "past the last";
  EXPECT_TRUE(ranges_.Filling(kBegin, UINT64_MAX).empty());
}

TEST_F(VirtualRangesTest, AccessIsADevicesAndBeginsWithNone) {
  Map(kBegin, 10);
  Map(kBegin + 10, 10);
  EXPECT_EQ(ranges_.Find(kBegin)->AccessOf(0), kNone);
  EXPECT_FALSE(ranges_.Allows(0, kBegin, 1, false));
  ranges_.SetAccess(kBegin, 20, 3, kRead);
  ranges_.SetAccess(kBegin + 10, 10, 3, kReadWrite);
  EXPECT_EQ(ranges_.Find(kBegin + 9)->AccessOf(3), kRead);
  EXPECT_EQ(ranges_.Find(kBegin + 19)->AccessOf(3), kReadWrite);
  EXPECT_EQ(ranges_.Find(kBegin)->AccessOf(0), kNone) << "another device";
  EXPECT_TRUE(ranges_.Allows(3, kBegin, 20, false)) << "two mappings side by side";
  EXPECT_TRUE(ranges_.Allows(3, kBegin + 10, 10, true));
  EXPECT_FALSE(ranges_.Allows(3, kBegin + 9, 2, true)) << "one of them may only be read";
  EXPECT_FALSE(ranges_.Allows(3, kBegin + 10, 11, true)) << "past the last";
  EXPECT_FALSE(ranges_.Allows(3, kBegin + 10, UINT64_MAX, true));
  EXPECT_FALSE(ranges_.Allows(CU_DEVICE_INVALID, kBegin, 1, false));
  ranges_.SetAccess(kBegin, 10, 3, kNone);
  EXPECT_FALSE(ranges_.Allows(3, kBegin, 1, false));
}

TEST_F(VirtualRangesTest, AccessEndsWithTheMapping) {
  Map(kBegin, 10);
  ranges_.SetAccess(kBegin, 10, 0, kReadWrite);
  ranges_.Unmap(kBegin);
  EXPECT_FALSE(ranges_.Find(kBegin));
  EXPECT_FALSE(ranges_.Allows(0, kBegin, 1, false));
  Map(kBegin, 10);
  EXPECT_FALSE(ranges_.Allows(0, kBegin, 1, false));
}

TEST_F(VirtualRangesTest, AMappingIsFoundByAnyOfItsAddresses) {
  Map(kBegin + 10, 10);
  EXPECT_FALSE(ranges_.Find(kBegin + 9));
  EXPECT_EQ(ranges_.Find(kBegin + 10)->begin, kBegin + 10);
  EXPECT_EQ(ranges_.Find(kBegin + 19)->begin, kBegin + 10);
  EXPECT_FALSE(ranges_.Find(kBegin + 20));
  EXPECT_FALSE(ranges_.SetSyncMemops(kBegin + 20, true));
  EXPECT_TRUE(ranges_.SetSyncMemops(kBegin + 19, true));
  EXPECT_TRUE(ranges_.Find(kBegin + 10)->sync_memops);
}

}  // namespace
}  // namespace outboard
