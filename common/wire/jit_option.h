#pragma once

#include <cuda.h>

namespace outboard::wire {

// What becomes of an option of cuModuleLoadDataEx and its like: its value is passed in one void*, whatever it means.
enum class JitOptionKind {
  kNumber,   // travels
  kOutput,   // stays with the client, which asks for what the compiler said
  kPointer,  // leads to memory of the client, as it does with what counts that: does not travel
  kNone,     // no such option
};

constexpr JitOptionKind KindOfJitOption(unsigned option) {
  switch (option) {
    case CU_JIT_WALL_TIME:
    case CU_JIT_INFO_LOG_BUFFER:
    case CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES:
    case CU_JIT_ERROR_LOG_BUFFER:
    case CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES:
      return JitOptionKind::kOutput;
    case CU_JIT_GLOBAL_SYMBOL_NAMES:
    case CU_JIT_GLOBAL_SYMBOL_ADDRESSES:
    case CU_JIT_GLOBAL_SYMBOL_COUNT:
    case CU_JIT_REFERENCED_KERNEL_NAMES:
    case CU_JIT_REFERENCED_KERNEL_COUNT:
    case CU_JIT_REFERENCED_VARIABLE_NAMES:
    case CU_JIT_REFERENCED_VARIABLE_COUNT:
      return JitOptionKind::kPointer;
    default:
      return option < CU_JIT_NUM_OPTIONS ? JitOptionKind::kNumber : JitOptionKind::kNone;
  }
}

}  // namespace outboard::wire
