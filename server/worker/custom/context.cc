#include <vector>

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

struct GreenContext {
  wire::HandleId handle, converted_handle;
  CUgreenCtx green;
  CUcontext converted;
};

// Those that end with the primary context of a device.
std::vector<GreenContext> GreenContextsOf(Call& call, CUdevice device) {
  HandleTable& handles = call.session().handles();
  const wire::HandleId primary = wire::PrimaryContextHandle(call.session().ClientDevice(device));
  std::vector<GreenContext> found;
  handles.ForEach(wire::HandleKind::kGreenContext, [&](wire::HandleId id, void* object) {
    GreenContext each{id, 0, static_cast<CUgreenCtx>(object), nullptr};
    if (call.driver().cuCtxFromGreenCtx(&each.converted, each.green) != CUDA_SUCCESS) return;
    each.converted_handle = handles.HandleOf(wire::HandleKind::kContext, each.converted);
    if (handles.OwnerOf(each.converted_handle) == primary) found.push_back(each);
  });
  return found;
}

// Has end() take one user away from the primary context, a green context (`ended`) or another one. If that was the last
// one, the green contexts that are left have ended with it, and their handles go too: the driver may give the same
// objects out again.
template <class End>
CUresult EndUser(Call& call, CUdevice device, CUgreenCtx ended, End end) {
  const auto greens = GreenContextsOf(call, device);
  const CUresult result = end();
  unsigned flags;
  int active = 1;
  if (greens.empty() || call.driver().cuDevicePrimaryCtxGetState(device, &flags, &active) != CUDA_SUCCESS || active)
    return result;
  for (const GreenContext& each : greens) {
    if (each.green != ended && call.session().handles().Remove(each.handle))
      call.driver().cuGreenCtxDestroy(each.green);
  }
  return result;
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

CUresult Release(Call& call, CUdevice device) {
  return Looked(call, EndUser(call, device, nullptr, [&] { return call.session().contexts().ReleasePrimary(device); }));
}

CUresult Reset(Call& call, CUdevice device) {
  HandleTable& handles = call.session().handles();
  for (const GreenContext& each : GreenContextsOf(call, device)) {
    call.session().ForgetGreenStreams(each.converted);
    call.session().contexts().DestroyGreen(each.green, device);
    handles.Remove(each.converted_handle);
    handles.Remove(each.handle);
  }
  return Looked(call, call.session().contexts().ResetPrimary(device));
}

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
  contexts.DestroyGreen(*green, device);
  return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
}

CUresult cuGreenCtxDestroy(Call& call, CUgreenCtx hCtx) {
  const driver::DriverTable& driver = call.driver();
  if (driver.cuCtxFromGreenCtx == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  CUcontext converted = nullptr;
  if (const CUresult found = driver.cuCtxFromGreenCtx(&converted, hCtx); found != CUDA_SUCCESS) return found;
  HandleTable& handles = call.session().handles();
  const wire::HandleId handle = handles.HandleOf(wire::HandleKind::kContext, converted);
  const wire::HandleId primary = handles.OwnerOf(handle);
  const LeasedDevice* device = call.session().FindDevice(static_cast<CUdevice>(wire::SlotOf(primary)));
  if (primary == 0 || device == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  call.session().ForgetGreenStreams(converted);
  const CUresult result = EndUser(call, device->ordinal, hCtx,
                                  [&] { return call.session().contexts().DestroyGreen(hCtx, device->ordinal); });
  if (result == CUDA_SUCCESS) handles.Remove(handle);
  return Looked(call, result);
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
