#include "client/shim/virtual_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <span>
#include <string>
#include <vector>

#include "client/shim/custom.gen.h"
#include "common/api/driver_api.h"
#include "common/libcuda/shareable_handle.h"
#include "common/libcuda/virtual_memory.h"
#include "tests/fakes/free_addresses.h"
#include "tests/unit/shim_memory/fake_worker.h"

namespace outboard::shim {
namespace {

using Names = std::vector<std::string>;
constexpr size_t kPiece = kVirtualGranularity;
const CUstream kVirtualStream = CU_STREAM_LEGACY;

class VirtualMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(worker_.init_result(), CUDA_SUCCESS);
    worker_.Reset();
    range_ = fakes::FreeAddresses(8 * kPiece, kPiece);
    worker_.On("cuMemAddressReserve", [this](const auto&) { return FakeWorker::With(range_); });
    ASSERT_EQ(custom::cuMemAddressReserve(&given_, 8 * kPiece, 0, 0, 0), CUDA_SUCCESS);
    ASSERT_EQ(given_, range_);
  }
  void TearDown() override {
    worker_.Reset();
    for (CUdeviceptr piece = range_; piece < range_ + 8 * kPiece; piece += kPiece) custom::cuMemUnmap(piece, kPiece);
    EXPECT_EQ(custom::cuMemAddressFree(range_, 8 * kPiece), CUDA_SUCCESS);
    worker_.Reset();
  }

  static CUmemAllocationProp Properties() {
    CUmemAllocationProp properties{};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, 0};
    return properties;
  }
  static CUmemGenericAllocationHandle Create() {
    const CUmemAllocationProp properties = Properties();
    CUmemGenericAllocationHandle memory = 0;
    EXPECT_EQ(custom::cuMemCreate(&memory, kPiece, &properties, 0), CUDA_SUCCESS);
    return memory;
  }
  static CUresult SetAccess(CUdeviceptr address, size_t bytes,
                            CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
    const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, 0}, flags};
    return custom::cuMemSetAccess(address, bytes, &access, 1);
  }
  // Memory of its own, open, that lives until it is unmapped.
  static void MapNew(CUdeviceptr address) {
    const auto memory = Create();
    EXPECT_EQ(custom::cuMemMap(address, kPiece, 0, memory, 0), CUDA_SUCCESS);
    EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
    EXPECT_EQ(SetAccess(address, kPiece), CUDA_SUCCESS);
  }

  FakeWorker& worker_ = FakeWorker::Get();
  Memory& memory_ = Process::Get().memory();
  CUdeviceptr range_ = 0, given_ = 0;
};

TEST_F(VirtualMemoryTest, ARangeIsReservedHereAndTold) {
  EXPECT_TRUE(memory_.IsDeviceAddress(range_ + 8 * kPiece - 1));
  EXPECT_FALSE(memory_.IsDeviceMemory(range_));
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].At(1), 8 * kPiece);
}

