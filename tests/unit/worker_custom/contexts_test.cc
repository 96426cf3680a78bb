#include "server/worker/contexts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "server/worker/session.h"

namespace outboard::worker {
namespace {

using Lines = std::vector<std::string>;

constexpr CUdevice kDevice = 3;
constexpr int kPatience = 500;  // times that a thread lets others go first

// A driver that has one context beside the primary one, and gives both out again at once.
class ContextsTest : public testing::Test {
 protected:
  ContextsTest()
      : contexts_(Table(), devices_,
                  {[this](CUcontext) { Say("before"); }, [this](CUcontext) { After(); },
                   [this](CUgreenCtx green, CUcontext, bool lives) {
                     Say((lives ? "green " : "gone ") + std::to_string(uint64_t(green)));
                   }},
                  {[this](CUdevice device) { return device == kDevice && has_room_; },
                   [this](CUdevice, bool is_made) { made_ += is_made ? "+" : "-"; }}) {
    self = this;
  }
  ~ContextsTest() override { self = nullptr; }

  static CUcontext Primary() { return reinterpret_cast<CUcontext>(uint64_t{1}); }
  static CUcontext Other() { return reinterpret_cast<CUcontext>(uint64_t{2}); }

  void Say(const std::string& line) {
    std::lock_guard lock(mutex_);
    lines_.push_back(line);
  }
  Lines lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }
  // What ends with the context is forgotten as late as may be: another thread that does not wait for that has the
  // context again by now.
  void After() {
    if (another_has_it_) {
      for (int i = 0; i < kPatience && !another_has_it_(); ++i) std::this_thread::yield();
    }
    Say("after");
  }
  bool Said(const std::string& line) {
    const Lines now = lines();
    return std::find(now.begin(), now.end(), line) != now.end();
  }

  static inline ContextsTest* self = nullptr;
  slice::Ledger ledger_ = std::move(*slice::Ledger::Create(1024));
  const std::vector<LeasedDevice> devices_ = {{kDevice, &ledger_, 0}};
  std::atomic<int> users_{0};
  uint64_t greens_ = 0;
  CUresult green_result_ = CUDA_SUCCESS;
  std::function<bool()> another_has_it_;
  bool has_room_ = true;
  std::string made_;  // a sign for each that was to be
  std::mutex mutex_;
  Lines lines_;
  driver::DriverTable table_;
  Contexts contexts_;

