// Which registers share a row. What a register must not share a row with is what may be needed while it holds a value:
// on every way through the code, as the lanes of a warp go their own.

#include "server/softgpu/exec/rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "tests/unit/ptx/parsing.h"

namespace outboard::softgpu {
namespace {

class Rows {
 public:
  explicit Rows(const std::string& text) : parsed_(ptx::ParseKernel(text)) {
    EXPECT_EQ(parsed_.error, "");
    if (parsed_.module != nullptr) plan_ = PlanRows(parsed_.module->functions.back(), parsed_.body);
  }
  // Where the register's row begins.
  Slot Of(const std::string& name) const {
    for (size_t i = 0; i < parsed_.body.registers.size(); ++i) {
      if (parsed_.body.registers[i].name == name) return plan_.slots[i];
    }
    ADD_FAILURE() << "no register " << name;
    return kNoSlot;
  }
  const RowPlan& plan() const { return plan_; }

 private:
  ptx::ParsedBody parsed_;
  RowPlan plan_{};
};

// Registers for the tests, and an address that is needed to the end.
const std::string kBegin =
    ".reg .b32 %a, %b, %c, %t; .reg .b64 %d, %x, %y; .reg .pred %p, %q;\nld.param.u64 %d, [p];\n";
const std::string kEnd = "st.global.u32 [%d], 0;\nret;";

TEST(PlanRows, OfValuesThatAreOverAreUsedAgain) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
ld.global.u32 %b, [%d+4];
add.u32 %c, %a, %b;
add.u32 %t, %c, 1;
st.global.u32 [%d], %t;
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%b"));
  EXPECT_TRUE(rows.Of("%t") == rows.Of("%a") || rows.Of("%t") == rows.Of("%b"));
}

// One PTX instruction may become several records, the first of which write the destination.
TEST(PlanRows, DestinationsHaveOtherRowsThanSources) {
  const Rows rows(kBegin + "ld.global.u32 %a, [%d];\nadd.u32 %b, %a, 1;\nst.global.u32 [%d], %b;\n" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%b"));
}

// In the text %a is used for the last time before %t is written, but the next turn of the loop uses it again.
TEST(PlanRows, OfWhatTheNextTurnOfALoopNeeds) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
TURN:
st.global.u32 [%d], %a;
ld.global.u32 %t, [%d+4];
setp.ne.u32 %p, %t, 0;
@%p bra TURN;
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%t"));
}

// The same through two loops, the outer of which alone brings the value back.
TEST(PlanRows, OfWhatAnOuterLoopNeeds) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
OUTER:
st.global.u32 [%d], %a;
INNER:
ld.global.u32 %b, [%d+4];
setp.ne.u32 %p, %b, 0;
@%p bra INNER;
ld.global.u32 %t, [%d+8];
setp.ne.u32 %q, %t, 0;
@%q bra OUTER;
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%b"));
  EXPECT_NE(rows.Of("%a"), rows.Of("%t"));
  EXPECT_EQ(rows.Of("%t"), rows.Of("%b"));
}

// Lanes without %q keep the %a of the turn before.
TEST(PlanRows, OfWhatIsWrittenForSomeLanesOnly) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
setp.eq.u32 %q, %a, 3;
TURN:
@%q ld.global.u32 %a, [%d+8];
st.global.u32 [%d], %a;
ld.global.u32 %t, [%d+4];
setp.ne.u32 %p, %t, 0;
@%p bra TURN;
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%t"));
  EXPECT_NE(rows.Of("%q"), rows.Of("%p"));
}

// While some lanes run one side, the others wait at the other, and %a is theirs.
TEST(PlanRows, OfWhatAWaitingSplitNeeds) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
setp.eq.u32 %q, %a, 3;
@%q bra OTHER;
ld.global.u32 %b, [%d+4];
st.global.u32 [%d], %b;
bra END;
OTHER:
st.global.u32 [%d], %a;
END:
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%b"));
}

// A jump back to one of the targets of a list.
TEST(PlanRows, OfWhatAnIndexedBranchLeadsTo) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
targets: .branchtargets TURN, END;
TURN:
st.global.u32 [%d], %a;
ld.global.u32 %t, [%d+4];
brx.idx %t, targets;
END:
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%t"));
}

