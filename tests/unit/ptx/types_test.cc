#include "server/softgpu/ptx/types.h"

#include <gtest/gtest.h>

namespace outboard::softgpu::ptx {
namespace {

TEST(Types, SizesAreThoseOfTheIsa) {
  EXPECT_EQ(SizeOf(Type::kNone), 0u);
  EXPECT_EQ(SizeOf(TypeOf(".pred")), 0u);
  EXPECT_EQ(SizeOf(TypeOf(".s8")), 1u);
  EXPECT_EQ(SizeOf(TypeOf(".bf16")), 2u);
  EXPECT_EQ(SizeOf(TypeOf(".f16x2")), 4u);
  EXPECT_EQ(SizeOf(TypeOf(".f64")), 8u);
  EXPECT_EQ(SizeOf(TypeOf(".texref")), 8u);
  EXPECT_EQ(SizeOf(TypeOf(".b128")), 16u);
}

TEST(Types, UnknownDirectivesAreNone) {
  EXPECT_EQ(TypeOf(".u128"), Type::kNone);
  EXPECT_EQ(TypeOf("b32"), Type::kNone);
  EXPECT_EQ(SpaceOf(".b32"), Space::kGeneric);
  EXPECT_EQ(SpaceOf(".shared"), Space::kShared);
}

}  // namespace
}  // namespace outboard::softgpu::ptx
