#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "client/shim/custom.gen.h"
#include "client/shim/host_calls.h"
#include "common/base/limits.h"
#include "tests/unit/shim_memory/fake_worker.h"

namespace outboard::shim {
namespace {

using Names = std::vector<std::string>;
const CUstream kBoxStream = CU_STREAM_LEGACY;
constexpr size_t kBoxDeviceBytes = 16u << 20;

// 3 bytes in each of 2 rows; rows of 8 bytes in host memory, beginning at byte 1, and of 16 bytes on the device.
class CopyBoxTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(worker_.init_result(), CUDA_SUCCESS);
    worker_.Reset();
    const Arena arena = memory_.MakeArena();
    if (arena.size == 0) GTEST_SKIP() << "the address space of this process is limited";
    device_ = arena.begin;
    ASSERT_TRUE(memory_.AddDevice(device_, kBoxDeviceBytes, worker_.context(), 0));
    ASSERT_EQ(custom::cuMemHostAlloc(&pinned_, 4096, 0), CUDA_SUCCESS);
    std::memcpy(pinned_, kText, sizeof kText);
    std::memcpy(pageable_, kText, sizeof kText);
  }
  void TearDown() override {
    memory_.ForgetContext(worker_.context());
    if (pinned_ != nullptr) {
      EXPECT_EQ(custom::cuMemFreeHost(pinned_), CUDA_SUCCESS);
    }
    worker_.Reset();
  }

  static CUDA_MEMCPY2D Shape() {
    CUDA_MEMCPY2D copy{};
    copy.WidthInBytes = 3;
    copy.Height = 2;
    copy.srcPitch = copy.dstPitch = 16;
    return copy;
  }
  CUDA_MEMCPY2D ToDevice(const void* host) const {
    CUDA_MEMCPY2D copy = Shape();
    copy.srcMemoryType = CU_MEMORYTYPE_HOST;
    copy.srcHost = host;
    copy.srcXInBytes = 1;
    copy.srcPitch = 8;
    copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.dstDevice = device_;
    return copy;
  }
  CUDA_MEMCPY2D ToHost(void* host) const {
    CUDA_MEMCPY2D copy = Shape();
    copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
    copy.srcDevice = device_;
    copy.dstMemoryType = CU_MEMORYTYPE_HOST;
    copy.dstHost = host;
    copy.dstXInBytes = 1;
    copy.dstPitch = 8;
    return copy;
  }
  Box HostBox(const void* host) const { return {reinterpret_cast<uint64_t>(host) + 1, 8, 0}; }
  void Land(const Box& to, const BoxExtent& extent, const std::string& text) {
    worker_.LandBox(to, extent, std::as_bytes(std::span(text)));
    worker_.peer().Deliver();
  }

  static constexpr char kText[17] = "0123456789abcdef";
  static constexpr BoxExtent kExtent = {3, 2, 1};
  FakeWorker& worker_ = FakeWorker::Get();
  Memory& memory_ = Process::Get().memory();
  CUdeviceptr device_ = 0;
  void* pinned_ = nullptr;
  char pageable_[17] = {};
};

TEST_F(CopyBoxTest, OnlyTheBytesOfTheRowsTravel) {
  const CUDA_MEMCPY2D copy = ToDevice(pageable_);
  EXPECT_EQ(custom::cuMemcpy2D_v2(kBoxStream, &copy), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].name, "outboardWriteBox");
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[0].At(0), device_);
  EXPECT_EQ(seen[0].At(1), 16u);
  EXPECT_EQ(seen[0].At(3), 3u);
  EXPECT_EQ(seen[0].At(4), 2u);
  EXPECT_EQ(seen[0].At(5), 1u);
  EXPECT_EQ(seen[0].At(7), 6u);
  EXPECT_EQ(seen[0].Text(9).substr(0, 6), "1239ab");
  EXPECT_EQ(seen[1].name, "outboardFinishWrite");
}

