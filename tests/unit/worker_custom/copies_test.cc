#include "server/worker/copies.h"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/limits.h"
#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

class CopiesTest : public testing::Test {
 protected:
  CopiesTest() : copies_(std::in_place, driver_.table(), gate_, sent_.sender()) { FakeDriver::MakeCurrent(context_); }
  ~CopiesTest() override {
    copies_->ReleaseAll();
    copies_.reset();
    EXPECT_EQ(driver_.host_bytes, 0u);
    EXPECT_EQ(driver_.events(), 0u);
  }

  static CUdeviceptr Device(void* memory) { return reinterpret_cast<CUdeviceptr>(memory); }
  bool Answer(const Sent::Command& pull, std::string_view text) {
    return copies_->OnPulled(pull.As<wire::PullHead>(), std::as_bytes(std::span(text)));
  }

  const CUcontext context_ = FakeDriver::Context(1);
  const CUstream stream_ = FakeDriver::Stream(11), other_ = FakeDriver::Stream(12);
  FakeDriver driver_;
  slice::Gate gate_;
  Sent sent_;
  std::optional<Copies> copies_;
};

TEST_F(CopiesTest, WriteTakesTheBytesBeforeItReturns) {
  std::string source = "before", device(6, '.');
  ASSERT_EQ(copies_->Write(Device(device.data()), source.data(), 6, stream_), CUDA_SUCCESS);
  source = "after.";
  EXPECT_EQ(device, "......");
  driver_.Run(stream_);
  EXPECT_EQ(device, "before");
}

TEST_F(CopiesTest, WritesReuseTheirStaging) {
  std::string device(4096, '.');
  const std::string source(4096, 'x');
  for (int i = 0; i < 1000; ++i) {
    ASSERT_EQ(copies_->Write(Device(device.data()), source.data(), source.size(), stream_), CUDA_SUCCESS);
    driver_.Run(stream_);
  }
  EXPECT_LE(driver_.host_bytes, 256u << 10);
  EXPECT_LE(driver_.events(), 70u);
}

TEST_F(CopiesTest, WritesThatAreNotDoneKeepTheirStaging) {
  constexpr size_t kWrites = 300, kBytes = 4096;
  const auto text = [](size_t i) { return std::string(kBytes, static_cast<char>('a' + i % 26)); };
  std::vector<std::string> device(kWrites, std::string(kBytes, '.'));
  for (size_t i = 0; i < kWrites; ++i) {
    ASSERT_EQ(copies_->Write(Device(device[i].data()), text(i).data(), kBytes, stream_), CUDA_SUCCESS);
  }
  driver_.Run(stream_);
  for (size_t i = 0; i < kWrites; ++i) ASSERT_EQ(device[i], text(i)) << i;
}

TEST_F(CopiesTest, WriteWithoutStagingLeavesTheBytesToTheDriver) {
  driver_.host_limit = 0;
  std::string device(4, '.');
  ASSERT_EQ(copies_->Write(Device(device.data()), "text", 4, stream_), CUDA_SUCCESS);
  driver_.Run(stream_);
  EXPECT_EQ(device, "text");
}

