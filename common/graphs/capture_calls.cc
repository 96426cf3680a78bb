#include "common/graphs/capture_calls.h"

#include <utility>

#include "common/base/number_of.h"
#include "common/graphs/graph.h"

namespace outboard::graphs {
namespace {

bool IsMode(const CUstreamCaptureMode& mode) { return NumberOf(mode) <= CU_STREAM_CAPTURE_MODE_RELAXED; }

}  // namespace

CUresult BeginCapture(Graphs& graphs, const StreamId& stream, CUstreamCaptureMode mode) {
  return IsMode(mode) ? graphs.captures.Begin(stream, mode) : CUDA_ERROR_INVALID_VALUE;
}

CUresult BeginCaptureToGraph(Graphs& graphs, const StreamId& stream, CUgraph hGraph, const CUgraphNode* dependencies,
                             const CUgraphEdgeData* data, size_t count, CUstreamCaptureMode mode) {
  if (!IsMode(mode) || (!dependencies && count > 0)) return CUDA_ERROR_INVALID_VALUE;
  if (HasData(data, count)) return CUDA_ERROR_NOT_SUPPORTED;
  return graphs.captures.BeginTo(stream, mode, hGraph, {dependencies, count});
}

CUresult EndCapture(Graphs& graphs, const StreamId& stream, CUgraph* phGraph) {
  if (phGraph) *phGraph = nullptr;
  return graphs.captures.End(stream, phGraph);
}

CUresult IsCapturing(Graphs& graphs, const StreamId& stream, CUstreamCaptureStatus* status) {
  if (!status) return CUDA_ERROR_INVALID_VALUE;
  Captures::Info info;
  const CUresult result = graphs.captures.Query(stream, &info);
  if (result == CUDA_SUCCESS) *status = info.status;
  return result;
}

CUresult GetCaptureInfo(Graphs& graphs, const StreamId& stream, const WantedInfo& wanted) {
  if (!wanted.status || (wanted.data && !wanted.dependencies)) return CUDA_ERROR_INVALID_VALUE;
  Captures::Info info;
  const CUresult result = graphs.captures.Query(stream, &info);
  if (result != CUDA_SUCCESS) return result;
  *wanted.status = info.status;
  if (info.status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
  if (wanted.id) *wanted.id = info.id;
  if (wanted.graph) *wanted.graph = info.graph;
  if (wanted.dependencies) *wanted.dependencies = info.dependencies.data();
  if (wanted.data) *wanted.data = info.data.data();
  if (wanted.count) *wanted.count = info.dependencies.size();
  return CUDA_SUCCESS;
}

CUresult UpdateCaptureDependencies(Graphs& graphs, const StreamId& stream, const CUgraphNode* dependencies,
                                   const CUgraphEdgeData* data, size_t count, unsigned flags) {
  if (flags > CU_STREAM_SET_CAPTURE_DEPENDENCIES || (!dependencies && count > 0)) return CUDA_ERROR_INVALID_VALUE;
  if (HasData(data, count)) return CUDA_ERROR_NOT_SUPPORTED;
  return graphs.captures.SetDependencies(stream, {dependencies, count}, flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES);
}

CUresult ExchangeCaptureMode(Graphs& graphs, CUstreamCaptureMode* mode) {
  if (!mode || !IsMode(*mode)) return CUDA_ERROR_INVALID_VALUE;
  std::swap(*mode, graphs.host.capture_mode());
  return CUDA_SUCCESS;
}

}  // namespace outboard::graphs
