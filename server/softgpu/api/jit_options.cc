#include "server/softgpu/api/jit_options.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "common/base/number_of.h"

namespace outboard::softgpu::api {

namespace {

// As CUjit_target has them, without what they say of features.
constexpr unsigned kTargets[] = {30, 32, 35, 37, 50, 52, 53,  60,  61,  62,  70, 72,
                                 75, 80, 86, 87, 89, 90, 100, 103, 110, 120, 121};

unsigned ArchOf(unsigned target) { return target & 0xffff; }

bool IsTarget(unsigned target) {
  const unsigned features = target - ArchOf(target);
  return std::find(std::begin(kTargets), std::end(kTargets), ArchOf(target)) != std::end(kTargets) &&
         (features == 0 || features == CU_COMPUTE_ACCELERATED_TARGET_BASE || features == CU_COMPUTE_FAMILY_TARGET_BASE);
}

}  // namespace

bool JitOptions::Valid() const {
  if (count_ == 0) return true;
  if (!options_ || !values_) return false;
  const bool exist = std::all_of(options_, options_ + count_,
                                 [](const CUjit_option& option) { return NumberOf(option) < CU_JIT_NUM_OPTIONS; });
  if (!exist) return false;
  const std::optional<unsigned> target = Number(CU_JIT_TARGET);
  if (target && (!IsTarget(*target) || Find(CU_JIT_THREADS_PER_BLOCK))) return false;
  constexpr unsigned kMostOptimized = 4;
  return Number(CU_JIT_OPTIMIZATION_LEVEL).value_or(0) <= kMostOptimized;
}

std::optional<int> JitOptions::Target() const {
  const std::optional<unsigned> target = Number(CU_JIT_TARGET);
  return target ? std::optional(static_cast<int>(ArchOf(*target))) : std::nullopt;
}

bool JitOptions::IsVerbose() const { return Number(CU_JIT_LOG_VERBOSE).value_or(0) != 0; }

bool JitOptions::HasErrorLog() const {
  void** const buffer = Find(CU_JIT_ERROR_LOG_BUFFER);
  void** const size = Find(CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES);
  return buffer && *buffer && size && static_cast<unsigned>(reinterpret_cast<uintptr_t>(*size)) > 0;
}

void JitOptions::Report(std::string_view error, float milliseconds, std::string_view info) const {
  FillLog(CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, error);
  FillLog(CU_JIT_INFO_LOG_BUFFER, CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES, info);
  if (void** time = Find(CU_JIT_WALL_TIME)) std::memcpy(time, &milliseconds, sizeof(milliseconds));
}

void** JitOptions::Find(CUjit_option option) const {
  for (unsigned i = 0; i < count_; ++i) {
    if (options_[i] == option) return &values_[i];
  }
  return nullptr;
}

std::optional<unsigned> JitOptions::Number(CUjit_option option) const {
  void** const value = Find(option);
  return value ? std::optional(static_cast<unsigned>(reinterpret_cast<uintptr_t>(*value))) : std::nullopt;
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
