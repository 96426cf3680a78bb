#pragma once

#include <cuda.h>

#include <cstddef>

#include "common/graphs/graphs.h"

// Stream management: the calls on captures, with the calls' errors. The library has made the checks that come before a
// call's own, and found the stream. Thread-safe; each call takes Graphs::mutex.

namespace outboard::graphs {

CUresult BeginCapture(Graphs& graphs, const StreamId& stream, CUstreamCaptureMode mode);
CUresult BeginCaptureToGraph(Graphs& graphs, const StreamId& stream, CUgraph hGraph, const CUgraphNode* dependencies,
                             const CUgraphEdgeData* data, size_t count, CUstreamCaptureMode mode);
CUresult EndCapture(Graphs& graphs, const StreamId& stream, CUgraph* phGraph);
CUresult IsCapturing(Graphs& graphs, const StreamId& stream, CUstreamCaptureStatus* status);

// Where cuStreamGetCaptureInfo's answers go; all but the first may be null.
struct WantedInfo {
  CUstreamCaptureStatus* status;
  cuuint64_t* id = nullptr;
  CUgraph* graph = nullptr;
  const CUgraphNode** dependencies = nullptr;
  const CUgraphEdgeData** data = nullptr;
  size_t* count = nullptr;
};
CUresult GetCaptureInfo(Graphs& graphs, const StreamId& stream, const WantedInfo& wanted);

CUresult UpdateCaptureDependencies(Graphs& graphs, const StreamId& stream, const CUgraphNode* dependencies,
                                   const CUgraphEdgeData* data, size_t count, unsigned flags);
CUresult ExchangeCaptureMode(Graphs& graphs, CUstreamCaptureMode* mode);

}  // namespace outboard::graphs
