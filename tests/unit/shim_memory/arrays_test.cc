#include "client/shim/arrays.h"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "client/shim/custom.gen.h"
#include "tests/unit/shim_memory/fake_worker.h"

namespace outboard::shim {
namespace {

using Names = std::vector<std::string>;
const CUstream kArrayStream = CU_STREAM_LEGACY;

// An array of 4 rows of 8 elements of 4 bytes.
class ArraysTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(worker_.init_result(), CUDA_SUCCESS);
    worker_.Reset();
    ASSERT_EQ(custom::cuArray3DCreate_v2(&array_, &kShape), CUDA_SUCCESS);
    ASSERT_EQ(custom::cuMemHostAlloc(&pinned_, 4096, 0), CUDA_SUCCESS);
    std::memcpy(pinned_, kText, sizeof kText);
    worker_.TakeNames();
  }
  void TearDown() override {
    EXPECT_EQ(custom::cuArrayDestroy(array_), CUDA_SUCCESS);
    EXPECT_EQ(custom::cuMemFreeHost(pinned_), CUDA_SUCCESS);
    worker_.Reset();
  }

  // 8 bytes of each of 2 rows from x = 4, y = 1 of the array, from or to rows of 10 bytes.
  CUDA_MEMCPY2D ToArray(const void* host) const {
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = host;
    copy.srcPitch = 10;
    copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.dstArray = array_;
    copy.dstXInBytes = 4;
    copy.dstY = 1;
    copy.WidthInBytes = 8;
    copy.Height = 2;
    return copy;
  }
  CUDA_MEMCPY2D ToHost(void* host) const {
    CUDA_MEMCPY2D copy{};
    copy.srcMemoryType = CU_MEMORYTYPE_ARRAY;
    copy.srcArray = array_;
    copy.srcXInBytes = 4;
    copy.srcY = 1;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = host;
    copy.dstPitch = 10;
    copy.WidthInBytes = 8;
    copy.Height = 2;
    return copy;
  }

  static constexpr char kText[24] = "0123456789abcdefghijklm";
  static constexpr CUDA_ARRAY3D_DESCRIPTOR kShape{8, 4, 0, CU_AD_FORMAT_FLOAT, 1, 0};
  FakeWorker& worker_ = FakeWorker::Get();
  CUarray array_ = nullptr;
  void* pinned_ = nullptr;
};

TEST_F(ArraysTest, OnlyTheBytesOfTheRowsTravelToAnArray) {
  const CUDA_MEMCPY2D copy = ToArray(kText);
  EXPECT_EQ(custom::cuMemcpy2D_v2(kArrayStream, &copy), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].name, "outboardWriteArray");
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[0].At(0), reinterpret_cast<uint64_t>(array_));
  EXPECT_EQ(seen[0].At(1), 4u);
  EXPECT_EQ(seen[0].At(2), 1u);
  EXPECT_EQ(seen[0].At(3), 0u);
  EXPECT_EQ(seen[0].At(4), 8u);
  EXPECT_EQ(seen[0].At(5), 2u);
  EXPECT_EQ(seen[0].At(8), 16u);
  EXPECT_EQ(seen[0].Text(10).substr(0, 16), "01234567abcdefgh");
  EXPECT_EQ(seen[1].name, "outboardFinishWrite");
}

TEST_F(ArraysTest, RowsLandAndAreAskedForInTheStreamsOrder) {
  const CUDA_MEMCPY2D read = ToHost(pinned_), write = ToArray(pinned_);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&read, kArrayStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&write, kArrayStream), CUDA_SUCCESS);
  auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].name, "outboardReadArrayAsync");
  ASSERT_EQ(seen[1].name, "outboardWriteArrayPulled");
  const uint64_t pull = seen[1].At(10);
  const Box host = {reinterpret_cast<uint64_t>(pinned_), 10, 0};
  const std::string landed = "ABCDEFGHIJKLMNOP";
  worker_.LandBox(host, {8, 2, 1}, std::as_bytes(std::span(landed)));
  worker_.peer().Say(wire::Control::kPull, wire::PullHead{pull, 0, 16}).Deliver();
  seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].Text(3).substr(0, 16), landed);
  EXPECT_EQ(std::string(static_cast<char*>(pinned_), 18), "ABCDEFGH89IJKLMNOP");
}

