#include "server/worker/texture_objects.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

class TextureObjectsTest : public testing::Test {
 protected:
  TextureObjectsTest() : table_(driver_.table()), objects_(table_) {
    self = this;
    FakeDriver::MakeCurrent(context_);
    table_.cuTexObjectCreate = [](CUtexObject* object, const CUDA_RESOURCE_DESC* resource, const CUDA_TEXTURE_DESC*,
                                  const CUDA_RESOURCE_VIEW_DESC*) {
      self->seen_ = *resource;
      *object = 77;
      self->alive_.insert(77);
      return CUDA_SUCCESS;
    };
    table_.cuSurfObjectCreate = [](CUsurfObject* object, const CUDA_RESOURCE_DESC* resource) {
      self->seen_ = *resource;
      *object = 88;
      self->alive_.insert(88);
      return CUDA_SUCCESS;
    };
    table_.cuTexObjectDestroy = table_.cuSurfObjectDestroy = [](unsigned long long object) {
      return self->alive_.erase(object) == 1 ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED;
    };
  }
  static CUDA_RESOURCE_DESC Resource(CUresourcetype type) {
    CUDA_RESOURCE_DESC resource{};
    resource.resType = type;
    resource.res.array.hArray = kLie;
    return resource;
  }

  static inline TextureObjectsTest* self = nullptr;
  static inline const CUarray kLie = reinterpret_cast<CUarray>(uint64_t{0x666});
  static inline const CUarray kArray = reinterpret_cast<CUarray>(uint64_t{0x100});
  static inline const CUmipmappedArray kMipmapped = reinterpret_cast<CUmipmappedArray>(uint64_t{0x200});
  const CUcontext context_ = FakeDriver::Context(1);
  FakeDriver driver_;
  driver::DriverTable table_;
  TextureObjects objects_;
  CUDA_RESOURCE_DESC seen_{};
  std::set<unsigned long long> alive_;
  CUtexObject object_ = 0;
  CUDA_TEXTURE_DESC reading_{};
};

TEST_F(TextureObjectsTest, TheDriverNeverSeesAHandleOfTheClients) {
  CUDA_RESOURCE_DESC resource = Resource(CU_RESOURCE_TYPE_ARRAY);
  ASSERT_EQ(objects_.CreateTexture(&object_, &resource, kArray, nullptr, &reading_, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(seen_.res.array.hArray, kArray);
  EXPECT_EQ(objects_.CreateTexture(&object_, &resource, nullptr, kMipmapped, &reading_, nullptr),
            CUDA_ERROR_INVALID_HANDLE);
  resource = Resource(CU_RESOURCE_TYPE_MIPMAPPED_ARRAY);
  ASSERT_EQ(objects_.CreateTexture(&object_, &resource, nullptr, kMipmapped, &reading_, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(seen_.res.mipmap.hMipmappedArray, kMipmapped);
  EXPECT_EQ(objects_.CreateTexture(&object_, &resource, kArray, nullptr, &reading_, nullptr),
            CUDA_ERROR_INVALID_HANDLE);
  resource = Resource(static_cast<CUresourcetype>(4));
  EXPECT_EQ(objects_.CreateTexture(&object_, &resource, kArray, nullptr, &reading_, nullptr), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(objects_.CreateSurface(&object_, kArray), CUDA_SUCCESS);
  EXPECT_EQ(seen_.res.array.hArray, kArray);
  EXPECT_EQ(objects_.CreateSurface(&object_, nullptr), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(TextureObjectsTest, OnlyWhatTheClientWasGivenIsDestroyed) {
  const CUDA_RESOURCE_DESC resource = Resource(CU_RESOURCE_TYPE_LINEAR);
  alive_.insert(99);
  EXPECT_EQ(objects_.DestroyTexture(99), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(alive_.count(99), 1u);
  ASSERT_EQ(objects_.CreateTexture(&object_, &resource, nullptr, nullptr, &reading_, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(objects_.DestroySurface(object_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(objects_.DestroyTexture(object_), CUDA_SUCCESS);
  EXPECT_EQ(objects_.DestroyTexture(object_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(TextureObjectsTest, EndWithTheirContext) {
  ASSERT_EQ(objects_.CreateSurface(&object_, kArray), CUDA_SUCCESS);
  objects_.ForgetContext(FakeDriver::Context(2));
  objects_.ForgetContext(context_);
  EXPECT_EQ(objects_.DestroySurface(object_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(alive_.count(object_), 1u);  // the driver's own business
}

}  // namespace
}  // namespace outboard::worker
