#include "client/shim/captures.h"

#include "client/shim/context_objects.h"
#include "client/shim/contexts.h"
#include "client/shim/remote.gen.h"
#include "client/shim/thread_state.h"

namespace outboard::shim {
namespace {

// Of the calling thread's default stream in its current context.
uint64_t PerThreadId(Process& process, CUcontext context) {
  auto& ids = ThisThread().stream_ids;
  for (const auto& [known, id] : ids) {
    if (known == context) return id;
  }
  ids.emplace_back(context, process.graph_model().graphs.NextId());
  return ids.back().second;
}

}  // namespace

CUgreenCtx CurrentGreen(Process& process) {
  const CUcontext current = CurrentContext();
  if (current == CurrentHome()) return nullptr;
  const auto info = process.contexts().Find(current);
  return info ? info->green : nullptr;
}

CUresult FindStreamId(Process& process, CUstream stream, bool wants_flags, graphs::StreamId* id) {
  const CUcontext current = CurrentHome();
  const CUgreenCtx green = CurrentGreen(process);
  if (stream == CU_STREAM_LEGACY) {
    *id = {0, current, true, true, green};
    return CUDA_SUCCESS;
  }
  if (stream == CU_STREAM_PER_THREAD) {
    if (green != nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *id = {PerThreadId(process, current), current, false, true};
    return CUDA_SUCCESS;
  }
  const auto handle = reinterpret_cast<wire::HandleId>(stream);
  if (!process.session().ids().IsLive(wire::HandleKind::kStream, handle)) return CUDA_ERROR_INVALID_HANDLE;
  unsigned flags = CU_STREAM_NON_BLOCKING;
  const CUresult result = wants_flags ? remote::cuStreamGetFlags(stream, &flags) : CUDA_SUCCESS;
  const ContextObjects& objects = process.context_objects();
  *id = {handle, objects.ContextOf(handle), false, (flags & CU_STREAM_NON_BLOCKING) == 0, objects.GreenOf(handle)};
  return result;
}

CUresult RefuseOn(Process& process, CUstream stream) {
  if (!CapturesOf(process).any()) return CUDA_SUCCESS;
  graphs::StreamId id;
  // The driver says what is wrong with the stream.
  if (FindStreamId(process, stream, false, &id) != CUDA_SUCCESS) return CUDA_SUCCESS;
  return CapturesOf(process).RefuseOn(id);
}

CUresult RefuseIn(Process& process, CUcontext context) {
  if (!CapturesOf(process).any()) return CUDA_SUCCESS;
  const auto info = process.contexts().Find(context);
  const bool is_green = info && info->green != nullptr;
  return CapturesOf(process).RefuseIn(is_green ? static_cast<const void*>(info->green) : context);
}

CUresult RefuseEvent(Process& process, CUevent event) {
  if (!process.graph_model().events.any()) return CUDA_SUCCESS;
  return process.graph_model().events.With(
      event, [&](const graphs::CapturableEvent& captured) { return CapturesOf(process).RefuseEvent(captured); });
}

}  // namespace outboard::shim
