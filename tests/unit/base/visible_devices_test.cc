#include "common/base/visible_devices.h"

#include <gtest/gtest.h>

namespace outboard {
namespace {

using List = std::vector<unsigned>;

class VisibleDevicesTest : public testing::Test {
 protected:
  List See(std::optional<std::string_view> value) { return VisibleDevices(value, uuids_); }

  std::array<uint8_t, 16> uuids_[3] = {{0x12, 0x34}, {0x12, 0x56}, {0xab}};
};

TEST_F(VisibleDevicesTest, AllWhenTheVariableIsNotSet) { EXPECT_EQ(See(std::nullopt), (List{0, 1, 2})); }
TEST_F(VisibleDevicesTest, NoneWhenItIsEmpty) { EXPECT_EQ(See(""), List{}); }
TEST_F(VisibleDevicesTest, ChoosesAndOrders) { EXPECT_EQ(See("2, 0"), (List{2, 0})); }
TEST_F(VisibleDevicesTest, EndsAtTheFirstThatDoesNotExist) {
  EXPECT_EQ(See("1,3,0"), List{1});
  EXPECT_EQ(See("-1"), List{});
  EXPECT_EQ(See("1,x"), List{1});
  EXPECT_EQ(See("1,"), List{1});
}
TEST_F(VisibleDevicesTest, NoneWhenOneIsNamedTwice) { EXPECT_EQ(See("1,0,1"), List{}); }
TEST_F(VisibleDevicesTest, TakesUuids) {
  EXPECT_EQ(See("GPU-ab"), List{2});
  EXPECT_EQ(See("GPU-AB000000-0000,GPU-1256"), (List{2, 1}));
}
TEST_F(VisibleDevicesTest, RefusesAmbiguousUuids) {
  EXPECT_EQ(See("GPU-12"), List{});
  EXPECT_EQ(See("GPU-"), List{});
}

}  // namespace
}  // namespace outboard
