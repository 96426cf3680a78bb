#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>

#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

constexpr size_t kMiB = 1u << 20;
constexpr size_t kPoolSlice = 32 * kMiB;

// The stream ordered memory allocator through the whole stack; a slice is half of a device.
class MemoryPoolsTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuStreamCreate(&one_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&other_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuMemHostAlloc(reinterpret_cast<void**>(&pinned_), 4096, 0), CUDA_SUCCESS);
  }

  static CUmemoryPool NewPool(int device = 0) {
    CUmemPoolProps props{};
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(cuMemPoolCreate(&pool, &props), CUDA_SUCCESS);
    uint64_t all = UINT64_MAX;
    EXPECT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all), CUDA_SUCCESS);
    return pool;
  }
  static CUdeviceptr Allocate(size_t bytes, CUstream stream) {
    CUdeviceptr address = 0;
    EXPECT_EQ(cuMemAllocAsync(&address, bytes, stream), CUDA_SUCCESS);
    return address;
  }
  static uint64_t Get(CUmemoryPool pool, CUmemPool_attribute attribute) {
    uint64_t value = ~uint64_t{0};
    EXPECT_EQ(cuMemPoolGetAttribute(pool, attribute, &value), CUDA_SUCCESS);
    return value;
  }
  static size_t FreeBytes() {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    EXPECT_EQ(total, kPoolSlice);
    return free;
  }
  // Holds the stream back until Open, by a host function.
  void Hold(CUstream stream) {
    ASSERT_EQ(cuLaunchHostFunc(
                  stream,
                  [](void* open) {
                    while (!static_cast<std::atomic<bool>*>(open)->load()) {
                    }
                  },
                  &open_),
              CUDA_SUCCESS);
  }

  CUstream one_ = nullptr, other_ = nullptr;
  uint32_t* pinned_ = nullptr;
  std::atomic<bool> open_{false};
};

TEST_F(MemoryPoolsTest, MemoryWorksAndComesZeroed) {
  for (uint32_t turn = 1; turn <= 20; ++turn) {
    const CUdeviceptr address = Allocate(kMiB, one_);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, address + kMiB - 4096, 4096, one_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32Async(address, turn, kMiB / 4, one_), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
    EXPECT_EQ(pinned_[1023], 0u);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, address + kMiB - 4096, 4096, one_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
    EXPECT_EQ(pinned_[1023], turn);
  }
}

