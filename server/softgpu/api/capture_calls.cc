#include <algorithm>
#include <vector>

#include "common/base/number_of.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/graph.h"
#include "server/softgpu/api/stream.h"

// Stream management: captures.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

// Runs `body` with the captures and the stream that a handle means: (Captures&, Stream&).
template <class Body>
CUresult CaptureCall(CUstream handle, DefaultStream null_means, Body body) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto stream = FindStream(context, handle, null_means);
    return stream ? body(driver.captures, *stream) : CUDA_ERROR_INVALID_HANDLE;
  });
}

bool IsMode(const CUstreamCaptureMode& mode) { return NumberOf(mode) <= CU_STREAM_CAPTURE_MODE_RELAXED; }

CUresult Begin(CUstream hStream, CUstreamCaptureMode mode, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Captures& captures, Stream& stream) {
    return IsMode(mode) ? captures.Begin(stream, mode) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult BeginTo(CUstream hStream, CUgraph hGraph, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                 size_t count, CUstreamCaptureMode mode, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Captures& captures, Stream& stream) -> CUresult {
    if (!IsMode(mode) || (!dependencies && count > 0)) return CUDA_ERROR_INVALID_VALUE;
    if (HasData(data, count)) return CUDA_ERROR_NOT_SUPPORTED;
    return captures.BeginTo(stream, mode, hGraph, {dependencies, count});
  });
}

CUresult End(CUstream hStream, CUgraph* phGraph, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Captures& captures, Stream& stream) -> CUresult {
    if (!phGraph) return CUDA_ERROR_INVALID_VALUE;
    *phGraph = nullptr;
    return captures.End(stream, phGraph);
  });
}

CUresult IsCapturing(CUstream hStream, CUstreamCaptureStatus* status, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Captures& captures, Stream& stream) -> CUresult {
    if (!status) return CUDA_ERROR_INVALID_VALUE;
    Captures::Info info;
    const CUresult result = captures.Query(stream, &info);
    if (result == CUDA_SUCCESS) *status = info.status;
    return result;
  });
}

// Where the answers go; all but the first may be null.
struct Wanted {
  CUstreamCaptureStatus* status;
  cuuint64_t* id = nullptr;
  CUgraph* graph = nullptr;
  const CUgraphNode** dependencies = nullptr;
  const CUgraphEdgeData** data = nullptr;
  size_t* count = nullptr;
};

CUresult GetInfo(CUstream hStream, const Wanted& wanted, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Captures& captures, Stream& stream) -> CUresult {
    if (!wanted.status || (wanted.data && !wanted.dependencies)) return CUDA_ERROR_INVALID_VALUE;
    Captures::Info info;
    const CUresult result = captures.Query(stream, &info);
    if (result != CUDA_SUCCESS) return result;
    *wanted.status = info.status;
    if (info.status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
    if (wanted.id) *wanted.id = info.id;
    if (wanted.graph) *wanted.graph = info.graph;
    if (wanted.dependencies) *wanted.dependencies = info.dependencies.data();
    if (wanted.data) *wanted.data = info.data.data();
    if (wanted.count) *wanted.count = info.dependencies.size();
    return CUDA_SUCCESS;
  });
}

CUresult UpdateDependencies(CUstream hStream, const CUgraphNode* dependencies, const CUgraphEdgeData* data,
                            size_t count, unsigned flags, DefaultStream null_means) {
  return CaptureCall(hStream, null_means, [&](Captures& captures, Stream& stream) -> CUresult {
    if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (!dependencies && count > 0)) return CUDA_ERROR_INVALID_VALUE;
    if (HasData(data, count)) return CUDA_ERROR_NOT_SUPPORTED;
    return captures.SetDependencies(stream, {dependencies, count}, flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES);
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
  return Call([&](Driver&) -> CUresult {
    if (!mode || !IsMode(*mode)) return CUDA_ERROR_INVALID_VALUE;
    std::swap(*mode, ThisThread().capture_mode);
    return CUDA_SUCCESS;
  });
}
