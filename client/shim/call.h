#pragma once

#include <cuda.h>

#include "client/session/remote.h"
#include "client/shim/contexts.h"
#include "client/shim/process.h"
#include "client/shim/thread_state.h"
#include "common/libcuda/guard.h"

// How an exported function becomes a call (generated code and custom/).

namespace outboard::shim {

// Carries a call out in the worker (client::Remote), with the calling thread's lane. The generated remote::cuXxx are
// made of it.
template <wire::Op kOp, wire::Class kClass, bool kChangesQueries, class... Rules>
CUresult Call(bool certain, typename Rules::Arg... arguments) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  Contexts& contexts = process.contexts();
  ThreadState& thread = ThisThread();
  const CUresult result = client::Remote<kOp, kClass, kChangesQueries, Rules...>(
      process.session(), thread.lane, certain && contexts.Accepts(thread), arguments...);
  if (result != CUDA_SUCCESS) contexts.Note(result);
  return result;
}

// A call that the client answers alone and that needs no context: body(Process&), after what every call begins with.
template <class Body>
CUresult Local(Body body) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  return body(process);
}

// The same for a call that works in the current context: body(Process&, CUcontext). Returns the sticky error if there
// is one, or what is wrong with the context.
template <class Body>
CUresult LocalInContext(Body body) {
  return Local([&](Process& process) -> CUresult {
    if (!process.contexts().healthy()) return process.contexts().error();
    CUcontext context = nullptr;
    Contexts::Info info;
    if (const CUresult found = process.contexts().Resolve(&context, &info); found != CUDA_SUCCESS) return found;
    return body(process, context);
  });
}

// A null stream is the legacy default stream, or the thread's own in calls of the per-thread family.
inline CUstream LegacyStream(CUstream stream) { return stream == nullptr ? CU_STREAM_LEGACY : stream; }
inline CUstream PerThreadStream(CUstream stream) { return stream == nullptr ? CU_STREAM_PER_THREAD : stream; }

// Whether work in `stream` runs in the calling thread's current context: it does in the streams that every context has
// and in those that were made in it, or in another that is at home where it is (CurrentHome).
bool IsOfCurrentContext(CUstream stream);

// What an exported call that is not supported returns: CUDA_ERROR_NOT_SUPPORTED, with one line per call and process
// that says why. cuGetProcAddress does not give such a call out.
CUresult Unsupported(const char* name, const char* why);

}  // namespace outboard::shim
