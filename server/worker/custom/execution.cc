#include <algorithm>
#include <iterator>

#include "common/base/limits.h"
#include "common/base/number_of.h"
#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/host_calls.h"
#include "server/worker/session.h"

// Execution control: launches, host functions, stream callbacks.

namespace outboard::worker::custom {
namespace {

// The attributes whose values are plain numbers and addresses of the device; others lead to objects or memory.
bool IsFlat(const CUlaunchAttribute& attribute) {
  switch (NumberOf(attribute.id)) {
    case CU_LAUNCH_ATTRIBUTE_IGNORE:
    case CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW:
    case CU_LAUNCH_ATTRIBUTE_COOPERATIVE:
    case CU_LAUNCH_ATTRIBUTE_SYNCHRONIZATION_POLICY:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    case CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION:
    case CU_LAUNCH_ATTRIBUTE_PRIORITY:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN_MAP:
    case CU_LAUNCH_ATTRIBUTE_MEM_SYNC_DOMAIN:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_CLUSTER_DIMENSION:
    case CU_LAUNCH_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
    case CU_LAUNCH_ATTRIBUTE_NVLINK_UTIL_CENTRIC_SCHEDULING:
      return true;
    default:
      return false;
  }
}

}  // namespace

CUresult outboardLaunch(Call& call, CUfunction function, OutboardLaunchShape shape, CUstream stream,
                        const CUlaunchAttribute* attributes, unsigned int numAttributes, const void* parameters,
                        size_t bytes) {
  if (shape.attribute_count != numAttributes || (numAttributes != 0 && attributes == nullptr)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (bytes > kMaxKernelParameterBytes || (parameters == nullptr && bytes != 0)) return CUDA_ERROR_INVALID_VALUE;
  if (!std::all_of(attributes, attributes + numAttributes, &IsFlat)) return CUDA_ERROR_NOT_SUPPORTED;

  // A pointer is wanted even for no bytes; the driver only reads.
  void* const buffer = bytes == 0 ? &bytes : const_cast<void*>(parameters);
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, buffer, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  const auto& [grid, block, shared_bytes, attribute_count] = shape;
  if (attribute_count == 0) {
    return call.driver().cuLaunchKernel(function, grid[0], grid[1], grid[2], block[0], block[1], block[2], shared_bytes,
                                        stream, nullptr, extra);
  }
  CUlaunchConfig config{};
  config.gridDimX = grid[0];
  config.gridDimY = grid[1];
  config.gridDimZ = grid[2];
  config.blockDimX = block[0];
  config.blockDimY = block[1];
  config.blockDimZ = block[2];
  config.sharedMemBytes = shared_bytes;
  config.hStream = stream;
  config.attrs = const_cast<CUlaunchAttribute*>(attributes);
  config.numAttrs = numAttributes;
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
