#include "server/softgpu/api/jit_options.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "common/base/number_of.h"

namespace outboard::softgpu::api {

bool JitOptions::Valid() const {
  if (count_ == 0) return true;
  if (!options_ || !values_) return false;
  return std::all_of(options_, options_ + count_,
                     [](const CUjit_option& option) { return NumberOf(option) < CU_JIT_NUM_OPTIONS; });
}

bool JitOptions::HasErrorLog() const {
  void** const buffer = Find(CU_JIT_ERROR_LOG_BUFFER);
  void** const size = Find(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
  return buffer && *buffer && size && static_cast<unsigned>(reinterpret_cast<uintptr_t>(*size)) > 0;
}

void JitOptions::Report(std::string_view error, float milliseconds) const {
  FillLog(CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, error);
  FillLog(CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, {});
  if (void** time = Find(CU_JIT_WALL_TIME)) std::memcpy(time, &milliseconds, sizeof(milliseconds));
}

void** JitOptions::Find(CUjit_option option) const {
  for (unsigned i = 0; i < count_; ++i) {
    if (options_[i] == option) return &values_[i];
  }
  return nullptr;
}

// The size goes in as the buffer's, and comes out as that of the text, its NUL not counted.
void JitOptions::FillLog(CUjit_option buffer, CUjit_option size, std::string_view text) const {
  void** const buffer_value = Find(buffer);
  void** const size_value = Find(size);
  if (!size_value) return;
  const size_t capacity = static_cast<unsigned>(reinterpret_cast<uintptr_t>(*size_value));
  size_t length = 0;
  if (buffer_value && *buffer_value && capacity > 0) {
    length = std::min(text.size(), capacity - 1);
    char* out = static_cast<char*>(*buffer_value);
    text.copy(out, length);  // which takes an empty one, without an address, too
    out[length] = 0;
  }
  *size_value = reinterpret_cast<void*>(static_cast<uintptr_t>(length));
}

}  // namespace outboard::softgpu::api
