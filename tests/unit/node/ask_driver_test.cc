#include "server/node/ask_driver.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

namespace outboard::node {
namespace {

constexpr uint64_t kTotal = 1000, kCudaTotal = 990, kContext = 100;

// Of the management library of the tests, which knows the GPU "GPU-1".
void SetMemory(uint64_t reserved, uint64_t free) {
  const std::string text = std::to_string(kTotal) + " " + std::to_string(reserved) + " " + std::to_string(free);
  setenv("FAKE_NVML_MEMORY", text.c_str(), 1);
}
void SetProcesses(const std::string& text) { setenv("FAKE_NVML_PROCESSES", text.c_str(), 1); }

// A driver whose contexts take memory.
class MeasureMemoryTest : public testing::Test {
 protected:
  MeasureMemoryTest() {
    self = this;
    driver_.cuDevicePrimaryCtxRetain = [](CUcontext*, CUdevice) {
      if (self->is_refused_) return CUDA_ERROR_DEVICE_UNAVAILABLE;
      ++self->contexts_;
      SetMemory(20, self->free_ - kContext);
      if (self->is_listed_) SetProcesses(std::to_string(getpid()) + ":" + std::to_string(kContext + 1));
      return CUDA_SUCCESS;
    };
    driver_.cuDevicePrimaryCtxRelease_v2 = [](CUdevice) {
      --self->contexts_;
      SetMemory(20, self->free_);
      SetProcesses("");
      return CUDA_SUCCESS;
    };
  }
  ~MeasureMemoryTest() override {
    unsetenv("FAKE_NVML_MEMORY");
    unsetenv("FAKE_NVML_PROCESSES");
  }
  // Of a GPU that has so much free, and is used by such processes.
  Gpu Measure(uint64_t free, const std::string& processes = "") {
    free_ = free;
    SetMemory(20, free);
    SetProcesses(processes);
    std::vector<Gpu> gpus = {{"H200", "GPU-0", kCudaTotal}, {"H200", "GPU-1", kCudaTotal}};
    MeasureMemory(driver_, OUTBOARD_FAKE_NVML, &gpus);
    EXPECT_EQ(contexts_, 0) << "it was to be ended";
    EXPECT_EQ(gpus[0].memory_bytes, kCudaTotal) << "the library does not know it";
    EXPECT_EQ(gpus[0].context_bytes, 0u);
    return gpus[1];
  }

  static inline MeasureMemoryTest* self = nullptr;
  driver::DriverTable driver_;
  uint64_t free_ = 0;
  int contexts_ = 0;
  bool is_refused_ = false, is_listed_ = true;
};

TEST_F(MeasureMemoryTest, WhatTheDriverKeepsIsNotLent) {
  EXPECT_EQ(Measure(980).memory_bytes, 980u);
  EXPECT_EQ(Measure(970).memory_bytes, 970u) << "of what nobody has who uses the GPU, somebody else has a part";
  EXPECT_EQ(Measure(500, "7:470").memory_bytes, 980u) << "of a process that is about to end";
}

TEST_F(MeasureMemoryTest, AContextIsMadeToSeeWhatItTakes) {
  EXPECT_EQ(Measure(980).context_bytes, kContext + 1) << "as the library says of this process";
  is_listed_ = false;
  EXPECT_EQ(Measure(980).context_bytes, kContext) << "what is free no more";
  is_refused_ = true;
  EXPECT_EQ(Measure(980).context_bytes, 0u);
  EXPECT_EQ(Measure(980).memory_bytes, 980u);
}

TEST_F(MeasureMemoryTest, WithoutTheLibraryNothingIsKnown) {
  std::vector<Gpu> gpus = {{"H200", "GPU-1", kCudaTotal}};
  MeasureMemory(driver_, "/no/such/library", &gpus);
  EXPECT_EQ(gpus[0].memory_bytes, kCudaTotal);
  EXPECT_EQ(gpus[0].context_bytes, 0u);
}

}  // namespace
}  // namespace outboard::node