 private:
  const driver::DriverTable& Table() {
    table_.cuDevicePrimaryCtxRetain = [](CUcontext* context, CUdevice) {
      self->Say("retained");
      ++self->users_;
      *context = Primary();
      return CUDA_SUCCESS;
    };
    table_.cuDevicePrimaryCtxRelease_v2 = [](CUdevice) {
      if (self->users_ == 0) return CUDA_ERROR_INVALID_CONTEXT;
      --self->users_;
      return CUDA_SUCCESS;
    };
    table_.cuDevicePrimaryCtxReset_v2 = [](CUdevice) {
      self->users_ = 0;
      return CUDA_SUCCESS;
    };
    table_.cuDevicePrimaryCtxGetState = [](CUdevice, unsigned*, int* active) {
      *active = self->users_ != 0;
      return CUDA_SUCCESS;
    };
    table_.cuGreenCtxCreate = [](CUgreenCtx* green, CUdevResourceDesc, CUdevice, unsigned) {
      ++self->users_;
      *green = reinterpret_cast<CUgreenCtx>(++self->greens_);
      return CUDA_SUCCESS;
    };
    table_.cuCtxFromGreenCtx = [](CUcontext* context, CUgreenCtx green) {
      *context = reinterpret_cast<CUcontext>(100 + uint64_t(green));
      return CUDA_SUCCESS;
    };
    table_.cuGreenCtxDestroy = [](CUgreenCtx green) {
      self->Say("destroyed " + std::to_string(uint64_t(green)));
      if (self->users_ != 0) --self->users_;
      return self->green_result_;
    };
    table_.cuCtxCreate_v2 = [](CUcontext* context, unsigned, CUdevice) {
      self->Say("created");
      *context = Other();
      return CUDA_SUCCESS;
    };
    table_.cuCtxPopCurrent_v2 = [](CUcontext*) { return CUDA_SUCCESS; };
    table_.cuCtxDestroy_v2 = [](CUcontext) { return CUDA_SUCCESS; };
    return table_;
  }
};

TEST_F(ContextsTest, APrimaryContextEndsWithItsLastUserOrAReset) {
  CUcontext context = nullptr;
  EXPECT_EQ(contexts_.ReleasePrimary(kDevice), CUDA_ERROR_INVALID_CONTEXT);
  ASSERT_EQ(contexts_.RetainPrimary(&context, kDevice), CUDA_SUCCESS);
  ASSERT_EQ(contexts_.RetainPrimary(&context, kDevice), CUDA_SUCCESS);
  EXPECT_EQ(context, Primary());
  ASSERT_EQ(contexts_.ReleasePrimary(kDevice), CUDA_SUCCESS);
  EXPECT_FALSE(Said("before")) << "somebody uses it still";
  ASSERT_EQ(contexts_.ReleasePrimary(kDevice), CUDA_SUCCESS);
  EXPECT_EQ(lines(), (Lines{"retained", "retained", "before", "after"}));
  ASSERT_EQ(contexts_.RetainPrimary(&context, kDevice), CUDA_SUCCESS);
  ASSERT_EQ(contexts_.RetainPrimary(&context, kDevice), CUDA_SUCCESS);
  ASSERT_EQ(contexts_.ResetPrimary(kDevice), CUDA_SUCCESS);
  EXPECT_EQ(lines().back(), "after");
  EXPECT_EQ(contexts_.RetainPrimary(&context, kDevice + 1), CUDA_ERROR_INVALID_DEVICE);
}

TEST_F(ContextsTest, IsMadeWhereTheSliceHasRoomForIt) {
  CUcontext context = nullptr;
  has_room_ = false;
  CUgreenCtx green = nullptr;
  table_.cuGreenCtxCreate = [](CUgreenCtx*, CUdevResourceDesc, CUdevice, unsigned) { return CUDA_ERROR_UNKNOWN; };
  table_.cuCtxFromGreenCtx = [](CUcontext*, CUgreenCtx) { return CUDA_ERROR_UNKNOWN; };
  const auto make_all = [&] {
    return std::vector{contexts_.RetainPrimary(&context, kDevice), contexts_.Create(&context, 0, kDevice),
                       contexts_.CreateGreen(&green, &context, &context, nullptr, kDevice, 0)};
  };
  EXPECT_EQ(make_all(), std::vector(3, CUDA_ERROR_OUT_OF_MEMORY));
  EXPECT_EQ(lines(), Lines{}) << "the driver was not asked";
  EXPECT_EQ(made_, "");
  has_room_ = true;
  EXPECT_EQ(make_all(), (std::vector{CUDA_SUCCESS, CUDA_SUCCESS, CUDA_ERROR_UNKNOWN}));
  EXPECT_EQ(made_, "++-");
}

TEST_F(ContextsTest, AGreenContextIsDestroyedOnce) {
  CUcontext context = nullptr, converted = nullptr;
  CUgreenCtx first = nullptr, second = nullptr;
  for (CUgreenCtx* green : {&first, &second})
    ASSERT_EQ(contexts_.CreateGreen(green, &converted, &context, nullptr, kDevice, 0), CUDA_SUCCESS);
  ASSERT_EQ(contexts_.ReleasePrimary(kDevice), CUDA_SUCCESS) << "once more than it was retained";
  lines_.clear();
  ASSERT_EQ(contexts_.ResetPrimary(kDevice), CUDA_SUCCESS);
  EXPECT_EQ(Lines(lines_.begin(), lines_.begin() + 6),
            (Lines{"before", "green 1", "destroyed 1", "gone 2", "destroyed 2", "after"}));
  lines_.clear();
  EXPECT_EQ(contexts_.DestroyGreen(second), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(lines(), Lines());
}

TEST_F(ContextsTest, AGreenContextThatAKernelBrokeIsGone) {
  CUcontext context = nullptr, converted = nullptr;
  CUgreenCtx green = nullptr;
  ASSERT_EQ(contexts_.CreateGreen(&green, &converted, &context, nullptr, kDevice, 0), CUDA_SUCCESS);
  green_result_ = CUDA_ERROR_ILLEGAL_ADDRESS;
  lines_.clear();
  EXPECT_EQ(contexts_.DestroyGreen(green), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(lines(), (Lines{"before", "green 1", "destroyed 1", "after"}));
  EXPECT_EQ(contexts_.DestroyGreen(green), CUDA_ERROR_INVALID_CONTEXT);
}

// A driver that has ended it for its own reasons.
TEST_F(ContextsTest, WhetherItHasEndedTheDriverSays) {
  CUcontext context = nullptr;
  for (int i = 0; i < 3; ++i) ASSERT_EQ(contexts_.RetainPrimary(&context, kDevice), CUDA_SUCCESS);
  users_ = 1;
  ASSERT_EQ(contexts_.ReleasePrimary(kDevice), CUDA_SUCCESS);
  EXPECT_EQ(lines().back(), "after");
}

TEST_F(ContextsTest, ThePrimaryContextIsHadAgainWhenWhatEndedWithItIsForgotten) {
  CUcontext context = nullptr;
  for (const auto end : {&Contexts::ReleasePrimary, &Contexts::ResetPrimary}) {
    ASSERT_EQ(contexts_.RetainPrimary(&context, kDevice), CUDA_SUCCESS);
    lines_.clear();
    another_has_it_ = [this] { return Said("retained"); };
    std::thread ends([&] { EXPECT_EQ((contexts_.*end)(kDevice), CUDA_SUCCESS); });
    while (!Said("before")) std::this_thread::yield();
    EXPECT_EQ(contexts_.RetainPrimary(&context, kDevice), CUDA_SUCCESS);
    ends.join();
    EXPECT_EQ(lines(), (Lines{"before", "after", "retained"}));
    EXPECT_EQ(contexts_.ResetPrimary(kDevice), CUDA_SUCCESS);
  }
}

TEST_F(ContextsTest, AContextIsHadAgainWhenWhatEndedWithItIsForgotten) {
  CUcontext context = nullptr;
  ASSERT_EQ(contexts_.Create(&context, 0, kDevice), CUDA_SUCCESS);
  lines_.clear();
  std::atomic<bool> has_it{false};
  another_has_it_ = [&, here = std::this_thread::get_id()] {
    while (!Said("created") && std::this_thread::get_id() != here) std::this_thread::yield();
    return has_it.load();
  };
  std::thread ends([&] { EXPECT_EQ(contexts_.Destroy(Other()), CUDA_SUCCESS); });
  while (!Said("before")) std::this_thread::yield();
  EXPECT_EQ(contexts_.Destroy(Other()), CUDA_ERROR_INVALID_CONTEXT) << "another thread is at it";
  EXPECT_EQ(contexts_.Create(&context, 0, kDevice), CUDA_SUCCESS);
  has_it = true;
  Say("has it");
  ends.join();
  EXPECT_EQ(lines(), (Lines{"before", "created", "after", "has it"}));
}

}  // namespace
}  // namespace outboard::worker
