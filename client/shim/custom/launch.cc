#include <cstring>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/modules_launch.h"
#include "client/shim/remote.gen.h"

// Execution control: launches. The hottest path of all: it allocates nothing for ordinary kernels.

namespace outboard::custom {

using namespace shim;

namespace {

// Whether the function belongs where the launch is to run.
bool IsAtHome(Process& process, const Function& function) {
  const CUcontext context = CurrentHome();
  const Function::Identity& identity = function.identity();
  if (identity.context != nullptr) return identity.context == context;
  if (process.worker().devices.size() == 1) return true;
  const auto info = process.contexts().Find(context);
  return info && info->device == identity.device;
}

CUresult Launch(CUfunction f, OutboardLaunchShape shape, CUstream stream, std::span<const CUlaunchAttribute> attributes,
                void** kernel_params, void** extra) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  const auto function = process.modules().FindToLaunch(f);
  const auto count = static_cast<unsigned>(attributes.size());
  if (CapturesOf(process).any() && function) {
    const auto captured = CaptureInstead(process, stream, [&](graphs::OperationPtr* operation) {
      return MakeKernel(function, CurrentHome(), shape, {attributes.begin(), attributes.end()}, kernel_params, extra,
                        operation);
    });
    if (captured) return *captured;
  }
  // The driver says what is wrong with it.
  if (!function) return remote::outboardLaunch(f, shape, stream, attributes.data(), count, nullptr, 0, false);
  PackedParams params;
  if (const CUresult packed = params.Pack(*function, kernel_params, extra); packed != CUDA_SUCCESS) return packed;
  const bool certain =
      IsAtHome(process, *function) && IsOfCurrentContext(stream) && function->Accepts(shape, attributes);
  const CUresult result = remote::outboardLaunch(f, shape, stream, attributes.data(), count, params.bytes().data(),
                                                 params.bytes().size(), certain);
  if (!certain && result == CUDA_SUCCESS) function->NoteAccepted(shape, attributes);
  return result;
}

}  // namespace

CUresult cuLaunchKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                        unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                        unsigned int sharedMemBytes, CUstream hStream, void** kernelParams, void** extra) {
  const OutboardLaunchShape shape{{gridDimX, gridDimY, gridDimZ}, {blockDimX, blockDimY, blockDimZ}, sharedMemBytes, 0};
  return Launch(f, shape, hStream, {}, kernelParams, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned int gridDimX, unsigned int gridDimY, unsigned int gridDimZ,
                                   unsigned int blockDimX, unsigned int blockDimY, unsigned int blockDimZ,
                                   unsigned int sharedMemBytes, CUstream hStream, void** kernelParams) {
  CUlaunchAttribute cooperative;
  std::memset(&cooperative, 0, sizeof cooperative);
  cooperative.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  cooperative.value.cooperative = 1;
  const OutboardLaunchShape shape{{gridDimX, gridDimY, gridDimZ}, {blockDimX, blockDimY, blockDimZ}, sharedMemBytes, 1};
  return Launch(f, shape, hStream, {&cooperative, 1}, kernelParams, nullptr);
}

CUresult cuLaunchKernelEx(CUstream default_stream, const CUlaunchConfig* config, CUfunction f, void** kernelParams,
                          void** extra) {
  if (config == nullptr) {
    Current current;
    const CUresult result = FindCurrent(Process::Get(), &current);
    return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
  }
  FlatAttributes attributes;
  const CUresult flat = attributes.Flatten(config->attrs, config->numAttrs);
  if (flat == CUDA_ERROR_NOT_SUPPORTED) {
    return Unsupported("cuLaunchKernelEx", "a launch attribute that leads to an event or to a node of a graph");
  }
  if (flat != CUDA_SUCCESS) return flat;
  const OutboardLaunchShape shape{{config->gridDimX, config->gridDimY, config->gridDimZ},
                                  {config->blockDimX, config->blockDimY, config->blockDimZ},
                                  config->sharedMemBytes,
                                  static_cast<uint32_t>(attributes.get().size())};
  return Launch(f, shape, config->hStream == nullptr ? default_stream : config->hStream, attributes.get(), kernelParams,
                extra);
}

}  // namespace outboard::custom
