#pragma once

#include "server/softgpu/api/cuda_api.h"

namespace outboard::softgpu::api {

// Gives the runtime's private tables their view of this driver, once per process. Thread-safe.
void InstallInteropHost();

}  // namespace outboard::softgpu::api
