#include <memory>
#include <utility>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/graph_exec.h"
#include "common/graphs/calls.h"

// Graph management: the calls of the model (common/graphs), and the launch of executable graphs.

namespace outboard::custom {

using namespace shim;

namespace {

// For the calls of the model: no kernel has left an error behind.
template <class... Params, class... Args>
CUresult OnGraphs(CUresult (*call)(graphs::Graphs&, Params...), Args... args) {
  return Local([&](Process& process) -> CUresult {
    if (!process.contexts().healthy()) return process.contexts().error();
    return call(process.graph_model().graphs, args...);
  });
}

// Runs body(Process&, GraphExec&). The graphs are not locked.
template <class Body>
CUresult ExecCall(CUgraphExec handle, Body body) {
  return LocalInContext([&](Process& process, CUcontext) -> CUresult {
    const auto exec = process.graph_model().graphs.handles.Find<GraphExec>(handle);
    return exec ? body(process, *exec) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult Upload(CUgraphExec handle, CUstream stream) {
  return ExecCall(handle, [&](Process& process, GraphExec& exec) -> CUresult {
    if (CUresult refused = RefuseOn(process, stream); refused != CUDA_SUCCESS) return refused;
    return exec.Upload(stream);
  });
}

}  // namespace

#include "common/graphs/entries.inc"

CUresult cuGraphInstantiateWithParams(CUstream default_stream, CUgraphExec* phGraphExec, CUgraph hGraph,
                                      CUDA_GRAPH_INSTANTIATE_PARAMS* instantiateParams) {
  return Local([&](Process& process) -> CUresult {
    if (!process.contexts().healthy()) return process.contexts().error();
    return graphs::cuGraphInstantiateWithParams(
        process.graph_model().graphs, phGraphExec, hGraph, instantiateParams,
        [&](CUgraphExec exec, CUstream stream) { return Upload(exec, stream == nullptr ? default_stream : stream); });
  });
}

CUresult cuGraphUpload(CUgraphExec hGraphExec, CUstream hStream) { return Upload(hGraphExec, hStream); }

CUresult cuGraphLaunch(CUgraphExec hGraphExec, CUstream hStream) {
  return ExecCall(hGraphExec, [&](Process& process, GraphExec& exec) -> CUresult {
    if (CapturesOf(process).any()) {
      graphs::StreamId id;
      if (CUresult result = FindStreamId(process, hStream, false, &id); result != CUDA_SUCCESS) return result;
      const auto captured = CapturesOf(process).Add(id, [&](graphs::Content* content) -> CUresult {
        if (!exec.graph().MayBeCopied()) return CUDA_ERROR_NOT_SUPPORTED;
        *content = exec.graph().Clone();
        return CUDA_SUCCESS;
      });
      if (captured) return *captured;
    }
    return exec.Launch(hStream);
  });
}

}  // namespace outboard::custom
