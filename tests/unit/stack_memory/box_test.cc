#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

using Bytes = std::vector<unsigned char>;

// Pitched, two- and three-dimensional copies through the whole stack: which bytes they write, and when.
class BoxTest : public StackTest {
 protected:
  void SetUp() override {
    StackTest::SetUp();
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&first_, kBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&second_, kBytes), CUDA_SUCCESS);
    void* pinned = nullptr;
    ASSERT_EQ(cuMemHostAlloc(&pinned, kBytes, 0), CUDA_SUCCESS);
    pinned_ = static_cast<unsigned char*>(pinned);
    for (size_t i = 0; i < kBytes; ++i) source_[i] = static_cast<unsigned char>(i * 7 + i / 251);
    ASSERT_EQ(cuMemsetD8_v2(first_, 0xee, kBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(second_, 0xee, kBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }
  void TearDown() override {
    if (pinned_ != nullptr) {
      EXPECT_EQ(cuMemFreeHost(pinned_), CUDA_SUCCESS);
    }
    StackTest::TearDown();
  }

  Bytes Read(CUdeviceptr address) {
    Bytes out(kBytes);
    EXPECT_EQ(cuMemcpyDtoH_v2(out.data(), address, kBytes), CUDA_SUCCESS);
    return out;
  }

  // From x = 5, y = 3 of rows of 1000 bytes to x = 1, y = 2 of rows of 1024: 1500 rows of 901 bytes, more than a piece.
  static constexpr size_t kBytes = 3u << 20, kWidth = 901, kHeight = 1500;
  static constexpr size_t kFrom = 3 * 1000 + 5, kFromPitch = 1000, kTo = 2 * 1024 + 1, kToPitch = 1024;
  static CUDA_MEMCPY2D Shape() {
    CUDA_MEMCPY2D copy{};
    copy.srcXInBytes = 5;
    copy.srcY = 3;
    copy.srcPitch = kFromPitch;
    copy.dstXInBytes = 1;
    copy.dstY = 2;
    copy.dstPitch = kToPitch;
    copy.WidthInBytes = kWidth;
    copy.Height = kHeight;
    return copy;
  }
  CUDA_MEMCPY2D FromHost(const void* host, CUdeviceptr to) const {
    CUDA_MEMCPY2D copy = Shape();
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = host;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = to;
    return copy;
  }
  CUDA_MEMCPY2D ToHost(void* host, CUdeviceptr from) const {
    CUDA_MEMCPY2D copy = Shape();
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = from;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = host;
    return copy;
  }
  // What the shape makes of memory that was full of `fill`.
  static Bytes Expected(const Bytes& from, unsigned char fill = 0xee) {
    Bytes to(kBytes, fill);
    for (size_t y = 0; y < kHeight; ++y) std::memcpy(&to[kTo + y * kToPitch], &from[kFrom + y * kFromPitch], kWidth);
    return to;
  }

  Bytes source_ = Bytes(kBytes);
  CUstream stream_ = nullptr;
  CUdeviceptr first_ = 0, second_ = 0;
  unsigned char* pinned_ = nullptr;
};

TEST_F(BoxTest, PageableRowsThereAndBack) {
  const CUDA_MEMCPY2D there = FromHost(source_.data(), first_);
  ASSERT_EQ(cuMemcpy2D_v2(&there), CUDA_SUCCESS);
  const Bytes on_device = Expected(source_);
  EXPECT_EQ(Read(first_), on_device);
  Bytes host(kBytes, 0xee);
  const CUDA_MEMCPY2D back = ToHost(host.data(), first_);
  ASSERT_EQ(cuMemcpy2DUnaligned_v2(&back), CUDA_SUCCESS);
  EXPECT_EQ(host, Expected(on_device));
}

TEST_F(BoxTest, PinnedRowsThereAndBack) {
  std::memcpy(pinned_, source_.data(), kBytes);
  const CUDA_MEMCPY2D there = FromHost(pinned_, first_), back = ToHost(pinned_, first_);
  ASSERT_EQ(cuMemcpy2DAsync_v2(&there, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  std::memset(pinned_, 0x11, kBytes);
  ASSERT_EQ(cuMemcpy2DAsync_v2(&back, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Bytes(pinned_, pinned_ + kBytes), Expected(Expected(source_), 0x11));
}

TEST_F(BoxTest, RowsOnTheDevice) {
  ASSERT_EQ(cuMemcpyHtoD_v2(first_, source_.data(), kBytes), CUDA_SUCCESS);
  CUDA_MEMCPY2D copy = ToHost(nullptr, first_);
  copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  copy.dstDevice = second_;
  ASSERT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_), Expected(source_));
}

TEST_F(BoxTest, SlicesThereAndBack) {
  // 60 bytes in each of 100 rows of 200 slices, of 64 x 120 here and 70 x 110 there.
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = source_.data();
  copy.srcXInBytes = 2;
  copy.srcY = 7;
  copy.srcZ = 1;
  copy.srcPitch = 64;
  copy.srcHeight = 120;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = first_;
  copy.dstXInBytes = 3;
  copy.dstY = 4;
  copy.dstZ = 5;
  copy.dstPitch = 70;
  copy.dstHeight = 110;
  copy.WidthInBytes = 60;
  copy.Height = 100;
  copy.Depth = 200;
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  Bytes want(kBytes, 0xee), back(kBytes, 0xee), want_back(kBytes, 0xee);
  for (size_t z = 0; z < 200; ++z) {
    for (size_t y = 0; y < 100; ++y) {
      const size_t from = ((1 + z) * 120 + 7 + y) * 64 + 2, to = ((5 + z) * 110 + 4 + y) * 70 + 3;
      std::memcpy(&want[to], &source_[from], 60);
      std::memcpy(&want_back[from], &source_[from], 60);
    }
  }
  EXPECT_EQ(Read(first_), want);
  std::swap(copy.srcXInBytes, copy.dstXInBytes);
  std::swap(copy.srcY, copy.dstY);
  std::swap(copy.srcZ, copy.dstZ);
  std::swap(copy.srcPitch, copy.dstPitch);
  std::swap(copy.srcHeight, copy.dstHeight);
  std::swap(copy.srcMemoryType, copy.dstMemoryType);
  copy.srcDevice = first_;
  copy.dstHost = back.data();
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream_), CUDA_SUCCESS);
  EXPECT_EQ(back, want_back);
}

