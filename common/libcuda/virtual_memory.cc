#include "common/libcuda/virtual_memory.h"

#include "common/base/number_of.h"
#include "common/libcuda/memory_location.h"

namespace outboard {

CUresult CheckAllocationProps(const CUmemAllocationProp& props) {
  if (NumberOf(props.type) == CU_MEM_ALLOCATION_TYPE_MANAGED) return CUDA_ERROR_NOT_SUPPORTED;
  if (NumberOf(props.type) != CU_MEM_ALLOCATION_TYPE_PINNED || props.win32HandleMetaData != nullptr) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (const CUresult result = CheckMemoryLocation(props.location); result != CUDA_SUCCESS) return result;
  const auto& flags = props.allocFlags;
  if (flags.compressionType > CU_MEM_ALLOCATION_COMP_GENERIC) return CUDA_ERROR_INVALID_VALUE;
  const bool is_shared =
      (NumberOf(props.requestedHandleTypes) & ~unsigned{CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR}) != 0;
  return is_shared || flags.gpuDirectRDMACapable != 0 || flags.usage != 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

CUmemAllocationProp GrantedProps(const CUmemAllocationProp& props) {
  CUmemAllocationProp granted{};
  granted.type = props.type;
  granted.requestedHandleTypes = props.requestedHandleTypes;
  granted.location = props.location;
  return granted;
}

CUresult CheckAccess(const CUmemAccessDesc& access) {
  if (const CUresult result = CheckMemoryLocation(access.location); result != CUDA_SUCCESS) return result;
  switch (NumberOf(access.flags)) {
    case CU_MEM_ACCESS_FLAGS_PROT_NONE:
    case CU_MEM_ACCESS_FLAGS_PROT_READ:
    case CU_MEM_ACCESS_FLAGS_PROT_READWRITE:
      return CUDA_SUCCESS;
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace outboard
