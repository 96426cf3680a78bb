#include "server/worker/exports.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <set>

#include "server/worker/allocations.h"
#include "server/worker/session.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

constexpr unsigned kFlags = CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS;
constexpr CUdeviceptr kElsewhere = 0x7000'0000;  // memory is so much higher in the process that opens it
constexpr uint64_t kExportLimit = 1u << 20;

// A driver whose handles hold the address, or the event.
class Ipc {
 public:
  explicit Ipc(const driver::DriverTable& base) : table(base) {
    opened.clear();
    refuse = CUDA_SUCCESS;
    table.cuIpcGetMemHandle = [](CUipcMemHandle* handle, CUdeviceptr address) {
      std::memset(handle, 0xee, sizeof *handle);
      std::memcpy(handle, &address, sizeof address);
      return CUDA_SUCCESS;
    };
    table.cuIpcOpenMemHandle_v2 = [](CUdeviceptr* address, CUipcMemHandle handle, unsigned flags) {
      if (refuse != CUDA_SUCCESS || flags != kFlags) return refuse != CUDA_SUCCESS ? refuse : CUDA_ERROR_INVALID_VALUE;
      std::memcpy(address, &handle, sizeof *address);
      opened.insert(*address += kElsewhere);
      return CUDA_SUCCESS;
    };
    table.cuIpcCloseMemHandle = [](CUdeviceptr address) {
      const auto found = opened.find(address);
      if (found == opened.end()) return CUDA_ERROR_INVALID_VALUE;
      opened.erase(found);
      return CUDA_SUCCESS;
    };
    table.cuIpcGetEventHandle = [](CUipcEventHandle* handle, CUevent event) {
      std::memset(handle, 0, sizeof *handle);
      std::memcpy(handle, &event, sizeof event);
      return CUDA_SUCCESS;
    };
    table.cuIpcOpenEventHandle = [](CUevent* event, CUipcEventHandle handle) {
      std::memcpy(event, &handle, sizeof *event);
      return CUDA_SUCCESS;
    };
  }

  driver::DriverTable table;
  static inline std::multiset<CUdeviceptr> opened;
  static inline CUresult refuse = CUDA_SUCCESS;
};

// One process of the lease, on one driver with the others.
struct Member {
  Member(const driver::DriverTable& driver, slice::Ledger& ledger)
      : devices{{3, &ledger, *ledger.OpenAccount()}},
        allocations(driver, devices, &aside),
        exports(driver, devices, &allocations) {}

  const std::vector<LeasedDevice> devices;
  AsideRanges aside;
  Allocations allocations;
  Exports exports;
};

class ExportsTest : public testing::Test {
 protected:
  ExportsTest() {
    driver_.device_ordinal = 3;
    driver_.first_address = 0x10000;
    FakeDriver::MakeCurrent(context_);
  }
  std::unique_ptr<Member> New(slice::Ledger& ledger) { return std::make_unique<Member>(ipc_.table, ledger); }
  // What was exported.
  CUipcMemHandle Export(Member& member, size_t bytes) {
    CUipcMemHandle handle;
    EXPECT_EQ(member.allocations.Allocate(&address_, bytes), CUDA_SUCCESS);
    EXPECT_EQ(member.exports.GetMemory(&handle, address_), CUDA_SUCCESS);
    return handle;
  }
  CUresult Open(Member& member, const CUipcMemHandle& handle) {
    return member.exports.OpenMemory(&opened_, &bytes_, &device_, handle, kFlags);
  }

  const CUcontext context_ = FakeDriver::Context(1);
  FakeDriver driver_;
  Ipc ipc_{driver_.table()};
  slice::Ledger ledger_ = std::move(*slice::Ledger::Create(kExportLimit));
  slice::Ledger other_lease_ = std::move(*slice::Ledger::Create(kExportLimit));
  const std::unique_ptr<Member> one_ = New(ledger_), two_ = New(ledger_), stranger_ = New(other_lease_);
  CUdeviceptr address_ = 0, opened_ = 0;
  size_t bytes_ = 0;
  CUdevice device_ = -1;
};