// Lanes that do not take the branch go on behind it, with what was written further down in the text.
TEST(PlanRows, OfWhatIsNeededBehindABranch) {
  const Rows rows(kBegin + R"(
bra DEFINE;
TURN:
ld.global.u32 %t, [%d+4];
setp.ne.u32 %p, %t, 0;
@%p bra END;
st.global.u32 [%d], %a;
DEFINE:
ld.global.u32 %a, [%d];
bra TURN;
END:
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%t"));
}

// From FAR the way leads back through the text twice before it comes to where %a is needed.
TEST(PlanRows, OfWhatIsNeededSeveralJumpsBack) {
  const Rows rows(kBegin + R"(
bra DEFINE;
USE:
st.global.u32 [%d], %a;
bra END;
DEFINE:
ld.global.u32 %a, [%d];
bra FAR;
NEAR:
bra USE;
FAR:
ld.global.u32 %t, [%d+4];
st.global.u32 [%d], %t;
bra NEAR;
END:
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%t"));
}

TEST(PlanRows, OfACopyAreThoseOfItsOriginal) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
mov.b32 %b, %a;
ld.global.u32 %t, [%d+4];
st.global.u32 [%d], %t;
st.global.u32 [%d], %b;
)" + kEnd);
  EXPECT_EQ(rows.Of("%a"), rows.Of("%b"));
  EXPECT_NE(rows.Of("%a"), rows.Of("%t"));
}

// %b is what %a was one turn before.
TEST(PlanRows, OfACopyAreItsOwnWhereTheOriginalChanges) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
TURN:
mov.b32 %b, %a;
ld.global.u32 %a, [%d+4];
st.global.u32 [%d], %b;
setp.ne.u32 %p, %a, 0;
@%p bra TURN;
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%b"));
}

// Lanes without %q do not copy.
TEST(PlanRows, OfACopyForSomeLanesAreItsOwn) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
setp.eq.u32 %q, %a, 3;
@%q mov.b32 %b, %a;
st.global.u32 [%d], %b;
)" + kEnd);
  EXPECT_NE(rows.Of("%a"), rows.Of("%b"));
}

TEST(PlanRows, OfDifferentWidthsDoNotOverlap) {
  const Rows rows(kBegin + R"(
ld.global.u32 %a, [%d];
ld.global.u64 %x, [%d];
setp.eq.u32 %p, %a, 3;
ld.global.u64 %y, [%d+8];
@%p st.global.u64 [%d], %x;
st.global.u64 [%d+8], %y;
st.global.u32 [%d+16], %a;
)" + kEnd);
  const Slot x = rows.Of("%x"), y = rows.Of("%y"), d = rows.Of("%d"), a = rows.Of("%a"), p = rows.Of("%p");
  const RowPlan& plan = rows.plan();
  EXPECT_LE(p + 4, plan.scratch_predicate);
  EXPECT_GE(a, plan.scratch_predicate + 4 * kScratchRows);
  EXPECT_LE(a + kWordRowBytes, plan.scratch_word);
  for (const Slot row : {x, y, d}) {
    EXPECT_GE(row, plan.scratch_word + kScratchRows * kWordRowBytes);
    EXPECT_LE(row + kLongRowBytes, plan.scratch_long);
  }
  EXPECT_GE(std::max(x, y) - std::min(x, y), kLongRowBytes);
  EXPECT_LE(plan.scratch_long + kScratchRows * kLongRowBytes, plan.frame_bytes);
  for (const Slot row : {x, y, d, a, plan.frame_bytes}) EXPECT_EQ(row % 64, 0u);
}

// A chain of two thousand values, each needed for the next alone.
TEST(PlanRows, OfALongKernelFitTheCache) {
  std::string text = ".reg .b32 %v<2001>; .reg .b64 %d;\nld.param.u64 %d, [p];\nld.global.u32 %v0, [%d];\n";
  for (int i = 0; i < 2000; ++i)
    text += "add.u32 %v" + std::to_string(i + 1) + ", %v" + std::to_string(i) + ", %v" + std::to_string(i) + ";\n";
  const Rows rows(text + "st.global.u32 [%d], %v2000;\nret;");
  EXPECT_LT(rows.plan().frame_bytes, 4096u);
}

}  // namespace
}  // namespace outboard::softgpu
