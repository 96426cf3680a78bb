#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstring>
#include <string>
#include <vector>

#include "client/shim/custom.gen.h"
#include "client/shim/host_calls.h"
#include "common/base/limits.h"
#include "tests/unit/shim_memory/fake_worker.h"

namespace outboard::shim {
namespace {

using Names = std::vector<std::string>;
const CUstream kStream = CU_STREAM_LEGACY;
constexpr size_t kDeviceBytes = 8u << 20;

class CopiesTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(worker_.init_result(), CUDA_SUCCESS);
    worker_.Reset();
    const Arena arena = memory_.MakeArena();
    if (arena.size == 0) GTEST_SKIP() << "the address space of this process is limited";
    device_ = arena.begin;
    ASSERT_TRUE(memory_.AddDevice(device_, kDeviceBytes, worker_.context(), 0));
    ASSERT_EQ(custom::cuMemHostAlloc(&pinned_, 4096, 0), CUDA_SUCCESS);
    std::memset(pinned_, 'p', 4096);
  }

  void TearDown() override {
    memory_.ForgetContext(worker_.context());
    if (pinned_ != nullptr) {
      EXPECT_EQ(custom::cuMemFreeHost(pinned_), CUDA_SUCCESS);
    }
    worker_.Reset();
  }

  // A copy into pinned memory that has not landed.
  void StartLanding(size_t offset = 0, size_t bytes = 16) {
    ASSERT_EQ(custom::cuMemcpyDtoHAsync_v2(Pinned(offset), device_, bytes, kStream), CUDA_SUCCESS);
  }
  void Land(size_t offset, const std::string& text) {
    worker_.Land(Pinned(offset), std::as_bytes(std::span(text)));
    worker_.peer().Deliver();
  }
  char* Pinned(size_t offset = 0) const { return static_cast<char*>(pinned_) + offset; }

  FakeWorker& worker_ = FakeWorker::Get();
  Memory& memory_ = Process::Get().memory();
  CUdeviceptr device_ = 0;
  void* pinned_ = nullptr;
  char pageable_[17] = "0123456789abcdef";
};

TEST_F(CopiesTest, ASynchronousWriteIsSentWithoutWaiting) {
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, pageable_, 16), CUDA_SUCCESS);
  const auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].name, "outboardWrite");
  EXPECT_FALSE(seen[0].waits);
  EXPECT_EQ(seen[1].name, "outboardFinishWrite");
  EXPECT_FALSE(seen[1].waits);
  EXPECT_EQ(seen[0].At(0), device_);
  EXPECT_EQ(seen[0].At(2), 16u);
  EXPECT_EQ(seen[0].Text(4), "0123456789abcdef");
}

TEST_F(CopiesTest, ASynchronousWriteWaitsWhileSomethingMayLand) {
  StartLanding();
  worker_.On("cuStreamSynchronize", [&](const auto&) {
    worker_.Land(Pinned(), std::as_bytes(std::span("landed_by_now___", 16)));
    return FakeWorker::Answer{};
  });
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, pageable_, 16), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardReadAsync", "outboardWrite", "cuStreamSynchronize?"}));
  EXPECT_EQ(std::string(Pinned(), 16), "landed_by_now___");
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, pageable_, 16), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWrite", "outboardFinishWrite"}));
}

TEST_F(CopiesTest, ASynchronousWriteWaitsWhileAHostFunctionMayRun) {
  HostCalls& calls = Process::Get().host_calls();
  const uint64_t call = calls.Add([](void*) {}, nullptr);
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, pageable_, 16), CUDA_SUCCESS);
  calls.Drop(call);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWrite", "cuStreamSynchronize?"}));
}

