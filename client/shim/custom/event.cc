#include "client/shim/call.h"
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
  }
  return result;
}

// Whether event and stream are of the current context for sure, so that the driver will record.
bool AreOfCurrentContext(CUevent event, CUstream stream) {
  const auto id = reinterpret_cast<wire::HandleId>(event);
  return shim::Process::Get().context_objects().ContextOf(id) == shim::CurrentContext() &&
         shim::IsOfCurrentContext(stream);
}

}  // namespace

CUresult cuEventCreate(CUevent* phEvent, unsigned int Flags) {
  const CUresult result = remote::cuEventCreate(phEvent, Flags);
  if (result == CUDA_SUCCESS) {
    shim::Process::Get().context_objects().Add(reinterpret_cast<wire::HandleId>(*phEvent), shim::CurrentContext());
  }
  return result;
}

CUresult cuEventDestroy_v2(CUevent hEvent) { return Destroy(hEvent); }
CUresult cuEventDestroy(CUevent hEvent) { return Destroy(hEvent); }

CUresult cuEventRecord(CUevent hEvent, CUstream hStream) {
  return remote::cuEventRecord(hEvent, hStream, AreOfCurrentContext(hEvent, hStream));
}

CUresult cuEventRecordWithFlags(CUevent hEvent, CUstream hStream, unsigned int flags) {
  return remote::cuEventRecordWithFlags(hEvent, hStream, flags, AreOfCurrentContext(hEvent, hStream));
}

}  // namespace outboard::custom
