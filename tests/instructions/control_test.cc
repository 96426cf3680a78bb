// Branches and loops (PTX ISA, section 9.7.12), with lanes that go different ways.

#include <algorithm>
#include <array>

#include "tests/instructions/control.h"

namespace outboard::softgpu::testing {
namespace {

TEST_P(Control, NestedBranches) {
  Expect(Kernel(R"(.reg .b32 %r, %t;
.reg .pred %p, %q;
mov.u32 %r, 0;
and.b32 %t, %i, 1;
setp.eq.u32 %p, %t, 0;
@%p bra EVEN;
add.u32 %r, %r, 1;
setp.gt.u32 %q, %i, 20;
@!%q bra SMALL;
add.u32 %r, %r, 10;
bra.uni JOIN;
SMALL:
add.u32 %r, %r, 100;
bra JOIN;
EVEN:
add.u32 %r, %r, 2;
and.b32 %t, %i, 2;
setp.eq.u32 %q, %t, 0;
@%q bra JOIN;
add.u32 %r, %r, 1000;
JOIN:
add.u32 %r, %r, 5;
st.global.u32 [%out], %r;
)"),
         70, [](uint32_t i) { return 5 + (i % 2 == 1 ? 1 + (i > 20 ? 10 : 100) : 2 + ((i & 2) == 0 ? 0 : 1000)); });
}

// Each lane its own number of turns: the length of the Collatz sequence.
TEST_P(Control, LoopsOfDifferentLength) {
  Expect(Kernel(R"(.reg .b32 %x, %r, %t;
.reg .pred %p, %odd;
add.u32 %x, %i, 1;
mov.u32 %r, 0;
TURN:
setp.eq.u32 %p, %x, 1;
@%p bra DONE;
and.b32 %t, %x, 1;
setp.ne.u32 %odd, %t, 0;
@%odd mad.lo.u32 %x, %x, 3, 1;
@!%odd shr.u32 %x, %x, 1;
add.u32 %r, %r, 1;
bra TURN;
DONE:
st.global.u32 [%out], %r;
)"),
         100, [](uint32_t i) {
           uint32_t turns = 0;
           for (uint64_t x = i + 1; x != 1; ++turns) x = x % 2 == 1 ? 3 * x + 1 : x / 2;
           return turns;
         });
}

// A comparison and the branch behind it run as one, in each way in which lanes can part there.
TEST_P(Control, BranchesBehindComparisons) {
  struct Case {
    const char* branch;  // what stands behind "setp.lt.u32 %p, %i, %k;"
    uint32_t (*expected)(uint32_t i, uint32_t k);
  };
  constexpr Case kCases[] = {
      {"@%p bra AWAY;", [](uint32_t i, uint32_t k) { return i < k ? 1u : 11u; }},
      {"@!%p bra AWAY;", [](uint32_t i, uint32_t k) { return i < k ? 11u : 1u; }},
      // Another predicate than the one that was just written.
      {"@%q bra AWAY;", [](uint32_t i, uint32_t) { return i % 2 == 0 ? 1u : 11u; }},
      // Written for some lanes only.
      {"@%q setp.ge.u32 %p, %i, %k;\n@%p bra AWAY;",
       [](uint32_t i, uint32_t k) { return (i % 2 == 0 ? i >= k : i < k) ? 1u : 11u; }},
      // Both at once.
      {"setp.lt.or.u32 %p, %i, %k, %q;\n@%p bra AWAY;",
       [](uint32_t i, uint32_t k) { return i < k || i % 2 == 0 ? 1u : 11u; }},
      // The branch can be reached without the comparison, with the negated predicate.
      {"@%q not.pred %p, %p;\n@%q bra HERE;\nsetp.ge.u32 %p, %i, %k;\nHERE:\n@%p bra AWAY;",
       [](uint32_t i, uint32_t k) { return i >= k ? 1u : 11u; }},
  };
  for (const Case& test : kCases) {
    for (const uint32_t k : {0u, 1u, 20u, 40u, 100u}) {
      const std::string ptx = Kernel(
          ".reg .b32 %r, %t, %k;\n.reg .pred %p, %q;\nand.b32 %t, %i, 1;\n"
          "setp.eq.u32 %q, %t, 0;\nmov.u32 %k, " +
          std::to_string(k) + ";\nmov.u32 %r, 1;\nsetp.lt.u32 %p, %i, %k;\n" + test.branch +
          "\nadd.u32 %r, %r, 10;\nAWAY:\nst.global.u32 [%out], %r;\n");
      Expect(ptx, 40, [&](uint32_t i) { return test.expected(i, k); });
      if (HasFatalFailure()) return;
    }
  }
}

// The comparison is the same in every block, so it is run once per launch, and the branch is the first that is left.
TEST_P(Control, BranchBehindAComparisonOfTheLaunch) {
  Expect(R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %base, %out, %o;
.reg .b32 %t, %r;
.reg .pred %p;
ld.param.u64 %base, [out];
mov.u32 %t, %tid.x;
setp.lt.u32 %p, %t, 7;
@%p bra AWAY;
mov.u32 %r, %ctaid.x;
mad.lo.u32 %r, %r, 32, %t;
mul.wide.u32 %o, %r, 8;
add.u64 %out, %base, %o;
st.global.u32 [%out], %r;
AWAY:
ret;
}
)",
         32, [](uint32_t i) { return i % 32 < 7 ? 0 : i; });
}

