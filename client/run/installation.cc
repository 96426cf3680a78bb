#include "client/run/installation.h"

#include <filesystem>
#include <system_error>

namespace outboard::run {

Result<Installation> FindInstallation() {
  std::error_code failure;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failure);
  if (failure) return Error{"cannot tell where gpu-run itself lies, from /proc/self/exe: " + failure.message() + "."};
  const std::filesystem::path programs = program.parent_path();
  const std::filesystem::path libraries = programs.parent_path() / "lib/outboard";
  Installation found;
  found.shim_folder = libraries / "client";
  found.shim = libraries / "client/libcuda.so.1";
  found.nvml = libraries / "client/libnvidia-ml.so.1";
  found.plugin = libraries / "liboutboard_grpc.so";
  found.node = programs / "gpu-node";
  found.worker = programs / "gpu-worker";
  found.softgpu = libraries / "softgpu/libcuda.so.1";
  return found;
}

}  // namespace outboard::run
