#include "client/shim/memory_pools.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <string>
#include <vector>

#include "client/shim/custom.gen.h"
#include "tests/fakes/free_addresses.h"
#include "tests/unit/shim_memory/fake_worker.h"

namespace outboard::shim {
namespace {

using Names = std::vector<std::string>;
const CUstream kPoolStream = CU_STREAM_LEGACY;

class MemoryPoolsTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(worker_.init_result(), CUDA_SUCCESS);
    worker_.Reset();
    const Arena arena = memory_.MakeArena();
    if (arena.size == 0) GTEST_SKIP() << "the address space of this process is limited";
    address_ = arena.begin;
    worker_.On("cuMemAllocAsync", [this](const auto&) { return FakeWorker::With(address_); });
    worker_.On("cuMemAllocFromPoolAsync", [this](const auto&) { return FakeWorker::With(address_); });
  }
  void TearDown() override {
    memory_.TakeDevice(address_);
    worker_.Reset();
  }

  CUmemoryPool NewPool() {
    CUmemPoolProps props{};
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    props.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    props.maxSize = 4096;
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(custom::cuMemPoolCreate(&pool, &props), CUDA_SUCCESS);
    return pool;
  }
  CUmemoryPool PoolOf(CUdeviceptr address) {
    CUmemoryPool pool = nullptr;
    EXPECT_EQ(custom::cuPointerGetAttribute(&pool, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, address), CUDA_SUCCESS);
    return pool;
  }

  FakeWorker& worker_ = FakeWorker::Get();
  Memory& memory_ = Process::Get().memory();
  CUdeviceptr address_ = 0;
};