TEST_F(CopyBoxTest, WhatHasNoGapsIsAPlainCopy) {
  CUDA_MEMCPY2D copy = ToDevice(pageable_);
  copy.srcXInBytes = 0;
  copy.srcPitch = copy.dstPitch = copy.WidthInBytes = 8;
  EXPECT_EQ(custom::cuMemcpy2D_v2(kBoxStream, &copy), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].name, "outboardWrite");
  EXPECT_EQ(seen[0].At(2), 16u);
  EXPECT_EQ(seen[0].Text(4), "0123456789abcdef");
  copy = ToHost(pinned_);
  copy.dstXInBytes = 0;
  copy.srcPitch = copy.dstPitch = copy.WidthInBytes = 8;
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&copy, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardReadAsync"});
}

TEST_F(CopyBoxTest, ReadingRowsIntoPageableMemoryWaitsAndLeavesTheGapsAlone) {
  worker_.On("outboardReadBox", [&](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(1), 6u);
    EXPECT_EQ(seen.At(2), device_);
    EXPECT_EQ(seen.At(3), 16u);
    EXPECT_EQ(seen.At(5), 3u);
    EXPECT_EQ(seen.At(6), 2u);
    return FakeWorker::With(std::array<char, 6>{'u', 'v', 'w', 'x', 'y', 'z'});
  });
  const CUDA_MEMCPY2D copy = ToHost(pageable_);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&copy, kBoxStream), CUDA_SUCCESS);
  EXPECT_STREQ(pageable_, "0uvw45678xyzcdef");
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardReadBox?"});
}

TEST_F(CopyBoxTest, RowsLandInPinnedMemoryAndLeaveTheGapsAlone) {
  const CUDA_MEMCPY2D copy = ToHost(pinned_);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&copy, kBoxStream), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].name, "outboardReadBoxAsync");
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[0].At(0), HostBox(pinned_).address);
  EXPECT_EQ(seen[0].At(1), 8u);
  EXPECT_EQ(seen[0].At(3), device_);
  EXPECT_EQ(seen[0].At(4), 16u);
  EXPECT_TRUE(memory_.landings().Any());
  Land(HostBox(pinned_), kExtent, "uvwxyz");
  EXPECT_STREQ(static_cast<char*>(pinned_), "0uvw45678xyzcdef");
  EXPECT_FALSE(memory_.landings().Any());
}

TEST_F(CopyBoxTest, PinnedRowsAreThoseOfTheStreamsTimeWhenACopyMayLandThere) {
  const CUDA_MEMCPY2D read = ToHost(pinned_), write = ToDevice(pinned_);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&read, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&write, kBoxStream), CUDA_SUCCESS);
  auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  ASSERT_EQ(seen[1].name, "outboardWriteBoxPulled");
  EXPECT_EQ(seen[1].At(6), HostBox(pinned_).address);
  EXPECT_EQ(seen[1].At(7), 8u);
  const uint64_t pull = seen[1].At(9);
  worker_.LandBox(HostBox(pinned_), kExtent, std::as_bytes(std::span("uvwxyz", 6)));
  worker_.peer().Say(wire::Control::kPull, wire::PullHead{pull, 0, 6}).Deliver();
  seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].At(0), pull);
  EXPECT_EQ(seen[0].Text(3).substr(0, 6), "uvwxyz");
  EXPECT_FALSE(memory_.pulls().Any());
  // Nothing can change them any more: taken at the call.
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&write, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardWriteBox"});
}