TEST_F(CopiesTest, RefusesWhatIsNoCopy) {
  char byte = 0;
  EXPECT_EQ(copies_->Write(Device(&byte), nullptr, 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->Write(Device(&byte), &byte, 0, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->Write(Device(&byte), &byte, kCopyChunkBytes + 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->Read(nullptr, 1, Device(&byte), stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->ReadAsync(1, 0, Device(&byte), stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->ReadAsync(1, kCopyChunkBytes + 1, Device(&byte), stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->ReadAsync(UINT64_MAX, 2, Device(&byte), stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->WritePulled(Device(&byte), kCopyChunkBytes + 1, 1, 1, stream_), CUDA_ERROR_INVALID_VALUE);
  FakeDriver::MakeNoneCurrent();
  EXPECT_EQ(copies_->ReadAsync(1, 1, Device(&byte), stream_), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(driver_.Waiting(stream_), 0u);
}

TEST_F(CopiesTest, ReadWaitsForItsCopyOnly) {
  std::string device = "value", host(5, '.');
  ASSERT_EQ(copies_->Read(host.data(), 5, Device(device.data()), stream_), CUDA_SUCCESS);
  EXPECT_EQ(host, "value");
}

TEST_F(CopiesTest, ReadLandsOnceTheStreamHasDoneIt) {
  std::string device = "first";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  copies_->LandCompleted();
  EXPECT_EQ(sent_.size(), 0u);
  driver_.Run(stream_);
  copies_->LandCompleted();
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_.At(0).control, wire::Control::kLand);
  EXPECT_EQ(sent_.At(0).As<wire::LandHead>().host_address, 0x1000u);
  EXPECT_EQ(sent_.At(0).As<wire::LandHead>().bytes, 5u);
  EXPECT_EQ(sent_.At(0).Text(), "first");
}

TEST_F(CopiesTest, ReadLandsWithoutACurrentContext) {
  std::string device = "first";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  driver_.Run(stream_);
  FakeDriver::MakeNoneCurrent();
  copies_->LandCompleted();
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_.At(0).Text(), "first");
  FakeDriver::MakeCurrent(context_);
}

TEST_F(CopiesTest, ReadLandsWhenNobodyAsks) {
  std::string device = "first";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  driver_.Run(stream_);
  EXPECT_EQ(sent_.At(0).Text(), "first");  // by the thread of its own
  EXPECT_EQ(driver_.relaxed_threads, 1);
}

TEST_F(CopiesTest, ReadsOfSeveralStreamsLandInTheOrderOfTheCalls) {
  std::string a = "a", b = "b", c = "c";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 1, Device(a.data()), stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->ReadAsync(0x1000, 1, Device(b.data()), other_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->ReadAsync(0x1000, 1, Device(c.data()), stream_), CUDA_SUCCESS);
  driver_.Run(other_);
  EXPECT_EQ(sent_.At(0).Text(), "b");
  driver_.Run(stream_);
  copies_->LandCompleted();
  ASSERT_EQ(sent_.size(), 3u);
  EXPECT_EQ(sent_.At(1).Text(), "a");
  EXPECT_EQ(sent_.At(2).Text(), "c");
}

// Boxes: 3 bytes in each of 2 rows; rows of 5 bytes on the device.
class BoxCopiesTest : public CopiesTest {
 protected:
  Box DeviceBox(std::string& memory) const { return {Device(memory.data()), 5, 0}; }

  static constexpr BoxExtent kExtent = {3, 2, 1};
  static constexpr Box kHost = {0x1000, 64, 0};  // in the client
};

TEST_F(BoxCopiesTest, WriteTakesTheBytesAndLeavesTheGapsAlone) {
  std::string source = "abcdef", device(10, '.');
  ASSERT_EQ(copies_->Write(DeviceBox(device), kExtent, source.data(), stream_), CUDA_SUCCESS);
  source = "......";
  driver_.Run(stream_);
  EXPECT_EQ(device, "abc..def..");
}

TEST_F(BoxCopiesTest, SlicesLieWhereTheirHeightSays) {
  std::string device(30, '.');
  ASSERT_EQ(copies_->Write(Box{Device(device.data()), 5, 3}, {2, 2, 2}, "abcdefgh", stream_), CUDA_SUCCESS);
  driver_.Run(stream_);
  EXPECT_EQ(device, "ab...cd........ef...gh........");
}

TEST_F(BoxCopiesTest, ReadPutsRowsTogether) {
  std::string device = "abc..def..", host(6, '.');
  ASSERT_EQ(copies_->Read(host.data(), DeviceBox(device), kExtent, stream_), CUDA_SUCCESS);
  EXPECT_EQ(host, "abcdef");
}

TEST_F(BoxCopiesTest, ReadLandsWithItsPlaceInTheClient) {
  std::string device = "abc..def..";
  ASSERT_EQ(copies_->ReadAsync(kHost, DeviceBox(device), kExtent, stream_), CUDA_SUCCESS);
  driver_.Run(stream_);
  copies_->LandCompleted();
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_.At(0).control, wire::Control::kLandBox);
  const auto head = sent_.At(0).As<wire::LandBoxHead>();
  EXPECT_EQ(head.to, kHost);
  EXPECT_EQ(head.extent, kExtent);
  EXPECT_EQ(head.bytes, 6u);
  EXPECT_EQ(sent_.At(0).Text(), "abcdef");
}

TEST_F(BoxCopiesTest, PullsItsBytesWithoutGaps) {
  std::string device(10, '.');
  ASSERT_EQ(copies_->WritePulled(DeviceBox(device), kExtent, kHost, 7, stream_), CUDA_SUCCESS);
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_EQ(sent_.At(0).As<wire::PullHead>().bytes, 6u);
  EXPECT_TRUE(Answer(sent_.At(0), "abcdef"));
  EXPECT_TRUE(driver_.Run(stream_));
  EXPECT_EQ(device, "abc..def..");
}

TEST_F(BoxCopiesTest, DrainWaitsForAllThatTheRowsReachOver) {
  std::string device = "abc..def..";
  ASSERT_EQ(copies_->ReadAsync(kHost, DeviceBox(device), kExtent, stream_), CUDA_SUCCESS);
  copies_->DrainHost(kHost.address + 67, 8);
  EXPECT_EQ(sent_.size(), 0u);
  std::atomic<bool> returned{false};
  std::thread drain([&] {
    copies_->DrainHost(kHost.address + 66, 1);
    returned = true;
  });
  for (int i = 0; i < 10000 && !returned; ++i) std::this_thread::yield();
  EXPECT_FALSE(returned);
  driver_.Run(stream_);
  drain.join();
  EXPECT_EQ(sent_.size(), 1u);
}

TEST_F(BoxCopiesTest, RefusesWhatIsNoCopy) {
  std::string device(10, '.'), bytes(6, 'x');
  const BoxExtent empty = {3, 0, 1}, large = {kCopyChunkBytes, 2, 1}, wraps = {uint64_t{1} << 32, uint64_t{1} << 32, 2};
  for (const BoxExtent& extent : {empty, large, wraps}) {
    EXPECT_EQ(copies_->Write(DeviceBox(device), extent, bytes.data(), stream_), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(copies_->WritePulled(DeviceBox(device), extent, kHost, 1, stream_), CUDA_ERROR_INVALID_VALUE);
    EXPECT_EQ(copies_->ReadAsync(kHost, DeviceBox(device), extent, stream_), CUDA_ERROR_INVALID_VALUE);
  }
  const Box outside = {UINT64_MAX - 8, 64, 0};
  EXPECT_EQ(copies_->ReadAsync(outside, DeviceBox(device), kExtent, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(copies_->WritePulled(DeviceBox(device), kExtent, outside, 1, stream_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(driver_.Waiting(stream_), 0u);
}

TEST_F(CopiesTest, ReadOfABrokenContextDoesNotLand) {
  std::string device = "first";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  driver_.broken = true;
  copies_->DrainHost(0x1000, 5);
  EXPECT_EQ(sent_.size(), 0u);
  driver_.Run(stream_);
}

TEST_F(CopiesTest, ManyReadsNeitherWaitNorNeedMuchMemory) {
  constexpr size_t kReads = 40;
  std::vector<std::string> device;
  for (size_t i = 0; i < kReads; ++i) device.emplace_back(kCopyChunkBytes, static_cast<char>('a' + i % 26));
  for (size_t i = 0; i < kReads; ++i) {
    ASSERT_EQ(copies_->ReadAsync(0x100000 * (i + 1), kCopyChunkBytes, Device(device[i].data()), stream_), CUDA_SUCCESS);
  }
  EXPECT_LE(driver_.host_bytes, 40u << 20);
  {
    // The later ones have the memory of the first, which have not landed when the stream has done all that it can.
    const auto held = sent_.HoldBack();
    driver_.Run(stream_);
  }
  for (size_t i = 0; i < kReads; ++i) {
    driver_.Run(stream_);
    EXPECT_EQ(sent_.At(i).As<wire::LandHead>().host_address, 0x100000 * (i + 1));
    EXPECT_EQ(sent_.At(i).Text(), device[i]) << i;
  }
  // Nothing is kept from then on: the next ones need no memory and no wait.
  const size_t before = driver_.host_bytes;
  ASSERT_EQ(copies_->ReadAsync(0x1000, kCopyChunkBytes, Device(device[0].data()), stream_), CUDA_SUCCESS);
  EXPECT_EQ(driver_.Waiting(stream_), 2u);
  EXPECT_EQ(driver_.host_bytes, before);
  driver_.Run(stream_);
  EXPECT_EQ(sent_.At(kReads).Text(), device[0]);
}

TEST_F(CopiesTest, ReadsThatTheDriverRefusesLeaveNothingBehind) {
  std::string device = "value";
  for (int i = 0; i < 100; ++i) {
    driver_.refuse_copies = true;
    ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_ERROR_INVALID_VALUE);
    driver_.refuse_copies = false;
  }
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  EXPECT_LE(driver_.host_bytes, 256u << 10);
  driver_.Run(stream_);
  EXPECT_EQ(sent_.At(0).Text(), "value");
}

TEST_F(CopiesTest, PullsWhenTheStreamGetsThere) {
  std::string device = "....", earlier = "x";
  ASSERT_EQ(copies_->Write(Device(earlier.data()), "y", 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 7, stream_), CUDA_SUCCESS);
  copies_->LandCompleted();
  EXPECT_EQ(sent_.size(), 0u);
  EXPECT_FALSE(driver_.Run(stream_));  // it waits for the bytes
  const Sent::Command pull = sent_.At(0);
  EXPECT_EQ(pull.control, wire::Control::kPull);
  EXPECT_EQ(pull.As<wire::PullHead>().pull, 7u);
  EXPECT_EQ(pull.As<wire::PullHead>().offset, 0u);
  EXPECT_EQ(pull.As<wire::PullHead>().bytes, 4u);
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_TRUE(Answer(pull, "text"));
  EXPECT_TRUE(driver_.Run(stream_));
  EXPECT_EQ(device, "text");
}

TEST_F(CopiesTest, PullsOneCopyOfAStreamAtATime) {
  std::string first = ".", second = ".";
  ASSERT_EQ(copies_->WritePulled(Device(first.data()), 1, 0x1000, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->WritePulled(Device(second.data()), 1, 0x1000, 2, stream_), CUDA_SUCCESS);
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_TRUE(Answer(sent_.At(0), "a"));
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_EQ(first, "a");
  EXPECT_EQ(sent_.At(1).As<wire::PullHead>().pull, 2u);
  EXPECT_TRUE(Answer(sent_.At(1), "b"));
  EXPECT_TRUE(driver_.Run(stream_));
  EXPECT_EQ(second, "b");
}

TEST_F(CopiesTest, BlockedStreamDoesNotHoldUpAnother) {
  std::string first = ".", second = ".";
  ASSERT_EQ(copies_->WritePulled(Device(first.data()), 1, 0x1000, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->WritePulled(Device(second.data()), 1, 0x2000, 2, other_), CUDA_SUCCESS);
  EXPECT_FALSE(driver_.Run(other_));
  EXPECT_EQ(sent_.At(0).As<wire::PullHead>().pull, 2u);
  EXPECT_TRUE(Answer(sent_.At(0), "b"));
  EXPECT_TRUE(driver_.Run(other_));
  EXPECT_EQ(second, "b");
}

// DtoHAsync(P, A, s); HtoDAsync(B, P, s): the bytes of the first must land before those of the second are asked for.
TEST_F(CopiesTest, LandsBeforeItPulls) {
  std::string a = "new", b = "...";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 3, Device(a.data()), stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->WritePulled(Device(b.data()), 3, 0x1000, 1, stream_), CUDA_SUCCESS);
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_EQ(sent_.At(0).control, wire::Control::kLand);
  EXPECT_EQ(sent_.At(1).control, wire::Control::kPull);
  EXPECT_TRUE(Answer(sent_.At(1), "new"));
  EXPECT_TRUE(driver_.Run(stream_));
  EXPECT_EQ(b, "new");
}

TEST_F(CopiesTest, RefusesAnswersThatNobodyAskedFor) {
  std::string device = "....";
  const auto answer = [&](uint64_t pull, uint64_t offset, uint64_t bytes, std::string_view text) {
    return copies_->OnPulled({pull, offset, bytes}, std::as_bytes(std::span(text)));
  };
  ASSERT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 7, stream_), CUDA_SUCCESS);
  EXPECT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 7, other_), CUDA_ERROR_INVALID_VALUE);
  EXPECT_FALSE(answer(7, 0, 4, "text"));  // before it is asked for
  driver_.Run(stream_);
  sent_.At(0);
  EXPECT_FALSE(answer(8, 0, 4, "text"));
  EXPECT_FALSE(answer(7, 1, 4, "text"));
  EXPECT_FALSE(answer(7, 0, 3, "tex"));
  EXPECT_FALSE(answer(7, 0, 4, "tex"));
  EXPECT_FALSE(answer(7, 0, 5, "texts"));
  EXPECT_TRUE(answer(7, 0, 4, "text"));
  EXPECT_FALSE(answer(7, 0, 4, "more"));
  EXPECT_TRUE(driver_.Run(stream_));
  EXPECT_EQ(device, "text");
}

TEST_F(CopiesTest, PulledCopyThatTheDriverRefusesLetsTheStreamGoOn) {
  std::string device = "....";
  ASSERT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 1, stream_), CUDA_SUCCESS);
  driver_.refuse_copies = true;
  EXPECT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 2, stream_), CUDA_ERROR_INVALID_VALUE);
  driver_.refuse_copies = false;
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_TRUE(Answer(sent_.At(0), "text"));
  EXPECT_TRUE(driver_.Run(stream_));
  // The number is free again, and nothing was asked for.
  copies_->DrainHost(0x1000, 4);
  ASSERT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 2, stream_), CUDA_SUCCESS);
  EXPECT_FALSE(driver_.Run(stream_));
  EXPECT_TRUE(Answer(sent_.At(1), "last"));
  EXPECT_TRUE(driver_.Run(stream_));
  EXPECT_EQ(device, "last");
}