TEST_F(MemoryPoolsTest, AnAllocationIsKnownAndFreedWithoutWaiting) {
  CUdeviceptr address = 0;
  ASSERT_EQ(custom::cuMemAllocAsync(&address, 1000, kPoolStream), CUDA_SUCCESS);
  EXPECT_EQ(address, address_);
  const auto range = memory_.FindDevice(address + 999);
  ASSERT_TRUE(range);
  EXPECT_EQ(range->size, 1000u);
  EXPECT_EQ(range->info.context, nullptr);
  // Work that uses it need not wait either.
  EXPECT_EQ(custom::cuMemsetD8Async(address, 1, 1000, kPoolStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemFreeAsync(address, kPoolStream), CUDA_SUCCESS);
  EXPECT_FALSE(memory_.FindDevice(address));
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAllocAsync?", "cuMemsetD8Async", "cuMemFreeAsync"}));
}

TEST_F(MemoryPoolsTest, AddressesStayReservedWhenTheyAreFreed) {
  // Outside of the arena, where nothing keeps them otherwise.
  address_ = fakes::FreeAddresses(8192);
  CUdeviceptr address = 0;
  ASSERT_EQ(custom::cuMemAllocAsync(&address, 4096, kPoolStream), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuMemFreeAsync(address, kPoolStream), CUDA_SUCCESS);
  EXPECT_TRUE(memory_.IsDeviceAddress(address));
  // The worker gives them again.
  ASSERT_EQ(custom::cuMemAllocAsync(&address, 8192, kPoolStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAllocAsync?", "cuMemFreeAsync", "cuMemAllocAsync?"}));
}

TEST_F(MemoryPoolsTest, AnAddressThatThisProcessUsesIsSetAside) {
  void* const own = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::vector<uint64_t> addresses = {reinterpret_cast<uint64_t>(own), address_};
  size_t next = 0;
  worker_.On("cuMemAllocAsync", [&](const auto&) { return FakeWorker::With(addresses[next++]); });
  worker_.On("outboardMemPoolSetAside", [&](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(0), addresses[0]);
    EXPECT_EQ(seen.At(1), 1024u);
    EXPECT_EQ(seen.At(2), reinterpret_cast<uint64_t>(kPoolStream));
    return FakeWorker::Answer{};
  });
  CUdeviceptr address = 0;
  EXPECT_EQ(custom::cuMemAllocAsync(&address, 1024, kPoolStream), CUDA_SUCCESS);
  EXPECT_EQ(address, addresses[1]);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAllocAsync?", "outboardMemPoolSetAside?", "cuMemAllocAsync?"}));
  munmap(own, 4096);
}

TEST_F(MemoryPoolsTest, WhatMayNotBeFreedWaitsForTheAnswer) {
  CUdeviceptr address = 0;
  ASSERT_EQ(custom::cuMemAllocAsync(&address, 1024, kPoolStream), CUDA_SUCCESS);
  worker_.On("cuMemFreeAsync", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(custom::cuMemFreeAsync(address + 512, kPoolStream), CUDA_ERROR_INVALID_VALUE);
  const auto stream = reinterpret_cast<CUstream>(wire::MakeHandle(wire::HandleKind::kStream, 7, 7));
  EXPECT_EQ(custom::cuMemFreeAsync(address, stream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(memory_.FindDevice(address)) << "it was not freed";
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAllocAsync?", "cuMemFreeAsync?", "cuMemFreeAsync?"}));
}

TEST_F(MemoryPoolsTest, WhatOthersHaveMayBeRefusedToBeFreed) {
  const CUmemoryPool pool = NewPool();
  CUdeviceptr address = 0;
  ASSERT_EQ(custom::cuMemAllocFromPoolAsync(&address, 1024, pool, kPoolStream), CUDA_SUCCESS);
  memory_.NoteExported(address);
  worker_.TakeSeen();
  const auto refuse = [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_OUT_OF_MEMORY}; };
  worker_.On("cuMemFreeAsync", refuse);
  worker_.On("cuMemFree_v2", refuse);
  EXPECT_EQ(custom::cuMemFreeAsync(address, kPoolStream), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(custom::cuMemFree_v2(address), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_TRUE(memory_.FindDevice(address)) << "it was not freed";
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemFreeAsync?", "cuMemFree_v2?"}));
  EXPECT_EQ(custom::cuMemPoolDestroy(pool), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, MemoryOfAPoolOutlivesTheContext) {
  CUdeviceptr address = 0;
  ASSERT_EQ(custom::cuMemAllocAsync(&address, 1024, kPoolStream), CUDA_SUCCESS);
  memory_.ForgetContext(worker_.context());
  EXPECT_TRUE(memory_.FindDevice(address));
  EXPECT_FALSE(memory_.Has(worker_.context(), 1, address, 1)) << "for another device it proves nothing";
}

TEST_F(MemoryPoolsTest, PoolsAreMadeFoundAndDestroyed) {
  const CUmemoryPool pool = NewPool();
  const auto created = worker_.TakeSeen();
  ASSERT_EQ(created.size(), 1u);
  EXPECT_EQ(created[0].name, "outboardMemPoolCreate");
  EXPECT_EQ(created[0].At(0), reinterpret_cast<uint64_t>(pool));
  EXPECT_EQ(created[0].At(2), 4096u);

  CUdeviceptr address = 0;
  CUmemoryPool now = nullptr;
  ASSERT_EQ(custom::cuMemAllocFromPoolAsync(&address, 1024, pool, kPoolStream), CUDA_SUCCESS);
  EXPECT_EQ(PoolOf(address), pool);
  EXPECT_EQ(custom::cuDeviceSetMemPool(0, pool), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuDeviceGetMemPool(&now, 0), CUDA_SUCCESS);
  EXPECT_EQ(now, pool);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAllocFromPoolAsync?", "cuDeviceSetMemPool"}));

  EXPECT_EQ(custom::cuMemPoolDestroy(pool), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuDeviceGetMemPool(&now, 0), CUDA_SUCCESS);
  EXPECT_NE(now, pool);
  CUmemoryPool initial = nullptr;
  EXPECT_EQ(custom::cuDeviceGetDefaultMemPool(&initial, 0), CUDA_SUCCESS);
  EXPECT_EQ(now, initial);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemPoolDestroy", "cuDeviceGetDefaultMemPool?"})) << "it is asked for once";

  worker_.On("cuMemPoolDestroy", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(custom::cuMemPoolDestroy(pool), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemPoolDestroy(initial), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuDeviceSetMemPool(0, initial), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemPoolDestroy?", "cuMemPoolDestroy?", "cuDeviceSetMemPool"}));
}

TEST_F(MemoryPoolsTest, AttributesHaveTheirTypes) {
  const CUmemoryPool pool = NewPool();
  struct {
    int value = -1, behind = 0x5a5a5a5a;
  } truth;
  uint64_t threshold = uint64_t{1} << 40, one = 1;
  worker_.On("outboardMemPoolGetAttribute", [](const auto&) { return FakeWorker::With(uint64_t{1}); });
  EXPECT_EQ(custom::cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &truth), CUDA_SUCCESS);
  EXPECT_EQ(truth.value, 1);
  EXPECT_EQ(truth.behind, 0x5a5a5a5a);
  EXPECT_EQ(custom::cuMemPoolGetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, nullptr), CUDA_ERROR_INVALID_VALUE);
  worker_.TakeSeen();

  truth.value = 0;
  EXPECT_EQ(custom::cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC, &truth), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &threshold), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_USED_MEM_HIGH, &one), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 3u);
  EXPECT_EQ(seen[0].At(2), 0u);
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[1].At(2), threshold);
  EXPECT_FALSE(seen[1].waits);
  EXPECT_TRUE(seen[2].waits) << "whether that may be set, the driver says";
  EXPECT_EQ(custom::cuMemPoolDestroy(pool), CUDA_SUCCESS);
}

TEST_F(MemoryPoolsTest, OnlyPoolsOfDevicesAreAskedFor) {
  CUmemoryPool pool = nullptr;
  CUmemLocation location{CU_MEM_LOCATION_TYPE_HOST, 0};
  CUmemPoolProps props{};
  props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
  props.location = location;
  EXPECT_EQ(custom::cuMemPoolCreate(&pool, &props), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(custom::cuMemGetMemPool(&pool, &location, CU_MEM_ALLOCATION_TYPE_PINNED), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(custom::cuMemGetDefaultMemPool(&pool, nullptr, CU_MEM_ALLOCATION_TYPE_PINNED), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

}  // namespace
}  // namespace outboard::shim
