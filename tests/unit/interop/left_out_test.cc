#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "common/interop/interop.h"

#if !OUTBOARD_RUNTIME_INTEROP

namespace outboard::interop {
namespace {

TEST(LeftOut, NoTableIsFoundAndOneLineSaysWhy) {
  const CUuuid ids[] = {{"a"}, {"b"}};
  testing::internal::CaptureStderr();
  for (const CUuuid& id : ids) {
    int anything = 0;
    const void* table = &anything;
    EXPECT_EQ(ExportTable(&table, &id), CUDA_ERROR_NOT_FOUND);
    EXPECT_EQ(table, nullptr);
  }
  const std::string logged = testing::internal::GetCapturedStderr();
  EXPECT_NE(logged.find("OUTBOARD_RUNTIME_INTEROP=OFF"), std::string::npos) << logged;
  EXPECT_EQ(std::ranges::count(logged, '\n'), 1) << logged;
}

}  // namespace
}  // namespace outboard::interop

#endif
