#include <memory>
#include <optional>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/context_objects.h"
#include "client/shim/custom.gen.h"
#include "client/shim/remote.gen.h"

// Stream management: which context a stream belongs to, and what captures prohibit. The captures are in capture.cc.

namespace outboard::custom {
namespace {

CUresult Note(CUresult created, CUstream* stream) {
  shim::Process& process = shim::Process::Get();
  if (created == CUDA_SUCCESS) {
    const CUgreenCtx green = shim::CurrentGreen(process);
    process.context_objects().Add(reinterpret_cast<wire::HandleId>(*stream), shim::CurrentHome(), green);
  }
  return created;
}

// The driver refuses to destroy the streams that every context has, and those of a green context that is gone.
bool CanDestroy(CUstream stream) {
  const auto id = reinterpret_cast<wire::HandleId>(stream);
  return !wire::IsBuiltInStream(id) && shim::Process::Get().context_objects().ContextOf(id) != nullptr;
}

CUresult Destroy(CUstream stream) {
  const auto id = reinterpret_cast<wire::HandleId>(stream);
  const CUresult result = remote::cuStreamDestroy_v2(stream, CanDestroy(stream));
  shim::Process& process = shim::Process::Get();
  // Not by the result, which may be that of an earlier call.
  if (process.Enter() == CUDA_SUCCESS && !process.session().ids().IsLive(wire::HandleKind::kStream, id)) {
    if (shim::CapturesOf(process).any()) {
      shim::CapturesOf(process).StreamDestroyed({id, shim::CurrentHome(), false, false});
    }
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

// The contexts of a stream: for the streams that every context has, those of the current one.
struct OfStream {
  CUcontext home;    // never a green one
  CUgreenCtx green;  // null for none
};

// Runs body(Process&, OfStream) if the stream is one.
template <class Body>
CUresult OwnerCall(CUstream stream, Body body) {
  return StreamCall(stream, [&](shim::Process& process, CUcontext) -> CUresult {
    const auto id = reinterpret_cast<wire::HandleId>(stream);
    if (wire::IsBuiltInStream(id)) {
      const CUgreenCtx green = shim::CurrentGreen(process);
      if (green != nullptr && stream == CU_STREAM_PER_THREAD) return CUDA_ERROR_INVALID_HANDLE;
      return body(process, OfStream{shim::CurrentHome(), green});
    }
    const CUcontext home = process.context_objects().ContextOf(id);
    // The stream outlives its green context.
    if (home == nullptr) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return body(process, OfStream{home, process.context_objects().GreenOf(id)});
  });
}

// A wait in a stream that captures, or for an event that was captured; nullopt when it is to be done.
std::optional<CUresult> CaptureWait(CUstream stream, CUevent event, bool external) {
  shim::Process& process = shim::Process::Get();
  if (process.Enter() != CUDA_SUCCESS) return std::nullopt;
  shim::GraphModel& model = process.graph_model();
  const auto id = reinterpret_cast<wire::HandleId>(event);
  const bool concerns_captures = model.graphs.captures.any() || model.events.any();
  if (concerns_captures && process.session().ids().IsLive(wire::HandleKind::kEvent, id)) {
    graphs::StreamId stream_id;
    if (CUresult result = shim::FindStreamId(process, stream, true, &stream_id); result != CUDA_SUCCESS) return result;
    const auto node = [&](graphs::Content* content) {
      *content = std::make_shared<const shim::GraphOperation>(shim::WaitOperation{event});
      return CUDA_SUCCESS;
    };
    const auto captured = model.events.With(event, [&](const graphs::CapturableEvent& entry) {
      return model.graphs.captures.Wait(stream_id, entry, external ? node : graphs::Captures::MakeNode());
    });
    if (captured) return captured;
  }
  return external ? std::optional(CUDA_ERROR_INVALID_VALUE) : std::nullopt;  // it is for captures
}

CUresult Refuse(CUstream stream) {
  shim::Process& process = shim::Process::Get();
  return process.Enter() == CUDA_SUCCESS ? shim::RefuseOn(process, stream) : CUDA_SUCCESS;
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
  // The driver says what is wrong with other flags.
  if ((Flags & ~unsigned{CU_EVENT_WAIT_EXTERNAL}) == 0) {
    if (const auto captured = CaptureWait(hStream, hEvent, Flags != 0)) return *captured;
  }
  const auto event = reinterpret_cast<wire::HandleId>(hEvent);
  const bool is_shared = shim::Process::Get().context_objects().IsShared(event);
  return remote::cuStreamWaitEvent(hStream, hEvent, Flags, !is_shared && shim::IsOfCurrentContext(hStream));
}

CUresult cuStreamGetCtx(CUstream hStream, CUcontext* pctx) {
  return OwnerCall(hStream, [&](shim::Process& process, OfStream owner) -> CUresult {
    if (pctx == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pctx = owner.home;
    return owner.green == nullptr ? CUDA_SUCCESS : process.contexts().FindGreen(owner.green, pctx);
  });
}

CUresult cuStreamGetCtx_v2(CUstream hStream, CUcontext* pCtx, CUgreenCtx* pGreenCtx) {
  return OwnerCall(hStream, [&](shim::Process&, OfStream owner) -> CUresult {
    if (pCtx == nullptr || pGreenCtx == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pCtx = owner.home;
    *pGreenCtx = owner.green;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamGetGreenCtx(CUstream hStream, CUgreenCtx* phCtx) {
  return OwnerCall(hStream, [&](shim::Process&, OfStream owner) -> CUresult {
    if (phCtx == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *phCtx = owner.green;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamSynchronize(CUstream hStream) {
  const CUresult refused = Refuse(hStream);
  return refused == CUDA_SUCCESS ? remote::cuStreamSynchronize(hStream) : refused;
}

CUresult cuStreamQuery(CUstream hStream) {
  const CUresult refused = Refuse(hStream);
  return refused == CUDA_SUCCESS ? remote::cuStreamQuery(hStream) : refused;
}

}  // namespace outboard::custom
