#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

constexpr size_t kPiece = size_t{2} << 20;
constexpr size_t kVirtualSlice = 16 * kPiece;

// Virtual memory management through the whole stack; a slice is half of a device.
class VirtualMemoryTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAddressReserve(&range_, 16 * kPiece, 0, 0, 0), CUDA_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(FreeBytes(), kVirtualSlice);
    EXPECT_EQ(cuMemAddressFree(range_, 16 * kPiece), CUDA_SUCCESS);
    StackTest::TearDown();
  }

  static size_t FreeBytes() {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    EXPECT_EQ(total, kVirtualSlice);
    return free;
  }
  static CUresult TryCreate(CUmemGenericAllocationHandle* memory, size_t bytes, int device = 0) {
    CUmemAllocationProp properties{};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    return cuMemCreate(memory, bytes, &properties, 0);
  }
  static CUmemGenericAllocationHandle Create(size_t bytes = kPiece, int device = 0) {
    CUmemGenericAllocationHandle memory = 0;
    EXPECT_EQ(TryCreate(&memory, bytes, device), CUDA_SUCCESS);
    return memory;
  }
  static void SetAccess(CUdeviceptr address, size_t bytes, int device = 0,
                        CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
    const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, device}, flags};
    EXPECT_EQ(cuMemSetAccess(address, bytes, &access, 1), CUDA_SUCCESS);
  }
  // Memory of its own, open, that lives until it is unmapped.
  static void MapNew(CUdeviceptr address, int device = 0) {
    const auto memory = Create(kPiece, device);
    EXPECT_EQ(cuMemMap(address, kPiece, 0, memory, 0), CUDA_SUCCESS);
    EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
    SetAccess(address, kPiece);
  }
  static std::vector<unsigned> Read(CUdeviceptr address, size_t words) {
    std::vector<unsigned> values(words);
    EXPECT_EQ(cuMemcpyDtoH_v2(values.data(), address, words * 4), CUDA_SUCCESS);
    return values;
  }

  CUstream stream_ = nullptr;
  CUdeviceptr range_ = 0;
};

TEST_F(VirtualMemoryTest, KernelsAndCopiesRunOverPieces) {
  MapNew(range_);
  MapNew(range_ + kPiece);
  constexpr unsigned kWords = 2 * kPiece / 4;
  std::vector<unsigned> numbers(kWords), doubled(kWords);
  for (unsigned i = 0; i < kWords; ++i) doubled[i] = 2 * (numbers[i] = i);
  ASSERT_EQ(cuMemcpyHtoD_v2(range_, numbers.data(), 2 * kPiece), CUDA_SUCCESS);
  CUdeviceptr parameter = range_;
  unsigned count = kWords;
  void* parameters[] = {&parameter, &parameter, &parameter, &count};
  ASSERT_EQ(cuLaunchKernel(GetFunction("add"), kWords / 256, 1, 1, 256, 1, 1, 0, stream_, parameters, nullptr),
            CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(range_, kWords), doubled);
  ASSERT_EQ(cuMemUnmap(range_, 2 * kPiece), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, APieceIsOneRoundTripAndItsEndAnother) {
  MapNew(range_);
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  uint64_t before = RoundTrips();
  MapNew(range_);
  ASSERT_EQ(cuMemsetD8Async(range_, 1, kPiece, stream_), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips() - before, 1u);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);  // unmapping does not wait for work
  before = RoundTrips();
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips() - before, 1u);
}

TEST_F(VirtualMemoryTest, MemoryComesZeroed) {
  for (unsigned turn = 0; turn < 3; ++turn) {
    MapNew(range_);
    EXPECT_EQ(Read(range_, kPiece / 4), std::vector<unsigned>(kPiece / 4));
    ASSERT_EQ(cuMemsetD8_v2(range_, 0xff, kPiece), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);  // unmapping does not wait for work
    ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  }
}

TEST_F(VirtualMemoryTest, TheSliceIsChargedWhileMemoryLives) {
  const auto memory = Create(2 * kPiece);
  EXPECT_EQ(FreeBytes(), kVirtualSlice - 2 * kPiece);
  ASSERT_EQ(cuMemMap(range_, 2 * kPiece, 0, memory, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(range_ + 4 * kPiece, 2 * kPiece, 0, memory, 0), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kVirtualSlice - 2 * kPiece) << "twice mapped is once used";
  ASSERT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kVirtualSlice - 2 * kPiece);
  ASSERT_EQ(cuMemUnmap(range_, 2 * kPiece), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kVirtualSlice - 2 * kPiece);
  ASSERT_EQ(cuMemUnmap(range_ + 4 * kPiece, 2 * kPiece), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kVirtualSlice);
}

