#include "server/worker/virtual_memory.h"

#include <vector>

#include "common/base/number_of.h"
#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/custom/memory_location.h"
#include "server/worker/session.h"

// Virtual memory management.

namespace outboard::worker::custom {
namespace {

// Whether memory of the device can be shared by descriptors.
bool CanBeShared(Call& call, CUdevice ordinal) {
  int value = 0;
  return call.driver().cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR_SUPPORTED,
                                            ordinal) == CUDA_SUCCESS &&
         value != 0;
}

// What the driver gets of a client's wishes: the device as the driver numbers it, since other locations are not for
// memory of a slice, and whether it is to be shared by descriptors. No pointer of it is followed.
CUresult ToDriver(Call& call, const CUmemAllocationProp* props, CUmemAllocationProp* translated) {
  if (props == nullptr) return CUDA_ERROR_INVALID_VALUE;
  translated->type = props->type;
  translated->location = props->location;
  const CUresult result = LocationToDriver(call, &translated->location);
  if (result == CUDA_SUCCESS && NumberOf(props->requestedHandleTypes) == CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR &&
      CanBeShared(call, translated->location.id)) {
    translated->requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  }
  return result;
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

CUresult outboardMemExport(Call& call, CUmemGenericAllocationHandle handle, OutboardShare* share) {
  return call.session().virtual_memory().Export(share, handle);
}

CUresult outboardMemImport(Call& call, CUmemGenericAllocationHandle* handle, size_t* bytes, CUdevice* device,
                           OutboardShare share) {
  VirtualMemory& memory = call.session().virtual_memory();
  const CUresult result = memory.Import(handle, bytes, device, share);
  if (result != CUDA_SUCCESS || call.session().ClientDevice(*device) >= 0) return result;
  memory.Release(*handle);
  return CUDA_ERROR_INVALID_DEVICE;  // the client does not see it
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