TEST_F(CopiesTest, PinnedBytesAreTakenAtTheCallWhenNothingCanChangeThem) {
  StartLanding(1024);  // elsewhere in the same memory
  EXPECT_EQ(custom::cuMemcpyHtoDAsync_v2(device_, Pinned(), 16, kStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardReadAsync", "outboardWrite"}));
  Land(1024, std::string(16, 'x'));
}

TEST_F(CopiesTest, PinnedBytesAreThoseOfTheStreamsTimeWhenACopyMayLandThere) {
  StartLanding(0, 16);
  EXPECT_EQ(custom::cuMemcpyHtoDAsync_v2(device_ + 64, Pinned(8), 16, kStream), CUDA_SUCCESS);
  auto seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 2u);
  ASSERT_EQ(seen[1].name, "outboardWritePulled");
  EXPECT_FALSE(seen[1].waits);
  EXPECT_EQ(seen[1].At(0), device_ + 64);
  EXPECT_EQ(seen[1].At(1), 16u);
  EXPECT_EQ(seen[1].At(2), reinterpret_cast<uint64_t>(Pinned(8)));
  const uint64_t pull = seen[1].At(3);

  worker_.Land(Pinned(0), std::as_bytes(std::span("the landed bytes", 16)));
  worker_.peer().Say(wire::Control::kPull, wire::PullHead{pull, 0, 16}).Deliver();
  seen = worker_.TakeSeen();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].At(0), pull);
  EXPECT_EQ(seen[0].Text(3), "ed bytespppppppp");
  EXPECT_FALSE(memory_.pulls().Any());
  EXPECT_EQ(custom::cuMemcpyHtoDAsync_v2(device_, Pinned(), 16, kStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardWrite"});
}

TEST_F(CopiesTest, PinnedBytesArePulledWhileAHostFunctionMayRun) {
  HostCalls& calls = Process::Get().host_calls();
  const uint64_t call = calls.Add([](void*) {}, nullptr);
  EXPECT_EQ(custom::cuMemcpyHtoDAsync_v2(device_, Pinned(), 16, kStream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyHtoDAsync_v2(device_, pageable_, 16, kStream), CUDA_SUCCESS);
  calls.Drop(call);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardWritePulled", "outboardWrite"}));
  memory_.pulls().Forget(reinterpret_cast<uint64_t>(pinned_), 4096);
}

TEST_F(CopiesTest, ReadingIntoPageableMemoryWaits) {
  worker_.On("outboardRead", [&](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(1), 16u);
    EXPECT_EQ(seen.At(2), device_ + 32);
    return FakeWorker::With(std::array<char, 16>{'r', 'e', 'a', 'd'});
  });
  EXPECT_EQ(custom::cuMemcpyDtoHAsync_v2(pageable_, device_ + 32, 16, kStream), CUDA_SUCCESS);
  EXPECT_STREQ(pageable_, "read");
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardRead?"});
}

TEST_F(CopiesTest, ALongReadTravelsInPiecesWithOneWait) {
  std::vector<char> target(2 * kCopyChunkBytes + 100, '.');
  size_t pieces = 0;
  worker_.On("cuStreamSynchronize", [&](const auto&) {
    const std::vector<char> bytes(kCopyChunkBytes, 'x');
    for (size_t offset = 0; offset < target.size(); offset += kCopyChunkBytes, ++pieces) {
      const size_t size = std::min<size_t>(kCopyChunkBytes, target.size() - offset);
      worker_.Land(target.data() + offset, std::as_bytes(std::span(bytes).first(size)));
    }
    return FakeWorker::Answer{};
  });
  EXPECT_EQ(custom::cuMemcpyDtoH_v2(kStream, target.data(), device_, target.size()), CUDA_SUCCESS);
  EXPECT_EQ(pieces, 3u);
  EXPECT_EQ(target, std::vector<char>(target.size(), 'x'));
  EXPECT_EQ(worker_.TakeNames(),
            (Names{"outboardReadAsync", "outboardReadAsync", "outboardReadAsync", "cuStreamSynchronize?"}));
  EXPECT_FALSE(memory_.landings().Any());
}

TEST_F(CopiesTest, ALongReadThatFailsLeavesNothingToLand) {
  std::vector<char> target(2 * kCopyChunkBytes);
  worker_.On("cuStreamSynchronize", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(custom::cuMemcpyDtoH_v2(kStream, target.data(), device_, target.size()), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(worker_.TakeNames(),
            (Names{"outboardReadAsync", "outboardReadAsync", "cuStreamSynchronize?", "outboardDrainHost?"}));
  EXPECT_FALSE(memory_.landings().Any());
}

TEST_F(CopiesTest, WhatIsNotKnownIsForTheDriverToAnswer) {
  worker_.On("outboardWrite", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  worker_.On("outboardReadAsync", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_ + kDeviceBytes - 8, pageable_, 16), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemcpyDtoHAsync_v2(Pinned(), device_ + kDeviceBytes - 8, 16, kStream), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemcpyDtoDAsync_v2?", "outboardWrite?", "cuMemcpyDtoDAsync_v2?",
                                        "outboardReadAsync?", "outboardDrainHost?"}));
  EXPECT_FALSE(memory_.landings().Any());
}

TEST_F(CopiesTest, NoHostMemoryIsTouchedForARangeThatTheDriverRefuses) {
  worker_.On("cuMemcpyDtoDAsync_v2",
             [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_VALUE}; });
  const size_t too_much = size_t{1} << 40;
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_ + 8, pageable_, too_much), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemcpyDtoH_v2(kStream, pageable_, device_ + 8, too_much), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemcpyDtoDAsync_v2?", "cuMemcpyDtoDAsync_v2?"}));
}

