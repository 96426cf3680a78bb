#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/unit/stack/stack.h"

// Stream memory operations through the whole stack.

namespace outboard::stack {
namespace {

class StreamMemoryTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuMemAlloc_v2(&words_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(words_, 0, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&waiting_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&writing_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  template <class T>
  T Read(CUdeviceptr address) {
    T value = 0;
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, address, sizeof value), CUDA_SUCCESS);
    return value;
  }

  CUdeviceptr words_ = 0;
  CUstream waiting_ = nullptr, writing_ = nullptr;
};

TEST_F(StreamMemoryTest, TheDeviceSaysThatItHasThem) {
  for (const CUdevice_attribute attribute :
       {CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_MEM_OPS_V1, CU_DEVICE_ATTRIBUTE_CAN_USE_64_BIT_STREAM_MEM_OPS,
        CU_DEVICE_ATTRIBUTE_CAN_USE_STREAM_WAIT_VALUE_NOR}) {
    int value = 0;
    EXPECT_EQ(cuDeviceGetAttribute(&value, attribute, 0), CUDA_SUCCESS);
    EXPECT_EQ(value, 1) << attribute;
  }
}

// Each of the commands that let the stream go on comes behind those that it holds up.
TEST_F(StreamMemoryTest, WhatTheSameThreadSendsLaterLetsAStreamGoOn) {
  CUfunction add = GetFunction("add");
  CUdeviceptr one = words_ + 64, two = words_ + 128;
  ASSERT_EQ(cuMemsetD32_v2(one, 1, 1), CUDA_SUCCESS);
  unsigned count = 1;
  void* parameters[] = {&one, &one, &two, &count};
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuStreamWaitValue32_v2(waiting_, words_, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue64_v2(waiting_, words_ + 8, 2, CU_STREAM_WAIT_VALUE_GEQ), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32(waiting_, two, 2, CU_STREAM_WAIT_VALUE_AND), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(waiting_, words_ + 16, 99, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32_v2(writing_, words_, 1, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue64_v2(writing_, words_ + 8, 3, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuLaunchKernel(add, 1, 1, 1, 1, 1, 1, 0, writing_, parameters, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before) << "the driver accepts all of this for sure";
  ASSERT_EQ(cuStreamSynchronize(waiting_), CUDA_SUCCESS);
  EXPECT_EQ(Read<uint32_t>(words_ + 16), 99u);
}

TEST_F(StreamMemoryTest, TheFirstVersionsDoTheSame) {
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuStreamWaitValue32(waiting_, words_, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue64(waiting_, words_ + 8, uint64_t{1} << 32, CU_STREAM_WAIT_VALUE_GEQ), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue64(waiting_, words_ + 16, uint64_t{99} << 32, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32(writing_, words_, 1, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue64(writing_, words_ + 8, uint64_t{2} << 32, 0), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  ASSERT_EQ(cuStreamSynchronize(waiting_), CUDA_SUCCESS);
  EXPECT_EQ(Read<uint64_t>(words_ + 16), uint64_t{99} << 32);
  EXPECT_EQ(cuStreamWaitValue64(waiting_, words_ + 4, 0, 0), CUDA_ERROR_INVALID_VALUE) << "misaligned";
  EXPECT_EQ(cuStreamWriteValue64(waiting_, words_ + 4096, 0, 0), CUDA_ERROR_INVALID_VALUE) << "behind the end";
  EXPECT_EQ(cuStreamWriteValue32(waiting_, words_, 0, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER), CUDA_SUCCESS)
      << "a flag that the second version does not have";
}

TEST_F(StreamMemoryTest, ABatchIsOneCommand) {
  CUstreamBatchMemOpParams batch[3] = {};
  batch[0].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
  batch[0].writeValue.address = words_;
  batch[0].writeValue.value = 4;
  batch[1].waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
  batch[1].waitValue.address = words_;
  batch[1].waitValue.value = 4;
  batch[1].waitValue.flags = CU_STREAM_WAIT_VALUE_EQ;
  batch[2].writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_64;
  batch[2].writeValue.address = words_ + 8;
  batch[2].writeValue.value64 = uint64_t{5} << 40;
  const uint64_t before = RoundTrips();
  ASSERT_EQ(cuStreamBatchMemOp_v2(waiting_, 3, batch, 0), CUDA_SUCCESS);
  EXPECT_EQ(RoundTrips(), before);
  ASSERT_EQ(cuStreamSynchronize(waiting_), CUDA_SUCCESS);
  EXPECT_EQ(Read<uint64_t>(words_ + 8), uint64_t{5} << 40);
  batch[1].memoryBarrier.operation = CU_STREAM_MEM_OP_BARRIER;
  batch[1].memoryBarrier.flags = CU_STREAM_MEMORY_BARRIER_TYPE_GPU;
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 2, batch, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamBatchMemOp(waiting_, 2, batch, 0), CUDA_ERROR_INVALID_VALUE) << "not in the first version";
}

// While a stream waits, the bytes of what is behind the wait may still change.
TEST_F(StreamMemoryTest, APinnedSourceIsReadWhenTheWaitIsOver) {
  void* pinned = nullptr;
  ASSERT_EQ(cuMemHostAlloc(&pinned, 4, 0), CUDA_SUCCESS);
  const uint32_t early = 1, late = 2;
  std::memcpy(pinned, &early, 4);
  ASSERT_EQ(cuStreamWaitValue32_v2(waiting_, words_, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(words_ + 64, pinned, 4, waiting_), CUDA_SUCCESS);
  std::memcpy(pinned, &late, 4);
  ASSERT_EQ(cuStreamWriteValue32_v2(writing_, words_, 1, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(waiting_), CUDA_SUCCESS);
  EXPECT_EQ(Read<uint32_t>(words_ + 64), 2u);
  EXPECT_EQ(cuMemFreeHost(pinned), CUDA_SUCCESS);
}

// A thread in a synchronous copy behind a wait does not keep the thread that ends the wait from its call.
TEST_F(StreamMemoryTest, ASynchronousCopyWaitsForTheStreamAlone) {
  CUstream blocking = nullptr;
  ASSERT_EQ(cuStreamCreate(&blocking, CU_STREAM_DEFAULT), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32_v2(blocking, words_, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  std::atomic<bool> copied{false};
  std::thread copying([&] {
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
    const uint32_t value = 7;
    EXPECT_EQ(cuMemcpyHtoD_v2(words_ + 64, &value, 4), CUDA_SUCCESS);  // on the legacy stream, behind `blocking`
    copied = true;
  });
  // The copy is under way when the legacy stream is busy.
  while (cuStreamQuery(CU_STREAM_LEGACY) == CUDA_SUCCESS) std::this_thread::yield();
  EXPECT_FALSE(copied);
  EXPECT_EQ(cuStreamWriteValue32_v2(writing_, words_, 1, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(writing_), CUDA_SUCCESS);
  copying.join();
  EXPECT_EQ(Read<uint32_t>(words_ + 64), 7u);
}

TEST_F(StreamMemoryTest, WrongUse) {
  alignas(8) static uint64_t host = 0;
  void* pinned = nullptr;
  ASSERT_EQ(cuMemHostAlloc(&pinned, 8, 0), CUDA_SUCCESS);
  CUstreamBatchMemOpParams operation{};
  const auto stale = waiting_;
  const auto on_host = [](const void* pointer) { return reinterpret_cast<CUdeviceptr>(pointer); };
  EXPECT_EQ(cuStreamWaitValue32_v2(waiting_, on_host(&host), 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamWaitValue32_v2(waiting_, on_host(pinned), 0, 0), CUDA_ERROR_INVALID_VALUE) << "it is not mapped";
  EXPECT_EQ(cuStreamWriteValue64_v2(waiting_, on_host(pinned), 0, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamWaitValue64_v2(waiting_, words_ + 4, 0, 0), CUDA_ERROR_INVALID_VALUE) << "misaligned";
  EXPECT_EQ(cuStreamWaitValue32_v2(waiting_, words_ + 4096, 0, 0), CUDA_ERROR_INVALID_VALUE) << "behind the end";
  EXPECT_EQ(cuStreamWaitValue32_v2(waiting_, words_, 0, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamWaitValue32_v2(waiting_, words_, 0, CU_STREAM_WAIT_VALUE_FLUSH), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(cuStreamWriteValue32_v2(waiting_, words_, 0, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 1, &operation, 0), CUDA_ERROR_INVALID_VALUE) << "operation 0";
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 256, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 0, &operation, 0), CUDA_ERROR_INVALID_VALUE);
  operation.writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_32;
  operation.writeValue.address = on_host(pinned);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 1, &operation, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamDestroy_v2(stale), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamWriteValue32_v2(stale, words_, 0, 0), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(cuMemFreeHost(pinned), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
