#include "server/worker/host_calls.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <thread>

#include "tests/unit/worker_custom/fake_driver.h"

namespace outboard::worker {
namespace {

class HostCallsTest : public testing::Test {
 protected:
  HostCallsTest() : copies_(driver_.table(), gate_, sent_.sender()) {
    FakeDriver::MakeCurrent(FakeDriver::Context(1));
    driver_.HoldsHostFunctions(stream_);
    calls_.emplace(driver_.table(), copies_, gate_, sent_.sender());
  }
  ~HostCallsTest() override { copies_.ReleaseAll(); }

  const CUstream stream_ = FakeDriver::Stream(11), other_ = FakeDriver::Stream(12);
  FakeDriver driver_;
  slice::Gate gate_;
  Sent sent_;
  Copies copies_;
  std::optional<HostCalls> calls_;
};

TEST_F(HostCallsTest, StreamWaitsUntilTheClientHasRunIt) {
  ASSERT_EQ(calls_->Launch(stream_, 5), CUDA_SUCCESS);
  EXPECT_FALSE(calls_->OnDone(5));  // no stream has come to it
  std::atomic<bool> is_done{false};
  std::thread stream([&] {
    driver_.Run(stream_);
    is_done = true;
  });
  EXPECT_EQ(sent_.At(0).control, wire::Control::kHostFunction);
  EXPECT_EQ(sent_.At(0).As<wire::CallHead>().call, 5u);
  EXPECT_EQ(sent_.At(0).As<wire::CallHead>().status, CUDA_SUCCESS);
  EXPECT_FALSE(is_done);
  EXPECT_FALSE(calls_->OnDone(6));
  EXPECT_TRUE(calls_->OnDone(5));
  stream.join();
  EXPECT_FALSE(calls_->OnDone(5));
}

TEST_F(HostCallsTest, CompletedCopiesLandFirst) {
  std::string device = "value";
  ASSERT_EQ(copies_.ReadAsync(0x1000, 5, reinterpret_cast<CUdeviceptr>(device.data()), other_), CUDA_SUCCESS);
  ASSERT_EQ(calls_->Launch(stream_, 5), CUDA_SUCCESS);
  driver_.Run(other_);
  std::thread stream([&] { driver_.Run(stream_); });
  EXPECT_EQ(sent_.At(0).control, wire::Control::kLand);
  EXPECT_EQ(sent_.At(1).control, wire::Control::kHostFunction);
  EXPECT_TRUE(calls_->OnDone(5));
  stream.join();
}

TEST_F(HostCallsTest, CallbackIsToldTheStatus) {
  driver_.callback_status = CUDA_ERROR_LAUNCH_FAILED;
  ASSERT_EQ(calls_->AddCallback(stream_, 9), CUDA_SUCCESS);
  std::thread stream([&] { driver_.Run(stream_); });
  EXPECT_EQ(sent_.At(0).As<wire::CallHead>().status, CUDA_ERROR_LAUNCH_FAILED);
  EXPECT_TRUE(calls_->OnDone(9));
  stream.join();
}

TEST_F(HostCallsTest, ReleaseLetsTheStreamGoOn) {
  ASSERT_EQ(calls_->Launch(stream_, 5), CUDA_SUCCESS);
  ASSERT_EQ(calls_->Launch(stream_, 6), CUDA_SUCCESS);
  std::thread stream([&] { driver_.Run(stream_); });
  sent_.At(0);
  calls_->ReleaseAll();
  stream.join();
  EXPECT_EQ(sent_.size(), 1u);
  EXPECT_TRUE(calls_->OnDone(5));  // late, and no fault of the client's
}

TEST_F(HostCallsTest, MayEndBeforeItsFunctions) {
  ASSERT_EQ(calls_->Launch(stream_, 5), CUDA_SUCCESS);
  calls_.reset();
  EXPECT_TRUE(driver_.Run(stream_));
  EXPECT_EQ(sent_.size(), 0u);
}

TEST_F(HostCallsTest, SameNumberTwiceDoesNotBlock) {
  ASSERT_EQ(calls_->Launch(stream_, 5), CUDA_SUCCESS);
  driver_.HoldsHostFunctions(other_);
  ASSERT_EQ(calls_->Launch(other_, 5), CUDA_SUCCESS);
  std::thread stream([&] { driver_.Run(stream_); });
  sent_.At(0);
  EXPECT_TRUE(driver_.Run(other_));
  EXPECT_TRUE(calls_->OnDone(5));
  stream.join();
}

}  // namespace
}  // namespace outboard::worker
