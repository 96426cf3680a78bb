#include <cuda.h>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "common/graphs/capture_calls.h"

// Stream management: captures, which the client keeps. The worker never hears of one.

namespace outboard::custom {

using namespace shim;
using graphs::Graphs;
using graphs::StreamId;

namespace {

// Runs body(Graphs&, const StreamId&) if the stream is one.
template <class Body>
CUresult CaptureCall(CUstream stream, bool wants_flags, Body body) {
  return LocalInContext([&](Process& process, CUcontext) -> CUresult {
    StreamId id;
    const CUresult result = FindStreamId(process, stream, wants_flags, &id);
    return result == CUDA_SUCCESS ? body(process.graph_model().graphs, id) : result;
  });
}

CUresult Begin(CUstream stream, CUstreamCaptureMode mode) {
  return CaptureCall(stream, true,
                     [&](Graphs& graphs, const StreamId& id) { return graphs::BeginCapture(graphs, id, mode); });
}

CUresult GetInfo(CUstream stream, const graphs::WantedInfo& wanted) {
  return CaptureCall(stream, false,
                     [&](Graphs& graphs, const StreamId& id) { return graphs::GetCaptureInfo(graphs, id, wanted); });
}

CUresult UpdateDependencies(CUstream stream, const CUgraphNode* dependencies, const CUgraphEdgeData* data, size_t count,
                            unsigned flags) {
  return CaptureCall(stream, false, [&](Graphs& graphs, const StreamId& id) {
    return graphs::UpdateCaptureDependencies(graphs, id, dependencies, data, count, flags);
  });
}

}  // namespace

CUresult cuStreamBeginCapture(CUstream hStream) { return Begin(hStream, CU_STREAM_CAPTURE_MODE_GLOBAL); }

CUresult cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode) { return Begin(hStream, mode); }

CUresult cuStreamBeginCaptureToGraph(CUstream hStream, CUgraph hGraph, const CUgraphNode* dependencies,
                                     const CUgraphEdgeData* dependencyData, size_t numDependencies,
                                     CUstreamCaptureMode mode) {
  return CaptureCall(hStream, true, [&](Graphs& graphs, const StreamId& id) {
    return graphs::BeginCaptureToGraph(graphs, id, hGraph, dependencies, dependencyData, numDependencies, mode);
  });
}

CUresult cuStreamEndCapture(CUstream hStream, CUgraph* phGraph) {
  return CaptureCall(hStream, false,
                     [&](Graphs& graphs, const StreamId& id) { return graphs::EndCapture(graphs, id, phGraph); });
}

CUresult cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus* captureStatus) {
  return CaptureCall(hStream, false, [&](Graphs& graphs, const StreamId& id) {
    return graphs::IsCapturing(graphs, id, captureStatus);
  });
}

CUresult cuStreamGetCaptureInfo(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out) {
  return GetInfo(hStream, {captureStatus_out, id_out});
}

CUresult cuStreamGetCaptureInfo_v2(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                   CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                   size_t* numDependencies_out) {
  return GetInfo(hStream, {captureStatus_out, id_out, graph_out, dependencies_out, nullptr, numDependencies_out});
}

CUresult cuStreamGetCaptureInfo_v3(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                   CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                   const CUgraphEdgeData** edgeData_out, size_t* numDependencies_out) {
  return GetInfo(hStream, {captureStatus_out, id_out, graph_out, dependencies_out, edgeData_out, numDependencies_out});
}

CUresult cuStreamUpdateCaptureDependencies(CUstream hStream, CUgraphNode* dependencies, size_t numDependencies,
                                           unsigned int flags) {
  return UpdateDependencies(hStream, dependencies, nullptr, numDependencies, flags);
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream hStream, CUgraphNode* dependencies,
                                              const CUgraphEdgeData* dependencyData, size_t numDependencies,
                                              unsigned int flags) {
  return UpdateDependencies(hStream, dependencies, dependencyData, numDependencies, flags);
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return Local([&](Process& process) { return graphs::ExchangeCaptureMode(process.graph_model().graphs, mode); });
}

}  // namespace outboard::custom
