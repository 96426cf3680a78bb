#pragma once

#include "server/softgpu/api/operation.h"

namespace outboard::softgpu::api {

struct LaunchShape {
  Dim3 grid, block;
  unsigned dynamic_shared_bytes;
  bool cooperative = false;
};

// Whether a launch of this shape can be, in the driver's order of checks, on so many multiprocessors.
CUresult CheckLaunch(const LaunchShape& shape, const Function& function, uint64_t sms);

// The launch of a kernel as a call describes it, checked and with its arguments copied; the codes are cuLaunchKernel's.
// The function is one of `context`, which is active; `green`: the context's green one that it is to run in, or null.
CUresult MakeLaunch(Context& context, const GreenContext* green, std::shared_ptr<Function> function,
                    const LaunchShape& shape, void** kernel_params, void** extra, KernelOperation* operation);

}  // namespace outboard::softgpu::api