// The rows that go in are those that came out just before, in the stream's order.
TEST_F(BoxTest, PinnedRowsAreReadWhenTheStreamGetsThere) {
  ASSERT_EQ(cuMemcpyHtoD_v2(first_, source_.data(), kBytes), CUDA_SUCCESS);
  std::memset(pinned_, 0x11, kBytes);
  const CUDA_MEMCPY2D out = ToHost(pinned_, first_), in = FromHost(pinned_, second_);
  ASSERT_EQ(cuMemcpy2DAsync_v2(&out, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy2DAsync_v2(&in, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_), Expected(Expected(source_, 0x11)));
}

TEST_F(BoxTest, PinnedRowsAreReadAfterTheHostFunctionBeforeThem) {
  std::memset(pinned_, 1, kBytes);
  const CUDA_MEMCPY2D in = FromHost(pinned_, first_);
  const auto fill = [](void* data) { std::memset(data, 2, kBytes); };
  ASSERT_EQ(cuLaunchHostFunc(stream_, fill, pinned_), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy2DAsync_v2(&in, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_), Expected(Bytes(kBytes, 2)));
}

TEST_F(BoxTest, PageableRowsMayChangeAfterTheCall) {
  Bytes source(kBytes, 3);
  const CUDA_MEMCPY2D in = FromHost(source.data(), first_);
  ASSERT_EQ(cuMemcpy2DAsync_v2(&in, stream_), CUDA_SUCCESS);
  source.assign(kBytes, 4);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_), Expected(Bytes(kBytes, 3)));
}

