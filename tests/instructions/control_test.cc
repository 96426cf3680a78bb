// Branches, loops, calls and forward progress (PTX ISA, section 9.7.12), with lanes that go different ways.

#include <algorithm>
#include <array>
#include <utility>

#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

// A kernel whose thread number is in %i and whose cell of 8 bytes is at %out. `body` begins with declarations of its
// own.
std::string Kernel(const std::string& body) {
  return R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %base, %o;
.reg .b32 %i, %b, %n;
ld.param.u64 %base, [out];
mov.u32 %i, %tid.x;
mov.u32 %b, %ctaid.x;
mov.u32 %n, %ntid.x;
mad.lo.u32 %i, %b, %n, %i;
mul.wide.u32 %o, %i, 8;
add.u64 %out, %base, %o;
)" + body +
         "ret;\n}\n";
}

class Control : public LevelTest {
 protected:
  Control() : machine_(level()) {}

  // Runs `ptx` with `threads` threads in a block over zeros and expects expected(i) in the cell of thread i.
  template <class Expected>
  void Expect(const std::string& ptx, uint32_t threads, Expected expected) {
    machine_.Fill(0);
    ASSERT_TRUE(machine_.Load(ptx));
    ASSERT_TRUE(machine_.RunWell("test", {2}, {threads}, Params().Add(kDataAddress)));
    for (uint32_t i = 0; i < 2 * threads; ++i) ASSERT_EQ(machine_.Read<uint32_t>(8 * i), expected(i)) << "thread " << i;
  }
  // Expects one block of 32 threads to fault so, at the line of `where`.
  Fault ExpectFault(const std::string& ptx, FaultKind kind, const std::string& where) {
    const std::optional<Fault> fault =
        machine_.Load(ptx) ? machine_.Run("test", {}, {32}, Params().Add(kDataAddress)) : std::nullopt;
    if (!fault) {
      ADD_FAILURE() << "no fault";
      return {};
    }
    EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(kind)) << fault->message;
    EXPECT_EQ(fault->ptx_line, machine_.LineOf(where)) << fault->message;
    return *fault;
  }

  Machine machine_;
};

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

// --- Forward progress.
// --------------------------------------------------------------------------------------------------------

// One lock, all lanes of all warps, with the loop that hangs where a warp's lanes run in lock-step only.
TEST_P(Control, SpinLock) {
  machine_.Fill(0);
  ASSERT_TRUE(machine_.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %r;
.reg .pred %p;
ld.param.u64 %d, [data];
LOCK:
atom.global.cas.b32 %r, [%d], 0, 1;
setp.ne.u32 %p, %r, 0;
@%p bra LOCK;
membar.gl;
ld.volatile.global.u32 %r, [%d+8];
add.u32 %r, %r, 1;
st.volatile.global.u32 [%d+8], %r;
membar.gl;
atom.global.exch.b32 %r, [%d], 0;
ret;
}
)"));
  ASSERT_TRUE(machine_.RunWell("test", {3}, {70}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine_.Read<uint32_t>(8), 210u);
  EXPECT_EQ(machine_.Read<uint32_t>(0), 0u);
}

// Lane n waits for what lane n + 1 writes, so the last to be reached must run first; then the other way round.
TEST_P(Control, LanesWaitForEachOther) {
  for (const std::string neighbour :
       {"add.u32 %t, %i, 1;\nsetp.eq.u32 %last, %l, 31;\n", "sub.u32 %t, %i, 1;\nsetp.eq.u32 %last, %l, 0;\n"}) {
    const bool up = neighbour[0] == 'a';
    Expect(Kernel(R"(.reg .b32 %t, %r, %l;
.reg .b64 %a;
.reg .pred %p, %last;
mov.u32 %l, %laneid;
)" + neighbour + R"(mul.wide.u32 %a, %t, 8;
add.u64 %a, %base, %a;
mov.u32 %r, 0;
@%last bra WRITE;
WAIT:
ld.volatile.global.u32 %r, [%a];
setp.eq.u32 %p, %r, 0;
@%p bra WAIT;
WRITE:
add.u32 %r, %r, 1;
st.volatile.global.u32 [%out], %r;
)"),
           64, [up](uint32_t i) { return up ? 32 - i % 32 : i % 32 + 1; });
  }
}

