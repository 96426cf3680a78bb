#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/context_objects.h"
#include "client/shim/custom.gen.h"
#include "client/shim/remote.gen.h"
#include "common/base/number_of.h"

// Context management. The stacks of current contexts are the client's; every command says the context that it runs in.

namespace outboard::custom {
namespace {

CUresult Create(CUcontext* pctx, unsigned flags, CUdevice device, unsigned api_version) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (pctx == nullptr) return CUDA_ERROR_INVALID_VALUE;
    CUcontext context = nullptr;
    const CUresult result = remote::outboardCtxCreate(&context, flags, device);
    if (result != CUDA_SUCCESS) return result;
    process.contexts().Add(context, {.device = device, .api_version = api_version});
    shim::PushContext(context);
    *pctx = context;
    return CUDA_SUCCESS;
  });
}

CUresult Destroy(CUcontext ctx) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    const auto info = process.contexts().Find(ctx);
    if (!info || info->is_primary || info->green != nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    const CUresult result = remote::cuCtxDestroy_v2(ctx);
    // The result may be that of an earlier call; and an error that a kernel left behind does not save the context.
    const auto id = reinterpret_cast<wire::HandleId>(ctx);
    if (process.contexts().healthy() && process.session().ids().IsLive(wire::HandleKind::kContext, id)) return result;
    process.session().ids().Release(id);
    process.contexts().Remove(ctx);
    process.ForgetContext(ctx);
    if (shim::CurrentContext() == ctx) shim::PopContext();
    return result;
  });
}

CUresult Push(CUcontext ctx) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    const auto info = process.contexts().Find(ctx);
    if (!info) return CUDA_ERROR_INVALID_CONTEXT;
    shim::PushContext(ctx, info->home);
    return CUDA_SUCCESS;
  });
}

CUresult Pop(CUcontext* pctx) {
  return shim::Local([&](shim::Process&) -> CUresult {
    const CUcontext popped = shim::PopContext();
    if (popped == nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (pctx != nullptr) *pctx = popped;
    return CUDA_SUCCESS;
  });
}

bool IsActive(CUcontext ctx) {
  const auto info = shim::Process::Get().contexts().Find(ctx);
  return info && info->is_active;
}

// For what concerns all streams of a context.
CUresult Refuse(CUcontext ctx) {
  shim::Process& process = shim::Process::Get();
  return process.Enter() == CUDA_SUCCESS ? shim::RefuseIn(process, ctx) : CUDA_SUCCESS;
}

// Whether other processes know the event too.
bool IsShared(CUevent event) {
  return shim::Process::Get().context_objects().IsShared(reinterpret_cast<wire::HandleId>(event));
}

}  // namespace

CUresult cuCtxCreate(CUcontext* pctx, unsigned int flags, CUdevice dev) { return Create(pctx, flags, dev, 3010); }

CUresult cuCtxCreate_v2(CUcontext* pctx, unsigned int flags, CUdevice dev) { return Create(pctx, flags, dev, 3020); }

CUresult cuCtxCreate_v3(CUcontext* pctx, CUexecAffinityParam*, int numParams, unsigned int flags, CUdevice dev) {
  if (numParams != 0) return shim::Local([](shim::Process&) { return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY; });
  return Create(pctx, flags, dev, 3020);
}

CUresult cuCtxCreate_v4(CUcontext* pctx, CUctxCreateParams* ctxCreateParams, unsigned int flags, CUdevice dev) {
  if (ctxCreateParams != nullptr &&
      (ctxCreateParams->numExecAffinityParams != 0 || ctxCreateParams->cigParams != nullptr)) {
    return shim::Local([](shim::Process&) { return CUDA_ERROR_NOT_SUPPORTED; });
  }
  return Create(pctx, flags, dev, 3020);
}

CUresult cuCtxDestroy_v2(CUcontext ctx) { return Destroy(ctx); }
CUresult cuCtxDestroy(CUcontext ctx) { return Destroy(ctx); }

