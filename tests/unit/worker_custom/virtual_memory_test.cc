#include "server/worker/virtual_memory.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "server/worker/contexts.h"
#include "server/worker/session.h"
#include "server/worker/shares.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

constexpr uint64_t kPiece = 2u << 20;
constexpr uint64_t kVirtualLimit = 4 * kPiece;

// The driver's memory and address ranges, on device 3. One object at a time.
class FakeMemory {
 public:
  explicit FakeMemory(driver::DriverTable* table) {
    self = this;
    table->cuMemAddressReserve = [](CUdeviceptr* address, size_t bytes, size_t, CUdeviceptr, unsigned long long) {
      *address = self->next_address;
      self->next_address += bytes;
      self->ranges[*address] = bytes;
      return CUDA_SUCCESS;
    };
    table->cuMemAddressFree = [](CUdeviceptr address, size_t) {
      return self->ranges.erase(address) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    };
    table->cuMemCreate = [](CUmemGenericAllocationHandle* handle, size_t bytes, const CUmemAllocationProp* props,
                            unsigned long long) {
      ++self->asked;
      EXPECT_EQ(props->location.id, 3);
      if (self->is_full) return CUDA_ERROR_OUT_OF_MEMORY;
      *handle = ++self->last_handle;
      self->memories[*handle] = bytes;
      return CUDA_SUCCESS;
    };
    table->cuMemRelease = [](CUmemGenericAllocationHandle handle) {
      if (self->refuse_release) return CUDA_ERROR_ILLEGAL_ADDRESS;
      return self->memories.erase(handle) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    };
    table->cuMemMap = [](CUdeviceptr address, size_t, size_t, CUmemGenericAllocationHandle handle, unsigned long long) {
      if (self->memories.count(handle) == 0 || self->mappings.count(address) != 0) return CUDA_ERROR_INVALID_VALUE;
      self->mappings[address] = handle;
      return CUDA_SUCCESS;
    };
    table->cuMemUnmap = [](CUdeviceptr address, size_t bytes) {
      if (self->refuse_unmap) return CUDA_ERROR_INVALID_VALUE;
      for (CUdeviceptr at = address; at < address + bytes; at += kPiece) self->mappings.erase(at);
      return CUDA_SUCCESS;
    };
    table->cuMemSetAccess = [](CUdeviceptr address, size_t, const CUmemAccessDesc* access, size_t) {
      EXPECT_EQ(access->location.id, 3);
      self->open.insert(address);
      return CUDA_SUCCESS;
    };
    table->cuMemsetD8Async = [](CUdeviceptr address, unsigned char value, size_t bytes, CUstream) {
      if (self->refuse_memset) return CUDA_ERROR_LAUNCH_FAILED;
      EXPECT_EQ(value, 0);
      EXPECT_EQ(self->open.count(address), 1u);
      self->zeroed[self->mappings.at(address)] = bytes;
      return CUDA_SUCCESS;
    };
    table->cuDevicePrimaryCtxRetain = [](CUcontext* context, CUdevice device) {
      EXPECT_EQ(device, 3);
      ++self->retained;
      *context = FakeDriver::Context(9);
      return CUDA_SUCCESS;
    };
    table->cuDevicePrimaryCtxRelease_v2 = [](CUdevice) {
      --self->retained;
      return CUDA_SUCCESS;
    };
    table->cuDevicePrimaryCtxGetState = [](CUdevice, unsigned*, int* active) {
      *active = self->retained;
      return CUDA_SUCCESS;
    };
  }
  ~FakeMemory() { self = nullptr; }

  std::map<CUdeviceptr, size_t> ranges;
  std::map<CUmemGenericAllocationHandle, size_t> memories, zeroed;
  std::map<CUdeviceptr, CUmemGenericAllocationHandle> mappings;
  std::set<CUdeviceptr> open;
  CUdeviceptr next_address = 1u << 30;
  CUmemGenericAllocationHandle last_handle = 100;
  int asked = 0, retained = 0;
  bool is_full = false, refuse_memset = false, refuse_unmap = false, refuse_release = false;

 private:
  static inline FakeMemory* self = nullptr;
};

