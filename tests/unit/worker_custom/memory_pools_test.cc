#include "server/worker/memory_pools.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "server/worker/allocations.h"
#include "server/worker/session.h"
#include "server/worker/shares.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

constexpr uint64_t kPoolLimit = 1u << 20;
const CUstream kStream = FakeDriver::Stream(7);

// The driver's pools: memory is taken in whole chunks; a free in a stream's order takes effect when the test says so.
// One object at a time.
class FakePools {
 public:
  struct Pool {
    uint64_t reserved = 0, used = 0;  // bytes
    uint64_t free_on_stream = 0;      // of used: to be had again in the stream's order
  };

  explicit FakePools(driver::DriverTable* table) {
    self = this;
    pools[Default()] = {};
    table->cuMemPoolCreate = [](CUmemoryPool* pool, const CUmemPoolProps* props) {
      *pool = reinterpret_cast<CUmemoryPool>(++self->last_pool);
      self->pools[*pool] = {};
      self->created_on = props->location.id;
      return CUDA_SUCCESS;
    };
    table->cuMemPoolDestroy = [](CUmemoryPool pool) {
      if (pool == Default()) return CUDA_ERROR_INVALID_VALUE;
      return self->pools.erase(pool) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    };
    table->cuDeviceGetDefaultMemPool = [](CUmemoryPool* pool, CUdevice) {
      *pool = Default();
      return CUDA_SUCCESS;
    };
    table->cuDeviceGetMemPool = [](CUmemoryPool* pool, CUdevice) {
      *pool = self->current;
      return CUDA_SUCCESS;
    };
    table->cuDeviceSetMemPool = [](CUdevice, CUmemoryPool pool) {
      self->current = pool;
      return CUDA_SUCCESS;
    };
    table->cuMemPoolTrimTo = [](CUmemoryPool pool, size_t) {
      self->Trim(&self->pools.at(pool));
      return CUDA_SUCCESS;
    };
    table->cuMemPoolSetAttribute = [](CUmemoryPool, CUmemPool_attribute, void*) { return CUDA_SUCCESS; };
    table->cuMemPoolGetAttribute = [](CUmemoryPool pool, CUmemPool_attribute attribute, void* value) {
      if (self->broken) return CUDA_ERROR_ILLEGAL_ADDRESS;
      const Pool& its = self->pools.at(pool);
      const bool reserved = attribute == CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT;
      *static_cast<cuuint64_t*>(value) = reserved ? its.reserved : its.used;
      return CUDA_SUCCESS;
    };
    table->cuMemAllocFromPoolAsync = [](CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream) {
      ++self->asked;
      return self->Allocate(address, bytes, pool);
    };
    table->cuMemFree_v2 = [](CUdeviceptr address) { return self->Free(address, false); };
    table->cuMemFreeAsync = [](CUdeviceptr address, CUstream) { return self->Free(address, true); };
  }
  ~FakePools() { self = nullptr; }

  static CUmemoryPool Default() { return reinterpret_cast<CUmemoryPool>(0x1000); }

  // The streams have come to all frees, and the application has seen it.
  void Synchronize() {
    for (auto& [handle, pool] : pools) {
      pool.used -= pool.free_on_stream;
      pool.free_on_stream = 0;
      Trim(&pool);
    }
  }

  std::map<CUmemoryPool, Pool> pools;
  std::map<CUdeviceptr, std::pair<CUmemoryPool, size_t>> live;
  CUmemoryPool current = Default();
  uint64_t chunk = 512;  // bytes
  CUdevice created_on = -1;
  int asked = 0;
  bool broken = false;
  bool is_in_pieces = false;  // what is free is too small for anything
  std::vector<CUdeviceptr> next_addresses;

 private:
  static uint64_t Whole(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }
  void Trim(Pool* pool) { pool->reserved = Whole(pool->used, chunk); }

  CUresult Allocate(CUdeviceptr* address, size_t bytes, CUmemoryPool pool) {
    Pool& its = pools.at(pool);
    const uint64_t wanted = Whole(bytes, 512);
    if (its.free_on_stream >= wanted && !is_in_pieces) {
      its.free_on_stream -= wanted;
    } else {
      its.used += wanted;
      its.reserved = std::max(its.reserved, Whole(its.used, chunk));
    }
    if (next_addresses.empty()) {
      *address = last_address += 1u << 24;
    } else {
      *address = next_addresses.front();
      next_addresses.erase(next_addresses.begin());
    }
    live[*address] = {pool, wanted};
    return CUDA_SUCCESS;
  }
  CUresult Free(CUdeviceptr address, bool in_order) {
    const auto found = live.find(address);
    if (found == live.end()) return CUDA_ERROR_INVALID_VALUE;
    Pool& its = pools.at(found->second.first);
    if (in_order) {
      its.free_on_stream += found->second.second;
    } else {
      its.used -= found->second.second;
    }
    live.erase(found);
    return CUDA_SUCCESS;
  }

