#include "common/api/entry_points.h"

#include <gtest/gtest.h>

#include "common/api/driver_api.h"

// The shim's table of calls, and what needs no worker.

namespace outboard {
namespace {

TEST(ShimEntryPointsTest, GivesOutWhatIsSupported) {
  void* address = nullptr;
  CUdriverProcAddressQueryResult status;
  ASSERT_EQ(cuGetProcAddress_v2("cuMemAlloc", &address, 13000, 0, &status), CUDA_SUCCESS);
  EXPECT_EQ(address, reinterpret_cast<void*>(&cuMemAlloc_v2));
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_SUCCESS);
  ASSERT_EQ(cuGetProcAddress("cuGetProcAddress", &address, 11030, 0), CUDA_SUCCESS);
  EXPECT_EQ(address, reinterpret_cast<void*>(&cuGetProcAddress));
}

TEST(ShimEntryPointsTest, KnowsThePerThreadTwins) {
  void* ordinary = nullptr;
  void* twin = nullptr;
  ASSERT_EQ(cuGetProcAddress("cuStreamSynchronize", &ordinary, 13000, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuGetProcAddress("cuStreamSynchronize", &twin, 13000, CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM),
            CUDA_SUCCESS);
  EXPECT_NE(twin, ordinary);
}

TEST(ShimEntryPointsTest, UnsupportedCallsAreNotFound) {
  void* address = &address;
  CUdriverProcAddressQueryResult status;
  EXPECT_EQ(cuGetProcAddress_v2("cuDestroyExternalSemaphore", &address, 13000, 0, &status), CUDA_ERROR_NOT_FOUND);
  EXPECT_EQ(address, nullptr);
  EXPECT_EQ(status, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
}

TEST(ShimEntryPointsTest, HasEveryNameOfTheSpec) { EXPECT_EQ(EntryPoints().size(), 637u); }

TEST(ShimWithoutInitTest, AnswersWhatNeedsNoInitialisation) {
  int version = 0;
  EXPECT_EQ(cuDriverGetVersion(&version), CUDA_SUCCESS);
  EXPECT_EQ(version, CUDA_VERSION);
  const char* text = nullptr;
  EXPECT_EQ(cuGetErrorName(CUDA_ERROR_NOT_READY, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_NOT_READY");
  EXPECT_EQ(cuGetErrorString(CUDA_ERROR_NOT_READY, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "device not ready");
  EXPECT_EQ(cuGetErrorName(static_cast<CUresult>(12345), &text), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(text, nullptr);
}

TEST(ShimWithoutInitTest, PrivateTablesAreAskedForFirst) {
  const void* table = &table;
  const CUuuid unknown{};
  EXPECT_EQ(cuGetExportTable(&table, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuGetExportTable(nullptr, &unknown), CUDA_ERROR_INVALID_VALUE);
  testing::internal::CaptureStderr();
  EXPECT_EQ(cuGetExportTable(&table, &unknown), CUDA_ERROR_NOT_FOUND);
  EXPECT_NE(testing::internal::GetCapturedStderr(), "");
  EXPECT_EQ(table, nullptr);
}

TEST(ShimWithoutInitTest, RefusesTheRest) {
  int count = 0;
  CUcontext context = nullptr;
  CUdeviceptr address = 0;
  EXPECT_EQ(cuDeviceGetCount(&count), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuCtxGetCurrent(&context), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuMemAlloc_v2(&address, 16), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(cuInit(1), CUDA_ERROR_INVALID_VALUE);
}

TEST(ShimWithoutInitTest, UnsupportedCallsSayWhyOnce) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(cuDestroyExternalSemaphore(nullptr), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuDestroyExternalSemaphore(nullptr), CUDA_ERROR_NOT_SUPPORTED);
  const std::string name = "cuDestroyExternalSemaphore", said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find(name + " is not supported"), std::string::npos) << said;
  EXPECT_EQ(said.find(name), said.rfind(name)) << said;
}

}  // namespace
}  // namespace outboard
