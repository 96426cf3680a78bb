#pragma once

#include <cuda.h>

#include <string>

namespace outboard::driver {

// As NVML names the GPU: "GPU-01234567-89ab-cdef-0123-456789abcdef".
std::string UuidText(const CUuuid& uuid);

}  // namespace outboard::driver
