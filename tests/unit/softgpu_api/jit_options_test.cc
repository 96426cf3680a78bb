#include "server/softgpu/api/jit_options.h"

#include <gtest/gtest.h>

#include <string>

namespace outboard::softgpu::api {
namespace {

TEST(JitOptions, RefusesMissingArraysAndUnknownOptions) {
  CUjit_option option = CU_JIT_MAX_REGISTERS;
  void* value = nullptr;
  EXPECT_TRUE(JitOptions(0, nullptr, nullptr).Valid());
  EXPECT_TRUE(JitOptions(1, &option, &value).Valid());
  EXPECT_FALSE(JitOptions(1, nullptr, &value).Valid());
  EXPECT_FALSE(JitOptions(1, &option, nullptr).Valid());
  option = CU_JIT_NUM_OPTIONS;
  EXPECT_FALSE(JitOptions(1, &option, &value).Valid());
}

TEST(JitOptions, FillsTheErrorLogAndItsSize) {
  char log[32] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof(log))};
  JitOptions(2, options, values).Report("line 3: what", 0);
  EXPECT_STREQ(log, "line 3: what");
  EXPECT_EQ(reinterpret_cast<size_t>(values[1]), 12u);
}

TEST(JitOptions, KnowsWhetherThereIsAnErrorLog) {
  char log[32] = {};
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void* values[] = {log, reinterpret_cast<void*>(sizeof(log))};
  EXPECT_TRUE(JitOptions(2, options, values).HasErrorLog());
  EXPECT_FALSE(JitOptions(0, nullptr, nullptr).HasErrorLog());
  EXPECT_FALSE(JitOptions(1, options, values).HasErrorLog());
  values[1] = nullptr;
  EXPECT_FALSE(JitOptions(2, options, values).HasErrorLog());
  values[0] = nullptr, values[1] = reinterpret_cast<void*>(sizeof(log));
  EXPECT_FALSE(JitOptions(2, options, values).HasErrorLog());
}

TEST(JitOptions, CutsWhatDoesNotFit) {
  char log[8];
  std::fill(std::begin(log), std::end(log), 'x');
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES, CU_JIT_ERROR_LOG_BUFFER};
  void* values[] = {reinterpret_cast<void*>(size_t{5}), log};
  JitOptions(2, options, values).Report("abcdefgh", 0);
  EXPECT_EQ(std::string(log, 6), std::string("abcd\0x", 6));
  EXPECT_EQ(reinterpret_cast<size_t>(values[0]), 4u);
}

TEST(JitOptions, WritesNothingWithoutASize) {
  char log[4] = {'x', 'x', 'x', 0};
  CUjit_option option = CU_JIT_ERROR_LOG_BUFFER;
  void* value = log;
  JitOptions(1, &option, &value).Report("abc", 0);
  EXPECT_STREQ(log, "xxx");
}

}  // namespace
}  // namespace outboard::softgpu::api
