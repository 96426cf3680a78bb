#pragma once

#include <cuda.h>

#include <span>

#include "common/wire/private.h"

namespace outboard::worker {

// Whether the values of all attributes are plain numbers and addresses of the device: others lead to objects or memory
// of whoever wrote them.
bool AreFlat(std::span<const CUlaunchAttribute> attributes);

// What cuLaunchKernelEx and its like take. The attributes must live as long as it.
CUlaunchConfig MakeLaunchConfig(const OutboardLaunchShape& shape, CUstream stream,
                                std::span<const CUlaunchAttribute> attributes);

}  // namespace outboard::worker