TEST_F(MemoryPoolsTest, AnAllocationIsOneRoundTripAndAFreeNone) {
  ASSERT_EQ(cuMemFreeAsync(Allocate(4096, one_), one_), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  for (int i = 0; i < 50; ++i) {
    const CUdeviceptr address = Allocate(4096, one_);
    ASSERT_EQ(cuMemsetD8Async(address, 1, 4096, one_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  }
  EXPECT_EQ(RoundTrips() - before, 50u);
}

TEST_F(MemoryPoolsTest, TheSliceIsChargedToTheByte) {
  EXPECT_EQ(FreeBytes(), kPoolSlice);
  const CUdeviceptr address = Allocate(1000, one_);
  EXPECT_EQ(FreeBytes(), kPoolSlice - 1024);
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice);

  // What a pool keeps counts.
  const CUmemoryPool pool = NewPool();
  ASSERT_EQ(cuDeviceSetMemPool(0, pool), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(Allocate(4 * kMiB, one_), one_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(Get(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), 4 * kMiB);
  EXPECT_EQ(Get(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), 0u);
  EXPECT_EQ(FreeBytes(), kPoolSlice - 4 * kMiB);
  ASSERT_EQ(cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice);
  ASSERT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, MoreThanTheSliceIsRefused) {
  CUdeviceptr refused = 7;
  EXPECT_EQ(cuMemAllocAsync(&refused, kPoolSlice + 1, one_), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(refused, 7u);
  const CUdeviceptr all = Allocate(kPoolSlice, one_);
  EXPECT_EQ(cuMemAllocAsync(&refused, 1, one_), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(cuMemAlloc_v2(&refused, 1), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuMemFreeAsync(all, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&refused, kPoolSlice), CUDA_SUCCESS);
  CUdeviceptr more = 0;
  EXPECT_EQ(cuMemAllocAsync(&more, 1, one_), CUDA_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(cuMemFree_v2(refused), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, AFullSliceIsUsedAgainInTheStreamsOrder) {
  CUdeviceptr address = Allocate(kPoolSlice, one_);
  Hold(one_);
  for (int i = 0; i < 5; ++i) {
    ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
    address = Allocate(kPoolSlice - i * kMiB, one_);
  }
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  open_ = true;
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice);
}

TEST_F(MemoryPoolsTest, WhatPoolsKeepMakesRoomForOthers) {
  const CUmemoryPool pool = NewPool();
  CUdeviceptr address = 0;
  ASSERT_EQ(cuMemAllocFromPoolAsync(&address, kPoolSlice, pool, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), 0u);
  ASSERT_EQ(cuMemAlloc_v2(&address, kPoolSlice), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&address, kPoolSlice, pool, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  address = Allocate(kPoolSlice, one_);  // from the default pool
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, EitherKindOfFreeTakesEitherKindOfMemory) {
  CUdeviceptr plain = 0;
  ASSERT_EQ(cuMemAlloc_v2(&plain, kMiB), CUDA_SUCCESS);
  const CUdeviceptr pooled = Allocate(kMiB, one_);
  ASSERT_EQ(cuMemsetD32Async(plain, 5, 1024, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, plain, 4096, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(plain, one_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeAsync(plain, one_), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(pinned_[1023], 5u);
  EXPECT_EQ(FreeBytes(), kPoolSlice - kMiB);
  ASSERT_EQ(cuMemFree_v2(pooled), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(pooled), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice);
}

TEST_F(MemoryPoolsTest, ADestroyedPoolIsChargedForWhatIsLeftOfIt) {
  const CUmemoryPool pool = NewPool();
  CUdeviceptr address = 0, freed = 0;
  ASSERT_EQ(cuMemAllocFromPoolAsync(&address, kMiB, pool, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&freed, kMiB, pool, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(freed, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolTrimTo(pool, 0), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice - kMiB);
  ASSERT_EQ(cuMemsetD32Async(address, 6, 1024, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned_, address, 4096, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(pinned_[1023], 6u);
  EXPECT_EQ(FreeBytes(), kPoolSlice);
}

TEST_F(MemoryPoolsTest, StreamsHandMemoryOnByEvents) {
  CUevent freed;
  ASSERT_EQ(cuEventCreate(&freed, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  const CUdeviceptr first = Allocate(kMiB, one_);
  Hold(one_);
  ASSERT_EQ(cuMemFreeAsync(first, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(freed, one_), CUDA_SUCCESS);
  const CUdeviceptr second = Allocate(kMiB, other_);
  EXPECT_NE(second, first);
  ASSERT_EQ(cuStreamWaitEvent(other_, freed, 0), CUDA_SUCCESS);
  EXPECT_EQ(Allocate(kMiB, other_), first);
  open_ = true;
  ASSERT_EQ(cuMemFreeAsync(first, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(second, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  ASSERT_EQ(cuEventDestroy_v2(freed), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice);
}

TEST_F(MemoryPoolsTest, AttributesAccessAndFactsComeThrough) {
  const CUmemoryPool pool = NewPool();
  int follows = -1;
  ASSERT_EQ(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES, &follows), CUDA_SUCCESS);
  EXPECT_EQ(follows, 1);
  follows = 0;
  ASSERT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES, &follows), CUDA_SUCCESS);
  follows = -1;
  ASSERT_EQ(cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES, &follows), CUDA_SUCCESS);
  EXPECT_EQ(follows, 0);
  EXPECT_EQ(Get(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD), UINT64_MAX);
  uint64_t value = 1;
  EXPECT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &value), CUDA_ERROR_INVALID_VALUE);

  CUmemAccess_flags flags{};
  CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, 0};
  ASSERT_EQ(cuMemPoolGetAccess(&flags, pool, &location), CUDA_SUCCESS);
  EXPECT_EQ(flags, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  EXPECT_EQ(location.id, 0);
  CUmemAccessDesc access{location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  EXPECT_EQ(cuMemPoolSetAccess(pool, &access, 1), CUDA_SUCCESS);
  access.location.id = location.id = 1;
  EXPECT_EQ(cuMemPoolSetAccess(pool, &access, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolGetAccess(&flags, pool, &location), CUDA_SUCCESS);
  EXPECT_EQ(flags, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
  access.location.id = 2;
  EXPECT_EQ(cuMemPoolSetAccess(pool, &access, 1), CUDA_ERROR_INVALID_DEVICE);

  CUdeviceptr address = Allocate(1000, one_);
  CUmemoryPool its = nullptr, initial = nullptr;
  ASSERT_EQ(cuDeviceGetDefaultMemPool(&initial, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuPointerGetAttribute(&its, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, address), CUDA_SUCCESS);
  EXPECT_EQ(its, initial);
  CUcontext context = context_;
  ASSERT_EQ(cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, address), CUDA_SUCCESS);
  EXPECT_EQ(context, nullptr);
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolDestroy(initial), CUDA_ERROR_INVALID_VALUE);

  int supported = 0;
  ASSERT_EQ(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 0), CUDA_SUCCESS);
  EXPECT_EQ(supported, 1);
}

TEST_F(MemoryPoolsTest, EachDeviceHasItsPools) {
  const CUmemoryPool pool = NewPool(1);
  EXPECT_EQ(cuDeviceSetMemPool(0, pool), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr address = 0;
  ASSERT_EQ(cuMemAllocFromPoolAsync(&address, kMiB, pool, one_), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice) << "it is the other device's";
  int device = -1;
  ASSERT_EQ(cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  CUcontext other;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice - kMiB);
  ASSERT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolTrimTo(pool, 0), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPoolSlice);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolDestroy(pool), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, ADevicesPoolsAreAlsoALocations) {
  constexpr auto kPinned = CU_MEM_ALLOCATION_TYPE_PINNED;
  const CUmemoryPool made = NewPool(1);
  CUmemLocation device{CU_MEM_LOCATION_TYPE_DEVICE, 1}, none{CU_MEM_LOCATION_TYPE_DEVICE, 2};
  CUmemoryPool of_device = nullptr, of_location = nullptr;
  ASSERT_EQ(cuDeviceGetDefaultMemPool(&of_device, 1), CUDA_SUCCESS);
  EXPECT_EQ(cuMemGetDefaultMemPool(&of_location, &device, kPinned), CUDA_SUCCESS);
  EXPECT_EQ(of_location, of_device);
  EXPECT_EQ(cuMemSetMemPool(&device, kPinned, made), CUDA_SUCCESS);
  EXPECT_EQ(cuMemGetMemPool(&of_location, &device, kPinned), CUDA_SUCCESS);
  EXPECT_EQ(of_location, made);
  EXPECT_EQ(cuMemSetMemPool(&device, kPinned, of_device), CUDA_SUCCESS);
  EXPECT_EQ(cuDeviceGetMemPool(&of_location, 1), CUDA_SUCCESS);
  EXPECT_EQ(of_location, of_device);
  EXPECT_EQ(cuMemPoolDestroy(made), CUDA_SUCCESS);
  EXPECT_EQ(cuMemGetDefaultMemPool(nullptr, &device, kPinned), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemGetDefaultMemPool(&of_location, &none, kPinned), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(cuMemSetMemPool(&device, CU_MEM_ALLOCATION_TYPE_MANAGED, of_device), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuMemSetMemPool(nullptr, kPinned, of_device), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(MemoryPoolsTest, MemoryOutlivesTheContext) {
  CUcontext other;
  CUstream stream;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  const CUdeviceptr address = Allocate(kMiB, stream);
  ASSERT_EQ(cuMemsetD32Async(address, 9, 1, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  uint32_t seen = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&seen, address, 4), CUDA_SUCCESS);
  EXPECT_EQ(seen, 9u);
  EXPECT_EQ(FreeBytes(), kPoolSlice - kMiB);
  ASSERT_EQ(cuMemFreeAsync(address, one_), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
