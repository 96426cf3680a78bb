#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace outboard::fakes {

// Gives the software GPU of this process, which reads its environment at its first call, devices of 64 MiB, whose memory
// lies in a folder that is gone when the process ends. `devices`: how many.
inline void ConfigureSoftwareGpu(const char* devices) {
  std::string folder = (std::filesystem::temp_directory_path() / "outboard_test_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) std::abort();
  setenv("OUTBOARD_SOFTGPU_DIR", folder.c_str(), 1);
  setenv("OUTBOARD_SOFTGPU_MEMORY", "64MiB", 1);
  setenv("OUTBOARD_SOFTGPU_DEVICES", devices, 1);
  setenv("OUTBOARD_SOFTGPU_THREADS", "2", 1);
  std::atexit([] {
    std::error_code ignored;
    std::filesystem::remove_all(std::getenv("OUTBOARD_SOFTGPU_DIR"), ignored);
  });
}

}  // namespace outboard::fakes
