#include "common/interop/host.h"

#include <atomic>

namespace outboard::interop {
namespace {

std::atomic<Host*>& HostSlot() {
  static std::atomic<Host*> host{nullptr};
  return host;
}

}  // namespace

void Install(Host* host) { HostSlot().store(host, std::memory_order_release); }

Host* InstalledHost() { return HostSlot().load(std::memory_order_acquire); }

CUresult ResolveContext(CUcontext* context) {
  if (*context != nullptr) return CUDA_SUCCESS;
  const CUresult result = InstalledHost()->CurrentContext(context);
  if (result != CUDA_SUCCESS) return result;
  return *context != nullptr ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

}  // namespace outboard::interop
