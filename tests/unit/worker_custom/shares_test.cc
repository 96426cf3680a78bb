#include "server/worker/shares.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server/worker/aside_ranges.h"
#include "server/worker/contexts.h"
#include "server/worker/memory_pools.h"
#include "server/worker/session.h"
#include "server/worker/virtual_memory.h"
#include "tests/unit/worker_custom/fake_driver.h"

// What workers of a lease share by descriptors.

namespace outboard::worker {
namespace {

constexpr uint64_t kShared = 2u << 20, kShareLimit = 4 * kShared;
constexpr uint64_t kElsewhere = 0x4000'0000;  // handles and addresses are so much higher where they are imported
const CUstream kShareStream = FakeDriver::Stream(7);

int DescriptorOf(uint64_t value) {
  const int descriptor = memfd_create("of the driver", MFD_CLOEXEC);
  EXPECT_EQ(write(descriptor, &value, sizeof value), ssize_t{sizeof value});
  return descriptor;
}

uint64_t ValueOf(const void* descriptor) {
  uint64_t value = 0;
  EXPECT_EQ(pread(static_cast<int>(reinterpret_cast<uintptr_t>(descriptor)), &value, sizeof value, 0),
            ssize_t{sizeof value});
  return value;
}

// A driver whose descriptors hold the handle. It gives one handle for all imports of the same memory.
class SharingDriver {
 public:
  explicit SharingDriver(driver::DriverTable* table) {
    self = this;
    table->cuMemCreate = [](CUmemGenericAllocationHandle* handle, size_t, const CUmemAllocationProp*,
                            unsigned long long) {
      self->memories[*handle = ++self->last] = 1;
      return CUDA_SUCCESS;
    };
    table->cuMemRelease = [](CUmemGenericAllocationHandle handle) {
      if (self->memories[handle] == 0) return CUDA_ERROR_INVALID_VALUE;
      if (--self->memories[handle] == 0) self->memories.erase(handle);
      return CUDA_SUCCESS;
    };
    table->cuMemExportToShareableHandle = [](void* out, CUmemGenericAllocationHandle handle, CUmemAllocationHandleType,
                                             unsigned long long) {
      if (++self->exports; self->while_exporting) self->while_exporting();
      const int descriptor = DescriptorOf(handle);
      std::memcpy(out, &descriptor, sizeof descriptor);
      return CUDA_SUCCESS;
    };
    table->cuMemImportFromShareableHandle = [](CUmemGenericAllocationHandle* handle, void* descriptor,
                                               CUmemAllocationHandleType) {
      ++self->imports;
      if (self->refuse) return CUDA_ERROR_NOT_PERMITTED;
      ++self->memories[*handle = ValueOf(descriptor) + kElsewhere];
      return CUDA_SUCCESS;
    };
    table->cuMemPoolCreate = [](CUmemoryPool* pool, const CUmemPoolProps* props) {
      EXPECT_EQ(props->handleTypes, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
      *pool = reinterpret_cast<CUmemoryPool>(++self->last);
      return CUDA_SUCCESS;
    };
    table->cuMemPoolDestroy = [](CUmemoryPool) { return CUDA_SUCCESS; };
    table->cuMemPoolTrimTo = [](CUmemoryPool, size_t) { return CUDA_SUCCESS; };
    table->cuMemPoolSetAttribute = [](CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; };
    table->cuMemPoolGetAttribute = [](CUmemoryPool pool, CUmemPool_attribute, void* value) {
      EXPECT_LT(reinterpret_cast<uint64_t>(pool), kElsewhere) << "what another process's pool has is its own";
      std::memcpy(value, &self->reserved, sizeof self->reserved);
      return CUDA_SUCCESS;
    };
    table->cuMemAllocFromPoolAsync = [](CUdeviceptr* address, size_t bytes, CUmemoryPool, CUstream) {
      *address = ++self->last << 12;
      self->reserved += self->pieces[*address] = bytes;
      return CUDA_SUCCESS;
    };
    table->cuMemFree_v2 = [](CUdeviceptr address) { return self->Free(address); };
    table->cuMemFreeAsync = [](CUdeviceptr address, CUstream) { return self->Free(address); };
    table->cuMemPoolExportToShareableHandle = [](void* out, CUmemoryPool pool, CUmemAllocationHandleType,
                                                 unsigned long long) {
      const int descriptor = DescriptorOf(reinterpret_cast<uint64_t>(pool));
      std::memcpy(out, &descriptor, sizeof descriptor);
      return CUDA_SUCCESS;
    };
    table->cuMemPoolImportFromShareableHandle = [](CUmemoryPool* pool, void* descriptor, CUmemAllocationHandleType,
                                                   unsigned long long) {
      *pool = reinterpret_cast<CUmemoryPool>(ValueOf(descriptor) + kElsewhere);
      return CUDA_SUCCESS;
    };
    table->cuMemPoolExportPointer = [](CUmemPoolPtrExportData* data, CUdeviceptr address) {
      if (self->while_exporting) self->while_exporting();
      std::memset(data, 0xee, sizeof *data);
      std::memcpy(data, &address, sizeof address);
      return CUDA_SUCCESS;
    };
    table->cuMemPoolImportPointer = [](CUdeviceptr* address, CUmemoryPool, CUmemPoolPtrExportData* data) {
      ++self->imports;
      std::memcpy(address, data, sizeof *address);
      self->pieces[*address += kElsewhere] = 0;
      return CUDA_SUCCESS;
    };
  }

  CUresult Free(CUdeviceptr address) {
    const auto found = pieces.find(address);
    if (found == pieces.end()) return CUDA_ERROR_INVALID_VALUE;
    reserved -= found->second;
    pieces.erase(found);
    return CUDA_SUCCESS;
  }

  std::map<CUmemGenericAllocationHandle, int> memories;  // users
  std::map<CUdeviceptr, uint64_t> pieces;
  uint64_t last = 0, reserved = 0;
  int imports = 0;
  std::atomic<int> exports{0};
  std::function<void()> while_exporting;  // empty: nothing happens meanwhile
  bool refuse = false;
  static inline SharingDriver* self = nullptr;
};

// One worker of a lease, on one driver with the others.
struct Worker {
  Worker(const driver::DriverTable& driver, slice::Ledger& ledger)
      : devices{{3, &ledger, *ledger.OpenAccount()}},
        contexts(driver, devices, Contexts::Ending{[](CUcontext) {}, [](CUcontext) {}, {}},
                 Contexts::Room{[](CUdevice) { return true; }, [](CUdevice, bool) {}}),
        shares(devices),
        memory(driver, devices, &contexts, &shares, false),
        pools(driver, devices, &aside, &shares, false) {}

