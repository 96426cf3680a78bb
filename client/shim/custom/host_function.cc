#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/host_calls.h"
#include "client/shim/remote.gen.h"

// Functions of the application in streams. The worker knows them by a number.

namespace outboard::custom {

CUresult cuLaunchHostFunc(CUstream hStream, CUhostFn fn, void* userData) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (fn == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto captured = shim::CaptureInstead(process, hStream, [&](graphs::OperationPtr* operation) {
      CUgraphNodeParams params{};
      params.type = CU_GRAPH_NODE_TYPE_HOST;
      params.host = {fn, userData};
      return shim::MakeOperation(process, &params, operation);
    });
    if (captured) return *captured;
    const uint64_t call = process.host_calls().Add(fn, userData);
    const CUresult result = remote::outboardLaunchHostFunc(hStream, call, shim::IsOfCurrentContext(hStream));
    if (result != CUDA_SUCCESS) process.host_calls().Drop(call);
    return result;
  });
}

CUresult cuStreamAddCallback(CUstream hStream, CUstreamCallback callback, void* userData, unsigned int flags) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (callback == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (CUresult refused = shim::RefuseOn(process, hStream); refused != CUDA_SUCCESS) return refused;
    // A null stream has become the legacy one on the way here; the callback is told what the application said.
    const CUstream named = hStream == CU_STREAM_LEGACY ? nullptr : hStream;
    const uint64_t call = process.host_calls().Add(callback, named, userData);
    const CUresult result = remote::outboardStreamAddCallback(hStream, call, shim::IsOfCurrentContext(hStream));
    if (result != CUDA_SUCCESS) process.host_calls().Drop(call);
    return result;
  });
}

}  // namespace outboard::custom
