// The functions that device code calls without defining them: vprintf, __assertfail, malloc and free.

#include <bit>
#include <cmath>
#include <set>

#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

constexpr char kDeclarations[] =
    R"(.extern .func (.param .b32 result) vprintf(.param .b64 format, .param .b64 arguments);
.extern .func __assertfail(.param .b64 message, .param .b64 file, .param .b32 line, .param .b64 function, .param .b64 char_size);
.extern .func (.param .b64 result) malloc(.param .b64 size);
.extern .func free(.param .b64 pointer);
)";

// .global bytes of a C string.
std::string Text(const std::string& name, const std::string& text) {
  std::string bytes;
  for (const char letter : text) bytes += std::to_string(static_cast<int>(letter)) + ", ";
  return ".global .align 1 .b8 " + name + "[" + std::to_string(text.size() + 1) + "] = {" + bytes + "0};\n";
}

class Builtins : public LevelTest {};

// A kernel of one thread that prints once. `store` puts the arguments into the 128 bytes at %arguments.
std::string PrintingKernel(const std::string& format, const std::string& store) {
  return std::string(kDeclarations) + Text("format", format) + Text("word", "text") +
         R"(.visible .entry test(.param .u64 out)
{
.local .align 8 .b8 list[128];
.reg .b64 %out, %f, %a, %x;
.reg .b32 %r, %i;
ld.param.u64 %out, [out];
mov.u32 %i, %tid.x;
)" + store +
         R"(mov.u64 %f, format;
cvta.global.u64 %f, %f;
mov.u64 %a, list;
cvta.local.u64 %a, %a;
{
.param .b64 p0;
.param .b64 p1;
.param .b32 r0;
st.param.b64 [p0], %f;
st.param.b64 [p1], %a;
call.uni (r0), vprintf, (p0, p1);
ld.param.b32 %r, [r0];
}
st.global.u32 [%out], %r;
ret;
}
)";
}

struct Argument {
  uint32_t bytes;
  uint64_t bits;
};
Argument Int(int32_t value) { return {4, static_cast<uint32_t>(value)}; }
Argument Long(int64_t value) { return {8, static_cast<uint64_t>(value)}; }
Argument Double(double value) { return {8, std::bit_cast<uint64_t>(value)}; }

// Every argument at the next multiple of its size.
std::string StoreArguments(const std::vector<Argument>& arguments) {
  std::string text;
  uint32_t offset = 0;
  for (const Argument& argument : arguments) {
    offset = (offset + argument.bytes - 1) / argument.bytes * argument.bytes;
    const std::string type = argument.bytes == 8 ? "64" : "32", reg = argument.bytes == 8 ? "%x" : "%r";
    text += "mov.u" + type + " " + reg + ", " + std::to_string(argument.bits) + ";\nst.local.u" + type + " [list+" +
            std::to_string(offset) + "], " + reg + ";\n";
    offset += argument.bytes;
  }
  return text;
}

TEST_P(Builtins, Printf) {
  struct Case {
    const char* format;
    std::vector<Argument> arguments;
    std::string printed;
    int32_t result;
  };
  const Case cases[] = {
      {"hello\n", {}, "hello\n", 0},
      {"%d and %i, %u", {Int(-5), Int(7), Int(-1)}, "-5 and 7, 4294967295", 3},
      {"%x %X %o %#x", {Int(0xbeef), Int(0xbeef), Int(8), Int(255)}, "beef BEEF 10 0xff", 4},
      {"[%5d|%-5d|%05d|%+d|% d]", {Int(42), Int(42), Int(42), Int(42), Int(42)}, "[   42|42   |00042|+42| 42]", 5},
      {"%d %lld %d %lu %llx",
       {Int(1), Long(-1234567890123), Int(2), Long(1) /* after a gap */, Long(-1)},
       "1 -1234567890123 2 1 ffffffffffffffff",
       5},
      {"%f %e %g %.3f %10.2f",
       {Double(1.5), Double(-0.001), Double(1e10), Double(3.14159), Double(-2.5)},
       "1.500000 -1.000000e-03 1e+10 3.142      -2.50",
       5},
      {"%c%c %%d 100%%", {Int('o'), Int('k')}, "ok %d 100%", 2},
      {"%*d|%-*d|%.*f", {Int(6), Int(1), Int(4), Int(2), Int(2), Double(0.125)}, "     1|2   |0.12", 3},
      {"%hd %hhd %hu", {Int(70000), Int(300), Int(-1)}, "4464 44 65535", 3},
      {"%s-%s", {Long(0), Long(0)}, "(null)-(null)", 2},
      {"%g %g %g", {Double(INFINITY), Double(-INFINITY), Double(0.1)}, "inf -inf 0.1", 3},
      {"%zu %ld", {Long(99), Long(-99)}, "99 -99", 2},
      {"%p", {Long(0x1234)}, "0x1234", 1},
  };
  for (const Case& one : cases) {
    Machine machine(level());
    machine.Fill(0xff);
    ASSERT_TRUE(machine.Load(PrintingKernel(one.format, StoreArguments(one.arguments))));
    ASSERT_TRUE(machine.RunWell("test", {}, {}, Params().Add(kDataAddress)));
    EXPECT_EQ(machine.printed(), one.printed) << one.format;
    EXPECT_EQ(machine.Read<int32_t>(0), one.result) << one.format;
  }
}