// Warps of a block, and blocks on several threads, hand a token round without barriers.
TEST_P(Control, WarpsAndBlocksWaitForEachOther) {
  Machine machine(level(), 3);
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %b, %w, %turn, %r, %n;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %b, %ctaid.x;
mov.u32 %w, %tid.x;
shr.u32 %w, %w, 5;
mad.lo.u32 %turn, %b, 4, %w;
mov.u32 %n, 0;
AGAIN:
ld.acquire.gpu.global.u32 %r, [%d];
nanosleep.u32 20;
setp.ne.u32 %p, %r, %turn;
@%p bra AGAIN;
bar.warp.sync 0xffffffff;
mov.u32 %r, %laneid;
setp.eq.u32 %p, %r, 0;
@%p red.release.gpu.global.add.u32 [%d], 1;
add.u32 %turn, %turn, 12;
add.u32 %n, %n, 1;
setp.lt.u32 %p, %n, 5;
@%p bra AGAIN;
ret;
}
)"));
  machine.Fill(0);
  ASSERT_TRUE(machine.RunWell("test", {3}, {128}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<uint32_t>(0), 60u);
}

// --- Calls.
// -------------------------------------------------------------------------------------------------------------------

TEST_P(Control, ParametersOfManySizes) {
  Expect(
      R"(.func (.param .align 16 .b8 result[40]) mix(.param .b8 a, .param .b16 b, .param .b32 c, .param .b64 d, .param .align 8 .b8 e[12])
{
.reg .b32 %r<4>;
.reg .b16 %h;
.reg .b64 %x;
ld.param.s8 %r0, [a];
ld.param.u16 %h, [b];
cvt.u32.u16 %r1, %h;
ld.param.b32 %r2, [c];
ld.param.b64 %x, [d];
ld.param.b32 %r3, [e+8];
add.u32 %r0, %r0, %r1;
add.u32 %r0, %r0, %r2;
add.u32 %r0, %r0, %r3;
st.param.b32 [result], %r0;
ld.param.b32 %r3, [e];
st.param.v2.b32 [result+8], {%r3, %r2};
st.param.b64 [result+32], %x;
ret;
}
)" + Kernel(R"(.reg .b32 %r<4>;
.reg .b64 %x;
cvt.u64.u32 %x, %i;
shl.b64 %x, %x, 33;
add.u32 %r1, %i, 1000;
{
.param .b8 p0;
.param .b16 p1;
.param .b32 p2;
.param .b64 p3;
.param .align 8 .b8 p4[12];
.param .align 16 .b8 r0[40];
st.param.b8 [p0], -3;
st.param.b16 [p1], 50000;
st.param.b32 [p2], %r1;
st.param.b64 [p3], %x;
st.param.b32 [p4], 77;
st.param.b32 [p4+4], 88;
st.param.b32 [p4+8], 99;
call.uni (r0), mix, (p0, p1, p2, p3, p4);
ld.param.b32 %r0, [r0];
ld.param.v2.b32 {%r2, %r3}, [r0+8];
ld.param.b64 %x, [r0+32];
}
shr.u64 %x, %x, 33;
cvt.u32.u64 %r1, %x;
add.u32 %r0, %r0, %r1;
add.u32 %r0, %r0, %r2;
add.u32 %r0, %r0, %r3;
st.global.u32 [%out], %r0;
)"),
      64, [](uint32_t i) { return (50000 - 3 + i + 1000 + 99) + i + 77 + (i + 1000); });
}

// A function's own shared memory, which nobody else's may lie in, is there until the block ends.
std::string Keeping(const std::string& name, int bytes) {
  return ".func (.param .b32 result) " + name + R"((.param .b32 n)
{
.shared .align 4 .b8 mine[)" +
         std::to_string(bytes) +
         R"(];
.reg .b32 %n, %t, %a;
.reg .pred %p;
ld.param.b32 %n, [n];
mov.u32 %t, %tid.x;
mov.u32 %a, mine;
mad.lo.u32 %a, %t, 4, %a;
setp.ne.u32 %p, %n, 0;
@%p st.shared.u32 [%a], %n;
ld.shared.u32 %n, [%a];
st.param.b32 [result], %n;
ret;
}
)";
}
// Leaves in %r what a function makes of %t.
std::string CallOf(const std::string& function) {
  return R"({
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %t;
call (r), )" +
         function + R"(, (p);
ld.param.b32 %r, [r];
}
)";
}

