#include "server/softgpu/exec/invariants.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/unit/ptx/parsing.h"

namespace outboard::softgpu {
namespace {

// One letter per instruction: I for those that are the same in every block of a launch.
std::string InvariantsOf(const std::string& text) {
  const ptx::ParsedBody parsed = ptx::ParseKernel(text);
  EXPECT_EQ(parsed.error, "");
  if (parsed.module == nullptr) return "";
  std::string letters;
  for (const bool is_invariant : LaunchInvariants(parsed.module->functions.back(), parsed.body))
    letters += is_invariant ? 'I' : '-';
  return letters;
}

TEST(LaunchInvariants, ParametersSpecialRegistersAndWhatFollowsFromThem) {
  EXPECT_EQ(InvariantsOf(R"(
.reg .b64 %p; .reg .b32 %a<4>; .reg .pred %q;
ld.param.u64 %p, [p];
mov.u32 %a0, %tid.x;
mov.u32 %a1, %ntid.x;
mad.lo.s32 %a2, %a0, %a1, 3;
setp.ge.s32 %q, %a2, 9;
mov.u32 %a3, %ctaid.x;
ret;)"),
            "IIIII--");
}

TEST(LaunchInvariants, NothingThatMemoryTheClockOrTheBlockDecides) {
  EXPECT_EQ(InvariantsOf(R"(
.reg .b64 %p; .reg .b32 %a<6>;
ld.param.u64 %p, [p];
ld.global.u32 %a0, [%p];
mov.u32 %a1, %clock;
mov.u32 %a2, %ctaid.y;
add.u32 %a3, %a2, 1;
mov.u32 %a4, %smid;
ret;)"),
            "I------");
}

TEST(LaunchInvariants, NothingThatIsWrittenTwiceOrUnderAGuard) {
  EXPECT_EQ(InvariantsOf(R"(
.reg .b32 %a<3>; .reg .pred %q;
mov.u32 %a0, 1;
mov.u32 %a1, 2;
setp.eq.u32 %q, %a1, 2;
@%q mov.u32 %a2, 3;
add.u32 %a0, %a1, 1;
ret;)"),
            "-II---");
}

TEST(LaunchInvariants, ResultsOfCallsAreNoParameters) {
  EXPECT_EQ(InvariantsOf(R"(
.reg .b32 %a<2>;
{ .param .b32 result;
call (result), f, ();
ld.param.b32 %a0, [result]; }
add.u32 %a1, %a0, 1;
ret;)"),
            "----");
}

TEST(LaunchInvariants, CarriesAreLeftInOrder) {
  EXPECT_EQ(InvariantsOf(R"(
.reg .b32 %a<3>;
add.cc.u32 %a0, 1, 2;
addc.u32 %a1, 3, 4;
ret;)"),
            "---");
}

TEST(LaunchInvariants, AreBounded) {
  std::string text = ".reg .b32 %a<64>;\n";
  for (int i = 0; i < 64; ++i) text += "mov.u32 %a" + std::to_string(i) + ", 7;\n";
  const std::string letters = InvariantsOf(text + "ret;");
  EXPECT_EQ(std::count(letters.begin(), letters.end(), 'I'), static_cast<long>(kMaxInvariants));
}

}  // namespace
}  // namespace outboard::softgpu
