#pragma once

#include <cstdlib>

#include "server/driver/driver_table.h"
#include "tests/fakes/software_gpu.h"

namespace outboard::worker {

// store(p, v) writes v to *p.
inline constexpr char kStorePtx[] = R"(
.version 8.0
.target sm_75
.address_size 64
.visible .entry store(.param .u64 p, .param .u32 v)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<3>;
  ld.param.u64 %rd1, [p];
  ld.param.u32 %r1, [v];
  cvta.to.global.u64 %rd2, %rd1;
  st.global.u32 [%rd2], %r1;
  ret;
}
)";

// The software GPU as the driver of this process, with one device of 64 MiB, whose memory lies in a folder of it.
inline const driver::DriverTable& SoftwareGpu() {
  static const driver::DriverTable& driver = []() -> const driver::DriverTable& {
    fakes::ConfigureSoftwareGpu("1");
    auto loaded = driver::Load(OUTBOARD_SOFTGPU_CUDA);
    if (!loaded || (*loaded)->cuInit(0) != CUDA_SUCCESS) std::abort();
    return *loaded->release();
  }();
  return driver;
}

}  // namespace outboard::worker
