#include "server/worker/arrays.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <vector>

#include "common/libcuda/arrays.h"
#include "server/worker/allocations.h"
#include "server/worker/session.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

constexpr uint64_t kArrayLimit = 10u << 20;

CUDA_ARRAY3D_DESCRIPTOR Describe(size_t width, size_t height, size_t depth, unsigned flags = 0) {
  return {width, height, depth, CU_AD_FORMAT_FLOAT, 1, flags};
}

// The driver's arrays: bytes without gaps, of which the driver has cleared none. One object at a time.
class FakeArrays {
 public:
  struct Array {
    BoxExtent extent;
    std::vector<unsigned char> bytes;
  };

  explicit FakeArrays(driver::DriverTable* table) {
    self = this;
    table->cuArray3DCreate_v2 = [](CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor) {
      ++self->asked;
      if (self->refuses) return CUDA_ERROR_INVALID_VALUE;
      *array = self->Add(*descriptor);
      return CUDA_SUCCESS;
    };
    table->cuArrayDestroy = [](CUarray array) {
      if (self->refuses_to_destroy) return CUDA_ERROR_LAUNCH_FAILED;
      return self->arrays.erase(array) == 1 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
    };
    table->cuMipmappedArrayCreate = [](CUmipmappedArray* mipmapped, const CUDA_ARRAY3D_DESCRIPTOR* descriptor,
                                       unsigned levels) {
      ++self->asked;
      *mipmapped = reinterpret_cast<CUmipmappedArray>(uint64_t{0x9000});
      for (unsigned level = 0; level < levels; ++level) self->levels.push_back(self->Add(LevelOf(*descriptor, level)));
      return CUDA_SUCCESS;
    };
    table->cuMipmappedArrayGetLevel = [](CUarray* array, CUmipmappedArray, unsigned level) {
      *array = self->levels.at(level);
      return CUDA_SUCCESS;
    };
    table->cuMipmappedArrayDestroy = [](CUmipmappedArray) {
      for (const CUarray level : self->levels) self->arrays.erase(level);
      self->levels.clear();
      return CUDA_SUCCESS;
    };
    table->cuMemcpy3DAsync_v2 = [](const CUDA_MEMCPY3D* copy, CUstream stream) {
      self->copied_on = stream;
      if (self->refuses_copies) return CUDA_ERROR_LAUNCH_FAILED;
      Array& to = self->arrays.at(copy->dstArray);
      const Box all = PackedAt(to.bytes.data(), to.extent);
      const Box from = {reinterpret_cast<uint64_t>(copy->srcHost), copy->srcPitch, copy->srcHeight};
      CopyBox(all.From(copy->dstXInBytes, copy->dstY, copy->dstZ), from,
              {copy->WidthInBytes, copy->Height, copy->Depth});
      return CUDA_SUCCESS;
    };
  }
  ~FakeArrays() { self = nullptr; }

  CUarray Add(const CUDA_ARRAY3D_DESCRIPTOR& descriptor) {
    const auto array = reinterpret_cast<CUarray>(++last);
    const BoxExtent extent = ExtentOf(descriptor);
    arrays[array] = {extent, std::vector<unsigned char>(*PackedBytes(extent), 0xcc)};
    return array;
  }
  bool AllAreCleared() const {
    return std::all_of(arrays.begin(), arrays.end(), [](const auto& entry) {
      const auto& bytes = entry.second.bytes;
      return std::all_of(bytes.begin(), bytes.end(), [](unsigned char byte) { return byte == 0; });
    });
  }

  std::map<CUarray, Array> arrays;
  std::vector<CUarray> levels;
  uint64_t last = 0;
  int asked = 0;
  CUstream copied_on = nullptr;
  bool refuses = false, refuses_copies = false, refuses_to_destroy = false;

 private:
  static inline FakeArrays* self = nullptr;
};

class ArraysTest : public testing::Test {
 protected:
  ArraysTest()
      : table_(driver_.table()),
        fakes_(&table_),
        ledger_(std::move(*slice::Ledger::Create(kArrayLimit))),
        devices_{{3, &ledger_, *ledger_.OpenAccount()}} {
    driver_.device_ordinal = 3;
    FakeDriver::MakeCurrent(context_);
    allocations_.emplace(table_, devices_, &aside_);
    arrays_.emplace(table_, devices_, &*allocations_);
  }

  const CUcontext context_ = FakeDriver::Context(1);
  FakeDriver driver_;
  driver::DriverTable table_;
  FakeArrays fakes_;
  slice::Ledger ledger_;
  std::vector<LeasedDevice> devices_;
  AsideRanges aside_;
  std::optional<Allocations> allocations_;
  std::optional<Arrays> arrays_;
  CUarray array_ = nullptr;
  CUmipmappedArray mipmapped_ = nullptr;
};