  const std::vector<LeasedDevice> devices;
  Contexts contexts;
  AsideRanges aside;
  Shares shares;
  VirtualMemory memory;
  MemoryPools pools;
};

class SharesTest : public testing::Test {
 protected:
  SharesTest() {
    driver_.device_ordinal = 3;
    FakeDriver::MakeCurrent(FakeDriver::Context(1));
  }
  std::unique_ptr<Worker> New(slice::Ledger& ledger) { return std::make_unique<Worker>(table_, ledger); }

  CUmemGenericAllocationHandle Create(Worker& worker) {
    CUmemAllocationProp props{};
    props.location = {CU_MEM_LOCATION_TYPE_DEVICE, 3};
    CUmemGenericAllocationHandle handle = 0;
    EXPECT_EQ(worker.memory.Create(&handle, kShared, props, 0), CUDA_SUCCESS);
    return handle;
  }
  static OutboardShare Export(Worker& worker, CUmemGenericAllocationHandle handle) {
    OutboardShare share{};
    EXPECT_EQ(worker.memory.Export(&share, handle), CUDA_SUCCESS);
    return share;
  }
  CUresult Import(Worker& worker, const OutboardShare& share) {
    return worker.memory.Import(&imported_, &bytes_, &device_, share);
  }

  FakeDriver driver_;
  driver::DriverTable table_ = driver_.table();
  SharingDriver sharing_{&table_};
  slice::Ledger ledger_ = std::move(*slice::Ledger::Create(kShareLimit));
  slice::Ledger other_lease_ = std::move(*slice::Ledger::Create(kShareLimit));
  std::unique_ptr<Worker> one_ = New(ledger_), two_ = New(ledger_), stranger_ = New(other_lease_);
  CUmemGenericAllocationHandle imported_ = 0;
  uint64_t bytes_ = 0;
  CUdevice device_ = -1;
};

TEST_F(SharesTest, AnotherWorkerOfTheLeaseGetsTheDriversDescriptor) {
  const auto handle = Create(*one_);
  const OutboardShare share = Export(*one_, handle), again = Export(*one_, handle);
  EXPECT_EQ(std::memcmp(&share, &again, sizeof share), 0);
  ASSERT_EQ(Import(*two_, share), CUDA_SUCCESS);
  EXPECT_EQ(imported_, handle + kElsewhere);
  EXPECT_EQ(bytes_, kShared);
  EXPECT_EQ(device_, 3);
  EXPECT_EQ(ledger_.used(), kShared) << "it is charged once";
  EXPECT_EQ(two_->memory.Release(imported_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), kShared);
  EXPECT_EQ(one_->memory.Release(handle), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(SharesTest, MemoryStaysChargedUntilTheLastOneReleasesIt) {
  const auto handle = Create(*one_);
  const OutboardShare share = Export(*one_, handle);
  ASSERT_EQ(Import(*two_, share), CUDA_SUCCESS);
  ASSERT_EQ(Import(*two_, share), CUDA_SUCCESS);
  EXPECT_EQ(one_->memory.Release(handle), CUDA_SUCCESS);
  EXPECT_EQ(Import(*New(ledger_), share), CUDA_ERROR_INVALID_VALUE) << "it was released";
  EXPECT_EQ(two_->memory.Release(imported_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), kShared) << "it was imported twice";
  EXPECT_EQ(two_->memory.Release(imported_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_EQ(two_->memory.Release(imported_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(sharing_.memories.empty());
}

TEST_F(SharesTest, TwoThreadsThatExportTheSameMakeOneShare) {
  const auto handle = Create(*one_);
  OutboardShare others;
  std::thread other;
  sharing_.while_exporting = [&] {
    if (sharing_.exports == 1) other = std::thread([&] { others = Export(*one_, handle); });
    for (int i = 0; i < 10'000 && sharing_.exports == 1; ++i) std::this_thread::yield();
  };
  const OutboardShare share = Export(*one_, handle);
  other.join();
  EXPECT_EQ(std::memcmp(&share, &others, sizeof share), 0);
  ASSERT_EQ(Import(*two_, share), CUDA_SUCCESS);
  EXPECT_EQ(one_->memory.Release(handle), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), kShared) << "the other worker has it";
}

TEST_F(SharesTest, AWorkerThatEndsLeavesNothing) {
  const auto handle = Create(*one_);
  const OutboardShare share = Export(*one_, handle);
  ASSERT_EQ(Import(*two_, share), CUDA_SUCCESS);
  one_.reset();
  EXPECT_EQ(ledger_.used(), kShared) << "the other one has it";
  EXPECT_EQ(Import(*New(ledger_), share), CUDA_ERROR_INVALID_VALUE);
  two_->memory.FreeAll();
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_EQ(sharing_.memories.count(handle + kElsewhere), 0u);
}

TEST_F(SharesTest, NobodyElseGetsIt) {
  const OutboardShare share = Export(*one_, Create(*one_));
  EXPECT_EQ(Import(*one_, share), CUDA_ERROR_INVALID_VALUE) << "one's own";
  EXPECT_EQ(Import(*stranger_, share), CUDA_ERROR_INVALID_VALUE) << "of another lease";
  const auto another = New(other_lease_);
  Export(*another, Create(*another));
  EXPECT_EQ(Import(*stranger_, share), CUDA_ERROR_INVALID_VALUE) << "the same place of another lease";
  for (size_t at = 0; at < sizeof share; ++at) {
    OutboardShare forged = share;
    reinterpret_cast<char*>(&forged)[at] ^= 1;
    EXPECT_EQ(Import(*two_, forged), CUDA_ERROR_INVALID_VALUE) << "byte " << at;
  }
  CUmemoryPool pool;
  EXPECT_EQ(two_->pools.Import(&pool, &device_, share), CUDA_ERROR_INVALID_VALUE) << "it is no pool";
  EXPECT_EQ(sharing_.imports, 0) << "the driver was not asked";
  EXPECT_EQ(Import(*two_, share), CUDA_SUCCESS);
}

TEST_F(SharesTest, WhatTheDriverRefusesIsNotKept) {
  const auto handle = Create(*one_);
  const OutboardShare share = Export(*one_, handle);
  sharing_.refuse = true;
  EXPECT_EQ(Import(*two_, share), CUDA_ERROR_NOT_PERMITTED);
  EXPECT_EQ(one_->memory.Release(handle), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(SharesTest, OnlyWhatIsOfferedIsHandedOut) {
  using Ticket = DescriptorExchange::Ticket;
  DescriptorExchange exchange;
  const Ticket first = *exchange.Offer(UniqueFd(DescriptorOf(1))), second = *exchange.Offer(UniqueFd(DescriptorOf(2)));
  EXPECT_EQ(first.socket, second.socket);
  Ticket forged = first;
  forged.number[15] ^= std::byte{1};
  EXPECT_FALSE(DescriptorExchange::Ask(forged));
  forged.number.fill(std::byte{0});
  EXPECT_FALSE(DescriptorExchange::Ask(forged));
  forged = first;
  forged.socket[0] ^= std::byte{1};
  EXPECT_FALSE(DescriptorExchange::Ask(forged));
  std::vector<std::thread> askers;
  for (int i = 0; i < 8; ++i) {
    askers.emplace_back([&] {
      const UniqueFd got = DescriptorExchange::Ask(second);
      ASSERT_TRUE(got);
      EXPECT_EQ(ValueOf(reinterpret_cast<void*>(static_cast<uintptr_t>(got.get()))), 2u);
    });
  }
  for (std::thread& asker : askers) asker.join();
  exchange.Withdraw(second);
  EXPECT_FALSE(DescriptorExchange::Ask(second));
  EXPECT_TRUE(DescriptorExchange::Ask(first));
}

class SharedPoolsTest : public SharesTest {
 protected:
  SharedPoolsTest() {
    OutboardShare share;
    EXPECT_EQ(one_->pools.Create(&pool_, 3, 0, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR), CUDA_SUCCESS);
    EXPECT_EQ(one_->pools.Export(&share, pool_), CUDA_SUCCESS);
    EXPECT_EQ(two_->pools.Import(&theirs_, &device_, share), CUDA_SUCCESS);
    EXPECT_EQ(device_, 3);
    EXPECT_EQ(one_->pools.Allocate(&address_, kShared, pool_, kShareStream), CUDA_SUCCESS);
    EXPECT_EQ(one_->pools.ExportPointer(&pointer_, address_), CUDA_SUCCESS);
  }
  CUresult ImportPointer() { return two_->pools.ImportPointer(&opened_, &bytes_, theirs_, pointer_); }

  CUmemoryPool pool_ = nullptr, theirs_ = nullptr;
  CUdeviceptr address_ = 0, opened_ = 0;
  OutboardShare pointer_{};
};

TEST_F(SharedPoolsTest, AnAllocationIsChargedOnce) {
  ASSERT_EQ(ImportPointer(), CUDA_SUCCESS);
  EXPECT_EQ(opened_, address_ + kElsewhere);
  EXPECT_EQ(bytes_, kShared);
  two_->pools.Settle();
  EXPECT_EQ(ledger_.used(), kShared);
  EXPECT_EQ(two_->pools.Allocate(&opened_, 512, theirs_, kShareStream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(two_->pools.Free(address_ + kElsewhere), CUDA_SUCCESS);
  EXPECT_EQ(one_->pools.Free(address_), CUDA_SUCCESS);
  one_->pools.Settle();
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(SharedPoolsTest, AnAllocationThatOthersHaveStaysCharged) {
  ASSERT_EQ(ImportPointer(), CUDA_SUCCESS);
  EXPECT_EQ(one_->pools.Free(address_), CUDA_SUCCESS);
  one_->pools.Settle();
  EXPECT_EQ(ledger_.used(), kShared);
  EXPECT_EQ(ImportPointer(), CUDA_ERROR_INVALID_VALUE) << "it was freed";
  EXPECT_EQ(two_->pools.FreeAsync(address_ + kElsewhere, kShareStream), CUDA_SUCCESS);
  two_->pools.Settle();
  EXPECT_EQ(ledger_.used(), kShared) << "the stream has not got there";
  driver_.Run(kShareStream);
  two_->pools.Settle();
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(SharedPoolsTest, WhatAStreamHasFreedCanBeImportedAgain) {
  ASSERT_EQ(ImportPointer(), CUDA_SUCCESS);
  EXPECT_EQ(two_->pools.FreeAsync(opened_, kShareStream), CUDA_SUCCESS);
  EXPECT_EQ(ImportPointer(), CUDA_ERROR_INVALID_VALUE) << "the stream has not got there";
  driver_.Run(kShareStream);
  EXPECT_EQ(ImportPointer(), CUDA_SUCCESS);
  EXPECT_EQ(two_->pools.FreeAsync(opened_, kShareStream), CUDA_SUCCESS);
  EXPECT_EQ(one_->pools.Free(address_), CUDA_SUCCESS);
  EXPECT_FALSE(two_->pools.ReleaseUnused());
  driver_.Run(kShareStream);
  EXPECT_TRUE(two_->pools.ReleaseUnused());
  one_->pools.Settle();
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(SharedPoolsTest, WhereTheStreamsEndCannotBeSeenTheFreeWaitsForIt) {
  ASSERT_EQ(ImportPointer(), CUDA_SUCCESS);
  table_.cuEventRecord = [](CUevent, CUstream) { return CUDA_ERROR_OUT_OF_MEMORY; };
  EXPECT_EQ(two_->pools.FreeAsync(opened_, kShareStream), CUDA_SUCCESS);
  EXPECT_EQ(ImportPointer(), CUDA_SUCCESS);
}

TEST_F(SharedPoolsTest, WhatTookThePlaceOfAnAllocationIsNotExportedForIt) {
  CUdeviceptr address = 0;
  ASSERT_EQ(one_->pools.Allocate(&address, kShared, pool_, kShareStream), CUDA_SUCCESS);
  sharing_.while_exporting = [&] {
    EXPECT_EQ(one_->pools.Free(address), CUDA_SUCCESS);
    --sharing_.last;
    CUdeviceptr again = 0;
    EXPECT_EQ(one_->pools.Allocate(&again, kShared / 2, pool_, kShareStream), CUDA_SUCCESS);
    EXPECT_EQ(again, address);
  };
  EXPECT_EQ(one_->pools.ExportPointer(&pointer_, address), CUDA_ERROR_INVALID_VALUE);
  sharing_.while_exporting = nullptr;
  EXPECT_EQ(one_->pools.ExportPointer(&pointer_, address), CUDA_SUCCESS);
}

TEST_F(SharedPoolsTest, WithoutRoomForThatItIsNotFreed) {
  ASSERT_EQ(ImportPointer(), CUDA_SUCCESS);
  CUdeviceptr rest = 0;
  ASSERT_EQ(one_->pools.Allocate(&rest, kShareLimit - kShared, pool_, kShareStream), CUDA_SUCCESS);
  EXPECT_EQ(one_->pools.Free(address_), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(two_->pools.Free(opened_), CUDA_SUCCESS);
  EXPECT_EQ(one_->pools.Free(address_), CUDA_SUCCESS);
}

TEST_F(SharedPoolsTest, ADeadWorkersAllocationStaysUntilItIsClosed) {
  ASSERT_EQ(ImportPointer(), CUDA_SUCCESS);
  one_.reset();
  EXPECT_EQ(ledger_.used(), kShared);
  two_.reset();
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(SharedPoolsTest, NobodyElseGetsAPointer) {
  for (size_t at = 0; at < offsetof(OutboardShare, check); ++at) {
    OutboardShare forged = pointer_;
    reinterpret_cast<char*>(&forged)[at] ^= 1;
    EXPECT_EQ(two_->pools.ImportPointer(&opened_, &bytes_, theirs_, forged), CUDA_ERROR_INVALID_VALUE) << "byte " << at;
  }
  EXPECT_EQ(two_->pools.ImportPointer(&opened_, &bytes_, pool_, pointer_), CUDA_ERROR_INVALID_VALUE) << "not its pool";
  EXPECT_EQ(one_->pools.ImportPointer(&opened_, &bytes_, pool_, pointer_), CUDA_ERROR_INVALID_VALUE) << "one's own";
  EXPECT_EQ(Import(*two_, pointer_), CUDA_ERROR_INVALID_VALUE) << "it is no memory of cuMemCreate";
  EXPECT_EQ(sharing_.imports, 0) << "the driver was not asked";
}

}  // namespace
}  // namespace outboard::worker
