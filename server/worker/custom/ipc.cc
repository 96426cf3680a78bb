#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/exports.h"
#include "server/worker/session.h"

// Memory management: memory and events that several processes share.

namespace outboard::worker::custom {

CUresult cuIpcGetMemHandle(Call& call, CUipcMemHandle* pHandle, CUdeviceptr dptr) {
  return call.session().exports().GetMemory(pHandle, dptr);
}

CUresult outboardIpcOpenMemHandle(Call& call, CUdeviceptr* address, size_t* bytes, CUdevice* device,
                                  CUipcMemHandle handle, unsigned int flags) {
  return call.session().exports().OpenMemory(address, bytes, device, handle, flags);
}

CUresult cuIpcCloseMemHandle(Call& call, CUdeviceptr dptr) { return call.session().exports().CloseMemory(dptr); }

CUresult cuIpcGetEventHandle(Call& call, CUipcEventHandle* pHandle, CUevent event) {
  return call.session().exports().GetEvent(pHandle, event);
}

CUresult cuIpcOpenEventHandle(Call& call, CUevent* phEvent, CUipcEventHandle handle) {
  return call.session().exports().OpenEvent(phEvent, handle);
}

}  // namespace outboard::worker::custom
