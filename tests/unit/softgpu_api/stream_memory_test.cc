#include <sched.h>

#include <cstring>
#include <vector>

#include "tests/unit/softgpu_api/driver_under_test.h"

// Stream memory operations on device memory: what a stream waits for, and what it writes.

namespace outboard::softgpu::api {
namespace {

class StreamMemoryTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuMemAlloc_v2(&words_, 64), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(words_, 0, 64), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&waiting_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&writing_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  void TearDown() override {
    for (CUstream stream : {waiting_, writing_}) EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(words_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  template <class T>
  T Read(CUdeviceptr address) {
    T value = 0;
    EXPECT_EQ(cuMemcpyDtoH_v2(&value, address, sizeof value), CUDA_SUCCESS);
    return value;
  }

  // Gives a stream that should wait the chance to go on too early.
  bool StaysBusy() {
    for (int i = 0; i < 2000; ++i) {
      if (cuStreamQuery(waiting_) != CUDA_ERROR_NOT_READY) return false;
      sched_yield();
    }
    return true;
  }

  static CUstreamBatchMemOpParams Wait32(CUdeviceptr address, uint32_t value, unsigned flags) {
    CUstreamBatchMemOpParams operation{};
    operation.waitValue.operation = CU_STREAM_MEM_OP_WAIT_VALUE_32;
    operation.waitValue.address = address;
    operation.waitValue.value = value;
    operation.waitValue.flags = flags;
    return operation;
  }
  static CUstreamBatchMemOpParams Write64(CUdeviceptr address, uint64_t value) {
    CUstreamBatchMemOpParams operation{};
    operation.writeValue.operation = CU_STREAM_MEM_OP_WRITE_VALUE_64;
    operation.writeValue.address = address;
    operation.writeValue.value64 = value;
    return operation;
  }
  static CUstreamBatchMemOpParams Barrier(unsigned flags) {
    CUstreamBatchMemOpParams operation{};
    operation.memoryBarrier.operation = CU_STREAM_MEM_OP_BARRIER;
    operation.memoryBarrier.flags = flags;
    return operation;
  }

  CUdeviceptr words_ = 0;
  CUstream waiting_ = nullptr, writing_ = nullptr;
};

TEST_F(StreamMemoryTest, EachConditionLetsGoWhenItHoldsAndNotBefore) {
  struct Case {
    unsigned condition;
    uint64_t wanted, does_not_hold, holds;
  };
  constexpr uint64_t kAll = ~uint64_t{0};
  const Case cases[] = {
      {CU_STREAM_WAIT_VALUE_EQ, uint64_t{5} << 32, 5, uint64_t{5} << 32},
      {CU_STREAM_WAIT_VALUE_GEQ, 5, 4, 6},
      {CU_STREAM_WAIT_VALUE_GEQ, 5, (uint64_t{1} << 63) + 6, 5},  // before it, in the cyclic order
      {CU_STREAM_WAIT_VALUE_AND, uint64_t{1} << 40, uint64_t{1} << 8, uint64_t{3} << 40},
      {CU_STREAM_WAIT_VALUE_NOR, kAll << 1, 1, 0},
  };
  for (const Case& each : cases) {
    SCOPED_TRACE(each.condition);
    ASSERT_EQ(cuStreamWriteValue64_v2(writing_, words_, each.does_not_hold, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(writing_), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamWaitValue64_v2(waiting_, words_, each.wanted, each.condition), CUDA_SUCCESS);
    EXPECT_TRUE(StaysBusy());
    ASSERT_EQ(cuStreamWriteValue64_v2(writing_, words_, each.holds, 0), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamSynchronize(waiting_), CUDA_SUCCESS);
  }
}

TEST_F(StreamMemoryTest, AWriteOf32BitsLeavesTheNextWordAlone) {
  ASSERT_EQ(cuMemsetD8_v2(words_, 0xff, 16), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32(nullptr, words_ + 4, 7, CU_STREAM_WRITE_VALUE_NO_MEMORY_BARRIER), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(Read<uint64_t>(words_), 0x7ffffffffu);
  EXPECT_EQ(Read<uint32_t>(words_ + 8), 0xffffffffu);
}

TEST_F(StreamMemoryTest, ABatchRunsInItsOrder) {
  std::vector<CUstreamBatchMemOpParams> batch = {Write64(words_ + 8, 1), Barrier(0), Wait32(words_, 9, 0),
                                                 Write64(words_ + 8, 2)};
  ASSERT_EQ(cuStreamBatchMemOp_v2(waiting_, 4, batch.data(), 0), CUDA_SUCCESS);
  EXPECT_TRUE(StaysBusy());
  ASSERT_EQ(cuStreamWaitValue64_v2(writing_, words_ + 8, 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  uint64_t value = 0;
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&value, words_ + 8, 8, writing_), CUDA_SUCCESS);
  EXPECT_EQ(value, 1u);
  ASSERT_EQ(cuStreamWriteValue32_v2(writing_, words_, 9, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(waiting_), CUDA_SUCCESS);
  EXPECT_EQ(Read<uint64_t>(words_ + 8), 2u);
}

TEST_F(StreamMemoryTest, ABatchWithAWrongOperationDoesNothing) {
  std::vector<CUstreamBatchMemOpParams> batch = {Write64(words_, 1), Write64(words_ + 4, 1)};  // misaligned
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 2, batch.data(), 0), CUDA_ERROR_INVALID_VALUE);
  ASSERT_EQ(cuStreamSynchronize(waiting_), CUDA_SUCCESS);
  EXPECT_EQ(Read<uint64_t>(words_), 0u);
  batch[1] = Barrier(0);
  EXPECT_EQ(cuStreamBatchMemOp(waiting_, 2, batch.data(), 0), CUDA_ERROR_INVALID_VALUE) << "of the second version only";
  batch[1] = Barrier(2);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 2, batch.data(), 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 0, batch.data(), 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 256, batch.data(), 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 1, nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuStreamBatchMemOp_v2(waiting_, 1, batch.data(), 1), CUDA_ERROR_INVALID_VALUE);
}

}  // namespace
}  // namespace outboard::softgpu::api
