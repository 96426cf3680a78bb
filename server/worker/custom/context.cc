#include "server/worker/call.h"
#include "server/worker/contexts.h"
#include "server/worker/custom.gen.h"
#include "server/worker/session.h"

// Context management, primary context management and green contexts.

namespace outboard::worker::custom {
namespace {

CUresult Settled(Call& call, CUresult result) {
  call.session().SettleMemory();
  return result;
}

// After a context has come or gone, which takes or frees memory that no call names.
CUresult Looked(Call& call, CUresult result) {
  if (result == CUDA_SUCCESS) call.session().LookForUnseenMemory();
  return result;
}

// The client's handle of the primary context.
CUresult NotePrimary(Call& call, CUdevice device, CUcontext context) {
  HandleTable& handles = call.session().handles();
  const wire::HandleId handle = wire::PrimaryContextHandle(call.session().ClientDevice(device));
  const auto found = handles.Find(wire::HandleKind::kContext, handle);
  if (found == std::optional<void*>(context)) return CUDA_SUCCESS;
  if (found.has_value()) handles.Remove(handle);
  return handles.Add(wire::HandleKind::kContext, handle, context) ? CUDA_SUCCESS : CUDA_ERROR_UNKNOWN;
}

// Contexts that cuCtxCreate has made, and no others: the client refuses those itself.
CUresult Destroy(Call& call, CUcontext context) {
  HandleTable& handles = call.session().handles();
  const wire::HandleId handle = handles.HandleOf(wire::HandleKind::kContext, context);
  if (context != nullptr && (IsPrimaryContext(handle) || handles.OwnerOf(handle) != 0)) {
    return CUDA_ERROR_INVALID_CONTEXT;
  }
  return Looked(call, call.session().contexts().Destroy(context));
}

CUresult Release(Call& call, CUdevice device) { return Looked(call, call.session().contexts().ReleasePrimary(device)); }

CUresult Reset(Call& call, CUdevice device) { return Looked(call, call.session().contexts().ResetPrimary(device)); }

}  // namespace

CUresult cuCtxSynchronize(Call& call) { return Settled(call, call.driver().cuCtxSynchronize()); }

CUresult cuCtxSynchronize_v2(Call& call, CUcontext ctx) {
  const auto synchronize = call.driver().cuCtxSynchronize_v2;
  return synchronize == nullptr ? CUDA_ERROR_NOT_SUPPORTED : Settled(call, synchronize(ctx));
}

CUresult cuCtxDestroy(Call& call, CUcontext ctx) { return Destroy(call, ctx); }
CUresult cuCtxDestroy_v2(Call& call, CUcontext ctx) { return Destroy(call, ctx); }
CUresult cuDevicePrimaryCtxRelease(Call& call, CUdevice dev) { return Release(call, dev); }
CUresult cuDevicePrimaryCtxRelease_v2(Call& call, CUdevice dev) { return Release(call, dev); }
CUresult cuDevicePrimaryCtxReset(Call& call, CUdevice dev) { return Reset(call, dev); }
CUresult cuDevicePrimaryCtxReset_v2(Call& call, CUdevice dev) { return Reset(call, dev); }

CUresult outboardTakeEarlier(Call&) { return CUDA_SUCCESS; }

CUresult outboardPrimaryCtxRetain(Call& call, CUdevice device) {
  CUcontext context = nullptr;
  Contexts& contexts = call.session().contexts();
  const CUresult result = Looked(call, contexts.RetainPrimary(&context, device));
  if (result != CUDA_SUCCESS) return result;
  const CUresult noted = NotePrimary(call, device, context);
  if (noted != CUDA_SUCCESS) contexts.ReleasePrimary(device);
  return noted;
}

CUresult outboardGreenCtxCreate(Call& call, CUgreenCtx* green, unsigned long long context, CUdevResourceDesc desc,
                                CUdevice device, unsigned int flags) {
  if (IsPrimaryContext(context)) return CUDA_ERROR_INVALID_VALUE;
  Contexts& contexts = call.session().contexts();
  CUcontext converted = nullptr, primary = nullptr;
  CUresult result = contexts.CreateGreen(green, &converted, &primary, desc, device, flags);
  if (result != CUDA_SUCCESS) return result;
  result = NotePrimary(call, device, primary);
  const wire::HandleId owner = wire::PrimaryContextHandle(call.session().ClientDevice(device));
  const bool is_added =
      result == CUDA_SUCCESS && call.session().handles().Add(wire::HandleKind::kContext, context, converted, owner);
  if (is_added) return Looked(call, CUDA_SUCCESS);
  contexts.DestroyGreen(*green);
  return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
}

CUresult cuGreenCtxDestroy(Call& call, CUgreenCtx hCtx) {
  return Looked(call, call.session().contexts().DestroyGreen(hCtx));
}

// Which context is current, each command says itself.
CUresult outboardCtxCreate(Call& call, CUcontext* context, unsigned int flags, CUdevice device) {
  return Looked(call, call.session().contexts().Create(context, flags, device));
}

CUresult cuCtxSetLimit(Call& call, CUlimit limit, size_t value) {
  const CUresult result = call.driver().cuCtxSetLimit(limit, value);
  call.session().LookForUnseenMemory();
  return result;
}

}  // namespace outboard::worker::custom
