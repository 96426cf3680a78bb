#include "common/libcuda/memory_pools.h"

#include <algorithm>
#include <iterator>

#include "common/base/number_of.h"
#include "common/libcuda/memory_location.h"

namespace outboard {

CUresult CheckPoolProps(const CUmemPoolProps& props) {
  const bool reserved_is_zero =
      std::all_of(std::begin(props.reserved), std::end(props.reserved), [](unsigned char byte) { return byte == 0; });
  if (!reserved_is_zero || props.win32SecurityAttributes != nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (NumberOf(props.allocType) == CU_MEM_ALLOCATION_TYPE_MANAGED) return CUDA_ERROR_NOT_SUPPORTED;
  if (NumberOf(props.allocType) != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  if (const CUresult result = CheckMemoryLocation(props.location); result != CUDA_SUCCESS) return result;
  const bool is_shared_otherwise =
      (NumberOf(props.handleTypes) & ~unsigned{CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR}) != 0;
  return is_shared_otherwise || props.usage != 0 ? CUDA_ERROR_NOT_SUPPORTED : CUDA_SUCCESS;
}

CUresult CheckPoolLocation(const CUmemLocation* location, CUmemAllocationType type) {
  if (location == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (NumberOf(type) == CU_MEM_ALLOCATION_TYPE_MANAGED) return CUDA_ERROR_NOT_SUPPORTED;
  if (NumberOf(type) != CU_MEM_ALLOCATION_TYPE_PINNED) return CUDA_ERROR_INVALID_VALUE;
  return CheckMemoryLocation(*location);
}

}  // namespace outboard
