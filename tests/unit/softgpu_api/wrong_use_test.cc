#include "tests/unit/softgpu_api/driver_under_test.h"

#include "tests/programs/wrong_uses/wrong_uses.h"

namespace outboard::softgpu::api {
namespace {

void Expect(const wrong_uses::Outcome& outcome) {
  EXPECT_EQ(outcome.got, outcome.expected) << outcome.about << ": " << outcome.what << ": " << outcome.manual;
}

TEST(WrongUse, GivesTheCodeThatTheManualSays) { wrong_uses::AfterInit(Expect); }

TEST(WrongUseDeathTest, BeforeInit) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process that has not called cuInit
  EXPECT_EXIT(
      {
        wrong_uses::BeforeInit(Expect);
        exit(testing::Test::HasFailure() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace outboard::softgpu::api
