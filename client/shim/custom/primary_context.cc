#include "client/shim/call.h"
#include "client/shim/custom.gen.h"
#include "client/shim/primary_contexts.h"
#include "client/shim/remote.gen.h"

// Primary context management. The worker's driver counts who retains one; the client only has to know whether a context
// is active after a call.

namespace outboard::custom {
namespace {

using shim::PrimaryContext;

CUresult Release(CUdevice device) {
  return shim::Local([&](shim::Process& process) {
    return shim::ReleasePrimary(process, device, [&] { return remote::cuDevicePrimaryCtxRelease_v2(device); });
  });
}

CUresult Reset(CUdevice device) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (!process.contexts().Find(PrimaryContext(device))) return CUDA_ERROR_INVALID_DEVICE;
    CUresult result;
    {
      std::lock_guard lock(process.contexts().primary_changes());
      result = remote::cuDevicePrimaryCtxReset_v2(device);
      shim::SetPrimaryInactive(process, device);
    }
    // Also when it returned the error of an earlier kernel: the context is gone.
    process.ForgetContext(PrimaryContext(device));
    return result;
  });
}

}  // namespace

CUresult cuDevicePrimaryCtxRetain(CUcontext* pctx, CUdevice dev) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (!process.contexts().Find(PrimaryContext(dev))) return CUDA_ERROR_INVALID_DEVICE;
    if (pctx == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::lock_guard lock(process.contexts().primary_changes());
    // As a waiting call may return the error of an earlier one, and one that retains must not.
    CUresult result = remote::outboardTakeEarlier();
    if (result == CUDA_SUCCESS) result = remote::outboardPrimaryCtxRetain(dev);
    if (result != CUDA_SUCCESS) return result;
    shim::SetPrimaryActive(process, dev);
    *pctx = PrimaryContext(dev);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev) { return Release(dev); }
CUresult cuDevicePrimaryCtxRelease(CUdevice dev) { return Release(dev); }

CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev) { return Reset(dev); }
CUresult cuDevicePrimaryCtxReset(CUdevice dev) { return Reset(dev); }

}  // namespace outboard::custom
