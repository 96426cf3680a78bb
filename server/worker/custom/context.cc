#include "server/worker/allocations.h"
#include "server/worker/arrays.h"
#include "server/worker/call.h"
#include "server/worker/copies.h"
#include "server/worker/custom.gen.h"
#include "server/worker/exports.h"
#include "server/worker/graph_memory.h"
#include "server/worker/graphs.h"
#include "server/worker/session.h"
#include "server/worker/texture_objects.h"
#include "server/worker/uploads.h"

// Context management and primary context management.

namespace outboard::worker::custom {
namespace {

// What ends with a context.
void ForgetOwned(Call& call, CUcontext context, wire::HandleId handle) {
  call.session().graph_memory().ForgetContext(context);
  call.session().allocations().ForgetContext(context);
  call.session().arrays().ForgetContext(context);
  call.session().exports().ForgetContext(context);
  call.session().texture_objects().ForgetContext(context);
  if (handle != 0) call.session().uploads().Forget(call.session().handles().RemoveOwned(handle));
  call.session().LookForUnseenMemory();
}

// Ends `context` by end(), which is the driver's call. What the client is to see of its work has gone before.
template <class End>
CUresult EndContext(Call& call, CUcontext context, End end) {
  call.session().copies().ForgetContext(context);
  call.session().graphs().ForgetContext(context);
  call.session().gate().ForgetContext(context);
  const wire::HandleId handle = call.session().handles().HandleOf(wire::HandleKind::kContext, context);
  const CUresult result = end();
  if (result != CUDA_SUCCESS) return result;
  ForgetOwned(call, context, handle);
  return result;
}

// The same for the primary context of a device, which may live on when others still hold it.
template <class End>
CUresult EndPrimary(Call& call, CUdevice device, End end) {
  const wire::HandleId handle = wire::PrimaryContextHandle(call.session().ClientDevice(device));
  const auto found = call.session().handles().Find(wire::HandleKind::kContext, handle);
  if (!found.has_value()) return end();
  const auto context = static_cast<CUcontext>(*found);
  call.session().copies().ForgetContext(context);
  call.session().gate().ForgetContext(context);
  const CUresult result = end();
  unsigned flags;
  int active = 1;
  if (call.driver().cuDevicePrimaryCtxGetState(device, &flags, &active) == CUDA_SUCCESS && active == 0) {
    call.session().graphs().ForgetContext(context);
    ForgetOwned(call, context, handle);
  }
  return result;
}

CUresult Destroy(Call& call, CUcontext context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return EndContext(call, context, [&] { return call.driver().cuCtxDestroy_v2(context); });
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

// Ends what the worker keeps of a green context's streams. What the client is to see of their work has gone before.
void ForgetGreenStreams(Call& call, CUcontext converted) {
  call.session().copies().ForgetContext(converted);
  call.session().gate().ForgetContext(converted);
}

// Before the primary context of a device is reset: its green contexts end with it.
void EndGreenContexts(Call& call, CUdevice device) {
  HandleTable& handles = call.session().handles();
  const wire::HandleId primary = wire::PrimaryContextHandle(call.session().ClientDevice(device));
  handles.ForEach(wire::HandleKind::kGreenContext, [&](wire::HandleId id, void* object) {
    const auto green = static_cast<CUgreenCtx>(object);
    CUcontext converted = nullptr;
    if (call.driver().cuCtxFromGreenCtx(&converted, green) != CUDA_SUCCESS) return;
    const wire::HandleId handle = handles.HandleOf(wire::HandleKind::kContext, converted);
    if (handles.OwnerOf(handle) != primary) return;
    ForgetGreenStreams(call, converted);
    call.driver().cuGreenCtxDestroy(green);
    handles.Remove(handle);
    handles.Remove(id);
  });
}

CUresult Release(Call& call, CUdevice device) {
  return EndPrimary(call, device, [&] { return call.driver().cuDevicePrimaryCtxRelease_v2(device); });
}

CUresult Reset(Call& call, CUdevice device) {
  EndGreenContexts(call, device);
  return EndPrimary(call, device, [&] { return call.driver().cuDevicePrimaryCtxReset_v2(device); });
}

CUresult Settled(Call& call, CUresult result) {
  call.session().SettleMemory();
  return result;
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
  const CUresult result = call.driver().cuDevicePrimaryCtxRetain(&context, device);
  if (result != CUDA_SUCCESS) return result;
  call.session().LookForUnseenMemory();
  const CUresult noted = NotePrimary(call, device, context);
  if (noted != CUDA_SUCCESS) call.driver().cuDevicePrimaryCtxRelease_v2(device);
  return noted;
}

CUresult outboardGreenCtxCreate(Call& call, CUgreenCtx* green, unsigned long long context, CUdevResourceDesc desc,
                                CUdevice device, unsigned int flags) {
  const driver::DriverTable& driver = call.driver();
  if (driver.cuGreenCtxCreate == nullptr || driver.cuCtxFromGreenCtx == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (IsPrimaryContext(context)) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = driver.cuGreenCtxCreate(green, desc, device, flags);
  if (result != CUDA_SUCCESS) return result;
  CUcontext converted = nullptr, primary = nullptr;
  result = driver.cuCtxFromGreenCtx(&converted, *green);
  if (result == CUDA_SUCCESS) result = driver.cuDevicePrimaryCtxRetain(&primary, device);
  if (result == CUDA_SUCCESS) {
    result = NotePrimary(call, device, primary);
    driver.cuDevicePrimaryCtxRelease_v2(device);  // the green context has it
  }
  const wire::HandleId owner = wire::PrimaryContextHandle(call.session().ClientDevice(device));
  const bool is_added =
      result == CUDA_SUCCESS && call.session().handles().Add(wire::HandleKind::kContext, context, converted, owner);
  if (is_added) return CUDA_SUCCESS;
  driver.cuGreenCtxDestroy(*green);
  return result == CUDA_SUCCESS ? CUDA_ERROR_INVALID_VALUE : result;
}

CUresult cuGreenCtxDestroy(Call& call, CUgreenCtx hCtx) {
  const driver::DriverTable& driver = call.driver();
  if (driver.cuGreenCtxDestroy == nullptr || driver.cuCtxFromGreenCtx == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  CUcontext converted = nullptr;
  if (const CUresult found = driver.cuCtxFromGreenCtx(&converted, hCtx); found != CUDA_SUCCESS) return found;
  HandleTable& handles = call.session().handles();
  const wire::HandleId handle = handles.HandleOf(wire::HandleKind::kContext, converted);
  const wire::HandleId primary = handles.OwnerOf(handle);
  const LeasedDevice* device = call.session().FindDevice(static_cast<CUdevice>(wire::SlotOf(primary)));
  if (primary == 0 || device == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
  ForgetGreenStreams(call, converted);
  handles.Remove(handle);
  return EndPrimary(call, device->ordinal, [&] { return driver.cuGreenCtxDestroy(hCtx); });
}

CUresult outboardCtxCreate(Call& call, CUcontext* context, unsigned int flags, CUdevice device) {
  const CUresult result = call.driver().cuCtxCreate_v2(context, flags, device);
  if (result != CUDA_SUCCESS) return result;
  call.session().LookForUnseenMemory();
  // Which context is current, each command says itself.
  CUcontext popped;
  return call.driver().cuCtxPopCurrent_v2(&popped);
}

CUresult cuCtxSetLimit(Call& call, CUlimit limit, size_t value) {
  const CUresult result = call.driver().cuCtxSetLimit(limit, value);
  call.session().LookForUnseenMemory();
  return result;
}

}  // namespace outboard::worker::custom