TEST_F(BoxTest, FreeingPinnedMemoryWaitsForItsRows) {
  for (int i = 0; i < 8; ++i) {
    void* memory = nullptr;
    ASSERT_EQ(cuMemHostAlloc(&memory, kBytes, 0), CUDA_SUCCESS);
    const CUDA_MEMCPY2D out = ToHost(memory, first_), in = FromHost(memory, second_);
    ASSERT_EQ(cuMemcpy2DAsync_v2(&out, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpy2DAsync_v2(&in, stream_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemFreeHost(memory), CUDA_SUCCESS);
  }
}

TEST_F(BoxTest, OnlyReadingNeedsARoundTrip) {
  CUDA_MEMCPY2D in = FromHost(source_.data(), first_), out = ToHost(pinned_, first_), on = out;
  in.Height = out.Height = on.Height = 20;
  on.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  on.dstDevice = second_;
  const uint64_t before = RoundTrips();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(cuMemcpy2D_v2(&in), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpy2DAsync_v2(&on, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD2D8Async(second_, 64, 1, 32, 10, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpy2D_v2(&out), CUDA_SUCCESS);
  }
  EXPECT_EQ(RoundTrips() - before, 10u);
}

TEST_F(BoxTest, RowsOutsideOfAnAllocationAreRefused) {
  CUDA_MEMCPY2D in = FromHost(source_.data(), first_ + kBytes - kHeight * kToPitch);
  EXPECT_EQ(cuMemcpy2D_v2(&in), CUDA_ERROR_INVALID_VALUE);
  CUDA_MEMCPY2D out = ToHost(pinned_, first_ + kBytes - kHeight * kFromPitch);
  EXPECT_EQ(cuMemcpy2DAsync_v2(&out, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD2D32_v2(first_, 1024, 0, 256, kBytes / 1024 + 1), CUDA_ERROR_INVALID_VALUE);
  in = FromHost(source_.data(), first_);
  EXPECT_EQ(cuMemcpy2D_v2(&in), CUDA_SUCCESS);
}

TEST_F(BoxTest, FillsRows) {
  ASSERT_EQ(cuMemsetD2D8_v2(first_ + 3, 100, 7, 5, 3), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD2D16Async(first_ + 1000, 50, 0x0302, 4, 2, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD2D32_v2_ptds(first_ + 2000, 64, 0x07060504, 2, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD2D32Async(first_ + 2064, 64, 0x07060504, 2, 1, nullptr), CUDA_SUCCESS);
  Bytes want(kBytes, 0xee);
  for (size_t y = 0; y < 3; ++y) std::memset(&want[3 + y * 100], 7, 5);
  for (size_t y = 0; y < 2; ++y) {
    for (size_t i = 0; i < 8; ++i) want[1000 + y * 50 + i] = 2 + i % 2;
    for (size_t i = 0; i < 8; ++i) want[2000 + y * 64 + i] = 4 + i % 4;
  }
  EXPECT_EQ(Read(first_), want);
}

TEST_F(BoxTest, PitchedMemoryIsChargedAndFreed) {
  size_t before = 0, during = 0, after = 0, total = 0, pitch = 0;
  CUdeviceptr memory = 0;
  ASSERT_EQ(cuMemGetInfo_v2(&before, &total), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAllocPitch_v2(&memory, &pitch, 1000, 1000, 4), CUDA_SUCCESS);
  EXPECT_EQ(pitch, 1024u);
  ASSERT_EQ(cuMemGetInfo_v2(&during, &total), CUDA_SUCCESS);
  EXPECT_EQ(before - during, 1024u * 1000);
  ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
  ASSERT_EQ(cuMemGetInfo_v2(&after, &total), CUDA_SUCCESS);
  EXPECT_EQ(after, before);
  EXPECT_EQ(cuMemAllocPitch_v2(&memory, &pitch, 1u << 20, 1u << 20, 4), CUDA_ERROR_OUT_OF_MEMORY);
}

TEST_F(BoxTest, CopiesBetweenTwoDevices) {
  CUcontext there = nullptr;
  CUdeviceptr memory = 0;
  ASSERT_EQ(cuCtxCreate_v2(&there, 0, 1), CUDA_SUCCESS);
  ASSERT_EQ(cuMemAlloc_v2(&memory, kBytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD8_v2(memory, 0x11, kBytes), CUDA_SUCCESS);
  CUcontext popped = nullptr;
  ASSERT_EQ(cuCtxPopCurrent_v2(&popped), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyHtoD_v2(first_, source_.data(), kBytes), CUDA_SUCCESS);

  CUDA_MEMCPY3D_PEER copy{};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = first_ + kFrom;
  copy.srcContext = context_;
  copy.srcPitch = kFromPitch;
  copy.dstDevice = memory + kTo;
  copy.dstContext = there;
  copy.dstPitch = kToPitch;
  copy.WidthInBytes = kWidth;
  copy.Height = kHeight;
  copy.Depth = 1;
  ASSERT_EQ(cuMemcpy3DPeer(&copy), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyPeer(second_, context_, memory, there, kBytes), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_), Expected(source_, 0x11));
  ASSERT_EQ(cuMemcpyPeerAsync(memory, there, first_, context_, kBytes, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  copy.srcPitch = kToPitch;
  ASSERT_EQ(cuMemcpy3DPeerAsync(&copy, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(cuMemcpyPeer(second_, reinterpret_cast<CUcontext>(0x1234), memory, there, 8), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(cuCtxDestroy_v2(there), CUDA_SUCCESS);
}

TEST_F(BoxTest, ABatchReadsItsSourcesInTheOrderThatItSays) {
  Bytes pageable(64, 1), back(64, 0);
  CUdeviceptr to[] = {first_, first_ + 64};
  CUdeviceptr from[] = {reinterpret_cast<CUdeviceptr>(pageable.data()), reinterpret_cast<CUdeviceptr>(pageable.data())};
  size_t sizes[] = {64, 64}, firsts[] = {0, 1};
  CUmemcpyAttributes attributes[2] = {};
  attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  attributes[1].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL;
  struct Change {
    Bytes& bytes;
    std::atomic<bool> may_begin{false};
  } change{pageable};
  const auto run = [](void* data) {
    auto& change = *static_cast<Change*>(data);
    while (!change.may_begin) std::this_thread::yield();
    change.bytes.assign(64, 2);
  };
  ASSERT_EQ(cuLaunchHostFunc(stream_, run, &change), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyBatchAsync_v2(to, from, sizes, 2, attributes, firsts, 2, stream_), CUDA_SUCCESS);
  change.may_begin = true;
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  to[0] = reinterpret_cast<CUdeviceptr>(back.data());
  from[0] = first_ + 32;
  ASSERT_EQ(cuMemcpyBatchAsync_v2(to, from, sizes, 1, attributes, firsts, 1, stream_), CUDA_SUCCESS);
  Bytes want(64, 2);
  std::fill(want.begin() + 32, want.end(), 1);
  EXPECT_EQ(back, want);
}

// The first versions of the batches also say which of their copies is wrong.
TEST_F(BoxTest, ABatchSaysWhichCopyIsWrong) {
  Bytes source(64, 3), back(64, 0);
  CUdeviceptr to[] = {first_, reinterpret_cast<CUdeviceptr>(back.data())};
  CUdeviceptr from[] = {reinterpret_cast<CUdeviceptr>(source.data()), first_};
  size_t sizes[] = {64, 64}, first = 0, failed = 9;
  CUmemcpyAttributes attributes{};
  attributes.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  const auto copy = [&] { return cuMemcpyBatchAsync(to, from, sizes, 2, &attributes, &first, 1, &failed, stream_); };
  EXPECT_EQ(copy(), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(back, source);
  from[1] = 0;
  EXPECT_EQ(copy(), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, 1u);

  CUDA_MEMCPY3D_BATCH_OP boxes[2] = {};
  for (CUDA_MEMCPY3D_BATCH_OP& box : boxes) {
    box.src.type = box.dst.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
    box.src.op.ptr.ptr = first_;
    box.dst.op.ptr.ptr = second_;
    box.extent = {16, 2, 1};
    box.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  }
  EXPECT_EQ(cuMemcpy3DBatchAsync(2, boxes, &failed, 0, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  Bytes want(kBytes, 0xee);
  std::fill_n(want.begin(), 32, 3);
  EXPECT_EQ(Read(second_), want);
  boxes[1].dst.op.ptr.ptr = 0;
  EXPECT_EQ(cuMemcpy3DBatchAsync(2, boxes, &failed, 0, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, 1u);
}

}  // namespace
}  // namespace outboard::stack