TEST_F(CopiesTest, AStreamThatIsNotKnownMakesTheCallWait) {
  const auto stream = reinterpret_cast<CUstream>(wire::MakeHandle(wire::HandleKind::kStream, 7, 7));
  EXPECT_EQ(custom::cuMemcpyDtoDAsync_v2(device_, device_ + 64, 64, stream), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpyDtoDAsync_v2(device_, device_ + 64, 64, kStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemcpyDtoDAsync_v2?", "cuMemcpyDtoDAsync_v2"}));
}

TEST_F(CopiesTest, NoBytesAreNoCopy) {
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, nullptr, 0), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpy(kStream, 0, 0, 0), CUDA_SUCCESS);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(CopiesTest, NullAndDevicePointersAreNoHostMemory) {
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, nullptr, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemcpyDtoH_v2(kStream, nullptr, device_, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, reinterpret_cast<void*>(device_ + 64), 1),
            CUDA_ERROR_INVALID_VALUE);
  // An address that is only kept for the worker is no host memory either.
  EXPECT_EQ(custom::cuMemcpyHtoD_v2(kStream, device_, reinterpret_cast<void*>(device_ + kDeviceBytes), 1),
            CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemcpy(kStream, device_, 0, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(CopiesTest, ACopyByAddressFindsItsDirection) {
  const auto host = reinterpret_cast<CUdeviceptr>(pageable_);
  worker_.On("outboardRead", [&](const auto&) { return FakeWorker::With(std::array<char, 16>{}); });
  EXPECT_EQ(custom::cuMemcpy(kStream, device_, host, 16), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpy(kStream, host, device_, 16), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemcpy(kStream, device_, device_ + 64, 16), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(),
            (Names{"outboardWrite", "outboardFinishWrite", "outboardRead?", "cuMemcpyDtoDAsync_v2"}));
}

TEST_F(CopiesTest, ACopyFromHostToHostWaitsForWhatMayLand) {
  char source[17] = "fedcba9876543210";
  const auto to = reinterpret_cast<CUdeviceptr>(pageable_), from = reinterpret_cast<CUdeviceptr>(source);
  EXPECT_EQ(custom::cuMemcpyAsync(to, from, 16, kStream), CUDA_SUCCESS);
  EXPECT_STREQ(pageable_, source);
  EXPECT_TRUE(worker_.TakeNames().empty());
  StartLanding();
  EXPECT_EQ(custom::cuMemcpyAsync(to, from, 16, kStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardReadAsync", "cuStreamSynchronize?"}));
  Land(0, std::string(16, 'x'));
}

TEST_F(CopiesTest, SettingMemoryDoesNotWaitWhereItIsKnown) {
  EXPECT_EQ(custom::cuMemsetD32_v2(kStream, device_, 7, 1024), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemsetD32_v2(kStream, device_ + 2, 7, 1024), CUDA_SUCCESS);               // not aligned
  EXPECT_EQ(custom::cuMemsetD16_v2(kStream, device_, 7, kDeviceBytes / 2 + 1), CUDA_SUCCESS);   // too long
  EXPECT_EQ(custom::cuMemsetD32_v2(kStream, device_, 7, (~size_t{0} >> 2) + 2), CUDA_SUCCESS);  // longer than 64 bits
  EXPECT_EQ(worker_.TakeNames(),
            (Names{"cuMemsetD32Async", "cuMemsetD32Async?", "cuMemsetD16Async?", "cuMemsetD32Async?"}));
}

TEST_F(CopiesTest, PinnedMemoryIsFreedWhenNothingUsesIt) {
  StartLanding();
  EXPECT_EQ(custom::cuMemFreeHost(pinned_), CUDA_SUCCESS);
  pinned_ = nullptr;
  EXPECT_EQ(worker_.TakeNames(), (Names{"outboardReadAsync", "outboardDrainHost?"}));
  EXPECT_FALSE(memory_.landings().Any());

  ASSERT_EQ(custom::cuMemHostAlloc(&pinned_, 4096, 0), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemFreeHost(pinned_), CUDA_SUCCESS);
  pinned_ = nullptr;
  EXPECT_TRUE(worker_.TakeNames().empty());
}

TEST_F(CopiesTest, RegisteredMemoryIsPinnedUntilItIsUnregistered) {
  EXPECT_EQ(custom::cuMemHostRegister_v2(pageable_, 16, 0), CUDA_SUCCESS);
  EXPECT_EQ(custom::cuMemHostRegister_v2(pageable_ + 8, 8, 0), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
  EXPECT_EQ(custom::cuMemcpyDtoHAsync_v2(pageable_, device_, 16, kStream), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardReadAsync"});
  EXPECT_EQ(custom::cuMemHostUnregister(pageable_ + 1), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
  EXPECT_EQ(custom::cuMemFreeHost(pageable_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(custom::cuMemHostUnregister(pageable_), CUDA_SUCCESS);
  EXPECT_EQ(worker_.TakeNames(), Names{"outboardDrainHost?"});
  EXPECT_EQ(custom::cuMemHostUnregister(pageable_), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

TEST_F(CopiesTest, AnAddressThatThisProcessUsesIsSetAside) {
  void* const own = mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  std::vector<uint64_t> addresses = {reinterpret_cast<uint64_t>(own), device_ + kDeviceBytes};
  size_t next = 0;
  worker_.On("cuMemAlloc_v2", [&](const auto&) { return FakeWorker::With(addresses[next++]); });
  worker_.On("outboardSetAside", [&](const FakeWorker::Seen& seen) {
    EXPECT_EQ(seen.At(0), addresses[0]);
    return FakeWorker::Answer{};
  });
  CUdeviceptr address = 0;
  EXPECT_EQ(custom::cuMemAlloc_v2(&address, 1024), CUDA_SUCCESS);
  EXPECT_EQ(address, addresses[1]);
  EXPECT_EQ(worker_.TakeNames(), (Names{"cuMemAlloc_v2?", "outboardSetAside?", "cuMemAlloc_v2?"}));
  munmap(own, 4096);
}

TEST_F(CopiesTest, AFreedAllocationIsKnownNoMore) {
  EXPECT_EQ(custom::cuMemFree_v2(device_), CUDA_SUCCESS);
  EXPECT_FALSE(memory_.FindDevice(device_));
  EXPECT_EQ(worker_.TakeNames(), Names{"cuMemFree_v2?"});
}

TEST_F(CopiesTest, AnAllocationThatCouldNotBeFreedStays) {
  worker_.On("cuMemFree_v2", [](const auto&) { return FakeWorker::Answer{.result = CUDA_ERROR_INVALID_CONTEXT}; });
  EXPECT_EQ(custom::cuMemFree_v2(device_), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_TRUE(memory_.FindDevice(device_));
}

TEST_F(CopiesTest, AnErrorOfEarlierWorkDoesNotKeepTheAllocation) {
  worker_.On("cuMemFree_v2", [](const auto&) { return FakeWorker::Answer{.earlier = CUDA_ERROR_INVALID_VALUE}; });
  EXPECT_EQ(custom::cuMemFree_v2(device_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_FALSE(memory_.FindDevice(device_));
}

TEST_F(CopiesTest, PointersTellWhatTheyAre) {
  unsigned type = 0;
  int ordinal = -1;
  size_t size = 0;
  CUdeviceptr begin = 0;
  EXPECT_EQ(custom::cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device_ + 5), CUDA_SUCCESS);
  EXPECT_EQ(type, static_cast<unsigned>(CU_MEMORYTYPE_DEVICE));
  EXPECT_EQ(custom::cuPointerGetAttribute(&begin, CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, device_ + 5), CUDA_SUCCESS);
  EXPECT_EQ(begin, device_);
  EXPECT_EQ(custom::cuPointerGetAttribute(&size, CU_POINTER_ATTRIBUTE_RANGE_SIZE, device_ + 5), CUDA_SUCCESS);
  EXPECT_EQ(size, kDeviceBytes);
  const auto pinned = reinterpret_cast<CUdeviceptr>(pinned_);
  EXPECT_EQ(custom::cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pinned), CUDA_SUCCESS);
  EXPECT_EQ(type, static_cast<unsigned>(CU_MEMORYTYPE_HOST));
  const auto pageable = reinterpret_cast<CUdeviceptr>(pageable_);
  EXPECT_EQ(custom::cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pageable), CUDA_ERROR_INVALID_VALUE);
  CUpointer_attribute attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL,
                                      CU_POINTER_ATTRIBUTE_DEVICE_POINTER};
  CUdeviceptr device_pointer = 1;
  void* data[] = {&type, &ordinal, &device_pointer};
  EXPECT_EQ(custom::cuPointerGetAttributes(3, attributes, data, pageable), CUDA_SUCCESS);
  EXPECT_EQ(type, 0u);
  EXPECT_EQ(ordinal, -2);
  EXPECT_EQ(device_pointer, 0u);
  EXPECT_TRUE(worker_.TakeNames().empty());
}

}  // namespace
}  // namespace outboard::shim