TEST_F(CopyBoxTest, APlainCopyKnowsOfTheBoxThatMayLandInItsSource) {
  const CUDA_MEMCPY2D read = ToHost(pinned_);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&read, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyHtoDAsync_v2(device_, static_cast<char*>(pinned_) + 11, 8, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyHtoDAsync_v2(device_, static_cast<char*>(pinned_) + 12, 8, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardReadBoxAsync", "outboardWritePulled", "outboardWrite"}));
  memory_.pulls().Forget(reinterpret_cast<uint64_t>(pinned_), 4096);
}

TEST_F(CopyBoxTest, FreeingPinnedMemoryWaitsForTheRowsThatAreToLand) {
  const CUDA_MEMCPY2D read = ToHost(pinned_);
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&read, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemFreeHost(pinned_), CUDA_SUCCESS);
  pinned_ = nullptr;
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardReadBoxAsync", "outboardDrainHost?"}));
  EXPECT_FALSE(memory_.landings().Any());
}

TEST_F(CopyBoxTest, ALargeBoxTravelsInPieces) {
  // Slices of 3 rows of half a piece each: of 5 slices one is too large for a piece, so its rows travel by twos.
  const size_t width = kCopyChunkBytes / 2;
  const std::vector<char> host(5 * 3 * width, 'x');
  CUDA_MEMCPY3D copy{};
  copy.srcMemoryType = CU_MEMORYTYPE_HOST;
  copy.srcHost = host.data();
  copy.srcPitch = width;
  copy.srcHeight = 3;
  copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = device_;
  copy.dstPitch = width + 512;
  copy.dstHeight = 4;
  copy.WidthInBytes = width;
  copy.Height = 3;
  copy.Depth = 5;
  EXPECT_EQ(custom::cuMemcpy3DAsync_v2(&copy, kBoxStream), CUDA_SUCCESS);
  auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 10u);
  for (size_t z = 0; z < 5; ++z) {
    EXPECT_EQ(seen[2 * z].name, "outboardWriteBox");
    EXPECT_EQ(seen[2 * z].At(0), device_ + z * 4 * (width + 512));
    EXPECT_EQ(seen[2 * z].At(4), 2u);
    EXPECT_EQ(seen[2 * z + 1].name, "outboardWrite");  // the third row
    EXPECT_EQ(seen[2 * z + 1].At(0), device_ + (z * 4 + 2) * (width + 512));
    EXPECT_EQ(seen[2 * z + 1].At(2), width);
  }
  // Small slices travel together.
  copy.WidthInBytes = 64;
  EXPECT_EQ(custom::cuMemcpy3DAsync_v2(&copy, kBoxStream), CUDA_SUCCESS);
  seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].At(7), 64u * 3 * 5);
}

TEST_F(CopyBoxTest, ALargeReadWaitsOnceForAllPieces) {
  constexpr size_t kWidth = 1000, kRows = 3000, kPitch = 1024;
  constexpr size_t kRowsOfPiece = kCopyChunkBytes / kWidth;
  std::vector<char> host(kRows * kPitch, '.');
  CUDA_MEMCPY2D copy = ToHost(host.data());
  copy.dstXInBytes = 0;
  copy.srcPitch = copy.dstPitch = kPitch;
  copy.WidthInBytes = kWidth;
  copy.Height = kRows;
  worker_.On("cuStreamSynchronize", [&](const auto&) {
    const std::vector<char> bytes(kCopyChunkBytes, 'x');
    for (size_t y = 0; y < kRows; y += kRowsOfPiece) {
      const BoxExtent piece = {kWidth, std::min(kRowsOfPiece, kRows - y), 1};
      worker_.LandBox({reinterpret_cast<uint64_t>(&host[y * kPitch]), kPitch, 0}, piece,
                      std::as_bytes(std::span(bytes).first(*PackedBytes(piece))));
    }
    return FakeWorker::Answer{};
  });
  EXPECT_EQ(custom::cuMemcpy2D_v2(kBoxStream, &copy), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(),
            (Names{"outboardReadBoxAsync", "outboardReadBoxAsync", "outboardReadBoxAsync", "cuStreamSynchronize?"}));
  for (size_t i = 0; i < host.size(); ++i) ASSERT_EQ(host[i], i % kPitch < kWidth ? 'x' : '.') << i;
}

TEST_F(CopyBoxTest, WhatIsNotKnownIsForTheDriverToAnswer) {
  const auto refuse = [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; };
  for (const char* name : {"outboardWriteBox", "outboardReadBoxAsync", "outboardCopyBox"}) worker_.On(name, refuse);
  CUDA_MEMCPY2D copy = ToDevice(pageable_);
  copy.dstDevice = device_ + kBoxDeviceBytes - 16;  // the second row is outside
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&copy, kBoxStream), CUDA_ERROR_INVALID_VALUE);
  copy = ToHost(pinned_);
  copy.srcDevice = device_ + kBoxDeviceBytes - 16;
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&copy, kBoxStream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemcpyDtoDAsync_v2?", "outboardWriteBox?", "cuMemcpyDtoDAsync_v2?",
                                        "outboardReadBoxAsync?", "outboardDrainHost?"}));
  EXPECT_FALSE(memory_.landings().Any());
}

