#include "tests/unit/softgpu_api/driver_under_test.h"

#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/fakes/texture_kernels.h"

// Virtual memory management: who may touch what, how long memory lives, and what is said of an address.

namespace outboard::softgpu::api {
namespace {

constexpr size_t kPiece = size_t{2} << 20;

class VirtualMemoryTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuModuleLoadData(&module_, kTestPtx), CUDA_SUCCESS);
    ASSERT_EQ(cuModuleGetFunction(&store_, module_, "store"), CUDA_SUCCESS);
    before_ = FreeBytes();
    ASSERT_EQ(cuMemAddressReserve(&range_, 4 * kPiece, 0, 0, 0), CUDA_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cuMemAddressFree(range_, 4 * kPiece), CUDA_SUCCESS);
    EXPECT_EQ(FreeBytes(), before_);
    EXPECT_EQ(cuModuleUnload(module_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  static size_t FreeBytes() {
    size_t free = 0, total = 0;
    EXPECT_EQ(cuMemGetInfo_v2(&free, &total), CUDA_SUCCESS);
    return free;
  }
  static CUmemAllocationProp Properties(int device = 0) {
    CUmemAllocationProp properties{};
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location = {CU_MEM_LOCATION_TYPE_DEVICE, device};
    return properties;
  }
  static CUmemGenericAllocationHandle Create(int device = 0, size_t bytes = kPiece) {
    const CUmemAllocationProp properties = Properties(device);
    CUmemGenericAllocationHandle memory = 0;
    EXPECT_EQ(cuMemCreate(&memory, bytes, &properties, 0), CUDA_SUCCESS);
    return memory;
  }
  static void SetAccess(CUdeviceptr address, size_t bytes, int device = 0,
                        CUmemAccess_flags flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE) {
    const CUmemAccessDesc access{{CU_MEM_LOCATION_TYPE_DEVICE, device}, flags};
    EXPECT_EQ(cuMemSetAccess(address, bytes, &access, 1), CUDA_SUCCESS);
  }
  // Memory of its own at `address`, which lives until it is unmapped.
  static void MapNew(CUdeviceptr address, int device = 0) {
    const CUmemGenericAllocationHandle memory = Create(device);
    EXPECT_EQ(cuMemMap(address, kPiece, 0, memory, 0), CUDA_SUCCESS);
    EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  }
  CUresult Store(CUdeviceptr address, unsigned value) {
    void* parameters[] = {&address, &value};
    const CUresult launched = cuLaunchKernel(store_, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr);
    return launched == CUDA_SUCCESS ? cuCtxSynchronize() : launched;
  }
  static unsigned Load(CUdeviceptr address) {
    unsigned value = 0;
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, address, sizeof value), CUDA_SUCCESS);
    return value;
  }
  template <class T>
  static T Attribute(CUpointer_attribute attribute, CUdeviceptr address) {
    T value{};
    EXPECT_EQ(cuPointerGetAttribute(&value, attribute, address), CUDA_SUCCESS) << attribute;
    return value;
  }

  size_t before_ = 0;
  CUdeviceptr range_ = 0;
  CUmodule module_ = nullptr;
  CUfunction store_ = nullptr;
};