TEST_P(Control, SharedMemoryOfTwoFunctions) {
  const std::string calls = ".reg .b32 %t, %r, %f;\nadd.u32 %t, %i, 1000;\n" + CallOf("one") +
                            "add.u32 %t, %t, 1000;\n" + CallOf("other") + "mov.u32 %t, 0;\n" + CallOf("one") +
                            "mov.u32 %f, %r;\n" + CallOf("other") +
                            "mad.lo.u32 %r, %f, 10000, %r;\nst.global.u32 [%out], %r;\n";
  for (const int bytes : {128, 4096}) {
    Expect(Keeping("one", 128) + Keeping("other", bytes) + Kernel(calls), 32,
           [](uint32_t i) { return (i + 1000) * 10000 + i + 2000; });
  }
}

constexpr char kFibonacci[] = R"(.func (.param .b32 result) fibonacci(.param .b32 n)
{
.reg .b32 %n, %a, %b, %m;
.reg .pred %p;
ld.param.b32 %n, [n];
setp.lt.u32 %p, %n, 2;
@%p bra SMALL;
sub.u32 %m, %n, 1;
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %m;
call (r), fibonacci, (p);
ld.param.b32 %a, [r];
}
sub.u32 %m, %n, 2;
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %m;
call (r), fibonacci, (p);
ld.param.b32 %b, [r];
}
add.u32 %n, %a, %b;
SMALL:
st.param.b32 [result], %n;
ret;
}
)";

TEST_P(Control, Recursion) {
  Expect(kFibonacci + Kernel(R"(.reg .b32 %r, %k;
rem.u32 %k, %i, 15;
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %k;
call (r), fibonacci, (p);
ld.param.b32 %r, [r];
}
st.global.u32 [%out], %r;
)"),
         40, [](uint32_t i) {
           uint32_t a = 0, b = 1;
           for (uint32_t k = 0; k < i % 15; ++k) b = std::exchange(a, b) + b;
           return a;
         });
}

// A call by some lanes only; registers of the others, and of the caller, stay as they are.
TEST_P(Control, CallsOfSomeLanes) {
  Expect(std::string(kFibonacci) + Kernel(R"(.reg .b32 %r, %k, %t;
.reg .pred %p;
mov.u32 %r, 12345;
and.b32 %t, %i, 7;
setp.gt.u32 %p, %t, 4;
mov.u32 %k, 10;
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %k;
@%p call (r), fibonacci, (p);
ld.param.b32 %k, [r];
}
@%p mov.u32 %r, %k;
add.u32 %r, %r, %t;
st.global.u32 [%out], %r;
)"),
         40, [](uint32_t i) { return (i % 8 > 4 ? 55u : 12345u) + i % 8; });
}

constexpr char kVirtual[] = R"(.func (.param .b32 result) twice(.param .b32 n)
{
.reg .b32 %n;
ld.param.b32 %n, [n];
shl.b32 %n, %n, 1;
st.param.b32 [result], %n;
ret;
}
.func (.param .b32 result) square(.param .b32 n)
{
.reg .b32 %n;
.reg .pred %p;
ld.param.b32 %n, [n];
setp.gt.u32 %p, %n, 30;
@%p bra LARGE;
mul.lo.u32 %n, %n, %n;
LARGE:
st.param.b32 [result], %n;
ret;
}
.func (.param .b32 result) negate(.param .b32 n)
{
.reg .b32 %n;
ld.param.b32 %n, [n];
neg.s32 %n, %n;
st.param.b32 [result], %n;
ret;
}
.global .align 8 .u64 methods[3] = {twice, square, negate};
)";
constexpr char kVirtualCall[] = R"(.reg .b32 %r, %k;
.reg .b64 %f, %a;
rem.u32 %k, %i, 3;
mul.wide.u32 %a, %k, 8;
mov.u64 %f, methods;
add.u64 %a, %f, %a;
ld.global.u64 %f, [%a];
{
.param .b32 p;
.param .b32 r;
st.param.b32 [p], %i;
prototype: .callprototype (.param .b32 _) _ (.param .b32 _);
call (r), %f, (p), prototype;
ld.param.b32 %r, [r];
}
st.global.u32 [%out], %r;
)";

TEST_P(Control, IndirectCallsWithManyTargets) {
  Expect(kVirtual + Kernel(kVirtualCall), 48, [](uint32_t i) {
    return i % 3 == 0 ? 2 * i : i % 3 == 1 ? (i > 30 ? i : i * i) : -i;
  });
  // A function's address taken in the kernel.
  std::string direct = kVirtualCall;
  const std::string load = "ld.global.u64 %f, [%a];\n";
  direct.replace(direct.find(load), load.size(), "mov.u64 %f, square;\n");
  Expect(kVirtual + Kernel(direct), 48, [](uint32_t i) { return i > 30 ? i : i * i; });
}

