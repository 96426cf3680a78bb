#include "server/softgpu/api/print_buffer.h"

#include <gtest/gtest.h>

namespace outboard::softgpu::api {
namespace {

std::string Drained(PrintBuffer& buffer) {
  testing::internal::CaptureStdout();
  buffer.Drain();
  return testing::internal::GetCapturedStdout();
}

TEST(PrintBuffer, KeepsTextUntilItIsDrainedInOrder) {
  PrintBuffer buffer(100);
  buffer.Append("one ");
  buffer.Append("two");
  EXPECT_EQ(Drained(buffer), "one two");
  EXPECT_EQ(Drained(buffer), "");
}

TEST(PrintBuffer, LosesTheOldestTextWhenItIsFull) {
  PrintBuffer buffer(8);
  buffer.Append("aaaa");
  buffer.Append("bbbb");
  buffer.Append("cc");
  EXPECT_EQ(Drained(buffer), "bbbbcc");
}

TEST(PrintBuffer, DropsTextThatCannotFit) {
  PrintBuffer buffer(4);
  buffer.Append("aaaa");
  buffer.Append("bbbbb");
  EXPECT_EQ(Drained(buffer), "aaaa");
}

}  // namespace
}  // namespace outboard::softgpu::api