TEST_F(VirtualMemoryTest, KernelsUseMappedMemory) {
  MapNew(range_ + kPiece);
  SetAccess(range_ + kPiece, kPiece);
  EXPECT_EQ(Store(range_ + 2 * kPiece - 4, 7), CUDA_SUCCESS);
  EXPECT_EQ(Load(range_ + 2 * kPiece - 4), 7u);
  EXPECT_EQ(cuMemUnmap(range_ + kPiece, kPiece), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, CopiesAndSetsRunOverNeighbours) {
  for (int i = 0; i < 3; ++i) MapNew(range_ + i * kPiece);
  SetAccess(range_, 3 * kPiece);
  std::vector<unsigned char> there(2 * kPiece), back(2 * kPiece);
  for (size_t i = 0; i < there.size(); ++i) there[i] = static_cast<unsigned char>(i * 7 + i / 251);
  ASSERT_EQ(cuMemcpyHtoD_v2(range_ + kPiece / 2, there.data(), there.size()), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoH_v2(back.data(), range_ + kPiece / 2, back.size()), CUDA_SUCCESS);
  EXPECT_EQ(back, there);
  ASSERT_EQ(cuMemsetD8_v2(range_ + kPiece - 8, 9, 16), CUDA_SUCCESS);
  EXPECT_EQ(Load(range_ + kPiece), 0x09090909u);
  EXPECT_EQ(cuMemUnmap(range_, 3 * kPiece), CUDA_SUCCESS) << "all of them at a time";
}

TEST_F(VirtualMemoryTest, TexturesReadWhatIsMappedWhenAKernelReadsThem) {
  for (int i = 0; i < 2; ++i) MapNew(range_ + i * kPiece);
  SetAccess(range_, 2 * kPiece);
  const unsigned values[2] = {41, 42};
  ASSERT_EQ(cuMemcpyHtoD_v2(range_ + kPiece - 4, values, sizeof values), CUDA_SUCCESS);
  CUmodule kernels;
  CUfunction fetch;
  CUdeviceptr to;
  ASSERT_EQ(cuModuleLoadData(&kernels, fakes::kTextureKernels), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&fetch, kernels, "fetch"), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&to, 16), CUDA_SUCCESS);
  CUDA_RESOURCE_DESC resource{};
  resource.resType = CU_RESOURCE_TYPE_LINEAR;
  resource.res.linear.devPtr = range_;
  resource.res.linear.format = CU_AD_FORMAT_UNSIGNED_INT32;
  resource.res.linear.numChannels = 1;
  resource.res.linear.sizeInBytes = 3 * kPiece;
  const CUDA_TEXTURE_DESC reading{};
  CUtexObject texture;
  ASSERT_EQ(cuTexObjectCreate(&texture, &resource, &reading, nullptr), CUDA_SUCCESS);
  const auto read = [&](int x) {
    void* parameters[] = {&to, &texture, &x};
    EXPECT_EQ(cuLaunchKernel(fetch, 1, 1, 1, 1, 1, 1, 0, nullptr, parameters, nullptr), CUDA_SUCCESS);
    return Load(to);
  };
  constexpr int kLast = kPiece / 4 - 1;  // element of the first piece
  EXPECT_EQ(read(kLast), 41u);
  EXPECT_EQ(read(kLast + 1), 42u);
  // Other memory in the same place.
  ASSERT_EQ(cuMemUnmap(range_ + kPiece, kPiece), CUDA_SUCCESS);
  MapNew(range_ + kPiece);
  SetAccess(range_ + kPiece, kPiece);
  const unsigned other = 43;
  ASSERT_EQ(cuMemcpyHtoD_v2(range_ + kPiece, &other, 4), CUDA_SUCCESS);
  EXPECT_EQ(read(kLast + 1), 43u);
  ASSERT_EQ(cuTexObjectDestroy(texture), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(to), CUDA_SUCCESS);
  EXPECT_EQ(cuMemUnmap(range_, 2 * kPiece), CUDA_SUCCESS);
  EXPECT_EQ(cuModuleUnload(kernels), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, MemoryIsMappedTwiceAndMoves) {
  const CUmemGenericAllocationHandle memory = Create();
  for (const CUdeviceptr address : {range_, range_ + 2 * kPiece}) {
    ASSERT_EQ(cuMemMap(address, kPiece, 0, memory, 0), CUDA_SUCCESS);
    SetAccess(address, kPiece);
  }
  EXPECT_EQ(Store(range_ + 4, 5), CUDA_SUCCESS);
  EXPECT_EQ(Load(range_ + 2 * kPiece + 4), 5u);
  EXPECT_EQ(Attribute<uint64_t>(CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, range_),
            Attribute<uint64_t>(CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID, range_ + 2 * kPiece));
  EXPECT_NE(Attribute<uint64_t>(CU_POINTER_ATTRIBUTE_BUFFER_ID, range_),
            Attribute<uint64_t>(CU_POINTER_ATTRIBUTE_BUFFER_ID, range_ + 2 * kPiece));
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(range_ + 2 * kPiece, kPiece), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(range_ + kPiece, kPiece, 0, memory, 0), CUDA_SUCCESS);
  SetAccess(range_ + kPiece, kPiece);
  EXPECT_EQ(Load(range_ + kPiece + 4), 5u) << "unmapped memory keeps what is in it";
  ASSERT_EQ(cuMemUnmap(range_ + kPiece, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, MemoryLivesAsLongAsItsHandleOrAMapping) {
  const CUmemGenericAllocationHandle memory = Create();
  EXPECT_EQ(FreeBytes(), before_ - kPiece);
  ASSERT_EQ(cuMemMap(range_, kPiece, 0, memory, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before_ - kPiece);
  EXPECT_EQ(cuMemMap(range_ + kPiece, kPiece, 0, memory, 0), CUDA_ERROR_INVALID_VALUE);

  CUmemGenericAllocationHandle again = 0;
  ASSERT_EQ(cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(range_ + 100)), CUDA_SUCCESS);
  EXPECT_EQ(again, memory);
  ASSERT_EQ(cuMemRetainAllocationHandle(&again, reinterpret_cast<void*>(range_)), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before_ - kPiece) << "one user is left";
  EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before_);
  EXPECT_EQ(cuMemRelease(memory), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(VirtualMemoryTest, ARangeIsFarLargerThanTheDevice) {
  CUdeviceptr large = 0;
  ASSERT_EQ(cuMemAddressReserve(&large, size_t{1} << 40, size_t{1} << 30, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(large % (size_t{1} << 30), 0u);
  const CUdeviceptr end = large + (size_t{1} << 40);
  MapNew(end - kPiece);
  SetAccess(end - kPiece, kPiece);
  EXPECT_EQ(Store(end - 4, 3), CUDA_SUCCESS);
  EXPECT_EQ(Load(end - 4), 3u);
  ASSERT_EQ(cuMemUnmap(end - kPiece, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(cuMemAddressFree(large, size_t{1} << 40), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, WhatADeviceHasIsGivenTwice) {
  const CUmemAllocationProp properties = Properties();
  for (int turn = 0; turn < 2; ++turn) {
    std::vector<CUmemGenericAllocationHandle> memories;
    CUmemGenericAllocationHandle memory = 0;
    while (cuMemCreate(&memory, 4 * kPiece, &properties, 0) == CUDA_SUCCESS) memories.push_back(memory);
    EXPECT_EQ(memories.size(), before_ / (4 * kPiece));
    for (const CUmemGenericAllocationHandle each : memories) EXPECT_EQ(cuMemRelease(each), CUDA_SUCCESS);
  }
}

// What pools keep and nobody uses is given to others.
TEST_F(VirtualMemoryTest, MemoryComesOutOfIdlePools) {
  CUmemoryPool pool;
  ASSERT_EQ(cuDeviceGetDefaultMemPool(&pool, 0), CUDA_SUCCESS);
  uint64_t all = UINT64_MAX, none = 0;
  ASSERT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all), CUDA_SUCCESS);
  CUdeviceptr address;
  ASSERT_EQ(cuMemAllocAsync(&address, before_ - kPiece, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemFreeAsync(address, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), kPiece);
  EXPECT_EQ(cuMemRelease(Create(0, 4 * kPiece)), CUDA_SUCCESS);
  ASSERT_EQ(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &none), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, AccessIsTheDevicesThatGotIt) {
  MapNew(range_, 1);
  SetAccess(range_, kPiece, 1);
  EXPECT_EQ(cuMemsetD8_v2(range_, 1, 4), CUDA_ERROR_INVALID_VALUE) << "this is device 0";
  SetAccess(range_, kPiece, 0, CU_MEM_ACCESS_FLAGS_PROT_READ);
  EXPECT_EQ(cuMemsetD8_v2(range_, 1, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyDtoD_v2(range_ + 8, range_, 8), CUDA_ERROR_INVALID_VALUE);
  Load(range_);
  SetAccess(range_, kPiece, 0);
  EXPECT_EQ(Store(range_, 6), CUDA_SUCCESS);
  EXPECT_EQ(Load(range_), 6u);

  CUcontext other;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 1), CUDA_SUCCESS);
  EXPECT_EQ(Load(range_), 6u);
  ASSERT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, AnAddressTellsOfRangeAndMapping) {
  MapNew(range_ + kPiece, 1);
  SetAccess(range_ + kPiece, kPiece, 0, CU_MEM_ACCESS_FLAGS_PROT_READ);
  const CUdeviceptr address = range_ + kPiece + 12;
  EXPECT_EQ(Attribute<CUdeviceptr>(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, address), range_);
  EXPECT_EQ(Attribute<size_t>(CU_POINTER_ATTRIBUTE_RANGE_SIZE, address), 4 * kPiece);
  EXPECT_EQ(Attribute<CUdeviceptr>(CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR, address), range_ + kPiece);
  EXPECT_EQ(Attribute<size_t>(CU_POINTER_ATTRIBUTE_MAPPING_SIZE, address), kPiece);
  EXPECT_EQ(Attribute<unsigned>(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, address), unsigned{CU_MEMORYTYPE_DEVICE});
  EXPECT_EQ(Attribute<int>(CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, address), 1);
  EXPECT_EQ(Attribute<CUdeviceptr>(CU_POINTER_ATTRIBUTE_DEVICE_POINTER, address), address);
  EXPECT_EQ(Attribute<CUcontext>(CU_POINTER_ATTRIBUTE_CONTEXT, address), nullptr);
  EXPECT_EQ(Attribute<unsigned>(CU_POINTER_ATTRIBUTE_ACCESS_FLAGS, address),
            unsigned{CU_POINTER_ATTRIBUTE_ACCESS_FLAG_READ});
  EXPECT_TRUE(Attribute<bool>(CU_POINTER_ATTRIBUTE_MAPPED, address));
  CUdeviceptr begin = 0;
  size_t size = 0;
  EXPECT_EQ(cuMemGetAddressRange_v2(&begin, &size, address), CUDA_SUCCESS);
  EXPECT_EQ(begin, range_ + kPiece);
  EXPECT_EQ(size, kPiece);

  EXPECT_FALSE(Attribute<bool>(CU_POINTER_ATTRIBUTE_MAPPED, range_));
  EXPECT_EQ(Attribute<CUdeviceptr>(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, range_), range_);
  int device = 0;
  EXPECT_EQ(cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, range_), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuMemUnmap(range_ + kPiece, kPiece), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, StreamsWaitForValuesInMappedMemory) {
  MapNew(range_);
  SetAccess(range_, kPiece);
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32_v2(stream, range_ + 64, 3, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(stream, range_ + 68, 4, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(Store(range_ + 64, 3), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(Load(range_ + 68), 4u);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
}

// A program's mistake: what is still to run when its memory and even its addresses go touches nobody's memory.
TEST_F(VirtualMemoryTest, WorkThatIsLeftBehindHarmsNobody) {
  CUdeviceptr range = 0;
  ASSERT_EQ(cuMemAddressReserve(&range, kPiece, 0, 0, 0), CUDA_SUCCESS);
  MapNew(range);
  SetAccess(range, kPiece);
  void* word = nullptr;
  ASSERT_EQ(cuMemHostAlloc(&word, 4096, 0), CUDA_SUCCESS);
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32_v2(stream, reinterpret_cast<CUdeviceptr>(word), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD8Async(range, 1, kPiece, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoDAsync_v2(range, range + kPiece / 2, kPiece / 2, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuMemUnmap(range, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before_);
  ASSERT_EQ(cuMemAddressFree(range, kPiece), CUDA_SUCCESS);
  std::atomic_ref(*static_cast<unsigned*>(word)).store(1, std::memory_order_release);
  EXPECT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFreeHost(word), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, ADescriptorMayBeAskedForAndCompressionWished) {
  CUmemAllocationProp properties = Properties();
  properties.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  properties.allocFlags.compressionType = CU_MEM_ALLOCATION_COMP_GENERIC;
  CUmemGenericAllocationHandle memory = 0;
  ASSERT_EQ(cuMemCreate(&memory, kPiece, &properties, 0), CUDA_SUCCESS);
  CUmemAllocationProp granted{};
  ASSERT_EQ(cuMemGetAllocationPropertiesFromHandle(&granted, memory), CUDA_SUCCESS);
  EXPECT_EQ(granted.requestedHandleTypes, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  EXPECT_EQ(granted.allocFlags.compressionType, CU_MEM_ALLOCATION_COMP_NONE);
  EXPECT_EQ(granted.location.id, 0);
  EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
}

// Between processes: tests/programs/shared_memory.cc.
TEST_F(VirtualMemoryTest, AnImportIsAUserMore) {
  constexpr auto kDescriptor = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  CUmemAllocationProp properties = Properties();
  properties.requestedHandleTypes = kDescriptor;
  CUmemGenericAllocationHandle memory = 0, imported = 0;
  int descriptor = -1;
  ASSERT_EQ(cuMemCreate(&memory, kPiece, &properties, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemExportToShareableHandle(&descriptor, memory, kDescriptor, 0), CUDA_SUCCESS);
  void* const handle = reinterpret_cast<void*>(static_cast<uintptr_t>(descriptor));
  EXPECT_EQ(cuMemImportFromShareableHandle(&imported, handle, CU_MEM_HANDLE_TYPE_WIN32), CUDA_ERROR_NOT_SUPPORTED);
  ASSERT_EQ(cuMemImportFromShareableHandle(&imported, handle, kDescriptor), CUDA_SUCCESS);
  EXPECT_EQ(cuMemRelease(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuMemMap(range_, kPiece, 0, imported, 0), CUDA_SUCCESS);
  SetAccess(range_, kPiece);
  EXPECT_EQ(Store(range_, 7), CUDA_SUCCESS);
  EXPECT_EQ(Attribute<unsigned long long>(CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES, range_), 1u);
  EXPECT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before_ - kPiece);
  EXPECT_EQ(cuMemRelease(imported), CUDA_SUCCESS);
  EXPECT_EQ(FreeBytes(), before_);
  EXPECT_EQ(cuMemImportFromShareableHandle(&imported, handle, kDescriptor), CUDA_ERROR_INVALID_VALUE);
  close(descriptor);
  EXPECT_EQ(cuMemImportFromShareableHandle(&imported, handle, kDescriptor), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(VirtualMemoryTest, NoContextIsNeeded) {
  std::thread([&] {
    MapNew(range_);
    SetAccess(range_, kPiece);
    EXPECT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  }).join();
}

// A kernel's fault ends all use of the process, so each has a process of its own.
class VirtualMemoryDeathTest : public VirtualMemoryTest {
 protected:
  VirtualMemoryDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // After prepare() a store at that distance into the range is no good.
  template <class Prepare>
  void ExpectFault(Prepare prepare, CUdeviceptr offset) {
    EXPECT_EXIT(
        {
          prepare();
          exit(!HasFailure() && Store(range_ + offset, 1) == CUDA_ERROR_ILLEGAL_ADDRESS ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
  }
};

TEST_F(VirtualMemoryDeathTest, WhatIsNotMappedIsNobodys) {
  ExpectFault([] {}, 0);
}

TEST_F(VirtualMemoryDeathTest, WhatIsMappedIsNobodysWithoutAccess) {
  ExpectFault([&] { MapNew(range_); }, 0);
}

TEST_F(VirtualMemoryDeathTest, WhatMayBeReadIsNotWritten) {
  const auto prepare = [&] {
    MapNew(range_);
    SetAccess(range_, kPiece);
    EXPECT_EQ(Store(range_, 1), CUDA_SUCCESS);
    SetAccess(range_, kPiece, 0, CU_MEM_ACCESS_FLAGS_PROT_READ);
  };
  ExpectFault(prepare, 0);
}

TEST_F(VirtualMemoryDeathTest, WhatWasUnmappedIsNobodys) {
  const auto prepare = [&] {
    MapNew(range_);
    MapNew(range_ + kPiece);
    SetAccess(range_, 2 * kPiece);
    EXPECT_EQ(Store(range_, 1), CUDA_SUCCESS);
    EXPECT_EQ(cuMemUnmap(range_, kPiece), CUDA_SUCCESS);
  };
  ExpectFault(prepare, 0);
}

TEST_F(VirtualMemoryDeathTest, AccessDoesNotReachThePieceBehind) {
  const auto prepare = [&] {
    MapNew(range_);
    MapNew(range_ + kPiece);
    SetAccess(range_, kPiece);
    EXPECT_EQ(Store(range_ + kPiece - 4, 1), CUDA_SUCCESS);
  };
  ExpectFault(prepare, kPiece);
}

}  // namespace
}  // namespace outboard::softgpu::api
