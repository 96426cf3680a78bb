#include <cstddef>
#include <cstdint>
#include <span>

#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/graph_memory.h"
#include "server/worker/graphs.h"
#include "server/worker/session.h"

// Graph management: executable graphs, which the client describes, and their memory.

namespace outboard::worker::custom {
namespace {

std::span<const std::byte> BytesOf(const void* bytes, size_t count) {
  return {static_cast<const std::byte*>(bytes), bytes == nullptr ? 0 : count};
}

}  // namespace

CUresult outboardGraphInstantiate(Call& call, unsigned long long number, unsigned long long flags,
                                  const void* description, size_t bytes) {
  return call.session().graphs().Instantiate(number, flags, BytesOf(description, bytes));
}

CUresult outboardGraphLaunch(Call& call, unsigned long long number, CUstream stream, const unsigned long long* words,
                             size_t count, const void* bytes, size_t size) {
  return call.session().graphs().Launch(number, stream, {words, words == nullptr ? 0 : count}, BytesOf(bytes, size));
}

CUresult outboardGraphUpload(Call& call, unsigned long long number, CUstream stream) {
  return call.session().graphs().Upload(number, stream);
}

CUresult outboardGraphChange(Call& call, unsigned long long number, const void* changes, size_t bytes) {
  return call.session().graphs().Change(number, BytesOf(changes, bytes));
}

CUresult outboardGraphNodeSetEnabled(Call& call, unsigned long long number, unsigned long long node,
                                     unsigned int enabled) {
  return call.session().graphs().SetEnabled(number, node, enabled != 0);
}

CUresult outboardGraphExecDestroy(Call& call, unsigned long long number) {
  return call.session().graphs().Destroy(number);
}

CUresult outboardGraphConditionalHandleCreate(Call& call, unsigned long long* handle, unsigned long long number,
                                              CUcontext context, unsigned int value, unsigned int flags) {
  if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUgraphConditionalHandle made = 0;
  const CUresult result = call.session().graphs().CreateCondition(number, context, value, flags, &made);
  *handle = made;
  return result;
}

CUresult outboardGraphRelease(Call& call, unsigned long long number) { return call.session().graphs().Release(number); }

CUresult outboardGraphMemAlloc(Call& call, CUdeviceptr* address, unsigned long long memory, size_t bytes) {
  Session& session = call.session();
  const CUresult result = session.graph_memory().Allocate(address, memory, bytes);
  if (result != CUDA_ERROR_OUT_OF_MEMORY || !session.ReleaseUnusedMemory()) return result;
  return session.graph_memory().Allocate(address, memory, bytes);
}

CUresult outboardGraphMemSetAside(Call& call, unsigned long long memory) {
  return call.session().graph_memory().SetAside(memory);
}

CUresult outboardGraphMemFree(Call& call, unsigned long long memory, CUstream stream) {
  const uint64_t number = memory;
  call.session().graph_memory().Use({&number, 1}, stream);
  return CUDA_SUCCESS;
}

CUresult outboardGraphMemRelease(Call& call, unsigned long long memory) {
  return call.session().graph_memory().Release(memory);
}

}  // namespace outboard::worker::custom
