#include "server/softgpu/api/entry.h"

// Primary context management.

using namespace outboard::softgpu::api;

namespace {

template <class Body>
CUresult PrimaryCall(CUdevice ordinal, Body body) {
  return Call([&](Driver& driver) -> CUresult {
    Device* device = driver.FindDevice(ordinal);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    return body(driver, device->primary());
  });
}

}  // namespace

CUresult cuDevicePrimaryCtxRetain(CUcontext* pctx, CUdevice dev) {
  return PrimaryCall(dev, [&](Driver& driver, Context& context) -> CUresult {
    if (!pctx) return CUDA_ERROR_INVALID_VALUE;
    if (driver.fault() != CUDA_SUCCESS) return driver.fault();
    context.Retain();
    *pctx = context.cu();
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev) {
  return PrimaryCall(
      dev, [](Driver&, Context& context) { return context.Release() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT; });
}

CUresult cuDevicePrimaryCtxRelease(CUdevice dev) { return cuDevicePrimaryCtxRelease_v2(dev); }

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev) {
  return PrimaryCall(dev, [](Driver& driver, Context& context) {
    context.Destroy();
    return driver.fault();
  });
}

CUresult cuDevicePrimaryCtxReset(CUdevice dev) { return cuDevicePrimaryCtxReset_v2(dev); }

CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice dev, unsigned int flags) {
  return PrimaryCall(dev, [&](Driver&, Context& context) -> CUresult {
    if (!ContextFlagsAreValid(flags)) return CUDA_ERROR_INVALID_VALUE;
    context.set_flags(flags);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxSetFlags(CUdevice dev, unsigned int flags) {
  return cuDevicePrimaryCtxSetFlags_v2(dev, flags);
}

CUresult cuDevicePrimaryCtxGetState(CUdevice dev, unsigned int* flags, int* active) {
  return PrimaryCall(dev, [&](Driver&, Context& context) -> CUresult {
    if (!flags || !active) return CUDA_ERROR_INVALID_VALUE;
    *flags = context.flags();
    *active = context.active() ? 1 : 0;
    return CUDA_SUCCESS;
  });
}
