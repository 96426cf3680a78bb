#include "server/worker/allocations.h"

#include <gtest/gtest.h>

#include <optional>

#include "server/worker/session.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

constexpr uint64_t kLimit = 1u << 20;

class AllocationsTest : public testing::Test {
 protected:
  AllocationsTest()
      : ledger_(std::move(*slice::Ledger::Create(kLimit))), devices_{{3, &ledger_, *ledger_.OpenAccount()}} {
    driver_.device_ordinal = 3;
    FakeDriver::MakeCurrent(context_);
    allocations_.emplace(driver_.table(), devices_, &aside_);
  }

  const CUcontext context_ = FakeDriver::Context(1);
  FakeDriver driver_;
  slice::Ledger ledger_;
  std::vector<LeasedDevice> devices_;
  AsideRanges aside_;
  std::optional<Allocations> allocations_;
  CUdeviceptr address_ = 0;
};

TEST_F(AllocationsTest, ChargesAndRefundsWholeGranules) {
  driver_.next_addresses = {0x10000};
  ASSERT_EQ(allocations_->Allocate(&address_, 513), CUDA_SUCCESS);
  EXPECT_EQ(address_, 0x10000u);
  EXPECT_EQ(ledger_.used(), 1024u);
  ASSERT_EQ(allocations_->Free(address_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_TRUE(driver_.allocated.empty());
}

TEST_F(AllocationsTest, HandsOutZeroedMemoryWithoutTouchingTheApplicationsStreams) {
  driver_.next_addresses = {0x10000};
  ASSERT_EQ(allocations_->Allocate(&address_, 513), CUDA_SUCCESS);
  EXPECT_EQ(driver_.zeroed, (std::map<CUdeviceptr, size_t>{{0x10000, 513}}));
  EXPECT_EQ(driver_.created_flags, unsigned{CU_STREAM_NON_BLOCKING});
}

TEST_F(AllocationsTest, RefusesPastTheSliceWithoutAskingTheDriver) {
  driver_.next_addresses = {0x10000, 0x20000};
  EXPECT_EQ(allocations_->Allocate(&address_, kLimit + 1), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(allocations_->Allocate(&address_, SIZE_MAX), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(driver_.next_addresses.size(), 2u);
  EXPECT_EQ(allocations_->Allocate(&address_, kLimit), CUDA_SUCCESS);
  EXPECT_EQ(allocations_->Allocate(&address_, 1), CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_F(AllocationsTest, RefundsWhatTheDriverRefuses) {
  EXPECT_EQ(allocations_->Allocate(&address_, 512), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(ledger_.used(), 0u);
  driver_.next_addresses = {0x10000};
  driver_.refuse_memset = true;
  EXPECT_EQ(allocations_->Allocate(&address_, 512), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_TRUE(driver_.allocated.empty());
}

TEST_F(AllocationsTest, FreeOfWhatIsNotOursIsTheDriversToAnswer) {
  EXPECT_EQ(allocations_->Free(0x10000), CUDA_ERROR_INVALID_VALUE);
  driver_.next_addresses = {0x10000};
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  driver_.allocated.clear();  // the driver does not know it any more
  EXPECT_EQ(allocations_->Free(0x10000), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(ledger_.used(), 512u);
}

TEST_F(AllocationsTest, AFreeInAStreamIsRefundedWhenTheStreamHasGotThere) {
  const CUstream stream = FakeDriver::Stream(7);
  driver_.next_addresses = {0x10000, 0x20000};
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  EXPECT_EQ(allocations_->FreeAsync(0x30000, stream), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(allocations_->FreeAsync(address_, stream), CUDA_SUCCESS);
  EXPECT_FALSE(allocations_->RefundFreed());
  EXPECT_EQ(ledger_.used(), 512u);
  driver_.Run(stream);
  EXPECT_TRUE(allocations_->RefundFreed());
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_EQ(driver_.events(), 0u);
  // Or when its context ends, which waits for the stream.
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  ASSERT_EQ(allocations_->FreeAsync(address_, stream), CUDA_SUCCESS);
  allocations_->ForgetContext(context_);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(AllocationsTest, AddressesThatAreSetAsideDoNotComeBack) {
  driver_.next_addresses = {0x10000, 0x10200, 0x10000, 0x10000, 0x20000};
  ASSERT_EQ(allocations_->Allocate(&address_, 1024), CUDA_SUCCESS);
  ASSERT_EQ(allocations_->SetAside(address_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_EQ(allocations_->SetAside(address_), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  EXPECT_EQ(address_, 0x20000u);
  EXPECT_EQ(driver_.allocated.size(), 1u);
  EXPECT_EQ(ledger_.used(), 512u);
}

TEST_F(AllocationsTest, SmallOnesGoAroundALargeRangeThatIsSetAside) {
  driver_.first_address = 0x10000;
  ASSERT_EQ(allocations_->Allocate(&address_, kLimit / 2), CUDA_SUCCESS);
  ASSERT_EQ(allocations_->SetAside(address_), CUDA_SUCCESS);
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
    EXPECT_EQ(address_, 0x10000 + kLimit / 2 + 512 * i);
  }
  EXPECT_EQ(driver_.allocated.size(), 3u);
  EXPECT_EQ(ledger_.used(), 3 * 512u);
}

TEST_F(AllocationsTest, WhatIsHeldToGetAroundARangeIsOfTheSlice) {
  driver_.first_address = 0x10000;
  ASSERT_EQ(allocations_->Allocate(&address_, kLimit), CUDA_SUCCESS);
  ASSERT_EQ(allocations_->SetAside(address_), CUDA_SUCCESS);
  EXPECT_EQ(allocations_->Allocate(&address_, 512), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_TRUE(driver_.allocated.empty());
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(AllocationsTest, GivesUpWhenThereAreOnlyAddressesThatAreSetAside) {
  for (CUdeviceptr at = 0x10000; at < 0x10000 + 100 * 512; at += 512) driver_.next_addresses.push_back(at);
  ASSERT_EQ(allocations_->Allocate(&address_, 100 * 512), CUDA_SUCCESS);
  ASSERT_EQ(allocations_->SetAside(address_), CUDA_SUCCESS);
  EXPECT_EQ(allocations_->Allocate(&address_, 512), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(AllocationsTest, AFreeInAStreamOfAnotherContextIsRefundedWhenThatStreamHasGotThere) {
  const CUstream stream = FakeDriver::Stream(8);
  driver_.other_stream = stream;
  driver_.others_context = FakeDriver::Context(2);
  driver_.next_addresses = {0x10000, 0x20000};
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  ASSERT_EQ(allocations_->FreeAsync(address_, stream), CUDA_SUCCESS);
  EXPECT_FALSE(allocations_->RefundFreed());
  EXPECT_EQ(ledger_.used(), 512u);
  driver_.Run(stream);
  EXPECT_TRUE(allocations_->RefundFreed());
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(AllocationsTest, AFreeThatNothingTellsOfStaysChargedUntilTheContextEnds) {
  driver_.other_stream = FakeDriver::Stream(8);
  driver_.others_context = FakeDriver::Context(2);
  driver_.destroyed = {driver_.others_context};
  driver_.next_addresses = {0x10000};
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  ASSERT_EQ(allocations_->FreeAsync(address_, driver_.other_stream), CUDA_SUCCESS);
  EXPECT_FALSE(allocations_->RefundFreed());
  EXPECT_EQ(ledger_.used(), 512u);
  allocations_->ForgetContext(context_);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(AllocationsTest, MemoryIsLeftAsItIsWhereTheDriverClearsIt) {
  allocations_.emplace(driver_.table(), devices_, &aside_, /*clears=*/false);
  driver_.next_addresses = {0x10000};
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  EXPECT_TRUE(driver_.zeroed.empty());
}

TEST_F(AllocationsTest, InfoIsTheSmallerOfSliceAndDevice) {
  driver_.next_addresses = {0x10000};
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  size_t free, total;
  driver_.device_free = driver_.device_total = 8 * kLimit;
  ASSERT_EQ(allocations_->Info(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(total, kLimit);
  EXPECT_EQ(free, kLimit - 512);
  driver_.device_free = 7;
  ASSERT_EQ(allocations_->Info(&free, &total), CUDA_SUCCESS);
  EXPECT_EQ(free, 7u);
  EXPECT_EQ(allocations_->Info(nullptr, &total), CUDA_SUCCESS);
  EXPECT_EQ(allocations_->Info(&free, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(free, 7u);
}

TEST_F(AllocationsTest, ContextTakesItsMemoryWithIt) {
  driver_.next_addresses = {0x10000, 0x20000};
  ASSERT_EQ(allocations_->Allocate(&address_, 512), CUDA_SUCCESS);
  FakeDriver::MakeCurrent(FakeDriver::Context(2));
  ASSERT_EQ(allocations_->Allocate(&address_, 1024), CUDA_SUCCESS);
  allocations_->ForgetContext(context_);
  EXPECT_EQ(ledger_.used(), 1024u);
  allocations_.reset();
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(AllocationsTest, NeedsAContextOfTheLease) {
  driver_.device_ordinal = 4;
  EXPECT_EQ(allocations_->Allocate(&address_, 512), CUDA_ERROR_INVALID_DEVICE);
  FakeDriver::MakeNoneCurrent();
  EXPECT_EQ(allocations_->Allocate(&address_, 512), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(ledger_.used(), 0u);
}

}  // namespace
}  // namespace outboard::worker
