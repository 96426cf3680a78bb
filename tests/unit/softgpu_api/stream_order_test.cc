#include "tests/unit/softgpu_api/driver_under_test.h"

#include <sched.h>

#include <atomic>
#include <thread>

// Which streams wait for which, shown with a stream that is held until the test releases it.

namespace outboard::softgpu::api {
namespace {

class StreamOrderTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    ASSERT_EQ(cuMemHostAlloc(&memory_, 4096, 0), CUDA_SUCCESS);
    words_ = static_cast<std::atomic<uint32_t>*>(memory_);
    ASSERT_EQ(cuMemAlloc_v2(&device_, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(device_, 0, 4096), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&blocking_, CU_STREAM_DEFAULT), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&other_, CU_STREAM_DEFAULT), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&non_blocking_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    // So that every stream has its thread, and work that does not wait when it should is seen at once.
    for (CUstream stream : {blocking_, other_, non_blocking_, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD}) {
      ASSERT_EQ(cuStreamWriteValue32_v2(stream, HostWord(5), 1, 0), CUDA_SUCCESS);
    }
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }

  void TearDown() override {
    Release();
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    for (CUstream stream : {blocking_, other_, non_blocking_}) EXPECT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(device_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFreeHost(memory_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  // Holds the stream until Release, then lets it write 1 into the device's word.
  void HoldThenWrite(CUstream stream) {
    ASSERT_EQ(cuStreamWaitValue32_v2(stream, HostWord(0), 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32Async(device_, 1, 1, stream), CUDA_SUCCESS);
  }

  // Lets the stream copy the device's word to the host. What it will have seen is Seen().
  void Look(CUstream stream) { ASSERT_EQ(cuMemcpyDtoHAsync_v2(&words_[1], device_, 4, stream), CUDA_SUCCESS); }

  void Release() { words_[0] = 1; }

  // Gives a stream that should wait the chance to run too early.
  bool StaysBusy(CUstream stream) {
    for (int i = 0; i < 10000; ++i) {
      if (cuStreamQuery(stream) != CUDA_ERROR_NOT_READY) return false;
      sched_yield();
    }
    return true;
  }

  uint32_t Seen() {
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    return words_[1];
  }

  CUdeviceptr HostWord(int index) { return reinterpret_cast<CUdeviceptr>(&words_[index]); }

  void* memory_ = nullptr;
  std::atomic<uint32_t>* words_ = nullptr;  // page-locked
  CUdeviceptr device_ = 0;
  CUstream blocking_ = nullptr, other_ = nullptr, non_blocking_ = nullptr;
};

TEST_F(StreamOrderTest, TheLegacyStreamWaitsForBlockingStreams) {
  HoldThenWrite(blocking_);
  Look(CU_STREAM_LEGACY);
  EXPECT_TRUE(StaysBusy(CU_STREAM_LEGACY));
  Release();
  EXPECT_EQ(Seen(), 1u);
}

TEST_F(StreamOrderTest, BlockingStreamsWaitForTheLegacyStream) {
  HoldThenWrite(nullptr);
  Look(blocking_);
  EXPECT_TRUE(StaysBusy(blocking_));
  Release();
  EXPECT_EQ(Seen(), 1u);
}

TEST_F(StreamOrderTest, BlockingStreamsWaitForEachOtherThroughTheLegacyStream) {
  HoldThenWrite(blocking_);
  ASSERT_EQ(cuMemsetD8Async(device_ + 64, 0, 1, nullptr), CUDA_SUCCESS);
  Look(other_);
  EXPECT_TRUE(StaysBusy(other_));
  Release();
  EXPECT_EQ(Seen(), 1u);
}

TEST_F(StreamOrderTest, BlockingStreamsDoNotWaitForEachOther) {
  HoldThenWrite(blocking_);
  Look(other_);
  ASSERT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  EXPECT_EQ(words_[1], 0u);
}

TEST_F(StreamOrderTest, NonBlockingStreamsDoNotWaitForTheLegacyStream) {
  HoldThenWrite(CU_STREAM_LEGACY);
  Look(non_blocking_);
  ASSERT_EQ(cuStreamSynchronize(non_blocking_), CUDA_SUCCESS);
  EXPECT_EQ(words_[1], 0u);
}

TEST_F(StreamOrderTest, TheLegacyStreamDoesNotWaitForNonBlockingStreams) {
  HoldThenWrite(non_blocking_);
  Look(CU_STREAM_LEGACY);
  ASSERT_EQ(cuStreamSynchronize(CU_STREAM_LEGACY), CUDA_SUCCESS);
  EXPECT_EQ(words_[1], 0u);
}

TEST_F(StreamOrderTest, APerThreadStreamIsABlockingStream) {
  HoldThenWrite(CU_STREAM_PER_THREAD);
  Look(CU_STREAM_LEGACY);
  EXPECT_TRUE(StaysBusy(CU_STREAM_LEGACY));
  Release();
  EXPECT_EQ(Seen(), 1u);
}

TEST_F(StreamOrderTest, EveryThreadHasItsOwnPerThreadStream) {
  HoldThenWrite(CU_STREAM_PER_THREAD);
  uint32_t seen = 7;
  std::thread([&] {
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
    Look(CU_STREAM_PER_THREAD);
    ASSERT_EQ(cuStreamSynchronize(CU_STREAM_PER_THREAD), CUDA_SUCCESS);
    seen = words_[1];
  }).join();
  EXPECT_EQ(seen, 0u);
  EXPECT_EQ(cuStreamQuery(CU_STREAM_PER_THREAD), CUDA_ERROR_NOT_READY);
}

TEST_F(StreamOrderTest, TheTwinsMeanThePerThreadStreamByNull) {
  ASSERT_EQ(cuStreamWaitValue32_v2_ptsz(nullptr, HostWord(0), 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(CU_STREAM_PER_THREAD), CUDA_ERROR_NOT_READY);
  EXPECT_EQ(cuStreamQuery_ptsz(nullptr), CUDA_ERROR_NOT_READY);
  unsigned long long by_null, by_name, legacy;
  ASSERT_EQ(cuStreamGetId_ptsz(nullptr, &by_null), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamGetId(CU_STREAM_PER_THREAD, &by_name), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamGetId(nullptr, &legacy), CUDA_SUCCESS);
  EXPECT_EQ(by_null, by_name);
  EXPECT_NE(by_null, legacy);
}

TEST_F(StreamOrderTest, AnEventOrdersTwoStreams) {
  CUevent event;
  ASSERT_EQ(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  HoldThenWrite(non_blocking_);
  ASSERT_EQ(cuEventRecord(event, non_blocking_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuEventQuery(event), CUDA_ERROR_NOT_READY);
  Look(other_);
  ASSERT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);  // what was asked of it stands
  EXPECT_TRUE(StaysBusy(other_));
  Release();
  EXPECT_EQ(Seen(), 1u);
}

TEST_F(StreamOrderTest, WaitingForAnEventMeansItsRecordAtThatTime) {
  CUevent event;
  ASSERT_EQ(cuEventCreate(&event, CU_EVENT_DEFAULT), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitEvent(other_, event, 0), CUDA_SUCCESS);  // never recorded: nothing to wait for
  HoldThenWrite(non_blocking_);
  ASSERT_EQ(cuEventRecord(event, non_blocking_), CUDA_SUCCESS);
  Look(other_);
  ASSERT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  EXPECT_EQ(words_[1], 0u);
  ASSERT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);
}

TEST_F(StreamOrderTest, ADestroyedStreamFinishesItsWork) {
  CUstream stream;
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  HoldThenWrite(stream);
  ASSERT_EQ(cuMemcpyDtoHAsync_v2(&words_[1], device_, 4, stream), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamDestroy_v2(stream), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamQuery(stream), CUDA_ERROR_INVALID_HANDLE);
  Release();
  EXPECT_EQ(Seen(), 1u);
}

TEST_F(StreamOrderTest, PinnedBytesAreReadWhenTheStreamGetsThere) {
  words_[2] = 5;
  ASSERT_EQ(cuStreamWaitValue32_v2(other_, HostWord(0), 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(device_, &words_[2], 4, other_), CUDA_SUCCESS);
  Look(other_);
  words_[2] = 6;
  Release();
  EXPECT_EQ(Seen(), 6u);
}

TEST_F(StreamOrderTest, PageableBytesAreTakenAtTheCall) {
  uint32_t pageable = 5;
  ASSERT_EQ(cuStreamWaitValue32_v2(other_, HostWord(0), 1, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoDAsync_v2(device_, &pageable, 4, other_), CUDA_SUCCESS);
  Look(other_);
  pageable = 6;
  Release();
  EXPECT_EQ(Seen(), 5u);
}

TEST_F(StreamOrderTest, ACopyIntoPageableMemoryWaits) {
  HoldThenWrite(other_);
  std::atomic<bool> returned{false};
  uint32_t pageable = 0;
  std::thread copier([&] {
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(&pageable, device_, 4, other_), CUDA_SUCCESS);
    returned = true;
  });
  EXPECT_TRUE(StaysBusy(other_));
  EXPECT_FALSE(returned);
  Release();
  copier.join();
  EXPECT_EQ(pageable, 1u);
}

TEST_F(StreamOrderTest, FreeingWaitsForTheContextsWork) {
  CUdeviceptr memory;
  ASSERT_EQ(cuMemAlloc_v2(&memory, 64), CUDA_SUCCESS);
  HoldThenWrite(non_blocking_);
  std::atomic<bool> returned{false};
  std::thread freer([&] {
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
    returned = true;
  });
  EXPECT_TRUE(StaysBusy(non_blocking_));
  EXPECT_FALSE(returned);
  Release();
  freer.join();
}

TEST_F(StreamOrderTest, WaitsForEveryConditionOnAWord) {
  struct {
    unsigned flags;
    uint32_t wanted, before, after;
  } const rows[] = {
      {CU_STREAM_WAIT_VALUE_EQ, 7, 6, 7},
      {CU_STREAM_WAIT_VALUE_GEQ, 7, 6, 8},
      {CU_STREAM_WAIT_VALUE_GEQ, 0x80000001, 0x80000000, 0x80000001},
      {CU_STREAM_WAIT_VALUE_AND, 4, 3, 12},
      {CU_STREAM_WAIT_VALUE_NOR, 0xffff0000, 0x0000ffff, 0x00007fff},
  };
  for (const auto& row : rows) {
    words_[3] = row.before;
    ASSERT_EQ(cuStreamWaitValue32(other_, HostWord(3), row.wanted, row.flags), CUDA_SUCCESS);
    EXPECT_TRUE(StaysBusy(other_)) << row.flags;
    words_[3] = row.after;
    EXPECT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  }
}

TEST_F(StreamOrderTest, WritesValuesInOrder) {
  ASSERT_EQ(cuStreamWriteValue64_v2(other_, device_ + 8, 0x1122334455667788, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue64(other_, device_ + 8, 0x1122334455667788, CU_STREAM_WAIT_VALUE_EQ), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWriteValue32(other_, HostWord(4), 9, 0), CUDA_SUCCESS);
  EXPECT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  EXPECT_EQ(words_[4], 9u);
}

struct Called {
  std::atomic<int> count{0};
  std::thread::id thread;
  CUresult inside = CUDA_SUCCESS;
};

void CUDA_CB CallTheDriver(void* data) {
  auto* called = static_cast<Called*>(data);
  called->thread = std::this_thread::get_id();
  called->inside = cuCtxSynchronize();
  ++called->count;
}

TEST_F(StreamOrderTest, HostFunctionsRunOnOneThreadThatMayNotCallCuda) {
  Called first, second;
  ASSERT_EQ(cuLaunchHostFunc(other_, &CallTheDriver, &first), CUDA_SUCCESS);
  ASSERT_EQ(cuLaunchHostFunc(non_blocking_, &CallTheDriver, &second), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  EXPECT_EQ(first.count, 1);
  EXPECT_EQ(second.count, 1);
  EXPECT_EQ(first.thread, second.thread);
  EXPECT_NE(first.thread, std::this_thread::get_id());
  EXPECT_EQ(first.inside, CUDA_ERROR_NOT_PERMITTED);
}

TEST_F(StreamOrderTest, AHostFunctionHoldsItsStream) {
  struct Gate {
    std::atomic<bool> open{false};
  } gate;
  ASSERT_EQ(cuLaunchHostFunc(
                other_,
                [](void* data) {
                  while (!static_cast<Gate*>(data)->open) sched_yield();
                },
                &gate),
            CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD32Async(device_, 1, 1, other_), CUDA_SUCCESS);
  EXPECT_TRUE(StaysBusy(other_));
  gate.open = true;
  Look(other_);
  EXPECT_EQ(Seen(), 1u);
}

TEST_F(StreamOrderTest, ACallbackGetsItsStreamAndTheStatus) {
  struct Seen {
    CUstream stream = nullptr;
    CUresult status = CUDA_ERROR_UNKNOWN;
  } seen;
  const auto callback = [](CUstream stream, CUresult status, void* data) {
    *static_cast<Seen*>(data) = {stream, status};
  };
  ASSERT_EQ(cuStreamAddCallback(other_, callback, &seen, 0), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(other_), CUDA_SUCCESS);
  EXPECT_EQ(seen.stream, other_);
  EXPECT_EQ(seen.status, CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
