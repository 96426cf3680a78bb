#include "client/shim/custom.gen.h"
#include "client/shim/process.h"

// Version management.

namespace outboard::custom {

CUresult cuDriverGetVersion(int* driverVersion) {
  if (driverVersion == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *driverVersion = shim::Process::Get().DriverVersion();
  return CUDA_SUCCESS;
}

}  // namespace outboard::custom
