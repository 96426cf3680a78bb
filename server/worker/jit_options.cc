#include "server/worker/jit_options.h"

#include <cstdint>
#include <cstring>

#include "common/base/number_of.h"
#include "common/wire/jit_option.h"

namespace outboard::worker {

CUresult JitOptions::Set(const CUjit_option* options, const unsigned long long* values, unsigned count) {
  if (count != 0 && (options == nullptr || values == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  const auto add = [this](CUjit_option option, uintptr_t value) {
    options_.push_back(option);
    values_.push_back(reinterpret_cast<void*>(value));
  };
  using Kind = wire::JitOptionKind;
  for (unsigned i = 0; i < count; ++i) {
    const Kind kind = wire::KindOfJitOption(NumberOf(options[i]));
    if (kind == Kind::kNone) return CUDA_ERROR_INVALID_VALUE;
    if (kind == Kind::kPointer) return CUDA_ERROR_NOT_SUPPORTED;
    if (kind == Kind::kNumber) add(options[i], values[i]);
  }
  info_.assign(kLogBytes, 0);
  error_.assign(kLogBytes, 0);
  add(CU_JIT_INFO_LOG_BUFFER, reinterpret_cast<uintptr_t>(info_.data()));
  add(CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, kLogBytes);
  add(CU_JIT_ERROR_LOG_BUFFER, reinterpret_cast<uintptr_t>(error_.data()));
  add(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, kLogBytes);
  return CUDA_SUCCESS;
}

bool JitOptions::IsNumber(CUjit_option option) {
  return wire::KindOfJitOption(NumberOf(option)) == wire::JitOptionKind::kNumber;
}

LoadLog JitOptions::Log() const {
  const auto text = [](const std::vector<char>& buffer) {
    return std::string(buffer.data(), strnlen(buffer.data(), buffer.size()));
  };
  return {text(info_), text(error_)};
}

}  // namespace outboard::worker
