// Calls of functions that are decoded when they are called.

#include "tests/instructions/control.h"
#include "tests/instructions/functions.h"

namespace outboard::softgpu::testing {
namespace {

class LateFunctions : public Control {};

// So much text that functions in a table are decoded one by one, when they are called.
const std::string kPadding = "//" + std::string(size_t{2} << 20, 'x') + "\n";

TEST_P(LateFunctions, ManyTargetsOfMuchText) {
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
TEST_P(LateFunctions, SharedMemoryOfLateFunctions) {
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
TEST_P(LateFunctions, CallsOfLateFunctions) {
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

INSTANTIATE_TEST_SUITE_P(Levels, LateFunctions, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
