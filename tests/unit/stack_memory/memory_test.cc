#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

// Copies of all kinds and sizes, and the times of host memory, through the whole stack.
class MemoryTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&first_, kBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&second_, kBytes), CUDA_SUCCESS);
    void* pinned = nullptr;
    ASSERT_EQ(cuMemHostAlloc(&pinned, kBytes, 0), CUDA_SUCCESS);
    pinned_ = static_cast<unsigned char*>(pinned);
  }
  void TearDown() override {
    if (pinned_ != nullptr) {
      EXPECT_EQ(cuMemFreeHost(pinned_), CUDA_SUCCESS);
    }
    StackTest::TearDown();
  }

  static std::vector<unsigned char> Pattern(size_t bytes, unsigned seed) {
    std::vector<unsigned char> pattern(bytes);
    for (size_t i = 0; i < bytes; ++i) pattern[i] = static_cast<unsigned char>(i * 7 + i / 251 + seed);
    return pattern;
  }
  std::vector<unsigned char> Read(CUdeviceptr address, size_t bytes) {
    std::vector<unsigned char> out(bytes);
    EXPECT_EQ(cuMemcpyDtoH_v2(out.data(), address, bytes), CUDA_SUCCESS);
    return out;
  }

  static constexpr size_t kBytes = (3u << 20) + 12345;
  CUstream stream_ = nullptr;
  CUdeviceptr first_ = 0, second_ = 0;
  unsigned char* pinned_ = nullptr;
};

TEST_F(MemoryTest, LargeCopiesThereAndBack) {
  const auto pattern = Pattern(kBytes, 1);
  ASSERT_EQ(cuMemcpyHtoD_v2(first_, pattern.data(), kBytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoD_v2(second_, first_, kBytes), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_, kBytes), pattern);
}

TEST_F(MemoryTest, PinnedCopiesAreThereAfterTheWait) {
  const auto pattern = Pattern(kBytes, 2);
  std::memcpy(pinned_, pattern.data(), kBytes);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(first_, pinned_, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  std::memset(pinned_, 0, kBytes);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, first_, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), pinned_));
}

// The bytes that go in are those that came out just before, in the stream's order.
TEST_F(MemoryTest, APinnedSourceIsReadWhenTheStreamGetsThere) {
  const auto pattern = Pattern(kBytes, 3);
  ASSERT_EQ(cuMemcpyHtoD_v2(first_, pattern.data(), kBytes), CUDA_SUCCESS);
  std::memset(pinned_, 0xee, kBytes);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, first_, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(second_, pinned_, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_, kBytes), pattern);
}

TEST_F(MemoryTest, APinnedSourceIsReadAfterTheHostFunctionBeforeIt) {
  std::memset(pinned_, 1, 4096);
  const auto fill = [](void* data) { std::memset(data, 2, 4096); };
  ASSERT_EQ(cuLaunchHostFunc(stream_, fill, pinned_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(first_, pinned_, 4096, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_, 4096), std::vector<unsigned char>(4096, 2));
}

TEST_F(MemoryTest, APageableSourceMayChangeAfterTheCall) {
  std::vector<unsigned char> source(kBytes, 3);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(first_, source.data(), kBytes, stream_), CUDA_SUCCESS);
  std::fill(source.begin(), source.end(), 4);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_, kBytes), std::vector<unsigned char>(kBytes, 3));
}

TEST_F(MemoryTest, ASynchronousCopyWaitsForWhatWasToLand) {
  const auto pattern = Pattern(kBytes, 5);
  ASSERT_EQ(cuMemcpyHtoD_v2(first_, pattern.data(), kBytes), CUDA_SUCCESS);
  std::memset(pinned_, 0, kBytes);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, first_, kBytes, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoD_v2(second_, pattern.data(), 64), CUDA_SUCCESS);  // on the same stream
  EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), pinned_));
}