class VirtualMemoryTest : public testing::Test {
 protected:
  VirtualMemoryTest()
      : table_(driver_.table()),
        fake_(&table_),
        ledger_(std::move(*slice::Ledger::Create(kVirtualLimit))),
        devices_{{3, &ledger_, *ledger_.OpenAccount()}} {
    driver_.device_ordinal = 3;
    FakeDriver::MakeCurrent(FakeDriver::Context(1));
    contexts_.emplace(table_, devices_, Contexts::Ending{[](CUcontext) {}, [](CUcontext) {}},
                      Contexts::Room{[](CUdevice) { return true; }, [](CUdevice, bool) {}});
    memory_.emplace(table_, devices_, &*contexts_, &shares_);
    props_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    props_.location = {CU_MEM_LOCATION_TYPE_DEVICE, 3};
    EXPECT_EQ(memory_->Reserve(&range_, 4 * kPiece, 0, 0, 0), CUDA_SUCCESS);
  }

  CUresult TryCreate(uint64_t bytes) {
    CUmemGenericAllocationHandle handle = 0;
    return memory_->Create(&handle, bytes, props_, 0);
  }
  CUmemGenericAllocationHandle Create(uint64_t bytes = kPiece) {
    CUmemGenericAllocationHandle handle = 0;
    EXPECT_EQ(memory_->Create(&handle, bytes, props_, 0), CUDA_SUCCESS);
    return handle;
  }

  FakeDriver driver_;
  driver::DriverTable table_;
  FakeMemory fake_;
  slice::Ledger ledger_;
  std::vector<LeasedDevice> devices_;
  std::optional<Contexts> contexts_;
  Shares shares_{devices_};
  std::optional<VirtualMemory> memory_;
  CUmemAllocationProp props_{};
  CUdeviceptr range_ = 0;
};

