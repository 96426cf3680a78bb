#include "tests/unit/softgpu_api/driver_under_test.h"

#include <cstdint>
#include <vector>

// Streams and events of another context than the current one: what may be done with them (CUDA C++ Programming Guide,
// "Stream and Event Behavior").

namespace outboard::softgpu::api {
namespace {

class ForeignStreamTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuCtxCreate_v2(&other_, 0, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuEventCreate(&event_, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&memory_, 4096), CUDA_SUCCESS);
    CUcontext popped;
    ASSERT_EQ(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
  }
  void TearDown() override {
    EXPECT_EQ(cuCtxDestroy_v2(other_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  CUcontext other_ = nullptr;
  CUstream stream_ = nullptr;
  CUevent event_ = nullptr;
  CUdeviceptr memory_ = 0;
};

TEST_F(ForeignStreamTest, WorksOnItsOwnDevice) {
  CUcontext context;
  ASSERT_EQ(cuStreamGetCtx(stream_, &context), CUDA_SUCCESS);
  EXPECT_EQ(context, other_);
  const uint32_t first = 3;
  std::vector<uint32_t> words(3);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(memory_, &first, 4, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(memory_ + 4, 5, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(stream_, memory_ + 8, 7, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(words.data(), memory_, 12, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(words, (std::vector<uint32_t>{3, 5, 7}));
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_SUCCESS);

  CUdeviceptr own;
  ASSERT_EQ(cuMemAllocAsync(&own, 256, stream_), CUDA_SUCCESS);
  int device;
  ASSERT_EQ(cuPointerGetAttribute(&device, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, own), CUDA_SUCCESS);
  EXPECT_EQ(device, 1);
  EXPECT_EQ(cuMemFreeAsync(own, stream_), CUDA_SUCCESS);
}

TEST_F(ForeignStreamTest, RecordsEventsOfItsContextOnly) {
  CUevent here;
  ASSERT_EQ(cuEventCreate(&here, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventRecord(here, stream_), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuEventRecord(event_, nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuEventSynchronize(event_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(event_), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(here), CUDA_SUCCESS);
}

TEST_F(ForeignStreamTest, WaitsForEventsOfAnyContext) {
  CUevent here;
  uint32_t word = 0;
  CUdeviceptr flag;
  ASSERT_EQ(cuMemAlloc_v2(&flag, 4), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32_v2(flag, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);  // no stream that it orders writes the flag
  ASSERT_EQ(cuEventCreate(&here, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32_v2(nullptr, flag, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuEventRecord(here, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(stream_, here, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(memory_, 9, 1, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream_), CUDA_ERROR_NOT_READY);
  CUstream lets_go;
  ASSERT_EQ(cuStreamCreate(&lets_go, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(lets_go, flag, 1, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&word, memory_, 4, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(word, 9u);
  // The other way round.
  EXPECT_EQ(cuEventRecord(event_, stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamWaitEvent(nullptr, event_, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamDestroy_v2(lets_go), CUDA_SUCCESS);
  EXPECT_EQ(cuEventDestroy_v2(here), CUDA_SUCCESS);
  EXPECT_EQ(cuMemFree_v2(flag), CUDA_SUCCESS);
}

TEST_F(ForeignStreamTest, RunsNoKernels) {
  CUmodule module;
  CUfunction store;
  ASSERT_EQ(cuModuleLoadData(&module, kTestPtx), CUDA_SUCCESS);
  ASSERT_EQ(cuModuleGetFunction(&store, module, "store"), CUDA_SUCCESS);
  uint32_t value = 1;
  void* parameters[] = {&memory_, &value};
  EXPECT_EQ(cuLaunchKernel(store, 1, 1, 1, 1, 1, 1, 0, stream_, parameters, nullptr), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuModuleUnload(module), CUDA_SUCCESS);
}

TEST_F(ForeignStreamTest, IsNoneWhenItsContextIsGone) {
  CUcontext gone;
  CUstream stream;
  ASSERT_EQ(cuCtxCreate_v2(&gone, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&stream, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxDestroy_v2(gone), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMemsetD32Async(memory_, 9, 1, stream), CUDA_ERROR_INVALID_HANDLE);
}

}  // namespace
}  // namespace outboard::softgpu::api
