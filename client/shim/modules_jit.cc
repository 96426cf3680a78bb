#include "client/shim/modules_jit.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "client/shim/remote.gen.h"
#include "common/api/error_names.h"
#include "common/base/limits.h"
#include "common/base/log.h"
#include "common/base/number_of.h"
#include "common/wire/jit_option.h"

namespace outboard::shim {
namespace {

// What the compiler said in this thread's last load; empty when that cannot be had.
std::string LogOfWorker(CUjit_option which, size_t capacity) {
  std::string text(std::min<size_t>(capacity, kMaxPayloadBytes), '\0');
  if (text.empty() || remote::outboardLoadLog(which, text.data(), text.size()) != CUDA_SUCCESS) return {};
  text.resize(strnlen(text.data(), text.size()));
  return text;
}

}  // namespace

CUresult JitOptions::Check() const {
  if (count_ == 0) return CUDA_SUCCESS;
  if (options_ == nullptr || values_ == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count_; ++i) {
    const wire::JitOptionKind kind = wire::KindOfJitOption(NumberOf(options_[i]));
    if (kind == wire::JitOptionKind::kNone) return CUDA_ERROR_INVALID_VALUE;
    if (kind == wire::JitOptionKind::kPointer) return CUDA_ERROR_NOT_SUPPORTED;
  }
  return CUDA_SUCCESS;
}

JitOptions::Inputs JitOptions::TakeInputs() const {
  Inputs inputs;
  for (unsigned i = 0; i < count_; ++i) {
    if (wire::KindOfJitOption(NumberOf(options_[i])) != wire::JitOptionKind::kNumber) continue;
    inputs.options.push_back(options_[i]);
    inputs.values.push_back(reinterpret_cast<uintptr_t>(values_[i]));
  }
  return inputs;
}

void JitOptions::Report(const CodeResult& result, float milliseconds) const {
  constexpr Log kInfo{CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES};
  constexpr Log kError{CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  if (void** const time = Find(CU_JIT_WALL_TIME)) std::memcpy(time, &milliseconds, sizeof milliseconds);
  const bool worker_knows = result.message.empty();
  size_t capacity;
  const bool has_info = LogBuffer(kInfo, &capacity) != nullptr;
  FillLog(kInfo, has_info && worker_knows ? LogOfWorker(kInfo.buffer, capacity) : std::string());
  const bool has_error = LogBuffer(kError, &capacity) != nullptr;
  FillLog(kError, has_error && worker_knows ? LogOfWorker(kError.buffer, capacity) : result.message);
  if (has_error || result.code == CUDA_SUCCESS) return;

  constexpr size_t kLongest = 4096;
  const std::string reason = worker_knows ? LogOfWorker(kError.buffer, kLongest) : result.message;
  const ErrorText* const error = FindError(static_cast<unsigned>(result.code));
  outboard::Log(LogLevel::kError, "a code image was not loaded (%s)%s%s", error != nullptr ? error->name : "?",
                reason.empty() ? "" : ": ", reason.c_str());
}

void** JitOptions::Find(CUjit_option option) const {
  for (unsigned i = 0; i < count_; ++i) {
    if (options_[i] == option) return &values_[i];
  }
  return nullptr;
}

char* JitOptions::LogBuffer(const Log& log, size_t* capacity) const {
  void** const buffer = Find(log.buffer);
  void** const size = Find(log.size);
  *capacity = size != nullptr ? static_cast<unsigned>(reinterpret_cast<uintptr_t>(*size)) : 0;
  return buffer != nullptr && *capacity > 0 ? static_cast<char*>(*buffer) : nullptr;
}

// The size goes in as the buffer's, and comes out as that of the text, its NUL not counted.
void JitOptions::FillLog(const Log& log, std::string_view text) const {
  size_t capacity, length = 0;
  if (char* const buffer = LogBuffer(log, &capacity)) {
    length = std::min(text.size(), capacity - 1);
    text.copy(buffer, length);
    buffer[length] = 0;
  }
  if (void** const size = Find(log.size)) *size = reinterpret_cast<void*>(static_cast<uintptr_t>(length));
}

}  // namespace outboard::shim
