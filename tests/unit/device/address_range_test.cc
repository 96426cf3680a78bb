#include "server/softgpu/device/address_range.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "server/softgpu/device/device_memory.h"

namespace outboard::softgpu {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kPiece = 2 * kMiB;

class AddressRangeTest : public testing::Test {
 protected:
  AddressRangeTest() {
    std::string path = testing::TempDir() + "address_range_XXXXXX";
    root_ = mkdtemp(path.data()) == nullptr ? "" : path;
    config_.directory = root_;
    config_.memory_bytes = 8 * kMiB;
    auto memory = DeviceMemory::Attach(config_, 0);
    EXPECT_TRUE(memory.ok()) << memory.error().message;
    if (memory) memory_ = std::move(*memory);
  }
  ~AddressRangeTest() override {
    memory_.reset();
    std::filesystem::remove_all(root_);
  }

  std::string root_;  // of this test alone; removed after it
  Config config_;
  std::unique_ptr<DeviceMemory> memory_;
};

TEST_F(AddressRangeTest, ARangeIsAlignedAndLargerThanAnyMemory) {
  for (const uint64_t alignment : {kPageBytes, kPiece, kMiB << 10}) {
    const auto range = AddressRange::Reserve(kMiB << 19, alignment, 0);
    ASSERT_NE(range, nullptr);
    EXPECT_EQ(range->begin() % alignment, 0u);
    EXPECT_EQ(range->bytes(), kMiB << 19);
  }
  EXPECT_EQ(AddressRange::Reserve(uint64_t{1} << 50, kPiece, 0), nullptr);
}

TEST_F(AddressRangeTest, AFreeAddressThatIsWantedIsGiven) {
  uint64_t begin;
  {
    const auto range = AddressRange::Reserve(kPiece, kPiece, 0);
    ASSERT_NE(range, nullptr);
    begin = range->begin();
    const auto other = AddressRange::Reserve(kPiece, kPiece, begin);
    ASSERT_NE(other, nullptr);
    EXPECT_NE(other->begin(), begin) << "it was not free";
  }
  const auto again = AddressRange::Reserve(kPiece, kPiece, begin);
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->begin(), begin);
}

TEST_F(AddressRangeTest, NeighboursAreOnePieceOfMemory) {
  const auto range = AddressRange::Reserve(4 * kPiece, kPiece, 0);
  // Allocated in the other order than mapped, with something between them.
  const auto second = memory_->AllocatePhysical(kPiece);
  ASSERT_TRUE(memory_->Allocate(1000));
  const auto first = memory_->AllocatePhysical(kPiece);
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(range->Map(range->begin(), kPiece, *first));
  ASSERT_TRUE(range->Map(range->begin() + kPiece, kPiece, *second));
  std::memset(range->ToHost(range->begin()), 7, 2 * kPiece);

  const auto other = AddressRange::Reserve(kPiece, kPiece, 0);
  ASSERT_TRUE(other->Map(other->begin(), kPiece, *second));
  EXPECT_EQ(static_cast<int>(*other->ToHost(other->begin())), 7) << "the same memory at another address";
  *other->ToHost(other->begin() + kPiece - 1) = std::byte{9};
  EXPECT_EQ(static_cast<int>(*range->ToHost(range->begin() + 2 * kPiece - 1)), 9);
}

TEST_F(AddressRangeTest, WhatIsUnmappedIsNobodys) {
  const auto range = AddressRange::Reserve(kPiece, kPiece, 0);
  const auto memory = memory_->AllocatePhysical(kPiece);
  ASSERT_TRUE(range->Map(range->begin(), kPiece, *memory));
  std::byte* const host = range->ToHost(range->begin());
  *host = std::byte{5};
  range->Unmap(range->begin(), kPiece);
  EXPECT_EQ(static_cast<int>(*host), 0);
  *host = std::byte{6};  // of work that is still under way
  ASSERT_TRUE(range->Map(range->begin(), kPiece, *memory));
  EXPECT_EQ(static_cast<int>(*host), 5);
}

TEST_F(AddressRangeTest, MemoryIsTheDevicesAgainWithItsOwner) {
  const uint64_t before = memory_->FreeBytes();
  {
    const auto memory = memory_->AllocatePhysical(kPiece);
    EXPECT_EQ(memory_->FreeBytes(), before - kPiece);
    EXPECT_TRUE(memory_->Extents()->empty()) << "it has no address";
    EXPECT_EQ(memory_->AllocatePhysical(before), nullptr);
  }
  EXPECT_EQ(memory_->FreeBytes(), before);
  EXPECT_NE(memory_->AllocatePhysical(before), nullptr) << "all of it";
}

// Memory begins at a page even where what is free does not.
TEST_F(AddressRangeTest, MemoryBeginsAtAPage) {
  const auto odd = memory_->Allocate(512);
  ASSERT_TRUE(odd);
  const auto range = AddressRange::Reserve(kPiece, kPiece, 0);
  const auto memory = memory_->AllocatePhysical(kPiece);
  ASSERT_NE(memory, nullptr);
  EXPECT_TRUE(range->Map(range->begin(), kPiece, *memory));
}

}  // namespace
}  // namespace outboard::softgpu
