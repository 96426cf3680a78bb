#include "client/shim/custom.gen.h"
#include "client/shim/process.h"
#include "common/api/entry_points.h"
#include "common/interop/interop.h"

// Driver entry point access, and the runtime's private tables. Both are asked before cuInit.

namespace outboard::custom {

CUresult cuGetProcAddress_v2(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags,
                             CUdriverProcAddressQueryResult* symbolStatus) {
  return GetProcAddress(symbol, pfn, cudaVersion, flags, symbolStatus);
}

CUresult cuGetProcAddress(const char* symbol, void** pfn, int cudaVersion, cuuint64_t flags) {
  return GetProcAddress(symbol, pfn, cudaVersion, flags, nullptr);
}

CUresult cuGetExportTable(const void** ppExportTable, const CUuuid* pExportTableId) {
  shim::Process& process = shim::Process::Get();
  if (process.IsForkedChild()) return CUDA_ERROR_NOT_INITIALIZED;
  if (ppExportTable == nullptr || pExportTableId == nullptr) return CUDA_ERROR_INVALID_VALUE;
  interop::Install(&process);  // anew in a child that was forked before cuInit
  return interop::ExportTable(ppExportTable, pExportTableId);
}

}  // namespace outboard::custom
