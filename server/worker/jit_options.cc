#include "server/worker/jit_options.h"

#include <cstdint>
#include <cstring>

#include "common/base/number_of.h"

namespace outboard::worker {
namespace {

enum class Kind { kNumber, kOutput, kPointer, kNone };

Kind KindOf(unsigned option) {
  switch (option) {
    case CU_JIT_WALL_TIME:
    case CU_JIT_INFO_LOG_BUFFER:
    case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
    case CU_JIT_ERROR_LOG_BUFFER:
    case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
      return Kind::kOutput;
    case CU_JIT_GLOBAL_SYMBOL_NAMES:
    case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
    case CU_JIT_GLOBAL_SYMBOL_COUNT:
    case CU_JIT_REFERENCED_KERNEL_NAMES:
    case CU_JIT_REFERENCED_KERNEL_COUNT:
    case CU_JIT_REFERENCED_VARIABLE_NAMES:
    case CU_JIT_REFERENCED_VARIABLE_COUNT:
      return Kind::kPointer;
    default:
      return option < CU_JIT_NUM_OPTIONS ? Kind::kNumber : Kind::kNone;
  }
}

}  // namespace

CUresult JitOptions::Set(const CUjit_option* options, const unsigned long long* values, unsigned count) {
  if (count != 0 && (options == nullptr || values == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  const auto add = [this](CUjit_option option, uintptr_t value) {
    options_.push_back(option);
    values_.push_back(reinterpret_cast<void*>(value));
  };
  for (unsigned i = 0; i < count; ++i) {
    const Kind kind = KindOf(NumberOf(options[i]));
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

LoadLog JitOptions::Log() const {
  const auto text = [](const std::vector<char>& buffer) {
    return std::string(buffer.data(), strnlen(buffer.data(), buffer.size()));
  };
  return {text(info_), text(error_)};
}

}  // namespace outboard::worker
