#include "common/interop/host.h"
#include "common/interop/slots.h"
#include "common/interop/tables.h"

namespace outboard::interop {
namespace {

CUresult Put(CUcontext context, void* key, void* value, ContextStorage::Destructor destructor) {
  const CUresult result = ResolveContext(&context);
  if (result != CUDA_SUCCESS) return result;
  return WithoutThrowing([&] {
    Storage().Put(context, key, value, destructor);
    return CUDA_SUCCESS;
  });
}

CUresult Delete(CUcontext context, void* key) {
  const CUresult result = ResolveContext(&context);
  if (result == CUDA_SUCCESS) Storage().Delete(context, key);
  return result;
}

CUresult Get(void** value, CUcontext context, void* key) {
  if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = ResolveContext(&context);
  if (result != CUDA_SUCCESS) return result;
  return Storage().Get(context, key, value) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}

}  // namespace

ContextStorage& Storage() {
  static auto* const storage = new ContextStorage;
  return *storage;
}

// The one table without its size in slot 0.
const void* ContextLocalStorage() {
  static const auto table = [] {
    auto slots = UnknownSlots<kContextLocalStorage, 4>();
    slots[0] = FunctionSlot(&Put);
    slots[1] = FunctionSlot(&Delete);
    slots[2] = FunctionSlot(&Get);
    return slots;
  }();
  return table.data();
}

}  // namespace outboard::interop
