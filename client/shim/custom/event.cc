#include <memory>
#include <optional>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/context_objects.h"
#include "client/shim/custom.gen.h"
#include "client/shim/remote.gen.h"

// Event management: which context an event belongs to, since it can be recorded in streams of that one alone.

namespace outboard::custom {
namespace {

CUresult Destroy(CUevent event) {
  const CUresult result = remote::cuEventDestroy_v2(event);
  shim::Process& process = shim::Process::Get();
  const auto id = reinterpret_cast<wire::HandleId>(event);
  // Not by the result, which may be that of an earlier call.
  if (process.Enter() == CUDA_SUCCESS && !process.session().ids().IsLive(wire::HandleKind::kEvent, id)) {
    process.context_objects().Remove(id);
    process.graph_model().events.Recorded(event);
  }
  return result;
}

// Whether event and stream are of the current context for sure, so that the driver will record; and nobody else sees
// whether it has.
bool NeedNotWait(CUevent event, CUstream stream) {
  const shim::ContextObjects& objects = shim::Process::Get().context_objects();
  const auto id = reinterpret_cast<wire::HandleId>(event);
  return objects.ContextOf(id) == shim::CurrentHome() && shim::IsOfCurrentContext(stream) && !objects.IsShared(id);
}

// A record in a stream that captures; nullopt when it is to be done.
std::optional<CUresult> Capture(CUevent event, CUstream stream, bool external) {
  shim::Process& process = shim::Process::Get();
  if (process.Enter() != CUDA_SUCCESS) return std::nullopt;
  shim::GraphModel& model = process.graph_model();
  const auto id = reinterpret_cast<wire::HandleId>(event);
  if (model.graphs.captures.any() && process.session().ids().IsLive(wire::HandleKind::kEvent, id)) {
    graphs::StreamId stream_id;
    if (CUresult result = shim::FindStreamId(process, stream, false, &stream_id); result != CUDA_SUCCESS) return result;
    if (stream_id.context != process.context_objects().ContextOf(id)) return CUDA_ERROR_INVALID_HANDLE;
    const auto node = [&](graphs::Content* content) {
      *content = std::make_shared<const shim::GraphOperation>(shim::RecordOperation{event});
      return CUDA_SUCCESS;
    };
    const auto captured = model.events.With(event, [&](graphs::CapturableEvent& entry) {
      return model.graphs.captures.Record(stream_id, entry, external ? node : graphs::Captures::MakeNode());
    });
    if (captured) return captured;
  }
  if (external) return CUDA_ERROR_INVALID_VALUE;  // it is for captures
  model.events.Recorded(event);
  return std::nullopt;
}

// An event that is asked about must not stand for nodes of a graph,
CUresult RefuseTime(CUevent start, CUevent end) {
  shim::Process& process = shim::Process::Get();
  if (process.Enter() != CUDA_SUCCESS) return CUDA_SUCCESS;
  const CUresult refused = shim::RefuseEvent(process, start);
  return refused == CUDA_SUCCESS ? shim::RefuseEvent(process, end) : refused;
}

// and asking must not be prohibited by a capture.
CUresult RefuseQuestion(CUevent event) {
  shim::Process& process = shim::Process::Get();
  if (process.Enter() != CUDA_SUCCESS) return CUDA_SUCCESS;
  const CUresult refused = shim::RefuseEvent(process, event);
  return refused == CUDA_SUCCESS ? shim::RefuseUnsafe(process) : refused;
}

}  // namespace

CUresult cuEventCreate(CUevent* phEvent, unsigned int Flags) {
  const CUresult result = remote::cuEventCreate(phEvent, Flags);
  if (result == CUDA_SUCCESS) {
    const auto id = reinterpret_cast<wire::HandleId>(*phEvent);
    shim::Process::Get().context_objects().Add(id, shim::CurrentHome());
    if ((Flags & CU_EVENT_INTERPROCESS) != 0) shim::Process::Get().context_objects().SetShared(id);
  }
  return result;
}

CUresult cuEventDestroy_v2(CUevent hEvent) { return Destroy(hEvent); }
CUresult cuEventDestroy(CUevent hEvent) { return Destroy(hEvent); }

CUresult cuEventRecord(CUevent hEvent, CUstream hStream) {
  if (const auto captured = Capture(hEvent, hStream, false)) return *captured;
  return remote::cuEventRecord(hEvent, hStream, NeedNotWait(hEvent, hStream));
}

CUresult cuEventRecordWithFlags(CUevent hEvent, CUstream hStream, unsigned int flags) {
  // The driver says what is wrong with other flags.
  if ((flags & ~unsigned{CU_EVENT_RECORD_EXTERNAL}) == 0) {
    if (const auto captured = Capture(hEvent, hStream, flags != 0)) return *captured;
  }
  return remote::cuEventRecordWithFlags(hEvent, hStream, flags, NeedNotWait(hEvent, hStream));
}

CUresult cuEventQuery(CUevent hEvent) {
  const CUresult refused = RefuseQuestion(hEvent);
  return refused == CUDA_SUCCESS ? remote::cuEventQuery(hEvent) : refused;
}

CUresult cuEventSynchronize(CUevent hEvent) {
  const CUresult refused = RefuseQuestion(hEvent);
  return refused == CUDA_SUCCESS ? remote::cuEventSynchronize(hEvent) : refused;
}

CUresult cuEventElapsedTime(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  const CUresult refused = RefuseTime(hStart, hEnd);
  return refused == CUDA_SUCCESS ? remote::cuEventElapsedTime(pMilliseconds, hStart, hEnd) : refused;
}

CUresult cuEventElapsedTime_v2(float* pMilliseconds, CUevent hStart, CUevent hEnd) {
  const CUresult refused = RefuseTime(hStart, hEnd);
  return refused == CUDA_SUCCESS ? remote::cuEventElapsedTime_v2(pMilliseconds, hStart, hEnd) : refused;
}

}  // namespace outboard::custom