TEST_F(CopiesTest, ReleaseLetsStreamsGoOn) {
  std::string device = "....";
  ASSERT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 1, stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 2, stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->ReadAsync(0x2000, 4, Device(device.data()), stream_), CUDA_SUCCESS);
  EXPECT_FALSE(driver_.Run(stream_));
  copies_->ReleaseAll();
  EXPECT_TRUE(driver_.Run(stream_));
  ASSERT_EQ(copies_->WritePulled(Device(device.data()), 4, 0x1000, 3, stream_), CUDA_SUCCESS);
  EXPECT_TRUE(driver_.Run(stream_));
  const size_t sent = sent_.size();  // the pull of the first, if that was quicker
  copies_->LandCompleted();
  EXPECT_EQ(sent_.size(), sent);
  EXPECT_TRUE(copies_->OnPulled({1, 0, 4}, {}));  // late, and no fault of the client's
}

TEST_F(CopiesTest, DrainWaitsForCopiesOfItsRange) {
  std::string device = "12345678", target = ".";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 8, Device(device.data()), stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->WritePulled(Device(target.data()), 1, 0x2000, 1, other_), CUDA_SUCCESS);
  copies_->DrainHost(0x1008, 8);
  copies_->DrainHost(0xff8, 8);
  copies_->DrainHost(0x2001, 1);
  EXPECT_EQ(sent_.size(), 0u);
  std::thread drain([&] {
    copies_->DrainHost(0x1007, 1);
    copies_->DrainHost(0x2000, 1);
  });
  driver_.Run(stream_);
  EXPECT_EQ(sent_.At(0).Text(), "12345678");
  driver_.Run(other_);
  EXPECT_TRUE(Answer(sent_.At(1), "x"));
  drain.join();
  driver_.Run(other_);
}