// Streams that do not wait for the legacy stream rely on it that a synchronous copy is over when it returns.
TEST_F(MemoryTest, ASynchronousWriteIsOverForOtherStreamsToo) {
  for (unsigned i = 0; i < 50; ++i) {
    const auto pattern = Pattern(kBytes, i);
    ASSERT_EQ(cuMemcpyHtoD_v2(first_, pattern.data(), kBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, first_ + kBytes - 4096, 4096, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
    ASSERT_TRUE(std::equal(pattern.end() - 4096, pattern.end(), pinned_)) << i;
  }
}

TEST_F(MemoryTest, FreeingPinnedMemoryWaitsForItsCopies) {
  for (int i = 0; i < 8; ++i) {
    void* memory = nullptr;
    ASSERT_EQ(cuMemHostAlloc(&memory, 1 << 20, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(memory, first_, 1 << 20, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyHtoDAsync_v2(second_, memory, 1 << 20, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemFreeHost(memory), CUDA_SUCCESS);
  }
}

TEST_F(MemoryTest, ACopyOnTheDeviceIsInTheOrderOfItsStream) {
  const auto pattern = Pattern(kBytes, 8);
  std::memcpy(pinned_, pattern.data(), kBytes);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(first_, pinned_, kBytes, stream_), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuMemcpyDtoDAsync_v2(second_, first_, kBytes, stream_), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_, kBytes), pattern);
  EXPECT_EQ(cuMemcpyDtoDAsync_v2(second_, first_ + 1, kBytes, stream_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(MemoryTest, SetsMemory) {
  ASSERT_EQ(cuMemsetD8_v2(first_, 1, 64), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD16_v2(first_ + 16, 0x0302, 4), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD16Async(first_ + 24, 0x0302, 4, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(first_ + 32, 0x07060504, 4, nullptr), CUDA_SUCCESS);
  const auto bytes = Read(first_, 64);
  for (size_t i = 0; i < 64; ++i) {
    const int want = i < 16 ? 1 : i < 32 ? 2 + static_cast<int>(i % 2) : i < 48 ? 4 + static_cast<int>(i % 4) : 1;
    EXPECT_EQ(bytes[i], want) << i;
  }
}

TEST_F(MemoryTest, CopiesByAddressAlone) {
  auto source = Pattern(4096, 6), back = std::vector<unsigned char>(4096);
  const auto from = reinterpret_cast<CUdeviceptr>(source.data()), to = reinterpret_cast<CUdeviceptr>(back.data());
  ASSERT_EQ(cuMemcpy(first_, from, 4096), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy(second_, first_, 4096), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);  // stream_ does not wait for the copy, nor did its caller
  ASSERT_EQ(cuMemcpyAsync(to, second_, 4096, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy(to, second_, 4096), CUDA_SUCCESS);
  EXPECT_EQ(back, source);
}

TEST_F(MemoryTest, EachTurnOfASteadyLoopIsOneRoundTrip) {
  std::vector<unsigned char> buffer(4096);
  const uint64_t before = RoundTrips();
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(cuMemcpyHtoD_v2(first_, buffer.data(), 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32Async(first_, 7, 16, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoH_v2(buffer.data(), first_, 4096), CUDA_SUCCESS);
  }
  EXPECT_EQ(RoundTrips() - before, 100u);
}

TEST_F(MemoryTest, RangesOutsideOfAnAllocationAreRefused) {
  std::vector<unsigned char> buffer(4096);
  EXPECT_EQ(cuMemcpyHtoD_v2(first_ + kBytes - 8, buffer.data(), 4096), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoH_v2(buffer.data(), first_ + kBytes - 8, 4096), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoHAsync_v2(pinned_, first_ + kBytes - 8, 4096, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD32_v2(first_ + 2, 1, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyHtoD_v2(first_, buffer.data(), 4096), CUDA_SUCCESS);
}

TEST_F(MemoryTest, AnAddressIsDescribedAtOnce) {
  CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                      CU_POINTER_ATTRIBUTE_RANGE_START_ADDR};
  unsigned type = 0;
  int ordinal = -1;
  CUdeviceptr begin = 0;
  void* data[] = {&type, &ordinal, &begin};
  EXPECT_EQ(cuPointerGetAttributes(3, attributes, data, first_ + 100), CUDA_SUCCESS);
  EXPECT_EQ(type, unsigned{CU_MEMORYTYPE_DEVICE});
  EXPECT_EQ(ordinal, 0);
  EXPECT_EQ(begin, first_);
  EXPECT_EQ(cuPointerGetAttributes(3, attributes, data, reinterpret_cast<CUdeviceptr>(&type)), CUDA_SUCCESS);
  EXPECT_EQ(type, 0u) << "memory that CUDA does not know";
  EXPECT_EQ(cuPointerGetAttributes(1, nullptr, data, first_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(MemoryTest, WhatIsFreedIsGone) {
  CUdeviceptr base = 0;
  size_t size = 0;
  EXPECT_EQ(cuMemGetAddressRange_v2(&base, &size, first_ + 100), CUDA_SUCCESS);
  EXPECT_EQ(base, first_);
  EXPECT_EQ(size, kBytes);
  EXPECT_EQ(cuMemFree_v2(first_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemGetAddressRange_v2(&base, &size, first_), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(cuMemFree_v2(first_), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::stack