// Some lanes read a predicate after a branch that its comparison was part of; a value waits in a split meanwhile.
TEST_P(Control, ValuesOfLanesThatWait) {
  Expect(Kernel(R"(.reg .b32 %a, %e, %c, %r;
.reg .pred %p, %q;
ld.global.u32 %a, [%out];
add.u32 %a, %a, %i;
mov.u32 %r, 0;
TURN:
add.u32 %r, %r, 1;
setp.lt.u32 %p, %r, %i;
@%p bra TURN;
and.b32 %e, %i, 1;
setp.eq.u32 %q, %e, 0;
@%q bra EVEN;
ld.global.u32 %c, [%out];
add.u32 %c, %c, 5;
add.u32 %r, %r, %c;
bra END;
EVEN:
add.u32 %r, %r, %a;
END:
@!%p add.u32 %r, %r, 1000;
st.global.u32 [%out], %r;
)"),
         40, [](uint32_t i) { return std::max(i, 1u) + (i % 2 == 0 ? i : 5) + 1000; });
}

// Two loops, the inner one with an early exit from both.
TEST_P(Control, NestedLoops) {
  Expect(Kernel(R"(.reg .b32 %a, %c, %r, %t;
.reg .pred %p;
mov.u32 %r, 0;
mov.u32 %a, 0;
OUTER:
mov.u32 %c, 0;
INNER:
add.u32 %r, %r, 1;
mul.lo.u32 %t, %a, %c;
setp.gt.u32 %p, %t, %i;
@%p bra OUT;
add.u32 %c, %c, 1;
setp.lt.u32 %p, %c, 9;
@%p bra INNER;
add.u32 %a, %a, 1;
setp.lt.u32 %p, %a, 7;
@%p bra OUTER;
OUT:
st.global.u32 [%out], %r;
)"),
         64, [](uint32_t i) {
           uint32_t turns = 0;
           for (uint32_t a = 0; a < 7; ++a) {
             for (uint32_t c = 0; c < 9; ++c) {
               ++turns;
               if (a * c > i) return turns;
             }
           }
           return turns;
         });
}

TEST_P(Control, IndexedBranch) {
  const std::string ptx = Kernel(R"(.reg .b32 %k, %r;
.reg .pred %p;
and.b32 %k, %i, 3;
mov.u32 %r, 7;
setp.ne.u32 %p, %i, 9;
targets: .branchtargets ONE, TWO, THREE, ONE;
@%p brx.idx %k, targets;
mov.u32 %r, 1000;
bra END;
TWO:
add.u32 %r, %r, 20;
ONE:
add.u32 %r, %r, 1;
bra END;
THREE:
add.u32 %r, %r, 300;
END:
st.global.u32 [%out], %r;
)");
  Expect(ptx, 40, [](uint32_t i) {
    constexpr std::array<uint32_t, 4> kResults = {8, 28, 307, 8};
    return i == 9 ? 1000 : kResults[i % 4];
  });
  std::string past = ptx;
  past.replace(past.find("and.b32 %k, %i, 3;"), 18, "shr.u32 %k, %i, 2;");
  const Fault fault = ExpectFault(past, FaultKind::kInvalidPc, "@%p brx.idx");
  EXPECT_EQ(fault.thread[0], 16u);
}

TEST_P(Control, ReturnAndExitOfSomeLanes) {
  Expect(Kernel(R"(.reg .pred %p;
.reg .b32 %t;
st.global.u32 [%out], 1;
and.b32 %t, %i, 3;
setp.eq.u32 %p, %t, 0;
@%p ret;
st.global.u32 [%out], 2;
setp.eq.u32 %p, %t, 1;
@%p exit;
st.global.u32 [%out], 3;
setp.eq.u32 %p, %t, 2;
@!%p bra MORE;
exit;
MORE:
st.global.u32 [%out], 4;
)"),
         50, [](uint32_t i) { return i % 4 + 1; });
}

INSTANTIATE_TEST_SUITE_P(Levels, Control, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