  static inline FakePools* self = nullptr;
  uint64_t last_pool = 0x2000;
  CUdeviceptr last_address = 1u << 30;
};

class MemoryPoolsTest : public testing::Test {
 protected:
  MemoryPoolsTest()
      : table_(driver_.table()),
        fake_(&table_),
        ledger_(std::move(*slice::Ledger::Create(kPoolLimit))),
        devices_{{3, &ledger_, *ledger_.OpenAccount()}} {
    driver_.device_ordinal = 3;
    FakeDriver::MakeCurrent(FakeDriver::Context(1));
    pools_.emplace(table_, devices_, &aside_, &shares_);
    EXPECT_EQ(pools_->Create(&pool_, 3, 0, CU_MEM_HANDLE_TYPE_NONE), CUDA_SUCCESS);
  }

  CUdeviceptr Allocate(size_t bytes) {
    CUdeviceptr address = 0;
    EXPECT_EQ(pools_->Allocate(&address, bytes, pool_, kStream), CUDA_SUCCESS);
    return address;
  }
  CUresult Refused(size_t bytes) {
    CUdeviceptr address = 0;
    return pools_->Allocate(&address, bytes, pool_, kStream);
  }

  FakeDriver driver_;
  driver::DriverTable table_;
  FakePools fake_;
  slice::Ledger ledger_;
  std::vector<LeasedDevice> devices_;
  AsideRanges aside_;
  Shares shares_{devices_};
  std::optional<MemoryPools> pools_;
  CUmemoryPool pool_ = nullptr;
};