// So much text that functions in a table are decoded one by one, when they are called.
const std::string kPadding = "//" + std::string(size_t{2} << 20, 'x') + "\n";

TEST_P(Control, ManyTargetsOfMuchText) {
  std::string functions = kVirtual;
  functions.insert(functions.find("shl.b32"), kPadding);
  Expect(functions + Kernel(kVirtualCall), 48, [](uint32_t i) {
    return i % 3 == 0 ? 2 * i : i % 3 == 1 ? (i > 30 ? i : i * i) : -i;
  });
  std::string wrong = kVirtualCall;
  const std::string load = "ld.global.u64 %f, [%a];\n";
  wrong.replace(wrong.find(load), load.size(), "mov.u64 %f, 64;\n");
  ExpectFault(functions + Kernel(wrong), FaultKind::kInvalidPc, "call (r), %f, (p), prototype;");
}

// `own` has shared memory of its own, `sum` reads the kernel's, `lacking` cannot run, and nothing calls `unreached`.
TEST_P(Control, SharedMemoryOfLateFunctions) {
  const std::string functions = R"(.shared .align 4 .b8 cells[128];
.extern .shared .align 16 .b8 dynamic[];
.func (.param .b32 result) own(.param .b32 n)
{
.shared .align 4 .b8 mine[128];
.reg .b32 %n, %t, %a;
ld.param.b32 %n, [n];
mov.u32 %t, %tid.x;
shl.b32 %t, %t, 2;
mov.u32 %a, mine;
add.u32 %a, %a, %t;
st.shared.u32 [%a], 1000;
ld.shared.u32 %t, [%a];
add.u32 %n, %n, %t;
st.param.b32 [result], %n;
ret;
}
.func (.param .b32 result) sum(.param .b32 n)
{
.reg .b32 %n, %t, %a;
)" + kPadding + R"(ld.param.b32 %n, [n];
mov.u32 %t, %tid.x;
shl.b32 %t, %t, 2;
mov.u32 %a, cells;
add.u32 %a, %a, %t;
ld.shared.u32 %a, [%a];
add.u32 %n, %n, %a;
mov.u32 %a, dynamic;
add.u32 %a, %a, %t;
ld.shared.u32 %a, [%a];
add.u32 %n, %n, %a;
st.param.b32 [result], %n;
ret;
}
.func (.param .b32 result) lacking(.param .b32 n)
{
.shared .align 4 .b8 more[4];
.reg .b32 %n;
ld.param.b32 %n, [n];
setp.frobnicate.u32 %n, %n;
ret;
}
.func unreached()
{
.shared .align 4 .b8 huge[20000000];
ret;
}
.global .align 8 .u64 methods[3] = {own, sum, lacking};
)";
  // Calls `own` or `sum`, by whether the thread's number is even, or what stands first in the table from `first` on.
  const auto kernel = [](int first) {
    std::string body = R"(.reg .b32 %t, %d, %c;
mov.u32 %t, %tid.x;
shl.b32 %t, %t, 2;
mov.u32 %d, dynamic;
add.u32 %d, %d, %t;
mov.u32 %c, cells;
add.u32 %c, %c, %t;
mul.lo.u32 %t, %i, 7;
st.shared.u32 [%c], %t;
mul.lo.u32 %t, %i, 3;
st.shared.u32 [%d], %t;
)" + std::string(kVirtualCall);
    body.replace(body.find("rem.u32 %k, %i, 3;"), 18,
                 "and.b32 %k, %i, 1; add.u32 %k, %k, " + std::to_string(first) + ";");
    return Kernel(body);
  };
  const Params params = Params().Add(kDataAddress);
  machine_.Fill(0);
  ASSERT_TRUE(machine_.Load(functions + kernel(0)));
  ASSERT_TRUE(machine_.RunWell("test", {2}, {32}, params, 128));
  for (uint32_t i = 0; i < 64; ++i) EXPECT_EQ(machine_.Read<uint32_t>(8 * i), i % 2 == 0 ? i + 1000 : 11 * i) << i;

  ASSERT_TRUE(machine_.Load(functions + kernel(2)));
  const std::optional<Fault> fault = machine_.Run("test", {}, {1}, params, 128);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->kind, FaultKind::kIllegalInstruction);
  EXPECT_NE(fault->message.find("setp.frobnicate.u32 (function lacking"), std::string::npos) << fault->message;
}

