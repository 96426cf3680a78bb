#include "server/worker/custom/memory_location.h"
#include "server/worker/virtual_memory.h"

#include <vector>

#include "common/base/number_of.h"
#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/session.h"

// Virtual memory management.

namespace outboard::worker::custom {
namespace {

// Names the device as the driver does. Other locations are not for memory of a slice.
// What the driver gets of a client's wishes: nothing is shared with other processes, no matter what the client says,
// and no pointer of it is followed.
CUresult ToDriver(Call& call, const CUmemAllocationProp* props, CUmemAllocationProp* translated) {
  if (props == nullptr) return CUDA_ERROR_INVALID_VALUE;
  translated->type = props->type;
  translated->location = props->location;
  return LocationToDriver(call, &translated->location);
}

}  // namespace

CUresult cuMemAddressReserve(Call& call, CUdeviceptr* ptr, size_t size, size_t alignment, CUdeviceptr addr,
                             unsigned long long flags) {
  if (ptr == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return call.session().virtual_memory().Reserve(ptr, size, alignment, addr, flags);
}

CUresult cuMemAddressFree(Call& call, CUdeviceptr ptr, size_t size) {
  return call.session().virtual_memory().FreeRange(ptr, size);
}

CUresult cuMemCreate(Call& call, CUmemGenericAllocationHandle* handle, size_t size, const CUmemAllocationProp* prop,
                     unsigned long long flags) {
  CUmemAllocationProp translated{};
  if (const CUresult result = ToDriver(call, prop, &translated); result != CUDA_SUCCESS) return result;
  Session& session = call.session();
  const CUresult result = session.virtual_memory().Create(handle, size, translated, flags);
  if (result != CUDA_ERROR_OUT_OF_MEMORY || !session.ReleaseUnusedMemory()) return result;
  return session.virtual_memory().Create(handle, size, translated, flags);
}

CUresult cuMemRelease(Call& call, CUmemGenericAllocationHandle handle) {
  return call.session().virtual_memory().Release(handle);
}

CUresult cuMemMap(Call& call, CUdeviceptr ptr, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags) {
  return call.session().virtual_memory().Map(ptr, size, offset, handle, flags);
}

CUresult cuMemUnmap(Call& call, CUdeviceptr ptr, size_t size) {
  return call.session().virtual_memory().Unmap(ptr, size);
}

CUresult cuMemSetAccess(Call& call, CUdeviceptr ptr, size_t size, const CUmemAccessDesc* desc, size_t count) {
  if (desc == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUmemAccessDesc> translated(desc, desc + count);
  for (CUmemAccessDesc& access : translated) {
    if (const CUresult result = LocationToDriver(call, &access.location); result != CUDA_SUCCESS) return result;
  }
  return call.driver().cuMemSetAccess(ptr, size, translated.data(), count);
}

CUresult cuMemGetAllocationGranularity(Call& call, size_t* granularity, const CUmemAllocationProp* prop,
                                       CUmemAllocationGranularity_flags option) {
  CUmemAllocationProp translated{};
  if (const CUresult result = ToDriver(call, prop, &translated); result != CUDA_SUCCESS) return result;
  return call.driver().cuMemGetAllocationGranularity(granularity, &translated, option);
}

}  // namespace outboard::worker::custom
