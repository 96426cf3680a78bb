#pragma once

#include <string>

#include "common/base/result.h"

namespace outboard::run {

// Where the parts of this installation lie, found from the running program; the tree may have been moved.
struct Installation {
  std::string shim_folder;  // with libcuda.so.1
  std::string shim;         // libcuda.so.1 itself
  std::string nvml;         // libnvidia-ml.so.1, beside it
  std::string plugin;       // the transport
  std::string node;         // gpu-node
  std::string worker;       // gpu-worker
  std::string softgpu;      // the software GPU's libcuda.so.1
};

// The paths; nothing is looked at.
Result<Installation> FindInstallation();

}  // namespace outboard::run
