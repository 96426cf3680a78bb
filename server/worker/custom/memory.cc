#include "server/worker/allocations.h"
#include "server/worker/call.h"
#include "server/worker/copies.h"
#include "server/worker/custom.gen.h"
#include "server/worker/exports.h"
#include "server/worker/graph_memory.h"
#include "server/worker/graphs.h"
#include "server/worker/memory_pools.h"
#include "server/worker/session.h"

// Memory management: device memory, and copies between it and the client.

namespace outboard::worker::custom {
namespace {

// A copy of the driver's from device memory to device memory.
template <class Copy>
Copy Between(const Box& to, const Box& from, const BoxExtent& extent) {
  Copy copy{};
  copy.dstMemoryType = copy.srcMemoryType = CU_MEMORYTYPE_DEVICE;
  copy.dstDevice = to.address;
  copy.dstPitch = to.pitch;
  copy.dstHeight = to.slice_rows;
  copy.srcDevice = from.address;
  copy.srcPitch = from.pitch;
  copy.srcHeight = from.slice_rows;
  copy.WidthInBytes = extent.width;
  copy.Height = extent.height;
  copy.Depth = extent.depth;
  return copy;
}

}  // namespace

CUresult cuMemAlloc_v2(Call& call, CUdeviceptr* dptr, size_t bytesize) {
  Session& session = call.session();
  const CUresult result = session.allocations().Allocate(dptr, bytesize);
  if (result != CUDA_ERROR_OUT_OF_MEMORY || !session.ReleaseUnusedMemory()) return result;
  return session.allocations().Allocate(dptr, bytesize);
}

CUresult cuMemFree_v2(Call& call, CUdeviceptr dptr) {
  if (call.session().graph_memory().Has(dptr)) return CUDA_ERROR_INVALID_VALUE;  // the client frees it by its number
  if (call.session().exports().HasOpen(dptr)) return CUDA_ERROR_INVALID_VALUE;  // it is another process's
  MemoryPools& pools = call.session().memory_pools();
  return pools.Has(dptr) ? pools.Free(dptr) : call.session().allocations().Free(dptr);
}

CUresult outboardSetAside(Call& call, CUdeviceptr address) { return call.session().allocations().SetAside(address); }

CUresult cuMemGetInfo_v2(Call& call, size_t* free, size_t* total) {
  call.session().SettleMemory();
  call.session().LookForUnseenMemory();
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

CUresult outboardWriteBox(Call& call, OutboardBox destination, OutboardBoxExtent extent, const void* bytes,
                          size_t count, CUstream stream) {
  if (PackedBytes(extent) != count) return CUDA_ERROR_INVALID_VALUE;
  return call.session().copies().Write(destination, extent, bytes, stream);
}

CUresult outboardWriteBoxPulled(Call& call, OutboardBox destination, OutboardBoxExtent extent, OutboardBox host,
                                unsigned long long pull, CUstream stream) {
  return call.session().copies().WritePulled(destination, extent, host, pull, stream);
}

CUresult outboardReadBox(Call& call, void* bytes, size_t count, OutboardBox source, OutboardBoxExtent extent,
                         CUstream stream) {
  if (PackedBytes(extent) != count) return CUDA_ERROR_INVALID_VALUE;
  return call.session().copies().Read(bytes, source, extent, stream);
}

CUresult outboardReadBoxAsync(Call& call, OutboardBox host, OutboardBox source, OutboardBoxExtent extent,
                              CUstream stream) {
  return call.session().copies().ReadAsync(host, source, extent, stream);
}

CUresult outboardCopyBox(Call& call, OutboardBox destination, OutboardBox source, OutboardBoxExtent extent,
                         CUstream stream) {
  const auto copy_3d = call.driver().cuMemcpy3DAsync_v2;
  const auto copy = Between<CUDA_MEMCPY3D>(destination, source, extent);
  return copy_3d == nullptr ? CUDA_ERROR_NOT_SUPPORTED : copy_3d(&copy, stream);
}

CUresult outboardCopyBoxPeerAsync(Call& call, OutboardBox destination, CUcontext destinationContext, OutboardBox source,
                                  CUcontext sourceContext, OutboardBoxExtent extent, CUstream stream) {
  const auto copy_3d = call.driver().cuMemcpy3DPeerAsync;
  auto copy = Between<CUDA_MEMCPY3D_PEER>(destination, source, extent);
  copy.dstContext = destinationContext;
  copy.srcContext = sourceContext;
  return copy_3d == nullptr ? CUDA_ERROR_NOT_SUPPORTED : copy_3d(&copy, stream);
}

CUresult outboardCopyBoxPeer(Call& call, OutboardBox destination, CUcontext destinationContext, OutboardBox source,
                             CUcontext sourceContext, OutboardBoxExtent extent) {
  const auto copy_3d = call.driver().cuMemcpy3DPeer;
  auto copy = Between<CUDA_MEMCPY3D_PEER>(destination, source, extent);
  copy.dstContext = destinationContext;
  copy.srcContext = sourceContext;
  return copy_3d == nullptr ? CUDA_ERROR_NOT_SUPPORTED : copy_3d(&copy);
}

CUresult outboardDrainHost(Call& call, unsigned long long hostAddress, size_t count) {
  call.session().graphs().Drain();
  call.session().copies().DrainHost(hostAddress, count);
  return CUDA_SUCCESS;
}

}  // namespace outboard::worker::custom
