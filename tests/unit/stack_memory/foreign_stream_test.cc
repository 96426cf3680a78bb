#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

// Copies in a stream of another context than the current one, through the whole stack: the worker's staging memory and
// events are the stream's context's.
TEST_F(StackTest, CopiesGoThroughStreamsOfOtherContexts) {
  CUcontext other, popped;
  CUstream stream;
  CUevent event;
  CUdeviceptr memory;
  ASSERT_EQ(cuCtxCreate_v2(&other, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuEventCreate(&event, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&memory, 1 << 20), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
  for (const size_t bytes : {size_t{4096}, size_t{1} << 20}) {  // at once, and when the stream gets there
    void* pinned;
    ASSERT_EQ(cuMemHostAlloc(&pinned, bytes, 0), CUDA_SUCCESS);
    auto* const words = static_cast<uint32_t*>(pinned);
    std::vector<uint32_t> pageable(bytes / 4, static_cast<uint32_t>(bytes));
    ASSERT_EQ(cuMemcpyHtoDAsync_v2(memory, pageable.data(), bytes, stream), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(pinned, memory, bytes, stream), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamSynchronize(stream), CUDA_SUCCESS);
    EXPECT_EQ(words[bytes / 4 - 1], bytes);
    words[bytes / 4 - 1] = 11;
    ASSERT_EQ(cuMemcpyHtoDAsync_v2(memory, pinned, bytes, stream), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD32Async(memory, 12, 1, stream), CUDA_SUCCESS);
    ASSERT_EQ(cuEventRecord(event, stream), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamWaitEvent(nullptr, event, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyDtoHAsync_v2(pageable.data(), memory, bytes, stream), CUDA_SUCCESS);
    EXPECT_EQ(pageable.front(), 12u);
    EXPECT_EQ(pageable.back(), 11u);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    ASSERT_EQ(cuMemFreeHost(pinned), CUDA_SUCCESS);
  }
  EXPECT_EQ(cuCtxDestroy_v2(other), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::stack