TEST_F(VirtualMemoryTest, AHandleComesBackFromAnAddress) {
  const auto memory = Create();
  ASSERT_EQ(cuMemMap(range_, kPiece, 0, memory, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  CUmemGenericAllocationHandle again = 0;
  ASSERT_EQ(cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(range_ + 64)), CUDA_SUCCESS);
  EXPECT_EQ(again, memory);
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(range_ + kPiece, kPiece, 0, again, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(range_ + kPiece, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kVirtualSlice - kPiece);
  ASSERT_EQ(cuMemRelease(again), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, MoreThanTheSliceIsRefused) {
  CUmemGenericAllocationHandle refused = 0;
  EXPECT_EQ(TryCreate(&refused, kVirtualSlice + kPiece), CUDA_ERROR_OUT_OF_MEMORY);
  const auto all = Create(kVirtualSlice);
  EXPECT_EQ(TryCreate(&refused, kPiece), CUDA_ERROR_OUT_OF_MEMORY);
  CUdeviceptr address = 0;
  EXPECT_EQ(cuMemAlloc_v2(&address, 1), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(FreeBytes(), 0u);
  ASSERT_EQ(cuMemRelease(all), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(Create(kVirtualSlice)), CUDA_SUCCESS);
}

// What a pool keeps and nobody uses makes room.
TEST_F(VirtualMemoryTest, IdlePoolsMakeRoom) {
  CUmemoryPool pool;
  ASSERT_EQ(cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
  uint64_t all = UINT64_MAX, none = 0;
  ASSERT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all), CUDA_SUCCESS);
  CUdeviceptr address = 0;
  ASSERT_EQ(cuMemAllocAsync(&address, kVirtualSlice, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(address, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(Create(kVirtualSlice)), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &none), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, MemoryOfAnotherDeviceIsReachedWithAccess) {
  const auto memory = Create(kPiece, 1);
  EXPECT_EQ(FreeBytes(), kVirtualSlice) << "device 0 has lost nothing";
  ASSERT_EQ(cuMemMap(range_, kPiece, 0, memory, 0), CUDA_SUCCESS);
  SetAccess(range_, kPiece, 1);
  EXPECT_EQ(cuMemsetD32_v2(range_, 5, 1), CUDA_ERROR_INVALID_VALUE);
  SetAccess(range_, kPiece, 0);
  EXPECT_EQ(cuMemsetD32_v2(range_, 5, 1), CUDA_SUCCESS);
  EXPECT_EQ(Read(range_, 1), std::vector<unsigned>{5});
  int device = -1;
  EXPECT_EQ(cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, range_), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, WhatMayBeReadIsReadAlone) {
  MapNew(range_);
  ASSERT_EQ(cuMemsetD32_v2(range_, 9, 4), CUDA_SUCCESS);
  SetAccess(range_, kPiece, 0, CU_MEM_ACCESS_FLAGS_PROT_READ);
  EXPECT_EQ(Read(range_, 4), std::vector<unsigned>(4, 9));
  EXPECT_EQ(cuMemsetD32_v2(range_, 9, 4), CUDA_ERROR_INVALID_VALUE);
  unsigned number = 0;
  EXPECT_EQ(cuMemcpyHtoD_v2(range_, &number, 4), CUDA_ERROR_INVALID_VALUE);
  unsigned long long flags = 0;
  const CUmemLocation device{CU_MEM_LOCATION_TYPE_DEVICE, 0};
  EXPECT_EQ(cuMemGetAccess(&flags, &device, range_), CUDA_SUCCESS);
  EXPECT_EQ(flags, unsigned{CU_MEM_ACCESS_FLAGS_PROT_READ});
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, TheGranularityIsAskedForOnce) {
  CUmemAllocationProp properties{};
  properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, 1};
  size_t granularity = 0;
  ASSERT_EQ(cuMemGetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
            CUDA_SUCCESS);
  EXPECT_EQ(granularity, kPiece);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuMemGetAllocationGranularity(&granularity, &properties, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
            CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
}

TEST_F(VirtualMemoryTest, NoContextIsNeeded) {
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  MapNew(range_);
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPushCurrent_v2(context_), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