TEST_F(ArraysTest, ChargesTilesAndRefundsThem) {
  const auto descriptor = Describe(17, 9, 3);
  ASSERT_EQ(arrays_->Create(&array_, &descriptor), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 128u * 16 * 3);
  ASSERT_EQ(arrays_->Destroy(array_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_TRUE(fakes_.arrays.empty());
  EXPECT_EQ(arrays_->Destroy(array_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(ArraysTest, AreHandedOutClearedInEveryShape) {
  for (const auto& descriptor :
       {Describe(1000, 0, 0), Describe(70, 33, 0), Describe(5, 6, 7), Describe(1024, 700, 0), Describe(300000, 2, 0),
        Describe(512, 512, 3), Describe(9, 0, 5, CUDA_ARRAY3D_LAYERED)}) {
    ASSERT_EQ(arrays_->Create(&array_, &descriptor), CUDA_SUCCESS);
    EXPECT_TRUE(fakes_.AllAreCleared()) << descriptor.Width;
    EXPECT_EQ(fakes_.copied_on, FakeDriver::Stream(900));  // none of the application's
    ASSERT_EQ(arrays_->Destroy(array_), CUDA_SUCCESS);
  }
}

TEST_F(ArraysTest, PastTheSliceTheDriverIsNotAsked) {
  const auto large = Describe(1024, 4096, 0), endless = Describe(SIZE_MAX, SIZE_MAX, SIZE_MAX);
  EXPECT_EQ(arrays_->Create(&array_, &large), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(arrays_->Create(&array_, &endless), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(arrays_->CreateMipmapped(&mipmapped_, &large, 1), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(fakes_.asked, 0);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(ArraysTest, WhatComesToNothingIsNotCharged) {
  const auto descriptor = Describe(16, 8, 0);
  fakes_.refuses = true;
  EXPECT_EQ(arrays_->Create(&array_, &descriptor), CUDA_ERROR_INVALID_VALUE);
  fakes_.refuses = false;
  fakes_.refuses_copies = true;
  EXPECT_EQ(arrays_->Create(&array_, &descriptor), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(arrays_->CreateMipmapped(&mipmapped_, &descriptor, 2), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_TRUE(fakes_.arrays.empty());
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(ArraysTest, WhatTheDriverKeepsStaysCharged) {
  const auto descriptor = Describe(16, 8, 0);
  ASSERT_EQ(arrays_->Create(&array_, &descriptor), CUDA_SUCCESS);
  fakes_.refuses_to_destroy = true;
  EXPECT_EQ(arrays_->Destroy(array_), CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_EQ(ledger_.used(), 512u);
  arrays_->ForgetContext(FakeDriver::Context(2));
  EXPECT_EQ(ledger_.used(), 512u);
  arrays_->ForgetContext(context_);
  EXPECT_EQ(ledger_.used(), 0u);
}

TEST_F(ArraysTest, LevelsAreClearedAndEndTogether) {
  const auto descriptor = Describe(20, 9, 0);
  ASSERT_EQ(arrays_->CreateMipmapped(&mipmapped_, &descriptor, 99), CUDA_SUCCESS);
  EXPECT_TRUE(fakes_.AllAreCleared());
  const std::vector<CUarray> levels = arrays_->LevelsOf(mipmapped_);
  EXPECT_EQ(levels.size(), 5u);
  EXPECT_EQ(ledger_.used(), MipmappedArrayBytes(descriptor, 5));
  EXPECT_EQ(arrays_->Destroy(levels[1]), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(fakes_.arrays.size(), 5u);
  ASSERT_EQ(arrays_->DestroyMipmapped(mipmapped_), CUDA_SUCCESS);
  EXPECT_EQ(ledger_.used(), 0u);
  EXPECT_TRUE(arrays_->LevelsOf(mipmapped_).empty());
}

TEST_F(ArraysTest, WhatCannotBeChargedOrClearedIsRefused) {
  const auto sparse = Describe(64, 64, 0, CUDA_ARRAY3D_SPARSE);
  const auto later = Describe(64, 64, 0, CUDA_ARRAY3D_DEFERRED_MAPPING);
  auto compressed = Describe(64, 64, 0);
  compressed.Format = CU_AD_FORMAT_BC1_UNORM;
  for (const auto& descriptor : {sparse, later, compressed}) {
    EXPECT_EQ(arrays_->Create(&array_, &descriptor), CUDA_ERROR_NOT_SUPPORTED);
    EXPECT_EQ(arrays_->CreateMipmapped(&mipmapped_, &descriptor, 2), CUDA_ERROR_NOT_SUPPORTED);
  }
  EXPECT_EQ(arrays_->Create(&array_, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(fakes_.asked, 0);
}

}  // namespace
}  // namespace outboard::worker
