#include <span>

#include "common/base/limits.h"
#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/host_calls.h"
#include "server/worker/launch_config.h"
#include "server/worker/session.h"

// Execution control: launches, host functions, stream callbacks.

namespace outboard::worker::custom {

CUresult outboardLaunch(Call& call, CUfunction function, OutboardLaunchShape shape, CUstream stream,
                        const CUlaunchAttribute* attributes, unsigned int numAttributes, const void* parameters,
                        size_t bytes) {
  if (shape.attribute_count != numAttributes || (numAttributes != 0 && attributes == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (bytes > kMaxKernelParameterBytes || (parameters == nullptr && bytes != 0)) return CUDA_ERROR_INVALID_VALUE;
  const std::span given(attributes, numAttributes);
  if (!AreFlat(given)) return CUDA_ERROR_NOT_SUPPORTED;

  // A pointer is wanted even for no bytes; the driver only reads.
  void* const buffer = bytes == 0 ? &bytes : const_cast<void*>(parameters);
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  const auto& [grid, block, shared_bytes, attribute_count] = shape;
  if (attribute_count == 0) {
    return call.driver().cuLaunchKernel(function, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared_bytes,
                                        stream, nullptr, extra);
  }
  const CUlaunchConfig config = MakeLaunchConfig(shape, stream, given);
  const auto launch = call.driver().cuLaunchKernelEx;
  return launch == nullptr ? CUDA_ERROR_NOT_SUPPORTED : launch(&config, function, nullptr, extra);
}

CUresult outboardLaunchHostFunc(Call& call, CUstream stream, unsigned long long number) {
  return call.session().host_calls().Launch(stream, number);
}

CUresult outboardStreamAddCallback(Call& call, CUstream stream, unsigned long long number) {
  return call.session().host_calls().AddCallback(stream, number);
}

}  // namespace outboard::worker::custom
