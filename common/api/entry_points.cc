#include "common/api/entry_points.h"

#include <algorithm>
#include <string_view>

namespace outboard {

CUresult FindEntryPointIn(std::span<const EntryPoint> table, const char* name, int version, bool per_thread,
                          void** address, CUdriverProcAddressQueryResult* status) {
  const std::string_view base = name;
  const auto base_of = [](const EntryPoint& row) { return std::string_view(row.base_name); };
  const EntryPoint* found = nullptr;
  bool too_new = false;
  for (auto row = std::ranges::lower_bound(table, base, {}, base_of); row != table.end() && base_of(*row) == base;
       ++row) {
    if (row->since <= version && (per_thread || !row->per_thread)) found = &*row;
    too_new = found == nullptr;
  }
  *address = found != nullptr ? found->address : nullptr;
  if (status != nullptr) {
    *status = *address != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS
              : too_new           ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                                  : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  }
  return *address != nullptr ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

CUresult FindEntryPoint(const char* name, int version, bool per_thread, void** address,
                        CUdriverProcAddressQueryResult* status) {
  return FindEntryPointIn(EntryPoints(), name, version, per_thread, address, status);
}

CUresult GetProcAddress(const char* name, void** address, int version, cuuint64_t flags,
                        CUdriverProcAddressQueryResult* status) {
  if (name == nullptr || address == nullptr) return CUDA_ERROR_INVALID_VALUE;
  switch (flags) {
    case CU_GET_PROC_ADDRESS_DEFAULT:
    case CU_GET_PROC_ADDRESS_LEGACY_STREAM:
      return FindEntryPoint(name, version, false, address, status);
    case CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM:
      return FindEntryPoint(name, version, true, address, status);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace outboard