// What functions in a table call by name: `kept`, with shared memory, that the kernel calls as well; and themselves.
TEST_P(Control, CallsOfLateFunctions) {
  const std::string functions = Keeping("kept", 32) + R"(.func (.param .b32 result) next(.param .b32 n)
{
.reg .b32 %t, %r;
)" + kPadding + "ld.param.b32 %t, [n];\nadd.u32 %t, %t, 1000;\n" +
                                CallOf("kept") + R"(st.param.b32 [result], %r;
ret;
}
)" + kFibonacci + ".global .align 8 .u64 methods[3] = {next, next, fibonacci};\n";
  const std::string again = ".reg .b32 %t, %u;\n.reg .pred %p;\nmov.u32 %u, %r;\nmov.u32 %t, 0;\n" + CallOf("kept") +
                            "setp.ne.u32 %p, %k, 2;\n@%p mad.lo.u32 %u, %r, 10000, %u;\nst.global.u32 [%out], %u;\n";
  Expect(functions + Kernel(kVirtualCall + again), 8, [](uint32_t i) {
    constexpr uint32_t kFibonacciOf[] = {0, 0, 1, 0, 0, 5, 0, 0, 21, 0, 0, 89, 0, 0, 377};
    return i % 3 == 2 ? kFibonacciOf[i] : (i + 1000) * 10001;
  });
}

TEST_P(Control, IndirectCallOfNothing) {
  std::string wrong = kVirtualCall;
  const std::string load = "ld.global.u64 %f, [%a];\n";
  wrong.replace(wrong.find(load), load.size(), "mov.u64 %f, 64;\n");
  ExpectFault(kVirtual + Kernel(wrong), FaultKind::kInvalidPc, "call (r), %f, (p), prototype;");
}

// A pointer to the caller's local variable, written through by the function it calls.
TEST_P(Control, PointersToLocalVariables) {
  Expect(R"(.func store(.param .b64 where, .param .b32 what)
{
.local .align 8 .b8 own[64];
.reg .b64 %p;
.reg .b32 %v;
ld.param.b64 %p, [where];
ld.param.b32 %v, [what];
st.local.u32 [own+4], %v;
add.u32 %v, %v, 1;
st.u32 [%p], %v;
ld.local.u32 %v, [own+4];
st.u32 [%p+4], %v;
ret;
}
)" + Kernel(R"(.local .align 8 .b8 mine[32];
.reg .b64 %p;
.reg .b32 %r, %t;
mov.u64 %p, mine;
cvta.local.u64 %p, %p;
add.u64 %p, %p, 16;
st.local.u32 [mine+12], 5;
{
.param .b64 p0;
.param .b32 p1;
st.param.b64 [p0], %p;
st.param.b32 [p1], %i;
call store, (p0, p1);
}
ld.local.u32 %r, [mine+16];
ld.local.u32 %t, [mine+20];
mad.lo.u32 %r, %t, 1000, %r;
ld.local.u32 %t, [mine+12];
add.u32 %r, %r, %t;
st.global.u32 [%out], %r;
)"),
         33, [](uint32_t i) { return 1000 * i + i + 1 + 5; });
}

TEST_P(Control, ExitInsideFunction) {
  Expect(R"(.func leave(.param .b32 n)
{
.reg .b32 %n;
.reg .pred %p;
ld.param.b32 %n, [n];
setp.gt.u32 %p, %n, 10;
@%p exit;
ret;
}
)" + Kernel(R"({
.param .b32 p;
st.param.b32 [p], %i;
st.global.u32 [%out], 1;
call leave, (p);
}
st.global.u32 [%out], 2;
)"),
         20, [](uint32_t i) { return i > 10 ? 1u : 2u; });
}

TEST_P(Control, EndlessRecursion) {
  const Fault fault = ExpectFault(R"(.func deeper(.param .b32 n)
{
.reg .b32 %n;
ld.param.b32 %n, [n];
add.u32 %n, %n, 1;
{
.param .b32 p;
st.param.b32 [p], %n;
call deeper, (p);
}
ret;
}
)" + Kernel(R"({
.param .b32 p;
st.param.b32 [p], %i;
call deeper, (p);
}
)"),
                                  FaultKind::kStackOverflow, "call deeper, (p);");
  EXPECT_NE(fault.message.find("stack overflow"), std::string::npos) << fault.message;
  // The engine is in good order afterwards.
  Expect(Kernel("st.global.u32 [%out], %i;\n"), 32, [](uint32_t i) { return i; });
}

INSTANTIATE_TEST_SUITE_P(Levels, Control, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
