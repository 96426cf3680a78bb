#include "tests/unit/softgpu_api/driver_under_test.h"

#include <sched.h>

#include <atomic>
#include <functional>
#include <vector>

// The stream ordered memory allocator: who may have memory that was freed, and what a pool keeps. Streams are held
// until the test releases them.

namespace outboard::softgpu::api {
namespace {

constexpr size_t kPoolBytes = 1u << 20;

class MemoryPoolsTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuMemHostAlloc(&memory_, 4096, 0), CUDA_SUCCESS);
    words_ = static_cast<std::atomic<uint32_t>*>(memory_);
    for (CUstream* stream : {&one_, &other_}) {
      ASSERT_EQ(cuStreamCreate(stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    }
    pool_ = NewPool();
  }

  void TearDown() override {
    Release();
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    if (pool_ != nullptr) {
      EXPECT_EQ(cuMemPoolDestroy(pool_), CUDA_SUCCESS);
    }
    for (CUstream stream : {one_, other_}) EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFreeHost(memory_), CUDA_SUCCESS);
    EXPECT_EQ(FreeBytes(), before_);
    DriverTest::TearDown();
  }

  CUmemoryPool NewPool(size_t max_bytes = 0, CUmemAllocationHandleType types = CU_MEM_HANDLE_TYPE_NONE) {
    if (before_ == 0) before_ = FreeBytes();
    CUmemPoolProps props{};
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    props.maxSize = max_bytes;
    props.handleTypes = types;
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(cuMemPoolCreate(&pool, &props), CUDA_SUCCESS);
    return pool;
  }

  // Holds the stream until Release.
  void Hold(CUstream stream) {
    ASSERT_EQ(cuStreamWaitValue32_v2(stream, reinterpret_cast<CUdeviceptr>(&words_[0]), 1, CU_STREAM_WAIT_VALUE_EQ),
              CUDA_SUCCESS);
  }
  void Release() { words_[0] = 1; }
  // Gives a stream that should wait the chance to go on.
  static bool StaysBusy(CUstream stream) {
    for (int i = 0; i < 10000; ++i) {
      if (cuStreamQuery(stream) != CUDA_ERROR_NOT_READY) return false;
      sched_yield();
    }
    return true;
  }
  // Waits until the stream has done everything, by looking: that is no synchronisation.
  static void LookUntilDone(CUstream stream) {
    while (cuStreamQuery(stream) == CUDA_ERROR_NOT_READY) {
    }
  }

  CUdeviceptr Allocate(size_t bytes, CUstream stream) {
    CUdeviceptr address = 0;
    EXPECT_EQ(cuMemAllocFromPoolAsync(&address, bytes, pool_, stream), CUDA_SUCCESS);
    return address;
  }
  void Free(CUdeviceptr address, CUstream stream) { EXPECT_EQ(cuMemFreeAsync(address, stream), CUDA_SUCCESS); }

  void SetSwitch(CUmemPool_attribute attribute, int value) {
    EXPECT_EQ(cuMemPoolSetAttribute(pool_, attribute, &value), CUDA_SUCCESS);
  }
  void OnlyAllow(CUmemPool_attribute allowed) {
    for (const auto attribute :
         {CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC,
          CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES}) {
      SetSwitch(attribute, attribute == allowed);
    }
  }
  void KeepEverything() {
    uint64_t all = UINT64_MAX;
    EXPECT_EQ(cuMemPoolSetAttribute(pool_, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all), CUDA_SUCCESS);
  }
  uint64_t Get(CUmemPool_attribute attribute) {
    uint64_t value = ~uint64_t{0};
    EXPECT_EQ(cuMemPoolGetAttribute(pool_, attribute, &value), CUDA_SUCCESS);
    return value;
  }
  uint64_t Reserved() { return Get(CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT); }
  uint64_t Used() { return Get(CU_MEMPOOL_ATTR_USED_MEM_CURRENT); }
  static size_t FreeBytes() {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free;
  }

  size_t before_ = 0;
  void* memory_ = nullptr;
  std::atomic<uint32_t>* words_ = nullptr;  // page-locked
  CUstream one_ = nullptr, other_ = nullptr;
  CUmemoryPool pool_ = nullptr;
};

