#include "tests/programs/wrong_uses/wrong_uses.h"
#include "tests/unit/stack/stack.h"

namespace outboard::stack {
namespace {

TEST(WrongUse, GivesTheCodeThatTheDriverGives) {
  Stack::Get();
  wrong_uses::AfterInit([](const wrong_uses::Outcome& outcome) {
    EXPECT_EQ(outcome.got, outcome.expected) << outcome.about << ": " << outcome.what << ": " << outcome.manual;
  });
}

}  // namespace
}  // namespace outboard::stack