TEST_P(Builtins, PrintfOfManyThreads) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(PrintingKernel("%d:%s;",
                                          "mov.u64 %x, word;\ncvta.global.u64 %x, %x;\nst.local.u32 [list], %i;\n"
                                          "st.local.u64 [list+8], %x;\n")));
  ASSERT_TRUE(machine.RunWell("test", {}, {40}, Params().Add(kDataAddress)));
  std::multiset<std::string> lines, expected;
  for (size_t begin = 0, end; (end = machine.printed().find(';', begin)) != std::string::npos; begin = end + 1) {
    lines.insert(machine.printed().substr(begin, end - begin));
  }
  for (int i = 0; i < 40; ++i) expected.insert(std::to_string(i) + ":text");
  EXPECT_EQ(lines, expected);
}

// A list that lies nowhere is an illegal address, not a crash.
TEST_P(Builtins, PrintfOfWildPointers) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(PrintingKernel("%s", "mov.u64 %x, 16;\nst.local.u64 [list], %x;\n")));
  const std::optional<Fault> fault = machine.Run("test", {}, {}, Params().Add(kDataAddress));
  ASSERT_TRUE(fault);
  EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(FaultKind::kIllegalAddress)) << fault->message;
  EXPECT_EQ(fault->address, 16u);
}

TEST_P(Builtins, Assert) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(std::string(kDeclarations) + Text("message", "x > 0") + Text("file", "kernel.cu") +
                           Text("function", "void f(int)") +
                           R"(.visible .entry test()
{
.reg .b64 %m, %f, %g;
.reg .b32 %i;
.reg .pred %p;
mov.u32 %i, %tid.x;
setp.eq.u32 %p, %i, 3;
mov.u32 %i, %tid.y;
setp.eq.and.u32 %p, %i, 2, %p;
@!%p bra GOOD;
mov.u64 %m, message;
cvta.global.u64 %m, %m;
mov.u64 %f, file;
cvta.global.u64 %f, %f;
mov.u64 %g, function;
cvta.global.u64 %g, %g;
{
.param .b64 p0;
.param .b64 p1;
.param .b32 p2;
.param .b64 p3;
.param .b64 p4;
st.param.b64 [p0], %m;
st.param.b64 [p1], %f;
st.param.b32 [p2], 27;
st.param.b64 [p3], %g;
st.param.b64 [p4], 1;
call.uni __assertfail, (p0, p1, p2, p3, p4);
}
GOOD:
ret;
}
)"));
  const std::optional<Fault> fault = machine.Run("test", {1, 1, 1}, {8, 4, 1}, Params());
  ASSERT_TRUE(fault);
  EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(FaultKind::kAssert));
  EXPECT_EQ(fault->message, "kernel.cu:27: void f(int): block: [0,0,0], thread: [3,2,0] Assertion `x > 0` failed.");
  EXPECT_TRUE(machine.RunWell("test", {1, 1, 1}, {8, 2, 1}, Params())) << "no thread fails";
}

constexpr char kAllocating[] = R"(.visible .entry test(.param .u64 out, .param .u64 bytes)
{
.reg .b64 %out, %o, %n, %p;
.reg .b32 %i, %r;
.reg .pred %none;
ld.param.u64 %out, [out];
ld.param.u64 %n, [bytes];
mov.u32 %i, %tid.x;
mul.wide.u32 %o, %i, 16;
add.u64 %out, %out, %o;
{
.param .b64 p0;
.param .b64 r0;
st.param.b64 [p0], %n;
call.uni (r0), malloc, (p0);
ld.param.b64 %p, [r0];
}
st.global.u64 [%out], %p;
setp.eq.u64 %none, %p, 0;
@%none bra DONE;
st.u32 [%p], %i;
st.u32 [%p+28], %i;
ld.u32 %r, [%p];
st.global.u32 [%out+8], %r;
{
.param .b64 p0;
st.param.b64 [p0], %p;
call.uni free, (p0);
}
DONE:
{
.param .b64 p0;
st.param.b64 [p0], 0;
call.uni free, (p0);
}
ret;
}
)";

TEST_P(Builtins, MallocAndFree) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(std::string(kDeclarations) + kAllocating));
  ASSERT_TRUE(machine.RunWell("test", {}, {40}, Params().Add(kDataAddress).Add(uint64_t{32})));
  std::set<uint64_t> addresses;
  for (uint32_t i = 0; i < 40; ++i) {
    const auto address = machine.Read<uint64_t>(16 * i);
    EXPECT_TRUE(address >= kHeapAddress && address + 32 <= kHeapAddress + kHeapBytes);
    EXPECT_TRUE(addresses.insert(address).second) << "two threads have one block";
    EXPECT_EQ(machine.Read<uint32_t>(16 * i + 8), i);
  }
  EXPECT_EQ(machine.live_allocations(), 0u);
  // More than there is: null.
  machine.Fill(0xff);
  ASSERT_TRUE(machine.RunWell("test", {}, {2}, Params().Add(kDataAddress).Add(uint64_t{1} << 40)));
  EXPECT_EQ(machine.Read<uint64_t>(0), 0u);
  EXPECT_EQ(machine.Read<uint64_t>(16), 0u);
}

TEST_P(Builtins, FreeOfWhatIsNotAllocated) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(std::string(kDeclarations) + R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out;
ld.param.u64 %out, [out];
{
.param .b64 p0;
st.param.b64 [p0], %out;
call.uni free, (p0);
}
ret;
}
)"));
  EXPECT_TRUE(machine.Run("test", {}, {}, Params().Add(kDataAddress)));
}

// A function that nobody defines is named when the kernel is refused.
TEST_P(Builtins, UnknownFunction) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(".extern .func mystery();\n.visible .entry test()\n{\ncall mystery;\nret;\n}\n"));
  EXPECT_NE(machine.Refusal("test").find("mystery"), std::string::npos) << machine.Refusal("test");
}

INSTANTIATE_TEST_SUITE_P(Levels, Builtins, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
