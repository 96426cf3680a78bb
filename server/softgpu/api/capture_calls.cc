#include "server/softgpu/api/cuda_api.h"

#include "common/graphs/capture_calls.h"

#include "server/softgpu/api/stream_call.h"

// Stream management: captures.

using namespace outboard::softgpu::api;
using outboard::graphs::Graphs;

namespace {

// Runs `body` with the graphs and the stream that a handle means: (Graphs&, Stream&).
template <class Body>
CUresult CaptureCall(CUstream handle, DefaultStream null_means, Body body) {
  return StreamCall(handle, null_means,
                    [&](Context& context, Stream& stream) { return body(context.driver.graphs, stream); });
}

CUresult Begin(CUstream hStream, CUstreamCaptureMode mode, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Graphs& graphs, Stream& stream) {
    return outboard::graphs::BeginCapture(graphs, stream, mode);
  });
}

CUresult BeginTo(CUstream hStream, CUgraph hGraph, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                 size_t count, CUstreamCaptureMode mode, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Graphs& graphs, Stream& stream) {
    return outboard::graphs::BeginCaptureToGraph(graphs, stream, hGraph, dependencies, data, count, mode);
  });
}

CUresult End(CUstream hStream, CUgraph* phGraph, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Graphs& graphs, Stream& stream) {
    return outboard::graphs::EndCapture(graphs, stream, phGraph);
  });
}

CUresult IsCapturing(CUstream hStream, CUstreamCaptureStatus* status, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Graphs& graphs, Stream& stream) {
    return outboard::graphs::IsCapturing(graphs, stream, status);
  });
}

CUresult GetInfo(CUstream hStream, const outboard::graphs::WantedInfo& wanted, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Graphs& graphs, Stream& stream) {
    return outboard::graphs::GetCaptureInfo(graphs, stream, wanted);
  });
}

CUresult UpdateDependencies(CUstream hStream, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                            size_t count, unsigned flags, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Graphs& graphs, Stream& stream) {
    return outboard::graphs::UpdateCaptureDependencies(graphs, stream, dependencies, data, count, flags);
  });
}

}  // namespace

CUresult cuStreamBeginCapture(CUstream hStream) {
  return Begin(hStream, CU_STREAM_CAPTURE_MODE_GLOBAL, DefaultStream::kLegacy);
}

CUresult cuStreamBeginCapture_ptsz(CUstream hStream) {
  return Begin(hStream, CU_STREAM_CAPTURE_MODE_GLOBAL, DefaultStream::kPerThread);
}

CUresult cuStreamBeginCapture_v2(CUstream hStream, CUstreamCaptureMode mode) {
  return Begin(hStream, mode, DefaultStream::kLegacy);
}

CUresult cuStreamBeginCapture_v2_ptsz(CUstream hStream, CUstreamCaptureMode mode) {
  return Begin(hStream, mode, DefaultStream::kPerThread);
}

CUresult cuStreamBeginCaptureToGraph(CUstream hStream, CUgraph hGraph, const CUgraphNode* dependencies,
                                     const CUgraphEdgeData* dependencyData, size_t numDependencies,
                                     CUstreamCaptureMode mode) {
  return BeginTo(hStream, hGraph, dependencies, dependencyData, numDependencies, mode, DefaultStream::kLegacy);
}

CUresult cuStreamBeginCaptureToGraph_ptsz(CUstream hStream, CUgraph hGraph, const CUgraphNode* dependencies,
                                          const CUgraphEdgeData* dependencyData, size_t numDependencies,
                                          CUstreamCaptureMode mode) {
  return BeginTo(hStream, hGraph, dependencies, dependencyData, numDependencies, mode, DefaultStream::kPerThread);
}

CUresult cuStreamEndCapture(CUstream hStream, CUgraph* phGraph) {
  return End(hStream, phGraph, DefaultStream::kLegacy);
}
CUresult cuStreamEndCapture_ptsz(CUstream hStream, CUgraph* phGraph) {
  return End(hStream, phGraph, DefaultStream::kPerThread);
}

CUresult cuStreamIsCapturing(CUstream hStream, CUstreamCaptureStatus* captureStatus) {
  return IsCapturing(hStream, captureStatus, DefaultStream::kLegacy);
}

CUresult cuStreamIsCapturing_ptsz(CUstream hStream, CUstreamCaptureStatus* captureStatus) {
  return IsCapturing(hStream, captureStatus, DefaultStream::kPerThread);
}

CUresult cuStreamGetCaptureInfo(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out) {
  return GetInfo(hStream, {captureStatus_out, id_out}, DefaultStream::kLegacy);
}

CUresult cuStreamGetCaptureInfo_ptsz(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out) {
  return GetInfo(hStream, {captureStatus_out, id_out}, DefaultStream::kPerThread);
}

CUresult cuStreamGetCaptureInfo_v2(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                   CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                   size_t* numDependencies_out) {
  return GetInfo(hStream, {captureStatus_out, id_out, graph_out, dependencies_out, nullptr, numDependencies_out},
                 DefaultStream::kLegacy);
}

CUresult cuStreamGetCaptureInfo_v2_ptsz(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                        CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                        size_t* numDependencies_out) {
  return GetInfo(hStream, {captureStatus_out, id_out, graph_out, dependencies_out, nullptr, numDependencies_out},
                 DefaultStream::kPerThread);
}

CUresult cuStreamGetCaptureInfo_v3(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                   CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                   const CUgraphEdgeData** edgeData_out, size_t* numDependencies_out) {
  return GetInfo(hStream, {captureStatus_out, id_out, graph_out, dependencies_out, edgeData_out, numDependencies_out},
                 DefaultStream::kLegacy);
}

CUresult cuStreamGetCaptureInfo_v3_ptsz(CUstream hStream, CUstreamCaptureStatus* captureStatus_out, cuuint64_t* id_out,
                                        CUgraph* graph_out, const CUgraphNode** dependencies_out,
                                        const CUgraphEdgeData** edgeData_out, size_t* numDependencies_out) {
  return GetInfo(hStream, {captureStatus_out, id_out, graph_out, dependencies_out, edgeData_out, numDependencies_out},
                 DefaultStream::kPerThread);
}

CUresult cuStreamUpdateCaptureDependencies(CUstream hStream, CUgraphNode* dependencies, size_t numDependencies,
                                           unsigned int flags) {
  return UpdateDependencies(hStream, dependencies, nullptr, numDependencies, flags, DefaultStream::kLegacy);
}

CUresult cuStreamUpdateCaptureDependencies_ptsz(CUstream hStream, CUgraphNode* dependencies, size_t numDependencies,
                                                unsigned int flags) {
  return UpdateDependencies(hStream, dependencies, nullptr, numDependencies, flags, DefaultStream::kPerThread);
}

CUresult cuStreamUpdateCaptureDependencies_v2(CUstream hStream, CUgraphNode* dependencies,
                                              const CUgraphEdgeData* dependencyData, size_t numDependencies,
                                              unsigned int flags) {
  return UpdateDependencies(hStream, dependencies, dependencyData, numDependencies, flags, DefaultStream::kLegacy);
}

CUresult cuStreamUpdateCaptureDependencies_v2_ptsz(CUstream hStream, CUgraphNode* dependencies,
                                                   const CUgraphEdgeData* dependencyData, size_t numDependencies,
                                                   unsigned int flags) {
  return UpdateDependencies(hStream, dependencies, dependencyData, numDependencies, flags, DefaultStream::kPerThread);
}

CUresult cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode* mode) {
  return Call([&](Driver& driver) { return outboard::graphs::ExchangeCaptureMode(driver.graphs, mode); });
}
