#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <gtest/gtest.h>

#include "tests/fakes/software_gpu.h"

// The real driver, linked statically, on small devices whose memory lies in a folder of this process.

namespace outboard::softgpu::api {

// Two devices of 64 MiB. Happens before main, as the driver reads the environment at its first call.
inline const bool kDriverIsConfigured = [] {
  fakes::ConfigureSoftwareGpu("2");
  return true;
}();

// Device 0's primary context is current in every test.
class DriverTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cuInit(0), CUDA_SUCCESS);
    ASSERT_EQ(cuDevicePrimaryCtxRetain(&context_, 0), CUDA_SUCCESS);
    ASSERT_EQ(cuCtxSetCurrent(context_), CUDA_SUCCESS);
  }

  void TearDown() override {
    EXPECT_EQ(cuDevicePrimaryCtxRelease_v2(0), CUDA_SUCCESS);
    EXPECT_EQ(cuCtxSetCurrent(nullptr), CUDA_SUCCESS);
  }

  CUcontext context_ = nullptr;
};

// Kernels: store(p, v) writes v to *p; with_bounds is for at most 64 threads; trap stops the device.
inline constexpr char kTestPtx[] = R"(
.version 8.0
.target sm_75
.address_size 64

.global .align 4 .u32 answer = 42;

.visible .entry store(.param .u64 store_p, .param .u32 store_v)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [store_p];
  ld.param.u32 %r1, [store_v];
  cvta.to.global.u64 %rd2, %rd1;
  st.global.u32 [%rd2], %r1;
  ret;
}

.visible .entry with_bounds(.param .u64 with_bounds_p)
.maxntid 64, 1, 1
{
  ret;
}

.visible .entry stop()
{
  trap;
  ret;
}
)";

}  // namespace outboard::softgpu::api
