// The test program, and its last test: whether the forms that the engine has and the forms that this program has tested
// are the same.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

class EveryFormIsTested final : public ::testing::Test {
  void TestBody() override {
    std::vector<std::string> implemented;
    for (const std::string_view form : ImplementedForms()) implemented.emplace_back(form);
    const std::vector<std::string> tested = TestedForms();
    std::vector<std::string> difference;
    std::set_symmetric_difference(implemented.begin(), implemented.end(), tested.begin(), tested.end(),
                                  std::back_inserter(difference));
    std::printf("forms implemented %zu, tested %zu, difference %zu\n", implemented.size(), tested.size(),
                difference.size());
    std::string names;
    for (const std::string& form : difference) names += "\n  " + form;
    EXPECT_TRUE(difference.empty()) << "implemented but not tested at every level, or the reverse:" << names;
  }
};

}  // namespace
}  // namespace outboard::softgpu::testing

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  // It asks what the tests before it did, so it is registered after all of them, the parameterised ones included.
  ::testing::RegisterTest("InstructionForms", "EveryFormIsTested", nullptr, nullptr, __FILE__, __LINE__,
                          []() -> ::testing::Test* { return new outboard::softgpu::testing::EveryFormIsTested; });
  return RUN_ALL_TESTS();
}
