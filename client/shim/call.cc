#include "client/shim/call.h"

#include "client/shim/context_objects.h"
#include "common/base/log.h"

namespace outboard::shim {

bool IsOfCurrentContext(CUstream stream) {
  const auto id = reinterpret_cast<wire::HandleId>(stream);
  return wire::IsBuiltInStream(id) || Process::Get().context_objects().ContextOf(id) == CurrentContext();
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