TEST_F(CopiesTest, ForgetContextGivesEverythingBack) {
  std::string device = "value", target = ".....";
  ASSERT_EQ(copies_->Write(Device(target.data()), "text.", 5, stream_), CUDA_SUCCESS);
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  copies_->ForgetContext(context_);
  ASSERT_EQ(sent_.size(), 1u);
  EXPECT_EQ(sent_.At(0).Text(), "value");
  EXPECT_EQ(driver_.host_bytes, 0u);
  EXPECT_EQ(driver_.events(), 0u);
  CUcontext current;
  driver_.table().cuCtxGetCurrent(&current);
  EXPECT_EQ(current, context_);
  // The same handle may be another context by then.
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  driver_.Run(stream_);
  EXPECT_EQ(sent_.At(1).Text(), "value");
}

TEST_F(CopiesTest, ForgetContextOfADestroyedOneDropsItsCopies) {
  std::string device = "value";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  copies_->DrainHost(0x3000, 1);
  copies_->ForgetContext(context_);
  copies_->DrainHost(0x1000, 5);
  copies_->ForgetContext(FakeDriver::Context(5));
}

TEST_F(CopiesTest, MoreStreamsThanAreRemembered) {
  std::string device(8, '.');
  for (uint64_t i = 0; i < 2000; ++i) {
    const CUstream stream = FakeDriver::Stream(100 + i);
    ASSERT_EQ(copies_->Write(Device(device.data()), "........", 8, stream), CUDA_SUCCESS);
    driver_.Run(stream);
  }
  EXPECT_LE(driver_.host_bytes, 2u << 20);
}

TEST_F(CopiesTest, TasksRunAfterWhatIsCompleteHasLanded) {
  std::string device = "value";
  ASSERT_EQ(copies_->ReadAsync(0x1000, 5, Device(device.data()), stream_), CUDA_SUCCESS);
  driver_.Run(stream_);
  copies_->LandThen([send = sent_.sender()] { send(wire::Control::kHostFunction, {}, {}); });
  EXPECT_EQ(sent_.At(0).control, wire::Control::kLand);
  EXPECT_EQ(sent_.At(1).control, wire::Control::kHostFunction);
}

}  // namespace
}  // namespace outboard::worker