TEST_F(MemoryPoolsTest, WhatThePoolKeepsIsCharged) {
  EXPECT_EQ(fake_.created_on, 3);
  const CUdeviceptr address = Allocate(1000);
  EXPECT_EQ(ledger_.used(), 1024u);
  EXPECT_TRUE(pools_->Has(address));
  EXPECT_EQ(pools_->FreeAsync(address, kStream), CUDA_SUCCESS);
  EXPECT_FALSE(pools_->Has(address));
  pools_->Settle();
  EXPECT_EQ(ledger_.used(), 1024u) << "the pool has it still";
  fake_.Synchronize();
  pools_->Settle();
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(MemoryPoolsTest, MemoryIsZeroedWhenItIsHandedOut) {
  const CUdeviceptr address = Allocate(1000);
  EXPECT_EQ(driver_.zeroed, (std::map<CUdeviceptr, size_t>{{address, 1000}}));
}

TEST_F(MemoryPoolsTest, WhatTheDriverTakesMoreIsCharged) {
  fake_.chunk = 1u << 18;
  Allocate(1000);
  EXPECT_EQ(ledger_.used(), 1u << 18);
  Allocate(1000);
  EXPECT_EQ(ledger_.used(), 1u << 18) << "there was room for it";
}

TEST_F(MemoryPoolsTest, NoMoreThanTheSliceIsAskedFor) {
  EXPECT_EQ(Refused(kPoolLimit + 1), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(Refused(SIZE_MAX), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(fake_.asked, 0);
  Allocate(kPoolLimit);
  EXPECT_EQ(Refused(1), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(fake_.asked, 1);
}

TEST_F(MemoryPoolsTest, WhatTheDriverTakesMoreThanTheSliceHasGoesBack) {
  fake_.chunk = 2 * kPoolLimit;
  EXPECT_EQ(Refused(1000), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_TRUE(fake_.live.empty());
  fake_.Synchronize();
  pools_->Settle();
  EXPECT_EQ(fake_.pools.at(pool_).reserved, 0u);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(MemoryPoolsTest, FreedMemoryIsHadAgainWhenTheSliceIsFull) {
  const CUdeviceptr first = Allocate(kPoolLimit);
  ASSERT_EQ(pools_->FreeAsync(first, kStream), CUDA_SUCCESS);
  const CUdeviceptr second = Allocate(kPoolLimit);
  EXPECT_EQ(ledger_.used(), kPoolLimit);
  EXPECT_EQ(pools_->FreeAsync(second, kStream), CUDA_SUCCESS);
  fake_.Synchronize();
  EXPECT_TRUE(pools_->ReleaseUnused());
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(MemoryPoolsTest, OtherProcessesOfTheLeaseCount) {
  const auto other = *ledger_.OpenAccount();
  ASSERT_TRUE(ledger_.Charge(other, kPoolLimit - 512));
  EXPECT_EQ(Refused(1024), CUDA_ERROR_OUT_OF_MEMORY);
  ledger_.Refund(other, 512);
  Allocate(1024);
  EXPECT_EQ(ledger_.used(), kPoolLimit);
}

TEST_F(MemoryPoolsTest, APoolThatGrowsInAFullSliceGivesThatBackAtOnce) {
  for (const CUdeviceptr address : {Allocate(1024), Allocate(1024)}) {
    ASSERT_EQ(pools_->FreeAsync(address, kStream), CUDA_SUCCESS);
  }
  ASSERT_TRUE(ledger_.Charge(*ledger_.OpenAccount(), kPoolLimit - 2048));
  fake_.is_in_pieces = true;
  EXPECT_EQ(Refused(2048), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(fake_.pools.at(pool_).reserved, 2048u) << "no stream has to get anywhere for that";
  EXPECT_EQ(ledger_.used(), kPoolLimit);
}

TEST_F(MemoryPoolsTest, TrimmingRefunds) {
  ASSERT_EQ(pools_->Free(Allocate(4096)), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 4096u);
  EXPECT_EQ(pools_->TrimTo(pool_, 0), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(MemoryPoolsTest, ADestroyedPoolStaysChargedUntilItsMemoryIsFree) {
  const CUdeviceptr address = Allocate(4096);
  fake_.current = pool_;
  EXPECT_EQ(pools_->Destroy(pool_), CUDA_SUCCESS);
  EXPECT_EQ(fake_.current, FakePools::Default());
  EXPECT_EQ(fake_.pools.count(pool_), 1u);
  EXPECT_EQ(ledger_.used(), 4096u);
  EXPECT_EQ(pools_->FreeAsync(address, kStream), CUDA_SUCCESS);
  pools_->Settle();
  EXPECT_EQ(fake_.pools.count(pool_), 1u);
  EXPECT_EQ(ledger_.used(), 4096u);
  fake_.Synchronize();
  pools_->Settle();
  EXPECT_EQ(fake_.pools.count(pool_), 0u);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(MemoryPoolsTest, AnUnusedPoolEndsAtOnce) {
  EXPECT_EQ(pools_->Destroy(pool_), CUDA_SUCCESS);
  EXPECT_EQ(fake_.pools.count(pool_), 0u);
  EXPECT_TRUE(pools_->empty());
}

TEST_F(MemoryPoolsTest, TheDefaultPoolIsTheDriversToDefend) {
  CUmemoryPool initial = nullptr;
  ASSERT_EQ(pools_->GetDefault(&initial, 3), CUDA_SUCCESS);
  EXPECT_EQ(pools_->Destroy(initial), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr address = 0;
  ASSERT_EQ(pools_->AllocateFromCurrent(&address, 512, kStream), CUDA_SUCCESS);
  EXPECT_EQ(fake_.live.at(address).first, initial);
  EXPECT_EQ(pools_->GetDefault(&initial, 4), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(MemoryPoolsTest, AddressesThatAreSetAsideDoNotComeBack) {
  fake_.next_addresses = {0x10000, 0x10000, 0x10200, 0x20000};
  const CUdeviceptr first = Allocate(1024);
  EXPECT_EQ(pools_->SetAside(first, kStream), CUDA_SUCCESS);
  EXPECT_EQ(pools_->SetAside(first, kStream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(Allocate(512), 0x20000u);
  EXPECT_EQ(fake_.live.size(), 1u);
}

TEST_F(MemoryPoolsTest, AFreeThatIsRefusedChangesNothing) {
  const CUdeviceptr address = Allocate(1024);
  fake_.live.clear();  // the driver does not know it any more
  EXPECT_EQ(pools_->Free(address), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(pools_->Has(address));
  EXPECT_EQ(ledger_.used(), 1024u);
}

TEST_F(MemoryPoolsTest, WhatTheDriverDoesNotTellStaysCharged) {
  Allocate(1024);
  fake_.broken = true;
  pools_->Settle();
  EXPECT_EQ(ledger_.used(), 1024u);
}

TEST_F(MemoryPoolsTest, TheEndFreesAndRefundsEverything) {
  Allocate(1024);
  Allocate(2048);
  pools_->FreeAll();
  EXPECT_TRUE(fake_.live.empty());
  EXPECT_EQ(ledger_.used(), 0u);
  Allocate(1024);
  pools_.reset();
  EXPECT_EQ(ledger_.used(), 0u);
}

}  // namespace
}  // namespace outboard::worker
