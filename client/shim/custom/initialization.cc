#include "client/shim/call.h"
#include "client/shim/custom.gen.h"

// Initialisation.

namespace outboard::custom {

CUresult cuInit(unsigned int Flags) {
  shim::Process& process = shim::Process::Get();
  if (process.IsForkedChild()) return process.Init();
  if (shim::ThisThread().in_host_function) return CUDA_ERROR_NOT_PERMITTED;
  if (Flags != 0) return CUDA_ERROR_INVALID_VALUE;
  return process.Init();
}

}  // namespace outboard::custom
