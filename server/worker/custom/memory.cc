#include "server/worker/allocations.h"
#include "server/worker/call.h"
#include "server/worker/copies.h"
#include "server/worker/custom.gen.h"
#include "server/worker/session.h"

// Memory management: device memory, and copies between it and the client.

namespace outboard::worker::custom {

CUresult cuMemAlloc_v2(Call& call, CUdeviceptr* dptr, size_t bytesize) {
  return call.session().allocations().Allocate(dptr, bytesize);
}

CUresult cuMemFree_v2(Call& call, CUdeviceptr dptr) { return call.session().allocations().Free(dptr); }

CUresult outboardSetAside(Call& call, CUdeviceptr address) { return call.session().allocations().SetAside(address); }

CUresult cuMemGetInfo_v2(Call& call, size_t* free, size_t* total) {
  return call.session().allocations().Info(free, total);
}

CUresult outboardWrite(Call& call, CUdeviceptr destination, const void* bytes, size_t count, CUstream stream) {
  return call.session().copies().Write(destination, bytes, count, stream);
}

// The turn is not passed on meanwhile: what other lanes do next may rely on the bytes, in streams that do not wait for
// this one.
CUresult outboardFinishWrite(Call& call, CUstream stream) { return call.driver().cuStreamSynchronize(stream); }

CUresult outboardWritePulled(Call& call, CUdeviceptr destination, size_t count, unsigned long long hostAddress,
                             unsigned long long pull, CUstream stream) {
  return call.session().copies().WritePulled(destination, count, hostAddress, pull, stream);
}

CUresult outboardRead(Call& call, void* bytes, size_t count, CUdeviceptr source, CUstream stream) {
  return call.session().copies().Read(bytes, count, source, stream);
}

CUresult outboardReadAsync(Call& call, unsigned long long hostAddress, size_t count, CUdeviceptr source,
                           CUstream stream) {
  return call.session().copies().ReadAsync(hostAddress, count, source, stream);
}

CUresult outboardDrainHost(Call& call, unsigned long long hostAddress, size_t count) {
  call.session().copies().DrainHost(hostAddress, count);
  return CUDA_SUCCESS;
}

}  // namespace outboard::worker::custom