TEST_F(VirtualMemoryTest, MemoryIsChargedFromCreationToRelease) {
  const auto handle = Create(2 * kPiece);
  EXPECT_EQ(ledger_.used(), 2 * kPiece);
  EXPECT_EQ(memory_->Release(handle), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_EQ(memory_->Release(handle), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(VirtualMemoryTest, PastTheSliceTheDriverIsNotAsked) {
  EXPECT_EQ(TryCreate(kVirtualLimit + kPiece), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(fake_.asked, 0);
  Create(kVirtualLimit);
  EXPECT_EQ(TryCreate(kPiece), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(fake_.asked, 1);
}

TEST_F(VirtualMemoryTest, WhatTheDriverRefusesIsRefunded) {
  fake_.is_full = true;
  EXPECT_EQ(TryCreate(kPiece), CUDA_ERROR_OUT_OF_MEMORY);
  fake_.is_full = false;
  fake_.refuse_memset = true;
  EXPECT_EQ(TryCreate(kPiece), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_TRUE(fake_.memories.empty());
  EXPECT_TRUE(fake_.mappings.empty());
  EXPECT_EQ(fake_.ranges.size(), 1u) << "that of the client alone";
  EXPECT_EQ(ledger_.used(), 0u);
  props_.location.id = 7;
  EXPECT_EQ(TryCreate(kPiece), CUDA_ERROR_INVALID_DEVICE) << "it is not the lease's";
}

TEST_F(VirtualMemoryTest, MemoryComesZeroedAndUnmapped) {
  const auto handle = Create(2 * kPiece);
  EXPECT_EQ(fake_.zeroed, (std::map<CUmemGenericAllocationHandle, size_t>{{handle, 2 * kPiece}}));
  EXPECT_EQ(driver_.created_flags, unsigned{CU_STREAM_NON_BLOCKING});
  EXPECT_TRUE(fake_.mappings.empty());
  EXPECT_EQ(fake_.ranges.size(), 1u);
  EXPECT_EQ(fake_.retained, 0);
}

TEST_F(VirtualMemoryTest, WithoutAContextOfTheDeviceItsPrimaryOneServes) {
  FakeDriver::MakeNoneCurrent();
  EXPECT_EQ(fake_.zeroed.count(Create()), 1u);
  EXPECT_EQ(fake_.retained, 0);
  CUcontext current = nullptr;
  EXPECT_EQ(table_.cuCtxGetCurrent(&current), CUDA_SUCCESS);
  EXPECT_EQ(current, nullptr);

  FakeDriver::MakeCurrent(FakeDriver::Context(1));
  driver_.device_ordinal = 4;
  EXPECT_EQ(fake_.zeroed.count(Create()), 1u);
  EXPECT_EQ(fake_.retained, 0);
}

// The client does not ask for it; what is mapped is still in use.
TEST_F(VirtualMemoryTest, MappedMemoryIsNotReleased) {
  const auto handle = Create();
  ASSERT_EQ(memory_->Map(range_, kPiece, 0, handle, 0), CUDA_SUCCESS);
  ASSERT_EQ(memory_->Map(range_ + kPiece, kPiece, 0, handle, 0), CUDA_SUCCESS);
  EXPECT_EQ(memory_->Release(handle), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(memory_->Unmap(range_, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(memory_->Release(handle), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(ledger_.used(), kPiece);
  ASSERT_EQ(memory_->Unmap(range_ + kPiece, kPiece), CUDA_SUCCESS);
  EXPECT_EQ(memory_->Release(handle), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(VirtualMemoryTest, WhatTheDriverDoesNotMapOrUnmapDoesNotCount) {
  const auto handle = Create();
  ASSERT_EQ(memory_->Map(range_, kPiece, 0, handle, 0), CUDA_SUCCESS);
  EXPECT_EQ(memory_->Map(range_, kPiece, 0, handle, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_->Map(range_ + kPiece, kPiece, 0, 77, 0), CUDA_ERROR_INVALID_VALUE);
  fake_.refuse_unmap = true;
  EXPECT_EQ(memory_->Unmap(range_, kPiece), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_->Release(handle), CUDA_ERROR_INVALID_VALUE) << "it is still mapped";
  fake_.refuse_unmap = false;
  EXPECT_EQ(memory_->Unmap(range_, kPiece), CUDA_SUCCESS);
  fake_.refuse_release = true;
  EXPECT_EQ(memory_->Release(handle), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(ledger_.used(), kPiece);
  fake_.refuse_release = false;
  EXPECT_EQ(memory_->Release(handle), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, SeveralMappingsGoAtATime) {
  const auto first = Create(), second = Create();
  ASSERT_EQ(memory_->Map(range_, kPiece, 0, first, 0), CUDA_SUCCESS);
  ASSERT_EQ(memory_->Map(range_ + kPiece, kPiece, 0, second, 0), CUDA_SUCCESS);
  ASSERT_EQ(memory_->Unmap(range_, 2 * kPiece), CUDA_SUCCESS);
  EXPECT_EQ(memory_->Release(first), CUDA_SUCCESS);
  EXPECT_EQ(memory_->Release(second), CUDA_SUCCESS);
}

TEST_F(VirtualMemoryTest, RangesAreFreedAsTheyWereReserved) {
  EXPECT_EQ(memory_->FreeRange(range_, kPiece), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_->FreeRange(range_ + kPiece, 3 * kPiece), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(memory_->FreeRange(range_, 4 * kPiece), CUDA_SUCCESS);
  EXPECT_TRUE(fake_.ranges.empty());
}

TEST_F(VirtualMemoryTest, TheEndOfTheSessionGivesEverythingBack) {
  const auto handle = Create();
  ASSERT_EQ(memory_->Map(range_, kPiece, 0, handle, 0), CUDA_SUCCESS);
  ASSERT_EQ(memory_->Map(range_ + 2 * kPiece, kPiece, 0, handle, 0), CUDA_SUCCESS);
  memory_->FreeAll();
  EXPECT_TRUE(fake_.mappings.empty());
  EXPECT_TRUE(fake_.memories.empty());
  EXPECT_TRUE(fake_.ranges.empty());
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(VirtualMemoryTest, WhatIsLeftIsRefundedAtTheEnd) {
  Create();
  fake_.refuse_release = true;
  memory_->FreeAll();
  EXPECT_EQ(ledger_.used(), kPiece);
  memory_.reset();
  EXPECT_EQ(ledger_.used(), 0u);
}

}  // namespace
}  // namespace outboard::worker
