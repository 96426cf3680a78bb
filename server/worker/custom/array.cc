#include <algorithm>
#include <vector>

#include "server/worker/arrays.h"
#include "server/worker/call.h"
#include "server/worker/copies.h"
#include "server/worker/custom.gen.h"
#include "server/worker/session.h"

// Memory management: CUDA arrays, and copies between them, device memory and the client.

namespace outboard::worker::custom {
namespace {

// create() is tried once more after everything was given back that nobody uses.
template <class Create>
CUresult CreateOrMakeRoom(Call& call, Create create) {
  const CUresult result = create();
  if (result != CUDA_ERROR_OUT_OF_MEMORY || !call.session().ReleaseUnusedMemory()) return result;
  return create();
}

// A copy of the driver's within the device.
CUresult CopyPlaces(Call& call, const DevicePlace& to, const DevicePlace& from, const BoxExtent& extent,
                    CUstream stream) {
  const auto copy_3d = call.driver().cuMemcpy3DAsync_v2;
  CUDA_MEMCPY3D copy{};
  copy.WidthInBytes = copy.srcPitch = copy.dstPitch = extent.width;
  copy.Height = copy.srcHeight = copy.dstHeight = extent.height;
  copy.Depth = extent.depth;
  to.SetDestination(&copy);
  from.SetSource(&copy);
  return copy_3d == nullptr ? CUDA_ERROR_NOT_SUPPORTED : copy_3d(&copy, stream);
}

}  // namespace

CUresult cuArray3DCreate_v2(Call& call, CUarray* pHandle, const CUDA_ARRAY3D_DESCRIPTOR* pAllocateArray) {
  return CreateOrMakeRoom(call, [&] { return call.session().arrays().Create(pHandle, pAllocateArray); });
}

CUresult cuArrayDestroy(Call& call, CUarray hArray) { return call.session().arrays().Destroy(hArray); }

CUresult cuMipmappedArrayCreate(Call& call, CUmipmappedArray* pHandle,
                                const CUDA_ARRAY3D_DESCRIPTOR* pMipmappedArrayDesc, unsigned int numMipmapLevels) {
  return CreateOrMakeRoom(
      call, [&] { return call.session().arrays().CreateMipmapped(pHandle, pMipmappedArrayDesc, numMipmapLevels); });
}

CUresult cuMipmappedArrayDestroy(Call& call, CUmipmappedArray hMipmappedArray) {
  const std::vector<CUarray> levels = call.session().arrays().LevelsOf(hMipmappedArray);
  const CUresult result = call.session().arrays().DestroyMipmapped(hMipmappedArray);
  if (result != CUDA_SUCCESS) return result;
  HandleTable& handles = call.session().handles();
  handles.ForEach(wire::HandleKind::kArray, [&](wire::HandleId id, void* object) {
    if (std::find(levels.begin(), levels.end(), object) != levels.end()) handles.Remove(id);
  });
  return CUDA_SUCCESS;
}

CUresult outboardWriteArray(Call& call, CUarray destination, OutboardArrayPlace place, OutboardBoxExtent extent,
                            const void* bytes, size_t count, CUstream stream) {
  if (PackedBytes(extent) != count) return CUDA_ERROR_INVALID_VALUE;
  return call.session().copies().Write({destination, place}, extent, bytes, stream);
}

CUresult outboardWriteArrayPulled(Call& call, CUarray destination, OutboardArrayPlace place, OutboardBoxExtent extent,
                                  OutboardBox host, unsigned long long pull, CUstream stream) {
  return call.session().copies().WritePulled({destination, place}, extent, host, pull, stream);
}

CUresult outboardReadArray(Call& call, void* bytes, size_t count, CUarray source, OutboardArrayPlace place,
                           OutboardBoxExtent extent, CUstream stream) {
  if (PackedBytes(extent) != count) return CUDA_ERROR_INVALID_VALUE;
  return call.session().copies().Read(bytes, {source, place}, extent, stream);
}

CUresult outboardReadArrayAsync(Call& call, OutboardBox host, CUarray source, OutboardArrayPlace place,
                                OutboardBoxExtent extent, CUstream stream) {
  return call.session().copies().ReadAsync(host, {source, place}, extent, stream);
}

CUresult outboardCopyToArray(Call& call, CUarray destination, OutboardArrayPlace place, OutboardBox source,
                             OutboardBoxExtent extent, CUstream stream) {
  return CopyPlaces(call, {destination, place}, source, extent, stream);
}

CUresult outboardCopyFromArray(Call& call, OutboardBox destination, CUarray source, OutboardArrayPlace place,
                               OutboardBoxExtent extent, CUstream stream) {
  return CopyPlaces(call, destination, {source, place}, extent, stream);
}

CUresult outboardCopyArrays(Call& call, CUarray destination, OutboardArrayPlace destinationPlace, CUarray source,
                            OutboardArrayPlace sourcePlace, OutboardBoxExtent extent, CUstream stream) {
  return CopyPlaces(call, {destination, destinationPlace}, {source, sourcePlace}, extent, stream);
}

}  // namespace outboard::worker::custom
