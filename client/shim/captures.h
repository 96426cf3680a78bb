#pragma once

#include <cuda.h>

#include <optional>
#include <utility>

#include "client/shim/graph_model.h"
#include "client/shim/graph_operation.h"
#include "client/shim/process.h"
#include "common/graphs/captures.h"

// What calls ask of the captures under way. While there is none, that costs one load.

namespace outboard::shim {

inline graphs::Captures& CapturesOf(Process& process) { return process.graph_model().graphs.captures; }

// The green context that is current in the calling thread; null for none.
CUgreenCtx CurrentGreen(Process& process);

// The stream as captures know it. Asks the worker once for its flags if `wants_flags`, else it counts as non-blocking.
CUresult FindStreamId(Process& process, CUstream stream, bool wants_flags, graphs::StreamId* id);

// For work that is about to be given to the stream: nullopt when it may be. Else what the call returns, because what
// make(OperationPtr*) makes became a node of the graph that the stream captures, or because of a capture that prohibits
// to use it, or make's error.
template <class Make>
std::optional<CUresult> CaptureInstead(Process& process, CUstream stream, Make make) {
  if (!CapturesOf(process).any()) return std::nullopt;
  graphs::StreamId id;
  if (CUresult result = FindStreamId(process, stream, false, &id); result != CUDA_SUCCESS) return result;
  return CapturesOf(process).Add(id, [&](graphs::Content* content) {
    graphs::OperationPtr operation;
    const CUresult result = make(&operation);
    if (result == CUDA_SUCCESS) *content = std::move(operation);
    return result;
  });
}

// For what cannot be captured, such as to wait for the stream.
CUresult RefuseOn(Process& process, CUstream stream);
// For what no graph would know of, such as cuMemAlloc, by the calling thread's capture mode.
inline CUresult RefuseUnsafe(Process& process) { return CapturesOf(process).RefuseUnsafe(); }
// For what concerns all streams of a context, or of a green one.
CUresult RefuseIn(Process& process, CUcontext context);
// For what asks about an event that a capture recorded.
CUresult RefuseEvent(Process& process, CUevent event);

}  // namespace outboard::shim
