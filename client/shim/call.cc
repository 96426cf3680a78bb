#include "client/shim/call.h"

#include "client/shim/context_objects.h"
#include "common/base/log.h"

namespace outboard::shim {

bool IsOfCurrentContext(CUstream stream) {
  const auto id = reinterpret_cast<wire::HandleId>(stream);
  // A green context has no per-thread default stream.
  if (wire::IsBuiltInStream(id)) return stream == CU_STREAM_LEGACY || CurrentContext() == CurrentHome();
  return Process::Get().context_objects().ContextOf(id) == CurrentHome();
}

CUresult Unsupported(const char* name, const char* why) {
  return Guard([&] {
    if (Process::Get().FirstMention(name)) {
      Log(LogLevel::kWarn, "%s is not supported (%s); it returns CUDA_ERROR_NOT_SUPPORTED", name, why);
    }
    return CUDA_ERROR_NOT_SUPPORTED;
  });
}

}  // namespace outboard::shim
