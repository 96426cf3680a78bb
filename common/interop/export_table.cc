#include <algorithm>
#include <mutex>
#include <vector>

#include "common/base/log.h"
#include "common/interop/host.h"
#include "common/interop/slots.h"
#include "common/interop/tables.h"

namespace outboard::interop {
namespace {

struct Table {
  const CUuuid& id;
  const void* (*get)();
};

constexpr Table kTables[] = {
    {kCudartInterface, &CudartInterface},
    {kToolsRuntimeCallbackHooks, &ToolsRuntimeCallbackHooks},
    {kToolsTls, &ToolsTls},
    {kContextLocalStorage, &ContextLocalStorage},
    {kContextChecks, &ContextChecks},
    {kIntegrityCheck, &IntegrityCheck},
    {kToolsContext, &ToolsContext},
    {kToolsModule, &ToolsModule},
    {kUnnamed, &Unnamed},
};

// Beyond so many, a caller is making them up.
constexpr size_t kMaxLoggedTables = 64;

void LogUnknownTableOnce(const CUuuid& id) {
  static auto* const mutex = new std::mutex;
  static auto* const logged = new std::vector<CUuuid>;
  const std::lock_guard lock(*mutex);
  const bool known = std::ranges::any_of(*logged, [&id](const CUuuid& other) { return SameUuid(id, other); });
  if (known || logged->size() >= kMaxLoggedTables) return;
  logged->push_back(id);
  Log(LogLevel::kWarn, "private driver table %s was asked for and is not known; what asked may not work",
      UuidText(id).c_str());
}

}  // namespace

CUresult ExportTable(const void** table, const CUuuid* id) {
  if (table == nullptr || id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *table = nullptr;
  if (InstalledHost() == nullptr) return CUDA_ERROR_NOT_INITIALIZED;
  if (SameUuid(*id, kSkipInitProbe) || SameUuid(*id, kCompilerProbe)) return CUDA_ERROR_NOT_FOUND;
  const Table* const found =
      std::ranges::find_if(kTables, [id](const Table& entry) { return SameUuid(*id, entry.id); });
  if (found != std::end(kTables)) {
    *table = found->get();
    return CUDA_SUCCESS;
  }
  return WithoutThrowing([id] {
    LogUnknownTableOnce(*id);
    return CUDA_ERROR_NOT_FOUND;
  });
}

void ContextDestroyed(CUcontext context) { Storage().ContextDestroyed(context); }

}  // namespace outboard::interop
