#include "tests/unit/softgpu_api/driver_under_test.h"

#include <sched.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <numeric>
#include <thread>
#include <vector>

// Pitched, two- and three-dimensional copies and fills, peer copies and batches: which bytes they write, and when.

namespace outboard::softgpu::api {
namespace {

using Bytes = std::vector<unsigned char>;

constexpr size_t kBoxBytes = 4096;

class CopyBoxTest : public DriverTest {
 protected:
  void SetUp() override {
    DriverTest::SetUp();
    std::iota(source_.begin(), source_.end(), 1);
    ASSERT_EQ(cuMemHostAlloc(&memory_, kBoxBytes, 0), CUDA_SUCCESS);
    pinned_ = static_cast<unsigned char*>(memory_);
    ASSERT_EQ(cuMemHostAlloc(&gate_memory_, 64, 0), CUDA_SUCCESS);
    gate_ = new (gate_memory_) std::atomic<uint32_t>(0);
    ASSERT_EQ(cuMemAlloc_v2(&first_, kBoxBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&second_, kBoxBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuStreamCreate(&stream_, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    Clear();
  }
  void TearDown() override {
    Release();
    EXPECT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    EXPECT_EQ(cuStreamDestroy_v2(stream_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(second_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFree_v2(first_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFreeHost(gate_memory_), CUDA_SUCCESS);
    EXPECT_EQ(cuMemFreeHost(memory_), CUDA_SUCCESS);
    DriverTest::TearDown();
  }

  void Clear() {
    for (const CUdeviceptr memory : {first_, second_}) ASSERT_EQ(cuMemsetD8_v2(memory, 0xee, kBoxBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
  }
  Bytes Read(CUdeviceptr memory) {
    Bytes bytes(kBoxBytes);
    EXPECT_EQ(cuMemcpyDtoH_v2(bytes.data(), memory, kBoxBytes), CUDA_SUCCESS);
    return bytes;
  }
  void Fill(CUdeviceptr memory, const Bytes& bytes) {
    ASSERT_EQ(cuMemcpyHtoD_v2(memory, bytes.data(), bytes.size()), CUDA_SUCCESS);
  }

  void Hold() {
    ASSERT_EQ(cuStreamWaitValue32_v2(stream_, reinterpret_cast<CUdeviceptr>(gate_), 1, CU_STREAM_WAIT_VALUE_EQ),
              CUDA_SUCCESS);
  }
  void Release() { *gate_ = 1; }
  bool StaysBusy(CUstream stream) {
    for (int i = 0; i < 10000; ++i) {
      if (cuStreamQuery(stream) != CUDA_ERROR_NOT_READY) return false;
      sched_yield();
    }
    return true;
  }

  // `to` after a copy of width x height bytes, each row copied by hand.
  static Bytes Expected(Bytes to, size_t to_at, size_t to_pitch, const Bytes& from, size_t from_at, size_t from_pitch,
                        size_t width, size_t height) {
    for (size_t y = 0; y < height; ++y) {
      std::memcpy(&to[to_at + y * to_pitch], &from[from_at + y * from_pitch], width);
    }
    return to;
  }
  // 5 bytes in each of 4 rows: from x = 3, y = 2 of rows of 37 bytes to x = 1, y = 1 of rows of 64.
  static CUDA_MEMCPY2D Shape2D() {
    CUDA_MEMCPY2D copy{};
    copy.srcXInBytes = 3;
    copy.srcY = 2;
    copy.srcPitch = 37;
    copy.dstXInBytes = 1;
    copy.dstY = 1;
    copy.dstPitch = 64;
    copy.WidthInBytes = 5;
    copy.Height = 4;
    return copy;
  }
  static Bytes Expected2D(const Bytes& from) {
    return Expected(Bytes(kBoxBytes, 0xee), 64 + 1, 64, from, 2 * 37 + 3, 37, 5, 4);
  }
  static void From(CUDA_MEMCPY2D& copy, CUmemorytype type, const void* host, CUdeviceptr device) {
    copy.srcMemoryType = type;
    copy.srcHost = host;
    copy.srcDevice = device;
  }
  static void To(CUDA_MEMCPY2D& copy, CUmemorytype type, void* host, CUdeviceptr device) {
    copy.dstMemoryType = type;
    copy.dstHost = host;
    copy.dstDevice = device;
  }

  Bytes source_ = Bytes(kBoxBytes);
  void* memory_ = nullptr;
  void* gate_memory_ = nullptr;
  unsigned char* pinned_ = nullptr;
  std::atomic<uint32_t>* gate_ = nullptr;
  CUdeviceptr first_ = 0, second_ = 0;
  CUstream stream_ = nullptr;
};

TEST_F(CopyBoxTest, CopiesRectanglesInEveryDirection) {
  CUDA_MEMCPY2D copy = Shape2D();
  From(copy, CU_MEMORYTYPE_HOST, source_.data(), 0);
  To(copy, CU_MEMORYTYPE_DEVICE, nullptr, first_);
  ASSERT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  const Bytes want = Expected2D(source_);
  EXPECT_EQ(Read(first_), want);

  From(copy, CU_MEMORYTYPE_DEVICE, nullptr, first_);
  To(copy, CU_MEMORYTYPE_DEVICE, nullptr, second_);
  ASSERT_EQ(cuMemcpy2DUnaligned_v2(&copy), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_), Expected2D(want));

  Bytes host(kBoxBytes, 0xee);
  To(copy, CU_MEMORYTYPE_HOST, host.data(), 0);
  ASSERT_EQ(cuMemcpy2D_v2_ptds(&copy), CUDA_SUCCESS);
  EXPECT_EQ(host, Expected2D(want));

  From(copy, CU_MEMORYTYPE_HOST, source_.data(), 0);
  host.assign(kBoxBytes, 0xee);
  ASSERT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  EXPECT_EQ(host, want);
}

TEST_F(CopyBoxTest, AUnifiedAddressTellsWhoseMemoryItIs) {
  CUDA_MEMCPY2D copy = Shape2D();
  From(copy, CU_MEMORYTYPE_UNIFIED, nullptr, reinterpret_cast<CUdeviceptr>(source_.data()));
  To(copy, CU_MEMORYTYPE_UNIFIED, nullptr, first_);
  ASSERT_EQ(cuMemcpy2DAsync_v2(&copy, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_), Expected2D(source_));
}

TEST_F(CopyBoxTest, CopiesBoxesWithSlices) {
  // 3 bytes in each of 2 rows of 3 slices; slices of 5 rows of 16 bytes here, of 4 rows of 20 bytes there.
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = source_.data();
  copy.srcXInBytes = 7;
  copy.srcY = 1;
  copy.srcZ = 2;
  copy.srcPitch = 16;
  copy.srcHeight = 5;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = first_;
  copy.dstXInBytes = 2;
  copy.dstY = 2;
  copy.dstZ = 1;
  copy.dstPitch = 20;
  copy.dstHeight = 4;
  copy.WidthInBytes = 3;
  copy.Height = 2;
  copy.Depth = 3;
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  Bytes want(kBoxBytes, 0xee);
  for (size_t z = 0; z < 3; ++z) {
    want = Expected(want, ((1 + z) * 4 + 2) * 20 + 2, 20, source_, ((2 + z) * 5 + 1) * 16 + 7, 16, 3, 2);
  }
  EXPECT_EQ(Read(first_), want);

  // And back, into pinned memory that has the shape of the source.
  std::memset(pinned_, 0xee, kBoxBytes);
  std::swap(copy.srcXInBytes, copy.dstXInBytes);
  std::swap(copy.srcY, copy.dstY);
  std::swap(copy.srcZ, copy.dstZ);
  std::swap(copy.srcPitch, copy.dstPitch);
  std::swap(copy.srcHeight, copy.dstHeight);
  std::swap(copy.srcMemoryType, copy.dstMemoryType);
  copy.srcDevice = first_;
  copy.dstHost = pinned_;
  ASSERT_EQ(cuMemcpy3DAsync_v2(&copy, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  Bytes back(kBoxBytes, 0xee);
  for (size_t z = 0; z < 3; ++z) {
    const size_t at = ((2 + z) * 5 + 1) * 16 + 7;
    back = Expected(back, at, 16, source_, at, 16, 3, 2);
  }
  EXPECT_EQ(Bytes(pinned_, pinned_ + kBoxBytes), back);
}

TEST_F(CopyBoxTest, OneRowNeedsNoPitchAndOneSliceNoHeight) {
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = source_.data();
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = first_;
  copy.dstXInBytes = 3;
  copy.WidthInBytes = 100;
  copy.Height = copy.Depth = 1;
  ASSERT_EQ(cuMemcpy3D_v2(&copy), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_), Expected(Bytes(kBoxBytes, 0xee), 3, 0, source_, 0, 0, 100, 1));
  copy.Height = 2;
  EXPECT_EQ(cuMemcpy3D_v2(&copy), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CopyBoxTest, RefusesPitchesThatAreNone) {
  CUDA_MEMCPY2D copy = Shape2D();
  From(copy, CU_MEMORYTYPE_HOST, source_.data(), 0);
  To(copy, CU_MEMORYTYPE_DEVICE, nullptr, first_);
  copy.srcXInBytes = copy.srcPitch - copy.WidthInBytes + 1;
  EXPECT_EQ(cuMemcpy2D_v2(&copy), CUDA_ERROR_INVALID_VALUE);
  copy.srcXInBytes = copy.srcPitch - copy.WidthInBytes;
  EXPECT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  copy.Height = 1;
  copy.srcY = 0;
  copy.srcPitch = 0x7fffffff;
  EXPECT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  copy.srcPitch = 0x80000000;
  EXPECT_EQ(cuMemcpy2D_v2(&copy), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD2D8_v2(first_, 10, 0, 11, 2), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemsetD2D8_v2(first_, 11, 0, 11, 2), CUDA_SUCCESS);
}

TEST_F(CopyBoxTest, AnEmptyExtentIsACopyOfNothing) {
  CUDA_MEMCPY2D copy{};
  copy.Height = 5;
  EXPECT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);
  copy.WidthInBytes = 5;
  copy.Height = 0;
  EXPECT_EQ(cuMemcpy2DAsync_v2(&copy, stream_), CUDA_SUCCESS);
}

TEST_F(CopyBoxTest, TheOldestVersionsCopyHostMemory) {
  CUDA_MEMCPY2D_v1 copy{};
  Bytes host(kBoxBytes, 0xee);
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = source_.data();
  copy.srcXInBytes = 3;
  copy.srcY = 2;
  copy.srcPitch = 37;
  copy.dstHost = host.data();
  copy.dstXInBytes = 1;
  copy.dstY = 1;
  copy.dstPitch = 64;
  copy.WidthInBytes = 5;
  copy.Height = 4;
  ASSERT_EQ(cuMemcpy2D(&copy), CUDA_SUCCESS);
  EXPECT_EQ(host, Expected2D(source_));
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  EXPECT_EQ(cuMemcpy2DUnaligned(&copy), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpy2DAsync(nullptr, stream_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CopyBoxTest, PinnedRowsAreReadWhenTheStreamGetsThere) {
  CUDA_MEMCPY2D copy = Shape2D();
  std::memset(pinned_, 1, kBoxBytes);
  From(copy, CU_MEMORYTYPE_HOST, pinned_, 0);
  To(copy, CU_MEMORYTYPE_DEVICE, nullptr, first_);
  Hold();
  ASSERT_EQ(cuMemcpy2DAsync_v2(&copy, stream_), CUDA_SUCCESS);
  std::memset(pinned_, 2, kBoxBytes);
  Release();
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_), Expected2D(Bytes(kBoxBytes, 2)));
}

TEST_F(CopyBoxTest, PageableRowsAreTakenAtTheCall) {
  CUDA_MEMCPY2D copy = Shape2D();
  Bytes pageable(kBoxBytes, 1);
  From(copy, CU_MEMORYTYPE_HOST, pageable.data(), 0);
  To(copy, CU_MEMORYTYPE_DEVICE, nullptr, first_);
  Hold();
  ASSERT_EQ(cuMemcpy2DAsync_v2(&copy, stream_), CUDA_SUCCESS);
  pageable.assign(kBoxBytes, 2);
  Release();
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_), Expected2D(Bytes(kBoxBytes, 1)));
}

TEST_F(CopyBoxTest, RowsInPageableMemoryAreThereWhenTheCallReturns) {
  CUDA_MEMCPY2D copy = Shape2D();
  Fill(first_, source_);
  Bytes host(kBoxBytes, 0xee);
  From(copy, CU_MEMORYTYPE_DEVICE, nullptr, first_);
  To(copy, CU_MEMORYTYPE_HOST, host.data(), 0);
  Hold();
  std::atomic<bool> returned{false};
  std::thread copier([&] {
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpy2DAsync_v2(&copy, stream_), CUDA_SUCCESS);
    returned = true;
  });
  EXPECT_TRUE(StaysBusy(stream_));
  EXPECT_FALSE(returned);
  Release();
  copier.join();
  EXPECT_EQ(host, Expected2D(source_));
}

TEST_F(CopyBoxTest, ARectangleBetweenDeviceMemoryMakesNobodyWait) {
  CUDA_MEMCPY2D copy = Shape2D();
  From(copy, CU_MEMORYTYPE_DEVICE, nullptr, first_);
  To(copy, CU_MEMORYTYPE_DEVICE, nullptr, second_);
  ASSERT_EQ(cuStreamWaitValue32_v2(CU_STREAM_LEGACY, reinterpret_cast<CUdeviceptr>(gate_), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpy2D_v2(&copy), CUDA_SUCCESS);  // would hang
}

TEST_F(CopyBoxTest, FillsRowsAndLeavesTheRestAlone) {
  ASSERT_EQ(cuMemsetD2D8_v2(first_ + 3, 100, 7, 5, 3), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD2D16Async(first_ + 1000, 50, 0x0302, 4, 2, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD2D32_v2_ptds(first_ + 2000, 64, 0x07060504, 2, 2), CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD2D32_v2(first_ + 3000, 1, 0x0b0a0908, 1, 1), CUDA_SUCCESS);  // one row: the pitch is not used
  Bytes want(kBoxBytes, 0xee);
  for (size_t y = 0; y < 3; ++y) std::memset(&want[3 + y * 100], 7, 5);
  for (size_t y = 0; y < 2; ++y) {
    for (size_t i = 0; i < 8; ++i) want[1000 + y * 50 + i] = 2 + i % 2;
    for (size_t i = 0; i < 8; ++i) want[2000 + y * 64 + i] = 4 + i % 4;
  }
  for (size_t i = 0; i < 4; ++i) want[3000 + i] = 8 + i;
  EXPECT_EQ(Read(first_), want);
}

TEST_F(CopyBoxTest, PitchesAreMultiplesThatEveryCopyTakes) {
  CUdeviceptr memory;
  size_t pitch = 0, size = 0;
  ASSERT_EQ(cuMemAllocPitch_v2(&memory, &pitch, 513, 7, 4), CUDA_SUCCESS);
  EXPECT_EQ(pitch, 1024u);
  ASSERT_EQ(cuMemGetAddressRange_v2(nullptr, &size, memory), CUDA_SUCCESS);
  EXPECT_GE(size, 7 * pitch);
  ASSERT_EQ(cuMemFree_v2(memory), CUDA_SUCCESS);
}

// A context on the other device.
class PeerTest : public CopyBoxTest {
 protected:
  void SetUp() override {
    CopyBoxTest::SetUp();
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&peer_, 1), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPushCurrent_v2(peer_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemAlloc_v2(&there_, kBoxBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuMemsetD8_v2(there_, 0xee, kBoxBytes), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSynchronize(), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  }
  void TearDown() override {
    Release();
    EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(1), CUDA_SUCCESS);
    CopyBoxTest::TearDown();
  }

  CUcontext peer_ = nullptr;
  CUdeviceptr there_ = 0;
};

TEST_F(PeerTest, CopiesBetweenContexts) {
  Fill(first_, source_);
  ASSERT_EQ(cuMemcpyPeer(there_, peer_, first_, context_, kBoxBytes), CUDA_SUCCESS);
  ASSERT_EQ(cuMemcpyPeerAsync(second_, context_, there_ + 8, peer_, 100, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  EXPECT_EQ(Read(second_), Expected(Bytes(kBoxBytes, 0xee), 0, 0, source_, 8, 0, 100, 1));
}

TEST_F(PeerTest, CopiesBoxesBetweenContexts) {
  Fill(first_, source_);
  CUDA_MEMCPY3D_PEER copy{};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = first_;
  copy.srcContext = context_;
  copy.srcPitch = 37;
  copy.dstDevice = there_;
  copy.dstContext = peer_;
  copy.dstPitch = 64;
  copy.WidthInBytes = 5;
  copy.Height = 4;
  copy.Depth = 1;
  ASSERT_EQ(cuMemcpy3DPeer(&copy), CUDA_SUCCESS);
  EXPECT_EQ(Read(there_), Expected(Bytes(kBoxBytes, 0xee), 0, 64, source_, 0, 37, 5, 4));
  copy.dstContext = nullptr;
  EXPECT_EQ(cuMemcpy3DPeerAsync(&copy, stream_), CUDA_ERROR_INVALID_CONTEXT);
  copy.dstContext = context_;
  EXPECT_EQ(cuMemcpy3DPeerAsync(&copy, stream_), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(PeerTest, ASynchronousCopyComesAfterTheOtherContextsWork) {
  Fill(first_, source_);
  ASSERT_EQ(cuCtxPushCurrent_v2(peer_), CUDA_SUCCESS);
  CUstream held;
  ASSERT_EQ(cuStreamCreate(&held, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamWaitValue32_v2(held, reinterpret_cast<CUdeviceptr>(gate_), 1, CU_STREAM_WAIT_VALUE_EQ),
            CUDA_SUCCESS);
  ASSERT_EQ(cuMemsetD8Async(there_, 1, kBoxBytes, held), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxPopCurrent_v2(nullptr), CUDA_SUCCESS);
  std::atomic<bool> returned{false};
  std::thread copier([&] {
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
    ASSERT_EQ(cuMemcpyPeer(first_, context_, there_, peer_, 100), CUDA_SUCCESS);
    returned = true;
  });
  ASSERT_EQ(cuCtxSetCurrent(peer_), CUDA_SUCCESS);
  EXPECT_TRUE(StaysBusy(held));
  EXPECT_FALSE(returned);
  Release();
  copier.join();
  ASSERT_EQ(cuStreamDestroy_v2(held), CUDA_SUCCESS);
  ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
  EXPECT_EQ(Read(first_), Expected(source_, 0, 0, Bytes(kBoxBytes, 1), 0, 0, 100, 1));
}

class BatchTest : public CopyBoxTest {
 protected:
  CUresult Copy(std::vector<CUdeviceptr> to, std::vector<CUdeviceptr> from, std::vector<size_t> sizes,
                CUmemcpySrcAccessOrder order, size_t* failed = nullptr) {
    CUmemcpyAttributes attributes{};
    attributes.srcAccessOrder = order;
    size_t first = 0;
    return cuMemcpyBatchAsync(to.data(), from.data(), sizes.data(), to.size(), &attributes, &first, 1, failed, stream_);
  }
  static CUdeviceptr Address(const void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }
};

TEST_F(BatchTest, CopiesAllOfIt) {
  Bytes host(64, 0xee);
  ASSERT_EQ(Copy({first_, first_ + 100}, {Address(source_.data()), Address(source_.data() + 10)}, {8, 16},
                 CU_MEMCPY_SRC_ACCESS_ORDER_ANY),
            CUDA_SUCCESS);
  ASSERT_EQ(Copy({Address(host.data() + 4)}, {first_ + 102}, {3}, CU_MEMCPY_SRC_ACCESS_ORDER_STREAM), CUDA_SUCCESS);
  Bytes want = Expected(Bytes(kBoxBytes, 0xee), 0, 0, source_, 0, 0, 8, 1);
  EXPECT_EQ(Read(first_), Expected(want, 100, 0, source_, 10, 0, 16, 1));
  EXPECT_EQ(host, Expected(Bytes(64, 0xee), 4, 0, source_, 12, 0, 3, 1));
}

TEST_F(BatchTest, TheOrderSaysWhenASourceIsRead) {
  Bytes pageable(64, 1);
  std::memset(pinned_, 1, 64);
  Hold();
  ASSERT_EQ(Copy({first_}, {Address(pageable.data())}, {64}, CU_MEMCPY_SRC_ACCESS_ORDER_STREAM), CUDA_SUCCESS);
  ASSERT_EQ(Copy({first_ + 64}, {Address(pageable.data())}, {64}, CU_MEMCPY_SRC_ACCESS_ORDER_ANY), CUDA_SUCCESS);
  ASSERT_EQ(Copy({second_}, {Address(pinned_)}, {64}, CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL), CUDA_SUCCESS);
  ASSERT_EQ(Copy({second_ + 64}, {Address(pinned_)}, {64}, CU_MEMCPY_SRC_ACCESS_ORDER_STREAM), CUDA_SUCCESS);
  pageable.assign(64, 2);
  std::memset(pinned_, 2, 64);
  Release();
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  const Bytes first = Read(first_), second = Read(second_);
  EXPECT_EQ(first[0], 2);
  EXPECT_EQ(first[64], 1);
  EXPECT_EQ(second[0], 1);
  EXPECT_EQ(second[64], 2);
}

TEST_F(BatchTest, NothingIsCopiedIfOneCopyIsWrong) {
  size_t failed = 77;
  EXPECT_EQ(Copy({first_, first_ + kBoxBytes - 4}, {second_, second_}, {8, 8}, CU_MEMCPY_SRC_ACCESS_ORDER_STREAM, &failed),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, 1u);
  EXPECT_EQ(Copy({first_}, {second_}, {8}, CU_MEMCPY_SRC_ACCESS_ORDER_INVALID, &failed), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, 0u);
  EXPECT_EQ(Copy({}, {}, {}, CU_MEMCPY_SRC_ACCESS_ORDER_STREAM, &failed), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, SIZE_MAX);
  EXPECT_EQ(Read(first_), Bytes(kBoxBytes, 0xee));
}

TEST_F(BatchTest, AttributesBelongToTheCopiesFromTheirIndexOn) {
  Bytes pageable(64, 1);
  CUdeviceptr to[] = {first_, first_ + 8, first_ + 16},
              from[] = {Address(&pageable[0]), Address(&pageable[8]), Address(&pageable[16])};
  size_t sizes[] = {8, 8, 8}, firsts[] = {0, 1};
  CUmemcpyAttributes attributes[2] = {};
  attributes[0].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  attributes[1].srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL;
  const auto copy = [&](size_t count) {
    return cuMemcpyBatchAsync_v2(to, from, sizes, 3, attributes, firsts, count, stream_);
  };
  Hold();
  ASSERT_EQ(copy(2), CUDA_SUCCESS);
  pageable.assign(64, 2);
  firsts[0] = 1;
  EXPECT_EQ(copy(1), CUDA_ERROR_INVALID_VALUE);  // the first must be 0
  firsts[0] = firsts[1] = 0;
  EXPECT_EQ(copy(2), CUDA_ERROR_INVALID_VALUE);  // not ascending
  firsts[1] = 3;
  EXPECT_EQ(copy(2), CUDA_ERROR_INVALID_VALUE);  // past the last copy
  EXPECT_EQ(copy(0), CUDA_ERROR_INVALID_VALUE);
  Release();
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  const Bytes got = Read(first_);
  EXPECT_EQ(got[0], 2);
  EXPECT_EQ(got[8], 1);
  EXPECT_EQ(got[16], 1);
}

TEST_F(BatchTest, CopiesBoxesThatArePackedUnlessTheySayOtherwise) {
  CUDA_MEMCPY3D_BATCH_OP operation{};
  operation.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  operation.src.type = operation.dst.type = CU_MEMCPY_OPERAND_TYPE_POINTER;
  operation.src.op.ptr.ptr = Address(source_.data());
  operation.dst.op.ptr.ptr = first_;
  operation.dst.op.ptr.rowLength = 10;
  operation.dst.op.ptr.layerHeight = 3;
  operation.extent = {4, 2, 2};
  ASSERT_EQ(cuMemcpy3DBatchAsync_v2(1, &operation, 0, stream_), CUDA_SUCCESS);
  ASSERT_EQ(cuStreamSynchronize(stream_), CUDA_SUCCESS);
  Bytes want = Expected(Bytes(kBoxBytes, 0xee), 0, 10, source_, 0, 4, 4, 2);
  EXPECT_EQ(Read(first_), Expected(want, 30, 10, source_, 8, 4, 4, 2));

  size_t failed = 77;
  const auto refused = [&](unsigned long long flags) {
    return cuMemcpy3DBatchAsync(1, &operation, &failed, flags, stream_);
  };
  EXPECT_EQ(refused(1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, SIZE_MAX);
  operation.dst.op.ptr.rowLength = 3;
  EXPECT_EQ(refused(0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, 0u);
  operation.dst.op.ptr.rowLength = 0;
  operation.extent.depth = 0;
  EXPECT_EQ(refused(0), CUDA_ERROR_INVALID_VALUE);
  operation.extent.depth = 1;
  operation.dst.type = CU_MEMCPY_OPERAND_TYPE_ARRAY;
  operation.dst.op.array = {nullptr, {0, 0, 0}};
  EXPECT_EQ(refused(0), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(BatchTest, TheLegacyStreamTakesNone) {
  CUdeviceptr to = first_, from = second_;
  size_t size = 8, first = 0;
  CUmemcpyAttributes attributes{};
  attributes.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM;
  EXPECT_EQ(cuMemcpyBatchAsync_v2(&to, &from, &size, 1, &attributes, &first, 1, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(cuMemcpyBatchAsync_v2_ptsz(&to, &from, &size, 1, &attributes, &first, 1, nullptr), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::softgpu::api
