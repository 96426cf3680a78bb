#include "server/softgpu/api/cuda_api.h"

#include <cstring>

#include "common/api/entry_points.h"
#include "common/interop/interop.h"
#include "common/interop/own_memory.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/interop_host.h"

// Driver entry point access, and the runtime's private tables. Both are asked before cuInit.

using namespace outboard::softgpu::api;

namespace {

constexpr outboard::interop::OwnMemoryTable kOwnMemory = {
    sizeof kOwnMemory,
    [](const outboard::interop::OwnMemoryAccount* account) { Driver::Get().own_memory.Keep(account); }};

}  // namespace

CUresult cuGetProcAddress_v2(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* symbolStatus) {
  return outboard::GetProcAddress(symbol, pfn, cudaVersion, flags, symbolStatus);
}

CUresult cuGetProcAddress(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags) {
  return outboard::GetProcAddress(symbol, pfn, cudaVersion, flags, nullptr);
}

CUresult cuGetExportTable(const void** ppExportTable, const CUuuid* pExportTableId) {
  return outboard::Guard([&]() -> CUresult {
    if (Driver::Get().lost()) return CUDA_ERROR_NOT_INITIALIZED;
    if (!ppExportTable || !pExportTableId) return CUDA_ERROR_INVALID_VALUE;
    if (std::memcmp(pExportTableId, &outboard::interop::kOwnMemoryTable, sizeof(CUuuid)) == 0) {
      *ppExportTable = &kOwnMemory;
      return CUDA_SUCCESS;
    }
    InstallInteropHost();
    return outboard::interop::ExportTable(ppExportTable, pExportTableId);
  });
}