TEST_F(ArraysTest, ReadingIntoPageableMemoryWaits) {
  worker_.On("outboardReadArray", [&](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(1), 16u);
    EXPECT_EQ(seen.At(2), reinterpret_cast<uint64_t>(array_));
    EXPECT_EQ(seen.At(3), 4u);
    EXPECT_EQ(seen.At(4), 1u);
    return FakeWorker::With(std::array<char, 16>{'u', 'v', 'w', 'x', 'y', 'z'});
  });
  char host[21] = "....................";
  const CUDA_MEMCPY2D copy = ToHost(host);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&copy, kArrayStream), CUDA_SUCCESS);
  EXPECT_EQ(std::string(host, 6), "uvwxyz");
  EXPECT_EQ(std::string(host + 8, 2), "..");
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardReadArray?"});
}

TEST_F(ArraysTest, WhatIsWrongIsRefusedHere) {
  CUDA_MEMCPY2D copy = ToArray(kText);
  copy.dstXInBytes = 28;
  EXPECT_EQ(custom::cuMemcpy2D_v2(kArrayStream, &copy), CUDA_ERROR_INVALID_VALUE);
  copy.dstXInBytes = 2;
  EXPECT_EQ(custom::cuMemcpy2D_v2(kArrayStream, &copy), CUDA_ERROR_INVALID_VALUE);
  copy.dstXInBytes = 0;
  copy.dstY = 3;
  EXPECT_EQ(custom::cuMemcpy2D_v2(kArrayStream, &copy), CUDA_ERROR_INVALID_VALUE);
  copy.dstY = 0;
  copy.dstArray = reinterpret_cast<CUarray>(uint64_t{77});
  EXPECT_EQ(custom::cuMemcpy2D_v2(kArrayStream, &copy), CUDA_ERROR_INVALID_HANDLE);
  auto sparse = kShape;
  sparse.Flags = CUDA_ARRAY3D_SPARSE;
  CUarray array;
  CUmipmappedArray mipmapped;
  EXPECT_EQ(custom::cuArray3DCreate_v2(&array, &sparse), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(custom::cuMipmappedArrayCreate(&mipmapped, &sparse, 1), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(ArraysTest, DescriptorsAndLevelsAreKnownHere) {
  CUmipmappedArray mipmapped;
  ASSERT_EQ(custom::cuMipmappedArrayCreate(&mipmapped, &kShape, 3), CUDA_SUCCESS);
  CUarray level, again;
  ASSERT_EQ(custom::cuMipmappedArrayGetLevel(&level, mipmapped, 1), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMipmappedArrayCreate?", "cuMipmappedArrayGetLevel?"}));
  ASSERT_EQ(custom::cuMipmappedArrayGetLevel(&again, mipmapped, 1), CUDA_SUCCESS);
  EXPECT_EQ(level, again);
  CUDA_ARRAY3D_DESCRIPTOR shape;
  ASSERT_EQ(custom::cuArray3DGetDescriptor_v2(&shape, level), CUDA_SUCCESS);
  EXPECT_EQ(shape.Width, 4u);
  EXPECT_EQ(shape.Height, 2u);
  EXPECT_EQ(custom::cuMipmappedArrayGetLevel(&again, mipmapped, 3), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuArrayDestroy(level), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(worker_.TakeNames().empty());
  ASSERT_EQ(custom::cuMipmappedArrayDestroy(mipmapped), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), Names{"cuMipmappedArrayDestroy?"});
  EXPECT_EQ(custom::cuArray3DGetDescriptor_v2(&shape, level), CUDA_ERROR_INVALID_HANDLE);
  client::Ids& ids = Process::Get().session().ids();
  EXPECT_FALSE(ids.IsLive(wire::HandleKind::kArray, reinterpret_cast<wire::HandleId>(level)));
}

TEST_F(ArraysTest, AnArrayThatTheWorkerKeepsIsStillThere) {
  worker_.On("cuArrayDestroy", [](const FakeWorker::Seen&) { return FakeWorker::Answer{CUDA_ERROR_ARRAY_IS_MAPPED}; });
  CUarray array;
  ASSERT_EQ(custom::cuArray3DCreate_v2(&array, &kShape), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuArrayDestroy(array), CUDA_ERROR_ARRAY_IS_MAPPED);
  EXPECT_TRUE(Process::Get().arrays().Find(array).has_value());
  worker_.Reset();
  EXPECT_EQ(custom::cuArrayDestroy(array), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::shim
