#include "server/softgpu/api/entry.h"

// Initialisation and version management.

using namespace outboard::softgpu::api;

CUresult cuInit(unsigned int Flags) {
  return outboard::Guard([&]() -> CUresult {
    Driver& driver = Driver::Get();
    if (driver.lost()) return CUDA_ERROR_NOT_INITIALIZED;
    if (ThisThread().in_host_function) return CUDA_ERROR_NOT_PERMITTED;
    if (Flags != 0) return CUDA_ERROR_INVALID_VALUE;
    return driver.Init();
  });
}

CUresult cuDriverGetVersion(int* driverVersion) {
  if (!driverVersion) return CUDA_ERROR_INVALID_VALUE;
  *driverVersion = CUDA_VERSION;
  return CUDA_SUCCESS;
}