TEST_F(ExportsTest, AnotherProcessOfTheLeaseOpensTheWholeAllocation) {
  const CUipcMemHandle handle = Export(*one_, 1000);
  CUipcMemHandle again;
  ASSERT_EQ(one_->exports.GetMemory(&again, address_ + 999), CUDA_SUCCESS);
  EXPECT_EQ(std::memcmp(&again, &handle, sizeof handle), 0);
  EXPECT_EQ(one_->exports.GetMemory(&again, address_ + 1000), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(Open(*two_, handle), CUDA_SUCCESS);
  EXPECT_EQ(opened_, address_ + kElsewhere);
  EXPECT_EQ(bytes_, 1000u);
  EXPECT_EQ(device_, 3);
  EXPECT_EQ(ledger_.used(), 1024u) << "it is charged once";
  EXPECT_TRUE(two_->exports.HasOpen(opened_));
  EXPECT_FALSE(two_->exports.HasOpen(opened_ + 1));
  EXPECT_FALSE(one_->exports.HasOpen(address_));
}

TEST_F(ExportsTest, TheDriversHandleStaysHere) {
  const CUipcMemHandle handle = Export(*one_, 1000);
  const std::string_view text(handle.reserved, sizeof handle.reserved);
  EXPECT_EQ(text.find(std::string(8, '\xee')), std::string_view::npos);
}

TEST_F(ExportsTest, NobodyElseOpensIt) {
  const CUipcMemHandle handle = Export(*one_, 1000);
  EXPECT_EQ(Open(*one_, handle), CUDA_ERROR_INVALID_CONTEXT) << "one's own";
  EXPECT_EQ(Open(*stranger_, handle), CUDA_ERROR_INVALID_HANDLE) << "of another lease";
  Export(*New(other_lease_), 1000);
  EXPECT_EQ(Open(*stranger_, handle), CUDA_ERROR_INVALID_HANDLE) << "the same place of another lease";
  for (const size_t at : {0, 8, 12, 16, 23}) {
    CUipcMemHandle changed = handle;
    changed.reserved[at] ^= 1;
    EXPECT_EQ(Open(*two_, changed), CUDA_ERROR_INVALID_HANDLE) << "byte " << at;
  }
  CUipcMemHandle of_driver;
  ipc_.table.cuIpcGetMemHandle(&of_driver, address_);
  EXPECT_EQ(Open(*two_, of_driver), CUDA_ERROR_INVALID_HANDLE) << "a handle of the driver's";
  EXPECT_TRUE(Ipc::opened.empty()) << "the driver was not asked";
  CUipcEventHandle as_event;
  std::memcpy(&as_event, &handle, sizeof handle);
  CUevent event;
  EXPECT_EQ(two_->exports.OpenEvent(&event, as_event), CUDA_ERROR_INVALID_HANDLE) << "it is no event";
}

TEST_F(ExportsTest, IsClosedAsOftenAsItWasOpened) {
  const CUipcMemHandle handle = Export(*one_, 512);
  ASSERT_EQ(Open(*two_, handle), CUDA_SUCCESS);
  ASSERT_EQ(Open(*two_, handle), CUDA_SUCCESS);
  ASSERT_EQ(one_->allocations.Free(address_), CUDA_SUCCESS);
  EXPECT_EQ(Open(*New(ledger_), handle), CUDA_ERROR_INVALID_HANDLE) << "it was freed";
  EXPECT_EQ(two_->exports.CloseMemory(opened_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 512u) << "it is still open";
  EXPECT_EQ(two_->exports.CloseMemory(opened_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_EQ(two_->exports.CloseMemory(opened_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(Ipc::opened.empty());
}

TEST_F(ExportsTest, WhatTheDriverRefusesIsNotOpen) {
  const CUipcMemHandle handle = Export(*one_, 512);
  Ipc::refuse = CUDA_ERROR_MAP_FAILED;
  EXPECT_EQ(Open(*two_, handle), CUDA_ERROR_MAP_FAILED);
  ASSERT_EQ(one_->allocations.Free(address_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(ExportsTest, EndsWithItsContext) {
  const CUipcMemHandle handle = Export(*one_, 512);
  ASSERT_EQ(Open(*two_, handle), CUDA_SUCCESS);
  one_->allocations.ForgetContext(context_);
  EXPECT_EQ(ledger_.used(), 512u);
  two_->exports.ForgetContext(context_);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_FALSE(two_->exports.HasOpen(opened_));
}

TEST_F(ExportsTest, EndsWithTheSession) {
  auto three = New(ledger_);
  ASSERT_EQ(Open(*three, Export(*one_, 512)), CUDA_SUCCESS);
  ASSERT_EQ(one_->allocations.Free(address_), CUDA_SUCCESS);
  three.reset();
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(ExportsTest, AnEventIsThereUntilItIsDestroyed) {
  const auto made = reinterpret_cast<CUevent>(0x55);
  CUevent opened = nullptr;
  CUipcEventHandle handle, again;
  ASSERT_EQ(one_->exports.GetEvent(&handle, made), CUDA_SUCCESS);
  ASSERT_EQ(one_->exports.GetEvent(&again, made), CUDA_SUCCESS);
  EXPECT_EQ(std::memcmp(&again, &handle, sizeof handle), 0);
  ASSERT_EQ(two_->exports.OpenEvent(&opened, handle), CUDA_SUCCESS);
  EXPECT_EQ(opened, made);
  EXPECT_EQ(two_->exports.OpenEvent(&opened, handle), CUDA_SUCCESS) << "another event";
  EXPECT_EQ(one_->exports.OpenEvent(&opened, handle), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(stranger_->exports.OpenEvent(&opened, handle), CUDA_ERROR_INVALID_HANDLE);
  one_->exports.ForgetEvent(made);
  EXPECT_EQ(two_->exports.OpenEvent(&opened, handle), CUDA_ERROR_INVALID_HANDLE);
  ASSERT_EQ(one_->exports.GetEvent(&handle, made), CUDA_SUCCESS);
  one_->exports.ForgetContext(context_);
  EXPECT_EQ(two_->exports.OpenEvent(&opened, handle), CUDA_ERROR_INVALID_HANDLE);
}

// What is made while a green context is current belongs to the primary one, and ends with that.
TEST_F(ExportsTest, AnEventIsThePrimaryContexts) {
  ipc_.table.cuStreamGetCtx_v2 = [](CUstream, CUcontext* context, CUgreenCtx* green) {
    *context = FakeDriver::Context(2);
    *green = reinterpret_cast<CUgreenCtx>(0x66);
    return CUDA_SUCCESS;
  };
  CUevent opened = nullptr;
  CUipcEventHandle handle;
  ASSERT_EQ(one_->exports.GetEvent(&handle, reinterpret_cast<CUevent>(0x55)), CUDA_SUCCESS);
  one_->exports.ForgetContext(context_);
  EXPECT_EQ(two_->exports.OpenEvent(&opened, handle), CUDA_SUCCESS);
  one_->exports.ForgetContext(FakeDriver::Context(2));
  EXPECT_EQ(two_->exports.OpenEvent(&opened, handle), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(ExportsTest, ADriverWithoutSharingSaysSo) {
  CUipcMemHandle handle{};
  CUipcEventHandle event_handle{};
  CUevent event;
  Member bare(driver_.table(), ledger_);
  ASSERT_EQ(bare.allocations.Allocate(&address_, 512), CUDA_SUCCESS);
  EXPECT_EQ(bare.exports.GetMemory(&handle, address_), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(Open(bare, handle), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(bare.exports.GetEvent(&event_handle, nullptr), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(bare.exports.OpenEvent(&event, event_handle), CUDA_ERROR_NOT_SUPPORTED);
}

}  // namespace
}  // namespace outboard::worker