TEST_F(VirtualMemoryTest, ARangeThatThisProcessUsesStaysWithTheWorker) {
  void* const own = mmap(nullptr, kPiece, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const CUdeviceptr addresses[] = {reinterpret_cast<CUdeviceptr>(own), fakes::FreeAddresses(kPiece, kPiece)};
  size_t next = 0;
  worker_.On("cuMemAddressReserve", [&](const auto&) { return FakeWorker::With(addresses[next++]); });
  worker_.TakeSeen();
  CUdeviceptr range = 0;
  ASSERT_EQ(custom::cuMemAddressReserve(&range, kPiece, 0, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(range, addresses[1]);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAddressReserve?", "cuMemAddressReserve?"}));
  EXPECT_EQ(custom::cuMemAddressFree(range, kPiece), CUDA_SUCCESS);
  EXPECT_FALSE(memory_.IsDeviceAddress(range));
  munmap(own, kPiece);
}

TEST_F(VirtualMemoryTest, AfterMemoryIsThereNobodyWaits) {
  worker_.TakeSeen();
  const auto memory = Create();
  EXPECT_EQ(custom::cuMemMap(range_, kPiece, 0, memory, 0), CUDA_SUCCESS);
  EXPECT_EQ(SetAccess(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemsetD8Async(range_ + 100, 1, kPiece - 100, kVirtualStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemCreate?", "cuMemMap", "cuMemSetAccess", "cuMemsetD8Async"}));
  EXPECT_EQ(custom::cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemUnmap?", "cuMemRelease"}));
}

TEST_F(VirtualMemoryTest, WorkOverNeighboursIsCertain) {
  MapNew(range_);
  MapNew(range_ + kPiece);
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemsetD8Async(range_ + kPiece - 8, 1, 16, kVirtualStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyDtoDAsync_v2(range_ + kPiece - 8, range_, 16, kVirtualStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemsetD8Async", "cuMemcpyDtoDAsync_v2"}));
  EXPECT_EQ(custom::cuMemsetD8Async(range_ + 2 * kPiece - 8, 1, 16, kVirtualStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemsetD8Async?"})) << "past what is mapped";
}

TEST_F(VirtualMemoryTest, WithoutFullAccessWorkIsTheDriversToAccept) {
  const auto memory = Create();
  ASSERT_EQ(custom::cuMemMap(range_, kPiece, 0, memory, 0), CUDA_SUCCESS);
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemsetD8Async(range_, 1, 8, kVirtualStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemsetD8Async?"}));
  EXPECT_EQ(SetAccess(range_, kPiece, CU_MEM_ACCESS_FLAGS_PROT_READ), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemsetD8Async(range_, 1, 8, kVirtualStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemSetAccess?", "cuMemsetD8Async?"}));
  // What may be read is read, without asking first.
  std::vector<unsigned char> bytes(8);
  worker_.On("outboardRead", [](const auto&) { return FakeWorker::With(uint64_t{7}); });
  EXPECT_EQ(custom::cuMemcpyDtoH_v2(kVirtualStream, bytes.data(), range_, 8), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardRead?"}));
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, AccessThatIsRefusedIsNone) {
  MapNew(range_);
  worker_.On("cuMemSetAccess", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_NOT_SUPPORTED}; });
  EXPECT_EQ(SetAccess(range_, kPiece, CU_MEM_ACCESS_FLAGS_PROT_READ), CUDA_ERROR_NOT_SUPPORTED);
  unsigned long long flags = 0;
  const CUmemLocation device{CU_MEM_LOCATION_TYPE_DEVICE, 0};
  EXPECT_EQ(custom::cuMemGetAccess(&flags, &device, range_), CUDA_SUCCESS);
  EXPECT_EQ(flags, unsigned{CU_MEM_ACCESS_FLAGS_PROT_READWRITE});
}

TEST_F(VirtualMemoryTest, MemoryIsReleasedWithItsLastUserAndMapping) {
  const auto memory = Create();
  ASSERT_EQ(custom::cuMemMap(range_, kPiece, 0, memory, 0), CUDA_SUCCESS);
  ASSERT_EQ(custom::cuMemMap(range_ + kPiece, kPiece, 0, memory, 0), CUDA_SUCCESS);
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), Names{});
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemMap(range_ + 2 * kPiece, kPiece, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);
  CUmemGenericAllocationHandle again = 0;
  EXPECT_EQ(custom::cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(range_ + 5)), CUDA_SUCCESS);
  EXPECT_EQ(again, memory);
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemUnmap?"})) << "it is mapped elsewhere";
  EXPECT_EQ(custom::cuMemUnmap(range_ + kPiece, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemUnmap?", "cuMemRelease"}));
  EXPECT_EQ(custom::cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(range_)), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(VirtualMemoryTest, AnUnmappingThatIsNotCarriedOutLeavesTheMapping) {
  MapNew(range_);
  worker_.On("cuMemUnmap", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_NOT_PERMITTED}; });
  EXPECT_EQ(custom::cuMemUnmap(range_, kPiece), CUDA_ERROR_NOT_PERMITTED);
  EXPECT_TRUE(memory_.IsDeviceMemory(range_));
  EXPECT_EQ(custom::cuMemAddressFree(range_, 8 * kPiece), CUDA_ERROR_INVALID_VALUE) << "it is in use";
}

TEST_F(VirtualMemoryTest, WhatNoDriverAcceptsIsNotSent) {
  const auto memory = Create();
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemMap(range_ + 8 * kPiece, kPiece, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemMap(range_, kPiece, kPiece, memory, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemMap(range_, kPiece, 0, memory + 1, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemUnmap(range_, kPiece), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(SetAccess(range_, kPiece), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(worker_.TakeNames(), Names{});
  // A piece of the memory's is the driver's to accept.
  worker_.On("cuMemMap", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(custom::cuMemMap(range_, kPiece / 2, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_FALSE(memory_.IsDeviceMemory(range_));
  EXPECT_EQ(worker_.TakeNames(), Names{"cuMemMap?"});
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, NoPointerOfTheProgramTravels) {
  CUmemAllocationProp properties = Properties();
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.win32HandleMetaData = &properties;
  CUmemGenericAllocationHandle memory = 0;
  EXPECT_EQ(custom::cuMemCreate(&memory, kPiece, &properties, 0), CUDA_ERROR_INVALID_VALUE);
  properties.win32HandleMetaData = nullptr;
  EXPECT_EQ(custom::cuMemCreate(&memory, kPiece, &properties, 0), CUDA_SUCCESS);
  CUmemAllocationProp told{};
  EXPECT_EQ(custom::cuMemGetAllocationPropertiesFromHandle(&told, memory), CUDA_SUCCESS);
  EXPECT_EQ(told.requestedHandleTypes, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, SynchronousCallsWaitWhereThatIsAskedFor) {
  MapNew(range_);
  const unsigned on = 1;
  EXPECT_EQ(custom::cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, range_ + 9), CUDA_SUCCESS);
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemsetD8_v2(kVirtualStream, range_, 1, 8), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemsetD8Async", "cuStreamSynchronize?"}));
}

class SharedMemoryTest : public VirtualMemoryTest {
 protected:
  void SetUp() override {
    VirtualMemoryTest::SetUp();
    worker_.On("outboardMemExport", [](const auto&) { return FakeWorker::With(kShare); });
    worker_.On("outboardMemImport", [](const auto&) { return FakeWorker::With(size_t{kPiece}, CUdevice{0}); });
    CUmemAllocationProp properties = Properties();
    properties.requestedHandleTypes = kDescriptor;
    ASSERT_EQ(custom::cuMemCreate(&memory_handle_, kPiece, &properties, 0), CUDA_SUCCESS);
    worker_.TakeSeen();
  }
  int Export() {
    int descriptor = -1;
    EXPECT_EQ(custom::cuMemExportToShareableHandle(&descriptor, memory_handle_, kDescriptor, 0), CUDA_SUCCESS);
    return descriptor;
  }
  static CUresult Import(int descriptor, CUmemGenericAllocationHandle* memory) {
    void* const handle = reinterpret_cast<void*>(static_cast<uintptr_t>(descriptor));
    return custom::cuMemImportFromShareableHandle(memory, handle, kDescriptor);
  }

  static constexpr auto kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  static constexpr OutboardShare kShare{{'O', 'B'}, 0, 1, 2, 3};
  CUmemGenericAllocationHandle memory_handle_ = 0;
};

TEST_F(SharedMemoryTest, TheWorkerIsAskedForANameOnce) {
  const int first = Export(), second = Export();
  EXPECT_NE(first, second);
  CUmemGenericAllocationHandle own = 0;
  EXPECT_EQ(Import(second, &own), CUDA_SUCCESS);
  EXPECT_EQ(own, memory_handle_);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardMemExport?"}));
  close(first);
  close(second);
  EXPECT_EQ(custom::cuMemRelease(own), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{})) << "it has a user more";
  EXPECT_EQ(custom::cuMemRelease(memory_handle_), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemRelease?"})) << "others may be told that it is gone";
}

// The other process may be told as soon as the call has returned.
TEST_F(SharedMemoryTest, ASynchronousCopyToSharedMemoryWaits) {
  const std::vector<std::byte> bytes(64);
  ASSERT_EQ(custom::cuMemMap(range_, kPiece, 0, memory_handle_, 0), CUDA_SUCCESS);
  ASSERT_EQ(SetAccess(range_, kPiece), CUDA_SUCCESS);
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kVirtualStream, range_, bytes.data(), bytes.size()), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWrite", "outboardFinishWrite"}));
  close(Export());
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kVirtualStream, range_, bytes.data(), bytes.size()), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWrite", "cuStreamSynchronize?"}));
  EXPECT_EQ(custom::cuMemRelease(memory_handle_), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemUnmap?", "cuMemRelease?"}));
}

TEST_F(SharedMemoryTest, MemoryOfAnotherProcessIsImportedOnce) {
  const OutboardShare other{{'O', 'B'}, 0, 5, 6, 7};
  const int descriptor = MakeShareable(std::as_bytes(std::span(&other, 1)));
  CUmemGenericAllocationHandle memory = 0, again = 0;
  ASSERT_EQ(Import(descriptor, &memory), CUDA_SUCCESS);
  ASSERT_EQ(Import(descriptor, &again), CUDA_SUCCESS);
  EXPECT_EQ(memory, again);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardMemImport?"}));
  const int reexported = [&] {
    int out = -1;
    EXPECT_EQ(custom::cuMemExportToShareableHandle(&out, memory, kDescriptor, 0), CUDA_SUCCESS);
    return out;
  }();
  EXPECT_EQ(worker_.TakeNames(), (Names{})) << "it has a name";
  for (int i = 0; i < 2; ++i) EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemRelease?"}));
  EXPECT_EQ(Import(reexported, &memory), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardMemImport?"})) << "the worker knows whether it is still there";
  EXPECT_EQ(custom::cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemRelease(memory_handle_), CUDA_SUCCESS);
  close(descriptor);
  close(reexported);
}

TEST_F(SharedMemoryTest, WhatIsNoDescriptorOfOursIsNotSent) {
  CUmemGenericAllocationHandle memory = 0;
  const OutboardShare share{};
  const int short_one = MakeShareable(std::as_bytes(std::span(&share, 1)).first(8));
  const int unsealed = memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(write(unsealed, &share, sizeof share), ssize_t{sizeof share});
  for (const int descriptor : {short_one, unsealed, -1, 1 << 20}) {
    EXPECT_EQ(Import(descriptor, &memory), CUDA_ERROR_INVALID_VALUE) << descriptor;
  }
  EXPECT_EQ(Import(short_one, nullptr), CUDA_ERROR_INVALID_VALUE);
  void* const nowhere = nullptr;
  EXPECT_EQ(custom::cuMemImportFromShareableHandle(&memory, nowhere, CU_MEM_HANDLE_TYPE_FABRIC),
            CUDA_ERROR_NOT_SUPPORTED);
  int out = -1;
  EXPECT_EQ(custom::cuMemExportToShareableHandle(&out, memory_handle_ + 1, kDescriptor, 0), CUDA_ERROR_INVALID_VALUE);
  const auto plain = Create();
  worker_.TakeSeen();
  EXPECT_EQ(custom::cuMemExportToShareableHandle(&out, plain, kDescriptor, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(worker_.TakeNames(), (Names{}));
  EXPECT_EQ(custom::cuMemRelease(plain), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemRelease(memory_handle_), CUDA_SUCCESS);
  close(short_one);
  close(unsealed);
}

// The exported names lead here.
TEST_F(SharedMemoryTest, ExportedNames) {
  CUmemGenericAllocationHandle memory = 0;
  CUmemoryPool pool = nullptr;
  CUdeviceptr address = 0;
  CUmemPoolPtrExportData data;
  EXPECT_EQ(cuMemExportToShareableHandle(nullptr, memory_handle_, kDescriptor, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemImportFromShareableHandle(&memory, nullptr, CU_MEM_HANDLE_TYPE_NONE), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolExportToShareableHandle(nullptr, pool, kDescriptor, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolImportFromShareableHandle(&pool, nullptr, kDescriptor, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolExportPointer(&data, range_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemPoolImportPointer(&address, pool, &data), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(worker_.TakeNames(), (Names{}));
  EXPECT_EQ(custom::cuMemRelease(memory_handle_), CUDA_SUCCESS);
}

TEST_F(SharedMemoryTest, APoolOfAnotherProcessAllocatesNothing) {
  const OutboardShare share{{'O', 'B'}, 0, 5, 6, 7};
  const int descriptor = MakeShareable(std::as_bytes(std::span(&share, 1)));
  void* const handle = reinterpret_cast<void*>(static_cast<uintptr_t>(descriptor));
  const CUdeviceptr place = fakes::FreeAddresses(kPiece, kPiece);
  worker_.On("outboardMemPoolImport", [](const auto&) { return FakeWorker::With(CUdevice{0}); });
  worker_.On("outboardMemPoolImportPointer", [&](const auto&) { return FakeWorker::With(place, size_t{kPiece}); });
  CUmemoryPool pool = nullptr;
  ASSERT_EQ(custom::cuMemPoolImportFromShareableHandle(&pool, handle, kDescriptor, 0), CUDA_SUCCESS);
  int out = -1;
  EXPECT_EQ(custom::cuMemPoolExportToShareableHandle(&out, pool, kDescriptor, 0), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr address = 0;
  CUmemPoolPtrExportData data{};
  ASSERT_EQ(custom::cuMemPoolImportPointer(&address, pool, &data), CUDA_SUCCESS);
  EXPECT_EQ(address, place);
  EXPECT_TRUE(memory_.IsDeviceAddress(place));
  EXPECT_TRUE(memory_.SyncsMemops(place));
  worker_.TakeSeen();
  custom::cuDeviceSetMemPool(0, pool);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuDeviceSetMemPool?"})) << "no driver accepts that";
  EXPECT_EQ(custom::cuMemFreeAsync(place, kVirtualStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemPoolDestroy(pool), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemFreeAsync", "cuMemPoolDestroy"}));
  EXPECT_EQ(custom::cuMemRelease(memory_handle_), CUDA_SUCCESS);
  close(descriptor);
}

}  // namespace
}  // namespace outboard::shim
