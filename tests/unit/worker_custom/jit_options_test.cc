#include "server/worker/jit_options.h"

#include <gtest/gtest.h>

#include <cstring>

namespace outboard::worker {
namespace {

TEST(JitOptionsTest, NumbersGoToTheDriver) {
  const CUjit_option options[] = {CU_JIT_OPTIMIZATION_LEVEL, CU_JIT_MAX_REGISTERS};
  const unsigned long long values[] = {3, 64};
  JitOptions jit;
  ASSERT_EQ(jit.Set(options, values, 2), CUDA_SUCCESS);
  ASSERT_EQ(jit.count(), 6u);
  EXPECT_EQ(jit.options()[0], CU_JIT_OPTIMIZATION_LEVEL);
  EXPECT_EQ(jit.values()[0], reinterpret_cast<void*>(3));
  EXPECT_EQ(jit.options()[1], CU_JIT_MAX_REGISTERS);
  EXPECT_EQ(jit.values()[1], reinterpret_cast<void*>(64));
}

TEST(JitOptionsTest, TheCompilerWritesToBuffersOfTheWorker) {
  const CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_WALL_TIME};
  const unsigned long long values[] = {0x1000, 1u << 30, 0};
  JitOptions jit;
  ASSERT_EQ(jit.Set(options, values, 3), CUDA_SUCCESS);
  ASSERT_EQ(jit.count(), 4u);
  for (unsigned i = 0; i < jit.count(); i += 2) {
    const bool is_info = jit.options()[i] == CU_JIT_INFO_LOG_BUFFER;
    ASSERT_TRUE(is_info || jit.options()[i] == CU_JIT_ERROR_LOG_BUFFER);
    const auto size = reinterpret_cast<uintptr_t>(jit.values()[i + 1]);
    std::memset(jit.values()[i], is_info ? 'i' : 'e', size);  // all of it is there, and needs no NUL
    EXPECT_EQ(is_info ? jit.Log().info : jit.Log().error, std::string(size, is_info ? 'i' : 'e'));
  }
}

TEST(JitOptionsTest, RefusesWhatLeadsToMemory) {
  const unsigned long long value = 0x1000;
  for (const CUjit_option option : {CU_JIT_GLOBAL_SYMBOL_NAMES, CU_JIT_GLOBAL_SYMBOL_ADDRESSES,
                                    CU_JIT_REFERENCED_KERNEL_NAMES, CU_JIT_REFERENCED_VARIABLE_NAMES}) {
    EXPECT_EQ(JitOptions().Set(&option, &value, 1), CUDA_ERROR_NOT_SUPPORTED);
  }
  const auto none = static_cast<CUjit_option>(CU_JIT_NUM_OPTIONS);
  EXPECT_EQ(JitOptions().Set(&none, &value, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(JitOptions().Set(nullptr, &value, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(JitOptions().Set(&none, nullptr, 1), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(JitOptions().Set(nullptr, nullptr, 0), CUDA_SUCCESS);
}

}  // namespace
}  // namespace outboard::worker
