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

CUresult Release(Call& call, CUdevice device) {
  return EndPrimary(call, device, [&] { return call.driver().cuDevicePrimaryCtxRelease_v2(device); });
}

CUresult Reset(Call& call, CUdevice device) {
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
  HandleTable& handles = call.session().handles();
  const wire::HandleId handle = wire::PrimaryContextHandle(call.session().ClientDevice(device));
  const auto found = handles.Find(wire::HandleKind::kContext, handle);
  if (found == std::optional<void*>(context)) return CUDA_SUCCESS;
  if (found.has_value()) handles.Remove(handle);
  if (handles.Add(wire::HandleKind::kContext, handle, context)) return CUDA_SUCCESS;
  call.driver().cuDevicePrimaryCtxRelease_v2(device);
  return CUDA_ERROR_UNKNOWN;
}

CUresult outboardCtxCreate(Call& call, CUcontext* context, unsigned int flags, CUdevice device) {
  const CUresult result = call.driver().cuCtxCreate_v2(context, flags, device);
  if (result != CUDA_SUCCESS) return result;
  // Which context is current, each command says itself.
  CUcontext popped;
  return call.driver().cuCtxPopCurrent_v2(&popped);
}

}  // namespace outboard::worker::custom
