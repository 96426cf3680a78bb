#include <cstdint>
#include <vector>

#include "common/interop/host.h"
#include "common/interop/slots.h"
#include "common/interop/tables.h"

namespace outboard::interop {
namespace {

CUresult ContextId(CUcontext context, uint64_t* id) {
  if (id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = ResolveContext(&context);
  unsigned long long found = 0;
  if (result == CUDA_SUCCESS) result = InstalledHost()->ContextId(context, &found);
  if (result == CUDA_SUCCESS) *id = found;
  return result;
}

// The private stream is a token that only comes back to StreamId: the public handle that names the same stream
// outright, which is never null.
CUresult PrivateStream(CUcontext, CUstream stream, void** private_stream, int per_thread) {
  if (private_stream == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (stream == nullptr) stream = per_thread != 0 ? CU_STREAM_PER_THREAD : CU_STREAM_LEGACY;
  *private_stream = stream;
  return CUDA_SUCCESS;
}

CUresult StreamId(CUcontext context, void* private_stream, uint64_t* id) {
  if (private_stream == nullptr || id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUresult result = ResolveContext(&context);
  unsigned long long found = 0;
  if (result == CUDA_SUCCESS)
    result = InstalledHost()->StreamId(context, static_cast<CUstream>(private_stream), &found);
  if (result == CUDA_SUCCESS) *id = found;
  return result;
}

// cuFFT stores the function that it is called with. What else it is called with is not known.
using FunctionVisitor = void (*)(void* data, CUfunction function, CUmodule owner);

// 1 = done, unlike everywhere else.
int VisitFunctions(CUcontext, CUmodule module, FunctionVisitor visitor, void* data) {
  constexpr int kDone = 1, kFailed = 0;
  std::vector<CUfunction> functions;
  const CUresult result = WithoutThrowing([&] { return InstalledHost()->ModuleFunctions(module, &functions); });
  if (result != CUDA_SUCCESS || visitor == nullptr) return kFailed;
  for (const CUfunction function : functions) visitor(data, function, module);
  return kDone;
}

// Called once before a first Hopper bf16 product of cuBLAS, which goes on without it.
CUresult Refuse(void*, void*) { return CUDA_ERROR_NOT_SUPPORTED; }

}  // namespace

const void* ToolsContext() {
  static const auto table = [] {
    auto slots = SizedTable<kToolsContext, 52>();
    slots[4] = FunctionSlot(&ContextId);
    slots[39] = FunctionSlot(&StreamId);
    slots[51] = FunctionSlot(&PrivateStream);
    return slots;
  }();
  return table.data();
}

const void* ToolsModule() {
  static const auto table = [] {
    auto slots = SizedTable<kToolsModule, 8>();
    slots[7] = FunctionSlot(&VisitFunctions);
    return slots;
  }();
  return table.data();
}

const void* Unnamed() {
  static const auto table = [] {
    auto slots = SizedTable<kUnnamed, 5>();
    slots[4] = FunctionSlot(&Refuse);
    return slots;
  }();
  return table.data();
}

}  // namespace outboard::interop
