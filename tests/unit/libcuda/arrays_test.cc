#include "common/libcuda/arrays.h"

#include <gtest/gtest.h>

namespace outboard {
namespace {

CUDA_ARRAY3D_DESCRIPTOR Make(size_t width, size_t height, size_t depth, CUarray_format format = CU_AD_FORMAT_FLOAT,
                             unsigned channels = 1, unsigned flags = 0) {
  return {width, height, depth, format, channels, flags};
}

TEST(Arrays, ElementsAreChannelsOfOneSize) {
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_UNSIGNED_INT8, 1), 1u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_SIGNED_INT8, 4), 4u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_UNSIGNED_INT16, 2), 4u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_SIGNED_INT16, 1), 2u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_HALF, 4), 8u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_UNSIGNED_INT32, 1), 4u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_SIGNED_INT32, 2), 8u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_FLOAT, 4), 16u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_FLOAT, 3), 0u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_FLOAT, 0), 0u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_BC1_UNORM, 4), 0u);
  EXPECT_EQ(ElementBytes(CU_AD_FORMAT_UNORM_INT8X4, 4), 0u);
}

TEST(Arrays, SizesThatAreNotThereAreOne) {
  EXPECT_EQ(ExtentOf(Make(10, 0, 0)), (BoxExtent{40, 1, 1}));
  EXPECT_EQ(ExtentOf(Make(10, 3, 0)), (BoxExtent{40, 3, 1}));
  EXPECT_EQ(ExtentOf(Make(10, 0, 5, CU_AD_FORMAT_HALF, 2, CUDA_ARRAY3D_LAYERED)), (BoxExtent{40, 1, 5}));
  EXPECT_EQ(ExtentOf(Make(10, 3, 2)), (BoxExtent{40, 3, 2}));
}

TEST(Arrays, ACopyEndsInTheArrayAndWithAnElement) {
  const auto array = Make(10, 8, 4);
  EXPECT_TRUE(FitsInto(array, {0, 0, 0}, {40, 8, 4}));
  EXPECT_TRUE(FitsInto(array, {36, 7, 3}, {4, 1, 1}));
  EXPECT_FALSE(FitsInto(array, {0, 0, 0}, {44, 8, 4}));
  EXPECT_FALSE(FitsInto(array, {4, 0, 0}, {40, 8, 4}));
  EXPECT_FALSE(FitsInto(array, {0, 1, 0}, {40, 8, 4}));
  EXPECT_FALSE(FitsInto(array, {0, 0, 1}, {40, 8, 4}));
  EXPECT_FALSE(FitsInto(array, {2, 0, 0}, {4, 1, 1}));
  EXPECT_FALSE(FitsInto(array, {0, 0, 0}, {6, 1, 1}));
  EXPECT_FALSE(FitsInto(array, {~uint64_t{3}, 0, 0}, {8, 1, 1}));
  EXPECT_FALSE(FitsInto(array, {0, ~uint64_t{0}, 0}, {4, 2, 1}));
  EXPECT_FALSE(FitsInto(array, {0, 0, 0}, {4, 1, ~uint64_t{0}}));
  EXPECT_FALSE(FitsInto(Make(16, 16, 0, CU_AD_FORMAT_BC1_UNORM), {0, 0, 0}, {8, 1, 1}));
}

TEST(Arrays, MemoryIsCountedInTiles) {
  EXPECT_EQ(ArrayBytes(Make(1, 0, 0)), 64u);
  EXPECT_EQ(ArrayBytes(Make(17, 0, 0)), 128u);
  EXPECT_EQ(ArrayBytes(Make(16, 1, 0)), 512u);
  EXPECT_EQ(ArrayBytes(Make(17, 9, 3)), 128u * 16 * 3);
  EXPECT_EQ(ArrayBytes(Make(5, 0, 7, CU_AD_FORMAT_FLOAT, 4, CUDA_ARRAY3D_LAYERED)), 128u * 7);
  EXPECT_EQ(ArrayBytes(Make(4, 8, 0, CU_AD_FORMAT_BC1_UNORM)), 512u);
  EXPECT_EQ(ArrayBytes(Make(~size_t{0}, 1, 1)), UINT64_MAX);
  EXPECT_EQ(ArrayBytes(Make(size_t{1} << 40, size_t{1} << 30, 1)), UINT64_MAX);
  EXPECT_EQ(ArrayBytes(Make(1, ~size_t{0}, 1)), UINT64_MAX);
}

TEST(Arrays, LevelsAreHalfAsLargeEach) {
  const auto array = Make(20, 9, 0);
  EXPECT_EQ(MipmapLevels(array, 99), 5u);
  EXPECT_EQ(MipmapLevels(array, 3), 3u);
  EXPECT_EQ(MipmapLevels(array, 0), 1u);
  EXPECT_EQ(MipmapLevels(Make(4, 4, 64), 99), 7u);
  EXPECT_EQ(MipmapLevels(Make(4, 4, 64, CU_AD_FORMAT_FLOAT, 1, CUDA_ARRAY3D_LAYERED), 99), 3u);
  EXPECT_EQ(MipmapLevels(Make(0, 0, 0), 7), 1u);
  EXPECT_EQ(LevelOf(array, 0).Width, 20u);
  EXPECT_EQ(LevelOf(array, 2).Width, 5u);
  EXPECT_EQ(LevelOf(array, 2).Height, 2u);
  EXPECT_EQ(LevelOf(array, 4).Height, 1u);
  EXPECT_EQ(LevelOf(array, 4).Depth, 0u);
  EXPECT_EQ(LevelOf(Make(8, 8, 6, CU_AD_FORMAT_FLOAT, 1, CUDA_ARRAY3D_CUBEMAP), 2).Depth, 6u);
  EXPECT_EQ(LevelOf(Make(8, 8, 6), 2).Depth, 1u);
  // 128 x 16, 64 x 8, and once more.
  EXPECT_EQ(MipmappedArrayBytes(array, 3), 128u * 16 + 64 * 8 + 64 * 8);
  // Each level begins at a multiple of 512 bytes.
  EXPECT_EQ(MipmappedArrayBytes(Make(4, 0, 0), 2), 1024u);
  EXPECT_EQ(MipmappedArrayBytes(Make(~size_t{0}, 0, 0), 2), UINT64_MAX);
}

}  // namespace
}  // namespace outboard