TEST_F(CopyBoxTest, ARectangleOnTheDeviceIsOneOperation) {
  CUDA_MEMCPY2D copy = ToHost(nullptr);
  copy.dstMemoryType = CU_MEMORYTYPE_UNIFIED;
  copy.dstDevice = device_ + 4096;
  EXPECT_EQ(custom::cuMemcpy2D_v2(kBoxStream, &copy), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].name, "outboardCopyBox");
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[0].At(0), device_ + 4097);
  EXPECT_EQ(seen[0].At(3), device_);
}

TEST_F(CopyBoxTest, WrongStructuresAreRefusedHere) {
  CUDA_MEMCPY2D copy = ToDevice(pageable_);
  copy.srcPitch = 3;
  EXPECT_EQ(custom::cuMemcpy2D_v2(kBoxStream, &copy), CUDA_ERROR_INVALID_VALUE);
  copy.srcPitch = (1 << 20) + 1;  // what the device says is the largest is a byte less
  EXPECT_EQ(custom::cuMemcpy2D_v2(kBoxStream, &copy), CUDA_ERROR_INVALID_VALUE);
  copy = ToDevice(reinterpret_cast<void*>(device_));
  EXPECT_EQ(custom::cuMemcpy2D_v2(kBoxStream, &copy), CUDA_ERROR_INVALID_VALUE);
  copy = ToDevice(pageable_);
  copy.dstMemoryType = CU_MEMORYTYPE_ARRAY;
  EXPECT_EQ(custom::cuMemcpy2DAsync_v2(&copy, kBoxStream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(custom::cuMemcpy3D_v2(kBoxStream, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(CopyBoxTest, HostToHostIsDoneHere) {
  char target[17] = "................";
  CUDA_MEMCPY2D copy = ToDevice(pageable_);
  copy.dstMemoryType = CU_MEMORYTYPE_HOST;
  copy.dstHost = target;
  copy.dstPitch = 5;
  EXPECT_EQ(custom::cuMemcpy2DUnaligned_v2(kBoxStream, &copy), CUDA_SUCCESS);
  EXPECT_STREQ(target, "123..9ab........");
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(CopyBoxTest, FillingRowsDoesNotWaitWhereItIsKnown) {
  EXPECT_EQ(custom::cuMemsetD2D32_v2(kBoxStream, device_, 16, 7, 4, 10), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemsetD2D8_v2(kBoxStream, device_, 1, 7, 8, 1), CUDA_SUCCESS);     // one row: the pitch is not used
  EXPECT_EQ(custom::cuMemsetD2D32_v2(kBoxStream, device_, 18, 7, 4, 10), CUDA_SUCCESS);  // not aligned
  EXPECT_EQ(custom::cuMemsetD2D16_v2(kBoxStream, device_, 6, 7, 4, 10), CUDA_SUCCESS);   // rows overlap
  EXPECT_EQ(custom::cuMemsetD2D8_v2(kBoxStream, device_, 1 << 20, 7, 1, 17), CUDA_SUCCESS);  // too far
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemsetD2D32Async", "cuMemsetD2D8Async", "cuMemsetD2D32Async?",
                                        "cuMemsetD2D16Async?", "cuMemsetD2D8Async?"}));
}

TEST_F(CopyBoxTest, PitchedMemoryIsMemoryWithARoundPitch) {
  worker_.On("cuMemAlloc_v2", [&](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(1), 3 * 1024u);
    return FakeWorker::With(device_ + kBoxDeviceBytes);
  });
  CUdeviceptr address = 0;
  size_t pitch = 0;
  EXPECT_EQ(custom::cuMemAllocPitch_v2(&address, &pitch, 513, 3, 4), CUDA_SUCCESS);
  EXPECT_EQ(address, device_ + kBoxDeviceBytes);
  EXPECT_EQ(pitch, 1024u);
  EXPECT_EQ(custom::cuMemAllocPitch_v2(&address, &pitch, 513, 3, 5), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemAllocPitch_v2(&address, &pitch, 1 << 21, 3, 4), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(CopyBoxTest, OtherContextsAreAPeersBusiness) {
  const auto other = reinterpret_cast<CUcontext>(wire::MakeHandle(wire::HandleKind::kContext, 7, 70));
  EXPECT_EQ(custom::cuMemcpyPeer(kBoxStream, device_, worker_.context(), device_ + 64, worker_.context(), 8),
            CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyPeer(kBoxStream, device_, worker_.context(), device_ + 64, other, 8), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyPeerAsync(device_, worker_.context(), device_ + 64, other, 8, kBoxStream), CUDA_SUCCESS);
  CUDA_MEMCPY3D_PEER copy{};
  copy.srcMemoryType = copy.dstMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.srcDevice = device_;
  copy.dstDevice = device_ + 4096;
  copy.srcContext = copy.dstContext = worker_.context();
  copy.srcPitch = copy.dstPitch = 16;
  copy.WidthInBytes = 3;
  copy.Height = 2;
  copy.Depth = 1;
  EXPECT_EQ(custom::cuMemcpy3DPeer(kBoxStream, &copy), CUDA_SUCCESS);
  copy.srcContext = other;
  EXPECT_EQ(custom::cuMemcpy3DPeer(kBoxStream, &copy), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpy3DPeerAsync(&copy, kBoxStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemcpyDtoDAsync_v2", "cuMemcpyPeer?", "cuMemcpyPeerAsync?",
                                        "outboardCopyBox", "outboardCopyBoxPeer?", "outboardCopyBoxPeerAsync?"}));
}

class BatchTest : public CopyBoxTest {
 protected:
  CUresult Copy(std::vector<CUdeviceptr> to, std::vector<CUdeviceptr> from, CUmemcpySrcAccessOrder order,
                size_t* failed = nullptr, CUstream stream = CU_STREAM_PER_THREAD) {
    CUmemcpyAttributes attributes{};
    attributes.srcAccessOrder = order;
    size_t first = 0;
    std::vector<size_t> sizes(to.size(), 8);
    return custom::cuMemcpyBatchAsync(to.data(), from.data(), sizes.data(), to.size(), &attributes, &first, 1, failed,
                                      stream);
  }
  static CUdeviceptr Address(const void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }
};

TEST_F(BatchTest, EachCopyIsOneOfItsKind) {
  EXPECT_EQ(Copy({device_, Address(pinned_), device_ + 64}, {Address(pageable_), device_, device_ + 128},
                 CU_MEMCPY_SRC_ACCESS_ORDER_ANY),
            CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWrite", "outboardReadAsync", "cuMemcpyDtoDAsync_v2"}));
}

TEST_F(BatchTest, TheOrderSaysWhenASourceIsRead) {
  HostCalls& calls = Process::Get().host_calls();
  const uint64_t call = calls.Add([](void*) {}, nullptr);
  EXPECT_EQ(Copy({device_}, {Address(pageable_)}, CU_MEMCPY_SRC_ACCESS_ORDER_STREAM), CUDA_SUCCESS);
  EXPECT_EQ(Copy({device_}, {Address(pageable_)}, CU_MEMCPY_SRC_ACCESS_ORDER_ANY), CUDA_SUCCESS);
  EXPECT_EQ(Copy({device_}, {Address(pinned_)}, CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL), CUDA_SUCCESS);
  EXPECT_EQ(Copy({device_}, {Address(pinned_)}, CU_MEMCPY_SRC_ACCESS_ORDER_ANY), CUDA_SUCCESS);
  calls.Drop(call);
  EXPECT_EQ(Copy({device_}, {device_ + 64}, CU_MEMCPY_SRC_ACCESS_ORDER_DURING_API_CALL), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWritePulled", "outboardWrite", "outboardWrite", "outboardWritePulled",
                                        "cuMemcpyDtoDAsync_v2", "cuStreamSynchronize?"}));
  memory_.pulls().Forget(Address(pageable_), 16);
  memory_.pulls().Forget(Address(pinned_), 16);
}

TEST_F(BatchTest, NothingIsSentIfOneCopyIsWrong) {
  size_t failed = 77;
  EXPECT_EQ(Copy({device_, device_}, {Address(pageable_), 0}, CU_MEMCPY_SRC_ACCESS_ORDER_ANY, &failed),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, 1u);
  EXPECT_EQ(Copy({device_}, {Address(pageable_)}, CU_MEMCPY_SRC_ACCESS_ORDER_ANY, &failed, CU_STREAM_LEGACY),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(failed, SIZE_MAX);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

}  // namespace
}  // namespace outboard::shim