TEST_F(MemoryPoolsTest, MemoryWorksInTheOrderOfTheStream) {
  const CUdeviceptr address = Allocate(kPoolBytes, one_);
  std::vector<uint32_t> seen(kPoolBytes / 4);
  ASSERT_EQ(cuMemsetD32Async(address, 7, kPoolBytes / 4, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(seen.data(), address, kPoolBytes, one_), CUDA_SUCCESS);
  Free(address, one_);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(seen, std::vector<uint32_t>(kPoolBytes / 4, 7));
}

TEST_F(MemoryPoolsTest, TheSameStreamHasFreedMemoryAgainAtOnce) {
  OnlyAllow(static_cast<CUmemPool_attribute>(0));
  Hold(one_);
  const CUdeviceptr first = Allocate(kPoolBytes, one_);
  Free(first, one_);
  EXPECT_EQ(Allocate(kPoolBytes, one_), first);
  EXPECT_EQ(Reserved(), kPoolBytes);
  EXPECT_EQ(Used(), kPoolBytes);
  Free(first, one_);
}

TEST_F(MemoryPoolsTest, FreedMemoryIsSplitAndPutTogether) {
  Hold(one_);
  const CUdeviceptr first = Allocate(3 * kPoolBytes, one_);
  Free(first, one_);
  const CUdeviceptr small = Allocate(kPoolBytes, one_), large = Allocate(2 * kPoolBytes, one_);
  EXPECT_EQ(small, first);
  EXPECT_EQ(large, first + kPoolBytes);
  Free(large, one_);
  Free(small, one_);
  EXPECT_EQ(Allocate(3 * kPoolBytes, one_), first);
  EXPECT_EQ(Reserved(), 3 * kPoolBytes);
  Free(first, one_);
}

// Another process keeps all of a chunk.
TEST_F(MemoryPoolsTest, WhatMayBeSharedIsAChunkOfItsOwn) {
  EXPECT_EQ(cuMemPoolDestroy(pool_), CUDA_SUCCESS);
  pool_ = NewPool(0, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  Hold(one_);
  const CUdeviceptr large = Allocate(3 * kPoolBytes, one_);
  Free(large, one_);
  const CUdeviceptr small = Allocate(kPoolBytes, one_);
  EXPECT_EQ(Reserved(), 4 * kPoolBytes);
  EXPECT_EQ(Allocate(3 * kPoolBytes, one_), large);
  Free(small, one_);
  Free(large, one_);
}

TEST_F(MemoryPoolsTest, TheSmallestRoomIsTaken) {
  Hold(one_);
  const CUdeviceptr large = Allocate(3 * kPoolBytes, one_), small = Allocate(kPoolBytes, one_);
  Free(large, one_);
  Free(small, one_);
  EXPECT_EQ(Allocate(kPoolBytes, one_), small);
  EXPECT_EQ(Allocate(3 * kPoolBytes, one_), large);
  Free(large, one_);
  Free(small, one_);
}

TEST_F(MemoryPoolsTest, AnotherStreamDoesNotGetWhatMayStillBeUsed) {
  SetSwitch(CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES, 0);
  Hold(one_);
  const CUdeviceptr first = Allocate(kPoolBytes, one_);
  Free(first, one_);
  const CUdeviceptr second = Allocate(kPoolBytes, other_);
  EXPECT_NE(second, first);
  EXPECT_EQ(Reserved(), 2 * kPoolBytes);
  Free(second, other_);
}

TEST_F(MemoryPoolsTest, AnEventGivesAnotherStreamTheMemory) {
  OnlyAllow(CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES);
  CUevent before_free, after_free;
  ASSERT_EQ(cuEventCreate(&before_free, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&after_free, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  Hold(one_);
  const CUdeviceptr first = Allocate(kPoolBytes, one_);
  ASSERT_EQ(cuEventRecord(before_free, one_), CUDA_SUCCESS);
  Free(first, one_);
  ASSERT_EQ(cuEventRecord(after_free, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, before_free, 0), CUDA_SUCCESS);
  const CUdeviceptr second = Allocate(kPoolBytes, other_);
  EXPECT_NE(second, first);
  ASSERT_EQ(cuStreamWaitEvent(other_, after_free, 0), CUDA_SUCCESS);
  EXPECT_EQ(Allocate(kPoolBytes, other_), first);
  Free(first, other_);
  // Not when events are not to be followed.
  SetSwitch(CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES, 0);
  ASSERT_EQ(cuEventRecord(after_free, other_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(one_, after_free, 0), CUDA_SUCCESS);
  const CUdeviceptr third = Allocate(kPoolBytes, one_);
  EXPECT_NE(third, first);
  Free(second, other_);
  Free(third, one_);
  ASSERT_EQ(cuEventDestroy_v2(before_free), CUDA_SUCCESS);
  ASSERT_EQ(cuEventDestroy_v2(after_free), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, BlockingStreamsFollowTheLegacyStream) {
  OnlyAllow(CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES);
  CUstream blocking;
  ASSERT_EQ(cuStreamCreate(&blocking, CU_STREAM_DEFAULT), CUDA_SUCCESS);
  Hold(blocking);
  const CUdeviceptr first = Allocate(kPoolBytes, blocking);
  Free(first, blocking);
  const CUdeviceptr unordered = Allocate(kPoolBytes, one_);
  EXPECT_NE(unordered, first);
  EXPECT_EQ(Allocate(kPoolBytes, nullptr), first);
  Free(first, nullptr);
  Free(unordered, one_);
  Release();
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(blocking), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, AFreeThatHasTakenEffectIsSeenWithoutAnyDependency) {
  OnlyAllow(CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC);
  const CUdeviceptr first = Allocate(kPoolBytes, one_);
  Free(first, one_);
  LookUntilDone(one_);
  EXPECT_EQ(Used(), 0u);
  EXPECT_EQ(Allocate(kPoolBytes, other_), first);
  Free(first, other_);
}

TEST_F(MemoryPoolsTest, WithoutOpportunitiesTheHostMustHaveSeenTheFree) {
  OnlyAllow(static_cast<CUmemPool_attribute>(0));
  KeepEverything();
  const CUdeviceptr first = Allocate(kPoolBytes, one_);
  Free(first, one_);
  LookUntilDone(one_);
  const CUdeviceptr second = Allocate(kPoolBytes, other_);
  EXPECT_NE(second, first);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(Allocate(kPoolBytes, other_), first);
  Free(first, other_);
  Free(second, other_);
}

TEST_F(MemoryPoolsTest, ADependencyIsAddedBeforeMemoryIsRefused) {
  const size_t most = FreeBytes();
  Hold(one_);
  const CUdeviceptr first = Allocate(most, one_);
  ASSERT_EQ(cuMemsetD8Async(first, 1, 4, one_), CUDA_SUCCESS);
  Free(first, one_);
  CUdeviceptr refused = 0;
  SetSwitch(CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES, 0);
  EXPECT_EQ(cuMemAllocFromPoolAsync(&refused, kPoolBytes, pool_, other_), CUDA_ERROR_OUT_OF_MEMORY);
  SetSwitch(CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES, 1);
  const CUdeviceptr second = Allocate(kPoolBytes, other_);
  EXPECT_EQ(second, first);
  EXPECT_TRUE(StaysBusy(other_));
  ASSERT_EQ(cuMemsetD8Async(second, 2, 4, other_), CUDA_SUCCESS);
  Release();
  uint32_t seen = 0;
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&seen, second, 4, other_), CUDA_SUCCESS);
  EXPECT_EQ(seen, 0x02020202u);
  Free(second, other_);
}

TEST_F(MemoryPoolsTest, UnusedMemoryGoesBackWhenTheApplicationSynchronizes) {
  CUevent event;
  ASSERT_EQ(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  const auto synchronize = {std::function<CUresult()>([&] { return cuStreamSynchronize(one_); }),
                            std::function<CUresult()>([&] { return cuEventSynchronize(event); }),
                            std::function<CUresult()>([] { return cuCtxSynchronize(); })};
  for (const auto& call : synchronize) {
    Free(Allocate(kPoolBytes, one_), one_);
    ASSERT_EQ(cuEventRecord(event, one_), CUDA_SUCCESS);
    LookUntilDone(one_);
    EXPECT_EQ(Reserved(), kPoolBytes);
    ASSERT_EQ(call(), CUDA_SUCCESS);
    EXPECT_EQ(Reserved(), 0u);
  }
  ASSERT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, TheReleaseThresholdIsKept) {
  uint64_t threshold = 2 * kPoolBytes;
  ASSERT_EQ(cuMemPoolSetAttribute(pool_, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold), CUDA_SUCCESS);
  EXPECT_EQ(Get(CU_MEMPOOL_ATTR_RELEASE_THRESHOLD), threshold);
  std::vector<CUdeviceptr> addresses;
  for (int i = 0; i < 5; ++i) addresses.push_back(Allocate(kPoolBytes, one_));
  for (const CUdeviceptr address : addresses) Free(address, one_);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(Reserved(), 2 * kPoolBytes);
  ASSERT_EQ(cuMemPoolTrimTo(pool_, kPoolBytes), CUDA_SUCCESS);
  EXPECT_EQ(Reserved(), kPoolBytes);
  ASSERT_EQ(cuMemPoolTrimTo(pool_, kPoolBytes), CUDA_SUCCESS);
  EXPECT_EQ(Reserved(), kPoolBytes);
  ASSERT_EQ(cuMemPoolTrimTo(pool_, 0), CUDA_SUCCESS);
  EXPECT_EQ(Reserved(), 0u);
}

TEST_F(MemoryPoolsTest, WhatIsInUseIsNotTrimmed) {
  const CUdeviceptr live = Allocate(kPoolBytes, one_);
  Hold(one_);
  const CUdeviceptr freed = Allocate(kPoolBytes, one_);
  Free(freed, one_);
  ASSERT_EQ(cuMemPoolTrimTo(pool_, 0), CUDA_SUCCESS);
  EXPECT_EQ(Reserved(), 2 * kPoolBytes);
  EXPECT_EQ(Used(), 2 * kPoolBytes);
  Release();
  LookUntilDone(one_);
  ASSERT_EQ(cuMemPoolTrimTo(pool_, 0), CUDA_SUCCESS);
  EXPECT_EQ(Reserved(), kPoolBytes);
  EXPECT_EQ(Used(), kPoolBytes);
  Free(live, one_);
}

TEST_F(MemoryPoolsTest, CountsBytesAndTheirHighestMarks) {
  KeepEverything();
  const CUdeviceptr first = Allocate(1000, one_), second = Allocate(kPoolBytes, one_);
  EXPECT_EQ(Used(), 1024 + kPoolBytes);
  Free(second, one_);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(Used(), 1024u);
  EXPECT_EQ(Reserved(), 1024 + kPoolBytes);
  EXPECT_EQ(Get(CU_MEMPOOL_ATTR_USED_MEM_HIGH), 1024 + kPoolBytes);
  ASSERT_EQ(cuMemPoolTrimTo(pool_, 0), CUDA_SUCCESS);
  EXPECT_EQ(Get(CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH), 1024 + kPoolBytes);
  uint64_t nothing = 0;
  ASSERT_EQ(cuMemPoolSetAttribute(pool_, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &nothing), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolSetAttribute(pool_, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &nothing), CUDA_SUCCESS);
  EXPECT_EQ(Get(CU_MEMPOOL_ATTR_USED_MEM_HIGH), 1024u);
  EXPECT_EQ(Get(CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH), 1024u);
  Free(first, one_);
}

TEST_F(MemoryPoolsTest, APoolTakesNoMoreThanItsMaximum) {
  ASSERT_EQ(cuMemPoolDestroy(pool_), CUDA_SUCCESS);
  pool_ = NewPool(2 * kPoolBytes);
  const CUdeviceptr first = Allocate(kPoolBytes, one_);
  CUdeviceptr more = 0;
  EXPECT_EQ(cuMemAllocFromPoolAsync(&more, kPoolBytes + 1, pool_, one_), CUDA_ERROR_OUT_OF_MEMORY);
  more = Allocate(kPoolBytes, one_);
  Free(first, one_);
  Free(more, one_);
  LookUntilDone(one_);
  // Two chunks, neither of them large enough: they make room for one.
  more = Allocate(2 * kPoolBytes, one_);
  Free(more, one_);
}

TEST_F(MemoryPoolsTest, WhatPoolsKeepIsThereForOthers) {
  KeepEverything();
  const size_t most = FreeBytes();
  Free(Allocate(most, one_), one_);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), 0u);
  CUdeviceptr address = 0;
  ASSERT_EQ(cuMemAlloc_v2(&address, kPoolBytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  Free(Allocate(most, one_), one_);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocAsync(&address, kPoolBytes, one_), CUDA_SUCCESS);  // from the default pool
  Free(address, one_);
}

TEST_F(MemoryPoolsTest, CuMemFreeOfAPoolsMemoryWaitsForNobody) {
  const CUdeviceptr address = Allocate(kPoolBytes, one_);
  Hold(other_);
  ASSERT_EQ(cuMemFree_v2(address), CUDA_SUCCESS);
  EXPECT_EQ(Used(), 0u);
  EXPECT_EQ(cuMemFree_v2(address), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Allocate(kPoolBytes, other_), address);
  Free(address, other_);
}

TEST_F(MemoryPoolsTest, CuMemFreeAsyncTakesOtherMemoryToo) {
  const size_t before = FreeBytes();
  CUdeviceptr address = 0;
  ASSERT_EQ(cuMemAlloc_v2(&address, kPoolBytes), CUDA_SUCCESS);
  Hold(one_);
  ASSERT_EQ(cuMemsetD8Async(address, 5, kPoolBytes, one_), CUDA_SUCCESS);
  Free(address, one_);
  EXPECT_EQ(FreeBytes(), before - kPoolBytes);
  EXPECT_EQ(cuMemFreeAsync(address, one_), CUDA_ERROR_INVALID_VALUE);
  Release();
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before);
}

// As with free(), whose callers do not look; cuSPARSE is one.
TEST_F(MemoryPoolsTest, NullIsFreed) {
  EXPECT_EQ(cuMemFreeAsync(0, one_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(0), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(nullptr), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, ADestroyedPoolLivesForItsAllocations) {
  KeepEverything();
  const size_t before = FreeBytes();
  const CUdeviceptr address = Allocate(kPoolBytes, one_), last = Allocate(kPoolBytes, one_),
                    freed = Allocate(kPoolBytes, one_);
  Free(freed, one_);
  ASSERT_EQ(cuStreamSynchronize(one_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolDestroy(pool_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemPoolDestroy(pool_), CUDA_ERROR_INVALID_VALUE);
  pool_ = nullptr;
  EXPECT_EQ(FreeBytes(), before - 2 * kPoolBytes);
  ASSERT_EQ(cuMemsetD8Async(address, 5, kPoolBytes, one_), CUDA_SUCCESS);
  Free(address, one_);
  LookUntilDone(one_);
  EXPECT_EQ(FreeBytes(), before - kPoolBytes);
  Free(last, one_);
  LookUntilDone(one_);
  EXPECT_EQ(FreeBytes(), before);
}

TEST_F(MemoryPoolsTest, ADeviceAllocatesFromItsCurrentPool) {
  CUmemoryPool initial = nullptr, now = nullptr;
  CUdeviceptr address = 0;
  ASSERT_EQ(cuDeviceGetDefaultMemPool(&initial, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuDeviceGetMemPool(&now, 0), CUDA_SUCCESS);
  EXPECT_EQ(now, initial);
  ASSERT_EQ(cuDeviceSetMemPool(0, pool_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocAsync(&address, 100, one_), CUDA_SUCCESS);
  ASSERT_EQ(cuPointerGetAttribute(&now, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, address), CUDA_SUCCESS);
  EXPECT_EQ(now, pool_);
  Free(address, one_);
  ASSERT_EQ(cuMemPoolDestroy(pool_), CUDA_SUCCESS);
  pool_ = nullptr;
  CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, 0};
  ASSERT_EQ(cuMemGetMemPool(&now, &location, CU_MEM_ALLOCATION_TYPE_PINNED), CUDA_SUCCESS);
  EXPECT_EQ(now, initial);
  ASSERT_EQ(cuMemGetDefaultMemPool(&now, &location, CU_MEM_ALLOCATION_TYPE_PINNED), CUDA_SUCCESS);
  EXPECT_EQ(now, initial);
  ASSERT_EQ(cuMemSetMemPool(&location, CU_MEM_ALLOCATION_TYPE_PINNED, initial), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, TellsWhatIsKnownOfItsMemory) {
  const CUdeviceptr address = Allocate(1000, one_);
  CUcontext context = context_;
  unsigned type = 0;
  int device = -1;
  CUdeviceptr begin = 0;
  size_t size = 0;
  EXPECT_EQ(cuPointerGetAttribute(&context, CU_POINTER_ATTRIBUTE_CONTEXT, address + 9), CUDA_SUCCESS);
  EXPECT_EQ(context, nullptr) << "the memory is no context's";
  EXPECT_EQ(cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address + 9), CUDA_SUCCESS);
  EXPECT_EQ(type, unsigned{CU_MEMORYTYPE_DEVICE});
  EXPECT_EQ(cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address + 9), CUDA_SUCCESS);
  EXPECT_EQ(device, 0);
  EXPECT_EQ(cuMemGetAddressRange_v2(&begin, &size, address + 9), CUDA_SUCCESS);
  EXPECT_EQ(begin, address);
  EXPECT_EQ(size, 1000u);
  Free(address, one_);
  EXPECT_EQ(cuMemGetAddressRange_v2(&begin, &size, address), CUDA_ERROR_NOT_FOUND);
}

TEST_F(MemoryPoolsTest, MemoryOutlivesTheContext) {
  CUcontext other;
  CUstream stream;
  CUdeviceptr address = 0;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&address, kPoolBytes, pool_, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(address, 9, 1, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  uint32_t seen = 0;
  ASSERT_EQ(cuMemcpyDtoH_v2(&seen, address, 4), CUDA_SUCCESS);
  EXPECT_EQ(seen, 9u);
  Free(address, one_);
}

TEST_F(MemoryPoolsTest, AccessIsTheOwnDevicesAtFirst) {
  CUmemAccess_flags flags{};
  for (int device = 0; device < 2; ++device) {
    CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, device};
    ASSERT_EQ(cuMemPoolGetAccess(&flags, pool_, &location), CUDA_SUCCESS);
    EXPECT_EQ(flags, device == 0 ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : CU_MEM_ACCESS_FLAGS_PROT_NONE);
  }
  CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
  EXPECT_EQ(cuMemPoolSetAccess(pool_, &access, 1), CUDA_SUCCESS);
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
  EXPECT_EQ(cuMemPoolSetAccess(pool_, &access, 1), CUDA_ERROR_INVALID_VALUE);
  CUmemLocation location{CU_MEM_LOCATION_TYPE_DEVICE, 1};
  access.location = location;
  for (const auto wanted : {CU_MEM_ACCESS_FLAGS_PROT_READWRITE, CU_MEM_ACCESS_FLAGS_PROT_NONE}) {
    access.flags = wanted;
    EXPECT_EQ(cuMemPoolSetAccess(pool_, &access, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuMemPoolGetAccess(&flags, pool_, &location), CUDA_SUCCESS);
    EXPECT_EQ(flags, wanted);
  }
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READ;
  EXPECT_EQ(cuMemPoolSetAccess(pool_, &access, 1), CUDA_ERROR_INVALID_VALUE);
  access.location.id = 2;
  EXPECT_EQ(cuMemPoolSetAccess(pool_, &access, 1), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(MemoryPoolsTest, SupportIsClaimed) {
  int supported = 0;
  EXPECT_EQ(cuDeviceGetAttribute(&supported, CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED, 0), CUDA_SUCCESS);
  EXPECT_EQ(supported, 1);
}

// The twins work on the thread's own default stream.
TEST_F(MemoryPoolsTest, TwinsWorkOnPerThreadStreams) {
  OnlyAllow(static_cast<CUmemPool_attribute>(0));
  CUdeviceptr first = 0, second = 0;
  Hold(CU_STREAM_PER_THREAD);
  ASSERT_EQ(cuMemAllocFromPoolAsync_ptsz(&first, kPoolBytes, pool_, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync_ptsz(first, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocFromPoolAsync(&second, kPoolBytes, pool_, CU_STREAM_PER_THREAD), CUDA_SUCCESS);
  EXPECT_EQ(second, first);
  ASSERT_EQ(cuMemFreeAsync(second, CU_STREAM_PER_THREAD), CUDA_SUCCESS);
  ASSERT_EQ(cuDeviceSetMemPool(0, pool_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocAsync_ptsz(&second, kPoolBytes, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(second, first);
  ASSERT_EQ(cuMemFreeAsync_ptsz(second, nullptr), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
