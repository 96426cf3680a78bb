#include <cstdint>

#include "common/interop/host.h"
#include "common/interop/slots.h"
#include "common/interop/tables.h"

namespace outboard::interop {
namespace {

CUresult PrimaryContext(CUcontext* context, CUdevice device) {
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return InstalledHost()->PrimaryContext(device, context);
}

CUresult CurrentContext(CUcontext* context) {
  if (context == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return InstalledHost()->CurrentContext(context);
}

// The runtime wants a buffer with room for more than nothing, and was only seen to write zeros into it. The unit of
// `size` is not known, so that the buffer is large enough for it to be pointers.
template <size_t kSize>
void HookBuffer(void** buffer, size_t* size) {
  static void* storage[kSize];
  if (buffer != nullptr) *buffer = storage;
  if (size != nullptr) *size = kSize;
}

// 0: nothing is wrong with the context.
CUresult CheckContext(CUcontext, uint32_t* finding, const void**) {
  if (finding != nullptr) *finding = 0;
  return CUDA_SUCCESS;
}

uint32_t CheckNothing() { return 0; }

}  // namespace

// Slots 1, 6 and 8 load modules for runtimes older than 13.0; 7 and 12 are known by name alone.
const void* CudartInterface() {
  static const auto table = [] {
    auto slots = SizedTable<kCudartInterface, 13>();
    slots[2] = FunctionSlot(&PrimaryContext);
    return slots;
  }();
  return table.data();
}

const void* ToolsRuntimeCallbackHooks() {
  static const auto table = [] {
    auto slots = SizedTable<kToolsRuntimeCallbackHooks, 7>();
    slots[2] = FunctionSlot(&HookBuffer<1024>);
    slots[6] = FunctionSlot(&HookBuffer<14>);
    return slots;
  }();
  return table.data();
}

const void* ToolsTls() {
  static const auto table = [] {
    auto slots = SizedTable<kToolsTls, 4>();
    slots[2] = FunctionSlot(&CurrentContext);
    return slots;
  }();
  return table.data();
}

const void* ContextChecks() {
  static const auto table = [] {
    auto slots = SizedTable<kContextChecks, 4>();
    slots[2] = FunctionSlot(&CheckContext);
    slots[3] = FunctionSlot(&CheckNothing);
    return slots;
  }();
  return table.data();
}

}  // namespace outboard::interop
