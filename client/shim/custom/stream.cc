#include "client/shim/call.h"
#include "client/shim/context_objects.h"
#include "client/shim/custom.gen.h"
#include "client/shim/remote.gen.h"

// Stream management: which context a stream belongs to, and what follows from there being no captures yet.

namespace outboard::custom {
namespace {

CUresult Note(CUresult created, CUstream* stream) {
  if (created == CUDA_SUCCESS) {
    shim::Process::Get().context_objects().Add(reinterpret_cast<wire::HandleId>(*stream), shim::CurrentContext());
  }
  return created;
}

CUresult Destroy(CUstream stream) {
  const auto id = reinterpret_cast<wire::HandleId>(stream);
  // The driver refuses to destroy the streams that every context has.
  const CUresult result = remote::cuStreamDestroy_v2(stream, !wire::IsBuiltInStream(id));
  shim::Process& process = shim::Process::Get();
  // Not by the result, which may be that of an earlier call.
  if (process.Enter() == CUDA_SUCCESS && !process.session().ids().IsLive(wire::HandleKind::kStream, id)) {
    process.context_objects().Remove(id);
  }
  return result;
}

// Runs body(Process&, CUcontext) if the stream is one.
template <class Body>
CUresult StreamCall(CUstream stream, Body body) {
  return shim::LocalInContext([&](shim::Process& process, CUcontext context) -> CUresult {
    if (!process.session().ids().IsLive(wire::HandleKind::kStream, reinterpret_cast<wire::HandleId>(stream))) {
      return CUDA_ERROR_INVALID_HANDLE;
    }
    return body(process, context);
  });
}

// The stream's own context, or the current one for the streams that every context has.
CUresult GetContext(CUstream stream, CUcontext* out, CUgreenCtx* green, bool wants_green) {
  return StreamCall(stream, [&](shim::Process& process, CUcontext current) -> CUresult {
    if (out == nullptr || (wants_green && green == nullptr)) return CUDA_ERROR_INVALID_VALUE;
    const CUcontext own = process.context_objects().ContextOf(reinterpret_cast<wire::HandleId>(stream));
    *out = own != nullptr ? own : current;
    if (wants_green) *green = nullptr;
    return CUDA_SUCCESS;
  });
}

CUresult IsCapturing(CUstream stream, CUstreamCaptureStatus* status) {
  return StreamCall(stream, [&](shim::Process&, CUcontext) -> CUresult {
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *status = CU_STREAM_CAPTURE_STATUS_NONE;
    return CUDA_SUCCESS;
  });
}

}  // namespace

CUresult cuStreamCreate(CUstream* phStream, unsigned int Flags) {
  return Note(remote::cuStreamCreate(phStream, Flags), phStream);
}

CUresult cuStreamCreateWithPriority(CUstream* phStream, unsigned int flags, int priority) {
  return Note(remote::cuStreamCreateWithPriority(phStream, flags, priority), phStream);
}

CUresult cuStreamDestroy_v2(CUstream hStream) { return Destroy(hStream); }
CUresult cuStreamDestroy(CUstream hStream) { return Destroy(hStream); }

CUresult cuStreamWaitEvent(CUstream hStream, CUevent hEvent, unsigned int Flags) {
  return remote::cuStreamWaitEvent(hStream, hEvent, Flags, shim::IsOfCurrentContext(hStream));
}

CUresult cuStreamGetCtx(CUstream hStream, CUcontext* pctx) { return GetContext(hStream, pctx, nullptr, false); }

CUresult cuStreamGetCtx_v2(CUstream hStream, CUcontext* pCtx, CUgreenCtx* pGreenCtx) {
  return GetContext(hStream, pCtx, pGreenCtx, true);
}

CUresult cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus* captureStatus) {
  return IsCapturing(hStream, captureStatus);
}

CUresult cuStreamGetCaptureInfo(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t*) {
  return IsCapturing(hStream, captureStatus_out);
}

CUresult cuStreamGetCaptureInfo_v2(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t*, CUgraph*,
                                   const CUgraphNode**, size_t*) {
  return IsCapturing(hStream, captureStatus_out);
}

CUresult cuStreamGetCaptureInfo_v3(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t*, CUgraph*,
                                   const CUgraphNode**, const CUgraphEdgeData**, size_t*) {
  return IsCapturing(hStream, captureStatus_out);
}

}  // namespace outboard::custom
