// Calls (PTX ISA, section 9.7.12), with lanes that go different ways.

#include <utility>

#include "tests/instructions/control.h"
#include "tests/instructions/functions.h"

namespace outboard::softgpu::testing {
namespace {

class Calls : public Control {};

TEST_P(Calls, ParametersOfManySizes) {
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

TEST_P(Calls, SharedMemoryOfTwoFunctions) {
  const std::string calls = ".reg .b32 %t, %r, %f;\nadd.u32 %t, %i, 1000;\n" + CallOf("one") +
                            "add.u32 %t, %t, 1000;\n" + CallOf("other") + "mov.u32 %t, 0;\n" + CallOf("one") +
                            "mov.u32 %f, %r;\n" + CallOf("other") +
                            "mad.lo.u32 %r, %f, 10000, %r;\nst.global.u32 [%out], %r;\n";
  for (const int bytes : {128, 4096}) {
    Expect(Keeping("one", 128) + Keeping("other", bytes) + Kernel(calls), 32,
           [](uint32_t i) { return (i + 1000) * 10000 + i + 2000; });
  }
}

TEST_P(Calls, Recursion) {
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
TEST_P(Calls, CallsOfSomeLanes) {
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

TEST_P(Calls, IndirectCallsWithManyTargets) {
  Expect(kVirtual + Kernel(kVirtualCall), 48, [](uint32_t i) {
    return i % 3 == 0 ? 2 * i : i % 3 == 1 ? (i > 30 ? i : i * i) : -i;
  });
  // A function's address taken in the kernel.
  std::string direct = kVirtualCall;
  const std::string load = "ld.global.u64 %f, [%a];\n";
  direct.replace(direct.find(load), load.size(), "mov.u64 %f, square;\n");
  Expect(kVirtual + Kernel(direct), 48, [](uint32_t i) { return i > 30 ? i : i * i; });
}

TEST_P(Calls, IndirectCallOfNothing) {
  std::string wrong = kVirtualCall;
  const std::string load = "ld.global.u64 %f, [%a];\n";
  wrong.replace(wrong.find(load), load.size(), "mov.u64 %f, 64;\n");
  ExpectFault(kVirtual + Kernel(wrong), FaultKind::kInvalidPc, "call (r), %f, (p), prototype;");
}

// A pointer to the caller's local variable, written through by the function it calls.
TEST_P(Calls, PointersToLocalVariables) {
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

TEST_P(Calls, ExitInsideFunction) {
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

TEST_P(Calls, EndlessRecursion) {
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

INSTANTIATE_TEST_SUITE_P(Levels, Calls, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
