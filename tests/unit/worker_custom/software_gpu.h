#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "server/driver/driver_table.h"

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
    std::string folder = (std::filesystem::temp_directory_path() / "worker_custom_XXXXXX").string();
    if (!mkdtemp(folder.data())) std::abort();
    setenv("OUTBOARD_SOFTGPU_DIR", folder.c_str(), 1);
    setenv("OUTBOARD_SOFTGPU_MEMORY", "64MiB", 1);
    setenv("OUTBOARD_SOFTGPU_DEVICES", "1", 1);
    setenv("OUTBOARD_SOFTGPU_THREADS", "2", 1);
    std::atexit([] {
      std::error_code ignored;
      std::filesystem::remove_all(std::getenv("OUTBOARD_SOFTGPU_DIR"), ignored);
    });
    auto loaded = driver::Load(OUTBOARD_SOFTGPU_CUDA);
    if (!loaded || (*loaded)->cuInit(0) != CUDA_SUCCESS) std::abort();
    return *loaded->release();
  }();
  return driver;
}

}  // namespace outboard::worker
