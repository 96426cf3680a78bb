#include "common/base/log.h"
#include "common/interop/interop.h"

// The library of a build with OUTBOARD_RUNTIME_INTEROP=OFF.

namespace outboard::interop {

void Install(Host*) {}

CUresult ExportTable(const void** table, const CUuuid* id) {
  if (table == nullptr || id == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *table = nullptr;
  static const bool logged = (Log(LogLevel::kError,
                                  "this driver was built without support for the CUDA runtime "
                                  "(OUTBOARD_RUNTIME_INTEROP=OFF); only programs that "
                                  "use the driver API alone can run"),
                              true);
  static_cast<void>(logged);
  return CUDA_ERROR_NOT_FOUND;
}

void ContextDestroyed(CUcontext) {}

}  // namespace outboard::interop
