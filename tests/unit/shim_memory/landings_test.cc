#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "client/shim/memory_landings.h"
#include "common/base/limits.h"

namespace outboard::shim {
namespace {

uint64_t AddressOf(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }

std::vector<std::byte> Filled(size_t size, int value) { return std::vector<std::byte>(size, std::byte(value)); }

class LandingsTest : public testing::Test {
 protected:
  uint64_t At(size_t offset) const { return AddressOf(memory_.data()) + offset; }
  std::string Text() const { return std::string(reinterpret_cast<const char*>(memory_.data()), memory_.size()); }

  std::vector<std::byte> memory_ = Filled(16, '.');
  Landings landings_;
};

TEST_F(LandingsTest, WritesWhatWasExpectedOnce) {
  EXPECT_FALSE(landings_.Any());
  landings_.Expect(At(4), 4);
  EXPECT_TRUE(landings_.Any());
  EXPECT_TRUE(landings_.Land(At(4), Filled(4, 'x')));
  EXPECT_EQ(Text(), "....xxxx........");
  EXPECT_FALSE(landings_.Any());
  EXPECT_FALSE(landings_.Land(At(4), Filled(4, 'y')));
  EXPECT_EQ(Text(), "....xxxx........");
}

TEST_F(LandingsTest, RefusesWhatNobodyAskedFor) {
  landings_.Expect(At(4), 4);
  EXPECT_FALSE(landings_.Land(At(3), Filled(4, 'x')));
  EXPECT_FALSE(landings_.Land(At(4), Filled(5, 'x')));
  EXPECT_FALSE(landings_.Land(At(7), Filled(2, 'x')));
  EXPECT_FALSE(landings_.Land(At(8), Filled(1, 'x')));
  EXPECT_EQ(Text(), "................");
}

TEST_F(LandingsTest, TakesACopyInPieces) {
  landings_.Expect(At(0), 8);
  EXPECT_TRUE(landings_.Land(At(4), Filled(4, 'b')));
  EXPECT_TRUE(landings_.Any());
  EXPECT_TRUE(landings_.Land(At(0), Filled(4, 'a')));
  EXPECT_FALSE(landings_.Any());
  EXPECT_EQ(Text(), "aaaabbbb........");
}

TEST_F(LandingsTest, SeveralCopiesToOnePlace) {
  landings_.Expect(At(0), 4);
  landings_.Expect(At(0), 8);
  EXPECT_TRUE(landings_.Land(At(0), Filled(4, 'a')));
  EXPECT_TRUE(landings_.MayWrite(At(6), 1));
  EXPECT_TRUE(landings_.Land(At(0), Filled(8, 'b')));
  EXPECT_FALSE(landings_.Any());
  EXPECT_EQ(Text(), "bbbbbbbb........");
}

TEST_F(LandingsTest, TheLargerOfTwoMayLandFirst) {
  landings_.Expect(At(0), 4);
  landings_.Expect(At(0), 8);
  EXPECT_TRUE(landings_.Land(At(0), Filled(8, 'b')));
  EXPECT_TRUE(landings_.Land(At(0), Filled(4, 'a')));
  EXPECT_FALSE(landings_.Any());
}

TEST_F(LandingsTest, KnowsWhichRangesMayBeWritten) {
  landings_.Expect(At(4), 4);
  EXPECT_FALSE(landings_.MayWrite(At(0), 4));
  EXPECT_TRUE(landings_.MayWrite(At(0), 5));
  EXPECT_TRUE(landings_.MayWrite(At(7), 1));
  EXPECT_FALSE(landings_.MayWrite(At(8), 8));
}

TEST_F(LandingsTest, ALongCopyIsSeenFromItsLastByte) {
  const uint64_t begin = uint64_t{1} << 40;
  landings_.Expect(begin, kCopyChunkBytes);
  EXPECT_TRUE(landings_.MayWrite(begin + kCopyChunkBytes - 1, 1));
  EXPECT_FALSE(landings_.MayWrite(begin + kCopyChunkBytes, 1));
}

TEST_F(LandingsTest, RowsOfABoxLandAndTheGapsStay) {
  const Box box = {At(1), 5, 0};
  const BoxExtent extent = {2, 3, 1};
  landings_.ExpectBox(box, extent);
  EXPECT_TRUE(landings_.Any());
  EXPECT_FALSE(landings_.LandBox(box, {3, 2, 1}, Filled(6, 'x')));
  EXPECT_FALSE(landings_.LandBox({At(1), 6, 0}, extent, Filled(6, 'x')));
  EXPECT_FALSE(landings_.LandBox({At(2), 5, 0}, extent, Filled(6, 'x')));
  EXPECT_FALSE(landings_.LandBox(box, extent, Filled(7, 'x')));
  EXPECT_FALSE(landings_.Land(At(1), Filled(2, 'x')));
  EXPECT_EQ(Text(), "................");
  EXPECT_TRUE(landings_.LandBox(box, extent, Filled(6, 'x')));
  EXPECT_EQ(Text(), ".xx...xx...xx...");
  EXPECT_FALSE(landings_.Any());
  EXPECT_FALSE(landings_.LandBox(box, extent, Filled(6, 'y')));
}

TEST_F(LandingsTest, ABoxMayWriteFromItsFirstByteToItsLast) {
  landings_.ExpectBox({At(1), 5, 0}, {2, 3, 1});
  EXPECT_FALSE(landings_.MayWrite(At(0), 1));
  EXPECT_TRUE(landings_.MayWrite(At(0), 2));
  EXPECT_TRUE(landings_.MayWrite(At(12), 1));
  EXPECT_FALSE(landings_.MayWrite(At(13), 3));
  landings_.Forget(At(13), 3);
  EXPECT_TRUE(landings_.Any());
  landings_.Forget(At(12), 1);
  EXPECT_FALSE(landings_.Any());
}

TEST_F(LandingsTest, ForgetsWhatTouchesARange) {
  landings_.Expect(At(0), 4);
  landings_.Expect(At(4), 4);
  landings_.Expect(At(8), 4);
  landings_.Forget(At(3), 2);
  EXPECT_FALSE(landings_.MayWrite(At(0), 8));
  EXPECT_TRUE(landings_.Any());
  EXPECT_TRUE(landings_.Land(At(8), Filled(4, 'x')));
  EXPECT_FALSE(landings_.Any());
}

}  // namespace
}  // namespace outboard::shim
