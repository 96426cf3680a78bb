#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "common/base/limits.h"
#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

using Bytes = std::vector<unsigned char>;
constexpr size_t kSlice = 32u << 20;

// CUDA arrays through the whole stack; a slice is half of a device.
class ArraysTest : public StackTest {
 protected:
  static CUDA_ARRAY3D_DESCRIPTOR Describe(size_t width, size_t height, size_t depth, unsigned flags = 0) {
    return {width, height, depth, CU_AD_FORMAT_FLOAT, 1, flags};
  }
  static CUarray Make(const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
    CUarray array = nullptr;
    EXPECT_EQ(cuArray3DCreate_v2(&array, &descriptor), CUDA_SUCCESS);
    return array;
  }
  static size_t FreeBytes() {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free;
  }
  static Bytes Pattern(size_t count) {
    Bytes bytes(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<unsigned char>(i * 7 + i / 251);
    return bytes;
  }
  // All of an array, from or to rows of `pitch` bytes.
  static CUDA_MEMCPY3D Whole(const CUDA_ARRAY3D_DESCRIPTOR& array, size_t pitch) {
    CUDA_MEMCPY3D copy{};
    copy.WidthInBytes = array.Width * 4;
    copy.srcPitch = copy.dstPitch = pitch;
    copy.Height = copy.srcHeight = copy.dstHeight = std::max<size_t>(array.Height, 1);
    copy.Depth = std::max<size_t>(array.Depth, 1);
    return copy;
  }
  static CUDA_MEMCPY3D ToArray(CUarray array, const CUDA_ARRAY3D_DESCRIPTOR& its, const void* from, size_t pitch) {
    CUDA_MEMCPY3D copy = Whole(its, pitch);
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = from;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array;
    return copy;
  }
  static CUDA_MEMCPY3D FromArray(CUarray array, const CUDA_ARRAY3D_DESCRIPTOR& its, void* to, size_t pitch) {
    CUDA_MEMCPY3D copy = Whole(its, pitch);
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = to;
    return copy;
  }
};

TEST_F(ArraysTest, HoldWhatWasCopied) {
  for (const auto& its : {Describe(100, 0, 0), Describe(33, 17, 0), Describe(10, 11, 12), Describe(2000, 500, 0),
                          Describe(100000, 5, 0)}) {
    const CUarray array = Make(its);
    const size_t pitch = its.Width * 4 + 8, rows = std::max<size_t>(its.Height, 1) * std::max<size_t>(its.Depth, 1);
    const Bytes source = Pattern(pitch * rows);
    Bytes got(pitch * rows, 0xee), want(got);
    for (size_t y = 0; y < rows; ++y) std::copy_n(&source[y * pitch], its.Width * 4, &want[y * pitch]);
    auto copy = ToArray(array, its, source.data(), pitch);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    copy = FromArray(array, its, got.data(), pitch);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    EXPECT_TRUE(got == want) << its.Width;
    ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  }
}

TEST_F(ArraysTest, ComeCleared) {
  const auto its = Describe(64, 64, 0);
  for (int turn = 0; turn < 3; ++turn) {
    const CUarray array = Make(its);
    Bytes got(64 * 64 * 4, 0xee);
    auto copy = FromArray(array, its, got.data(), 256);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    EXPECT_EQ(got, Bytes(got.size(), 0));
    got.assign(got.size(), 0x77);
    copy = ToArray(array, its, got.data(), 256);
    ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
    ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  }
}

TEST_F(ArraysTest, PageLockedMemoryIsReadAndWrittenInTheStreamsOrder) {
  const auto its = Describe(64, 20, 0);
  const CUarray array = Make(its), other = Make(its);
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  void* memory;
  ASSERT_EQ(cuMemHostAlloc(&memory, 16384, 0), CUDA_SUCCESS);
  auto* const pinned = static_cast<unsigned char*>(memory);
  const Bytes source = Pattern(5120);
  auto copy = ToArray(array, its, source.data(), 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  copy = FromArray(array, its, pinned, 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  // What is not there yet when the call is made.
  copy = ToArray(other, its, pinned, 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  copy = FromArray(other, its, pinned + 8192, 256);
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_TRUE(std::equal(source.begin(), source.end(), pinned));
  EXPECT_TRUE(std::equal(source.begin(), source.end(), pinned + 8192));
  ASSERT_EQ(cuMemFreeHost(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(ArraysTest, CopiesThatTheClientCanJudgeDoNotWait) {
  const auto its = Describe(64, 20, 0);
  const CUarray array = Make(its), other = Make(its);
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 16384), CUDA_SUCCESS);
  const Bytes source = Pattern(5120);
  const uint64_t before = RoundTrips();
  auto copy = ToArray(array, its, source.data(), 256);
  for (int i = 0; i < 20; ++i) ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  CUDA_MEMCPY3D between = Whole(its, 256);
  between.srcMemoryType = between.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  between.srcArray = array;
  between.dstArray = other;
  ASSERT_EQ(cuMemcpy3DAsync_v2(&between, nullptr), CUDA_SUCCESS);
  between.srcArray = other;
  between.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  between.dstDevice = memory;
  ASSERT_EQ(cuMemcpy3DAsync_v2(&between, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoA_v2(array, 16, memory, 64), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips() - before, 0u);
  Bytes got(80);
  ASSERT_EQ(cuMemcpyAtoH_v2(got.data(), array, 0, 80), CUDA_SUCCESS);
  Bytes want(source.begin(), source.begin() + 80);
  std::copy_n(source.begin(), 64, want.begin() + 16);
  EXPECT_EQ(got, want);
  EXPECT_EQ(RoundTrips() - before, 1u);
  // What cannot go well is refused without asking.
  copy.dstXInBytes = 4;
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoA_v2(array, 255, source.data(), 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(RoundTrips() - before, 1u);
  ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(other), CUDA_SUCCESS);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
}

TEST_F(ArraysTest, TheSliceIsChargedAndBounds) {
  EXPECT_EQ(FreeBytes(), kSlice);
  const CUarray array = Make(Describe(1000, 100, 0));
  EXPECT_EQ(FreeBytes(), kSlice - 419328);  // 4032 x 104, in granules of 512
  const auto rest = Describe(1024, 8192, 0);
  CUarray refused = nullptr;
  EXPECT_EQ(cuArray3DCreate_v2(&refused, &rest), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(refused, nullptr);
  ASSERT_EQ(cuArrayDestroy(array), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kSlice);
  const CUarray all = Make(rest);
  CUdeviceptr memory;
  EXPECT_EQ(cuMemAlloc_v2(&memory, 1), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuArrayDestroy(all), CUDA_SUCCESS);
  // What a context had is given back with it.
  CUcontext other;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  const CUarray left = Make(rest);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kSlice);
  EXPECT_EQ(cuArrayDestroy(left), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ArraysTest, MipmappedArraysAndTheirLevels) {
  const auto its = Describe(64, 32, 0);
  CUmipmappedArray mipmapped;
  ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &its, 4), CUDA_SUCCESS);
  CUarray level = nullptr, again = nullptr;
  ASSERT_EQ(cuMipmappedArrayGetLevel(&level, mipmapped, 2), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 2), CUDA_SUCCESS);
  EXPECT_EQ(level, again);
  CUDA_ARRAY3D_DESCRIPTOR got{};
  ASSERT_EQ(cuArray3DGetDescriptor_v2(&got, level), CUDA_SUCCESS);
  EXPECT_EQ(got.Width, 16u);
  EXPECT_EQ(got.Height, 8u);
  EXPECT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuArrayDestroy(level), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(RoundTrips(), before);
  const Bytes source = Pattern(512);
  auto copy = ToArray(level, got, source.data(), 64);
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  Bytes back(512);
  copy = FromArray(level, got, back.data(), 64);
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  EXPECT_EQ(back, source);
  ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMipmappedArrayGetLevel(&again, mipmapped, 2), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(FreeBytes(), kSlice);
  // Handles of levels are used again.
  for (int turn = 0; turn < 50; ++turn) {
    ASSERT_EQ(cuMipmappedArrayCreate(&mipmapped, &its, 4), CUDA_SUCCESS);
    for (unsigned i = 0; i < 4; ++i) ASSERT_EQ(cuMipmappedArrayGetLevel(&level, mipmapped, i), CUDA_SUCCESS);
    ASSERT_EQ(cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  }
}

}  // namespace
}  // namespace outboard::stack