// A primary context's users are counted by the driver, as those of cuDevicePrimaryCtxRetain are.
CUresult cuCtxAttach(CUcontext* pctx, unsigned int flags) {
  return shim::LocalInContext([&](shim::Process& process, CUcontext context) -> CUresult {
    if (pctx == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    const auto info = process.contexts().Find(context);
    if (info && (info->is_primary || info->green != nullptr)) {
      return custom::cuDevicePrimaryCtxRetain(pctx, info->device);
    }
    if (!process.contexts().Attach(context)) return CUDA_ERROR_INVALID_CONTEXT;
    *pctx = context;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxDetach(CUcontext ctx) {
  return shim::LocalInContext([&](shim::Process& process, CUcontext current) -> CUresult {
    const auto info = process.contexts().Find(ctx);
    if (ctx != current || !info || info->green != nullptr) return CUDA_ERROR_INVALID_CONTEXT;
    if (!info->is_primary) return process.contexts().Detach(ctx) ? CUDA_SUCCESS : Destroy(ctx);
    const CUresult result = custom::cuDevicePrimaryCtxRelease_v2(info->device);
    const auto left = process.contexts().Find(ctx);
    if (left && !left->is_active) shim::PopContext();
    return result;
  });
}

CUresult cuCtxPushCurrent_v2(CUcontext ctx) { return Push(ctx); }
CUresult cuCtxPushCurrent(CUcontext ctx) { return Push(ctx); }

CUresult cuCtxPopCurrent_v2(CUcontext* pctx) { return Pop(pctx); }
CUresult cuCtxPopCurrent(CUcontext* pctx) { return Pop(pctx); }

CUresult cuCtxSetCurrent(CUcontext ctx) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    const auto info = ctx == nullptr ? shim::Contexts::Info{} : process.contexts().Find(ctx);
    if (!info) return CUDA_ERROR_INVALID_CONTEXT;
    shim::SetCurrentContext(ctx, info->home);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* pctx) {
  return shim::Local([&](shim::Process&) -> CUresult {
    if (pctx == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pctx = shim::CurrentContext();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice_v2(CUdevice* device, CUcontext ctx) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    shim::Contexts::Info info;
    if (const CUresult found = process.contexts().Resolve(&ctx, &info); found != CUDA_SUCCESS) return found;
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *device = info.device;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) { return cuCtxGetDevice_v2(device, nullptr); }

// A primary context that was reset still answers: the runtime asks again when a device is reset twice.
CUresult cuCtxGetApiVersion(CUcontext ctx, unsigned int* version) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (version == nullptr) return CUDA_ERROR_INVALID_VALUE;
    shim::Contexts::Info info;
    if (ctx == nullptr) {
      if (const CUresult found = process.contexts().Resolve(&ctx, &info); found != CUDA_SUCCESS) return found;
    } else {
      const auto found = process.contexts().Find(ctx);
      if (!found) return CUDA_ERROR_INVALID_CONTEXT;
      info = *found;
    }
    *version = info.api_version;
    return CUDA_SUCCESS;
  });
}

// No context has one: cuCtxCreate_v3 makes none with it.
CUresult cuCtxGetExecAffinity(CUexecAffinityParam* pExecAffinity, CUexecAffinityType type) {
  return shim::LocalInContext([&](shim::Process&, CUcontext) {
    return pExecAffinity == nullptr || NumberOf(type) >= CU_EXEC_AFFINITY_TYPE_MAX
               ? CUDA_ERROR_INVALID_VALUE
               : CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY;
  });
}

CUresult cuCtxRecordEvent(CUcontext hCtx, CUevent hEvent) {
  if (const CUresult refused = Refuse(hCtx); refused != CUDA_SUCCESS) return refused;
  shim::Process::Get().graph_model().events.Recorded(hEvent);
  const auto event = reinterpret_cast<wire::HandleId>(hEvent);
  const auto info = shim::Process::Get().contexts().Find(hCtx);
  const bool is_of_context = info && shim::Process::Get().context_objects().ContextOf(event) == info->home;
  return remote::cuCtxRecordEvent(hCtx, hEvent, is_of_context && !IsShared(hEvent) && IsActive(hCtx));
}

CUresult cuCtxWaitEvent(CUcontext hCtx, CUevent hEvent) {
  if (const CUresult refused = Refuse(hCtx); refused != CUDA_SUCCESS) return refused;
  const CUresult captured = shim::RefuseEvent(shim::Process::Get(), hEvent);
  if (captured != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  return remote::cuCtxWaitEvent(hCtx, hEvent, !IsShared(hEvent) && IsActive(hCtx));
}

CUresult cuCtxSynchronize() {
  const CUresult refused = Refuse(shim::CurrentContext());
  return refused == CUDA_SUCCESS ? remote::cuCtxSynchronize() : refused;
}

CUresult cuCtxSynchronize_v2(CUcontext ctx) {
  const CUresult refused = Refuse(ctx == nullptr ? shim::CurrentContext() : ctx);
  return refused == CUDA_SUCCESS ? remote::cuCtxSynchronize_v2(ctx) : refused;
}

}  // namespace outboard::custom
