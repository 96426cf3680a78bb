#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/context_objects.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"

// Memory management: memory and events that several processes share. Each has its own worker of the same lease, whose
// driver does the sharing.

namespace outboard::custom {

using namespace shim;

namespace {

CUresult OpenMemory(CUdeviceptr* dptr, const CUipcMemHandle& handle, unsigned flags) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  if (dptr == nullptr || flags != CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS) return CUDA_ERROR_INVALID_VALUE;
  CUdeviceptr address = 0;
  size_t bytes = 0;
  CUdevice device = 0;
  const CUresult result = remote::outboardIpcOpenMemHandle(&address, &bytes, &device, handle, flags);
  if (result != CUDA_SUCCESS) return result;
  if (!process.memory().AddOpened(address, bytes, current.context, device)) {
    remote::cuIpcCloseMemHandle(address);
    Log(LogLevel::kError,
        "memory of another process cannot be opened: the GPU's driver has it at 0x%llx, where this process has "
        "something else; start the processes anew, so that the addresses differ",
        static_cast<unsigned long long>(address));
    return CUDA_ERROR_MAP_FAILED;
  }
  *dptr = address;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuIpcGetMemHandle(CUipcMemHandle* pHandle, CUdeviceptr dptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  const auto range = process.memory().FindDevice(dptr);
  if (pHandle == nullptr || !range || !range->info.IsPlain()) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = remote::cuIpcGetMemHandle(pHandle, dptr);
  if (result == CUDA_SUCCESS) process.memory().NoteExported(dptr);
  return result;
}

CUresult cuIpcOpenMemHandle(CUdeviceptr* pdptr, CUipcMemHandle handle, unsigned int Flags) {
  return OpenMemory(pdptr, handle, Flags);
}

CUresult cuIpcOpenMemHandle_v2(CUdeviceptr* pdptr, CUipcMemHandle handle, unsigned int Flags) {
  return OpenMemory(pdptr, handle, Flags);
}

CUresult cuIpcCloseMemHandle(CUdeviceptr dptr) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  // Counted down first: another thread may get the same address as soon as the worker has closed it.
  const auto range = process.memory().CloseOpened(dptr);
  const CUresult result = remote::cuIpcCloseMemHandle(dptr);
  if (!range || !NotCarriedOut(result)) return result;
  const bool is_back = process.memory().AddOpened(dptr, range->size, range->info.context, range->info.device);
  return is_back ? result : CUDA_ERROR_MAP_FAILED;
}

CUresult cuIpcOpenEventHandle(CUevent* phEvent, CUipcEventHandle handle) {
  const CUresult result = remote::cuIpcOpenEventHandle(phEvent, handle);
  if (result == CUDA_SUCCESS) {
    const auto id = reinterpret_cast<wire::HandleId>(*phEvent);
    Process::Get().context_objects().Add(id, CurrentHome());
    Process::Get().context_objects().SetShared(id);
  }
  return result;
}

}  // namespace outboard::custom
