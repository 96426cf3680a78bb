#include <array>
#include <thread>
#include <vector>

#include "tests/unit/stack/stack.h"

// Many client threads at a time, through the whole stack.

namespace outboard::stack {
namespace {

class ThreadsTest : public StackTest {
 protected:
  // Memory and a stream of one thread, whose numbers are computed here as well.
  class Work {
   public:
    Work(CUcontext context, CUfunction add, unsigned seed) : add_(add) {
      EXPECT_EQ(cuCtxSetCurrent(context), CUDA_SUCCESS);
      EXPECT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
      EXPECT_EQ(cuMemAlloc_v2(&memory_, sizeof values_), CUDA_SUCCESS);
      values_.fill(seed);
      EXPECT_EQ(cuMemcpyHtoDAsync_v2(memory_, values_.data(), sizeof values_, stream_), CUDA_SUCCESS);
    }
    ~Work() {
      EXPECT_EQ(cuMemFree_v2(memory_), CUDA_SUCCESS);
      EXPECT_EQ(cuStreamDestroy_v2(stream_), CUDA_SUCCESS);
    }
    Work(const Work&) = delete;
    Work& operator=(const Work&) = delete;

    void Double() {
      unsigned count = kCount;
      void* parameters[] = {&memory_, &memory_, &memory_, &count};
      EXPECT_EQ(cuLaunchKernel(add_, 1, 1, 1, kCount, 1, 1, 0, stream_, parameters, nullptr), CUDA_SUCCESS);
      for (unsigned& value : values_) value += value;
    }
    void Record() {
      CUevent event = nullptr;
      EXPECT_EQ(cuEventCreate(&event, 0), CUDA_SUCCESS);
      EXPECT_EQ(cuEventRecord(event, stream_), CUDA_SUCCESS);
      EXPECT_EQ(cuEventSynchronize(event), CUDA_SUCCESS);
      EXPECT_EQ(cuEventDestroy_v2(event), CUDA_SUCCESS);
    }
    void Replace() {
      CUdeviceptr former = memory_;
      EXPECT_EQ(cuMemAlloc_v2(&memory_, sizeof values_), CUDA_SUCCESS);
      EXPECT_EQ(cuMemcpyDtoDAsync_v2(memory_, former, sizeof values_, stream_), CUDA_SUCCESS);
      EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
      EXPECT_EQ(cuMemFree_v2(former), CUDA_SUCCESS);
    }
    void Check() {
      std::array<unsigned, kCount> got{};
      EXPECT_EQ(cuMemcpyDtoHAsync_v2(got.data(), memory_, sizeof got, stream_), CUDA_SUCCESS);
      EXPECT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
      EXPECT_EQ(got, values_);
    }

   private:
    static constexpr unsigned kCount = 64;
    const CUfunction add_;
    CUstream stream_ = nullptr;
    CUdeviceptr memory_ = 0;
    std::array<unsigned, kCount> values_{};
  };
};

TEST_F(ThreadsTest, EachGetsItsOwnResults) {
  constexpr unsigned kThreads = 24, kTurns = 12;
  const CUfunction add = GetFunction("add");
  size_t before = 0, after = 0, total = 0;
  ASSERT_EQ(cuMemGetInfo_v2(&before, &total), CUDA_SUCCESS);
  std::vector<std::thread> threads;
  for (unsigned thread = 1; thread <= kThreads; ++thread) {
    threads.emplace_back([this, add, thread] {
      Work work(context_, add, thread);
      for (unsigned turn = 0; turn < kTurns; ++turn) {
        work.Double();
        if ((turn + thread) % 3 == 0) work.Record();
        if ((turn + thread) % 4 == 0) work.Replace();
        work.Check();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(cuMemGetInfo_v2(&after, &total), CUDA_SUCCESS);
  EXPECT_EQ(after, before);
}

}  // namespace
}  // namespace outboard::stack
