#include "server/softgpu/api/cuda_api.h"

#include <memory>
#include <utility>

#include "common/graphs/calls.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/graph_exec.h"
#include "server/softgpu/api/stream.h"

// Graph management: the calls of the model (common/graphs), and what runs graphs in streams.

using namespace outboard::softgpu::api;

namespace {

// For the calls of the model: as HealthyCall.
template <class... Params, class... Args>
CUresult OnGraphs(CUresult (*call)(outboard::graphs::Graphs&, Params...), Args... args) {
  return HealthyCall([&](Driver& driver) { return call(driver.graphs, args...); });
}

// Runs `body` with an executable graph and a stream of the current context: (Context&, GraphExec&, Stream&). The graphs
// are not locked.
template <class Body>
CUresult StreamCall(CUgraphExec hGraphExec, CUstream hStream, DefaultStream null_means, Body body) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto exec = driver.handles.Find<GraphExec>(hGraphExec);
    if (!exec) return CUDA_ERROR_INVALID_VALUE;
    std::shared_ptr<Stream> stream;
    if (CUresult result = FindStream(context, hStream, null_means, &stream); result != CUDA_SUCCESS) return result;
    const auto owner = stream->context.shared_from_this();
    return body(*owner, *exec, *stream);
  });
}

// There is nothing to bring to the device in advance.
CUresult Upload(CUgraphExec hGraphExec, CUstream hStream, DefaultStream null_means) {
  return StreamCall(hGraphExec, hStream, null_means, [](Context& context, GraphExec&, Stream& stream) {
    return context.driver.graphs.captures.RefuseOn(stream);
  });
}

CUresult InstantiateWithParams(CUgraphExec* phGraphExec, CUgraph hGraph, CUDA_GRAPH_INSTANTIATE_PARAMS* params,
                               DefaultStream null_means) {
  return HealthyCall([&](Driver& driver) {
    return outboard::graphs::cuGraphInstantiateWithParams(
        driver.graphs, phGraphExec, hGraph, params,
        [&](CUgraphExec exec, CUstream stream) { return Upload(exec, stream, null_means); });
  });
}

CUresult Launch(CUgraphExec hGraphExec, CUstream hStream, DefaultStream null_means) {
  return StreamCall(hGraphExec, hStream, null_means, [](Context& context, GraphExec& exec, Stream& stream) -> CUresult {
    const auto copy = [&](outboard::graphs::Content* content) -> CUresult {
      if (!exec.graph().MayBeCopied()) return CUDA_ERROR_NOT_SUPPORTED;
      *content = exec.graph().Clone();
      return CUDA_SUCCESS;
    };
    if (const auto captured = context.driver.graphs.captures.Add(stream, copy)) return *captured;
    return exec.Launch(stream);
  });
}

}  // namespace

#include "common/graphs/entries.inc"

CUresult cuGraphInstantiateWithParams(CUgraphExec* phGraphExec, CUgraph hGraph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams) {
  return InstantiateWithParams(phGraphExec, hGraph, instantiateParams, DefaultStream::kLegacy);
}

CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec* phGraphExec, CUgraph hGraph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams) {
  return InstantiateWithParams(phGraphExec, hGraph, instantiateParams, DefaultStream::kPerThread);
}

CUresult cuGraphUpload(CUgraphExec hGraph, CUstream hStream) { return Upload(hGraph, hStream, DefaultStream::kLegacy); }
CUresult cuGraphUpload_ptsz(CUgraphExec hGraph, CUstream hStream) {
  return Upload(hGraph, hStream, DefaultStream::kPerThread);
}

CUresult cuGraphLaunch(CUgraphExec hGraph, CUstream hStream) { return Launch(hGraph, hStream, DefaultStream::kLegacy); }
CUresult cuGraphLaunch_ptsz(CUgraphExec hGraph, CUstream hStream) {
  return Launch(hGraph, hStream, DefaultStream::kPerThread);
}
