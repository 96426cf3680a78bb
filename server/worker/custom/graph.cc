#include <cstddef>
#include <span>

#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/graphs.h"
#include "server/worker/session.h"

// Graph management: executable graphs, which the client describes.

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

}  // namespace outboard::worker::custom
