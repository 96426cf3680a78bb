// Accesses that must be refused: the right kind, address, thread and line, and nothing else happens to the machine.

#include <bit>

#include "tests/instructions/machine.h"

namespace outboard::softgpu::testing {
namespace {

// A kernel in which thread `tid` of block 1 accesses `good` or, if it is one of the threads at fault, `bad`.
std::string FaultingKernel(const std::string& instruction) {
  return R"(.visible .entry test(.param .u64 good, .param .u64 bad, .param .u32 at_fault)
{
.shared .align 16 .b8 room[256];
.local .align 16 .b8 own[256];
.reg .b64 %good, %bad, %a, %o, %x<4>;
.reg .b32 %i, %f, %t, %n, %r<4>, %b;
.reg .pred %p;
ld.param.u64 %good, [good];
ld.param.u64 %bad, [bad];
ld.param.u32 %f, [at_fault];
mov.u32 %i, %tid.x;
mov.u32 %r0, 0;
st.shared.u32 [room], %r0;
st.local.u32 [own], %r0;
mov.u64 %a, %good;
mov.u32 %b, %ctaid.x;
shr.u32 %t, %f, %i;
and.b32 %t, %t, %b;
setp.eq.u32 %p, %t, 1;
@%p mov.u64 %a, %bad;
cvt.u32.u64 %n, %a;
)" + instruction +
         "\nret;\n}\n";
}

struct Refused {
  const char* instruction;
  uint64_t good, bad;
  FaultKind kind;
};

constexpr uint64_t kEnd = kDataAddress + kDataBytes;
constexpr FaultKind kIllegal = FaultKind::kIllegalAddress, kMisaligned = FaultKind::kMisalignedAddress;

const Refused kRefused[] = {
    {"ld.global.u32 %r0, [%a];", kDataAddress, 0, kIllegal},
    {"ld.global.u32 %r0, [%a];", kDataAddress, kDataAddress - 4, kIllegal},
    {"ld.global.u32 %r0, [%a];", kDataAddress, kEnd, kIllegal},
    {"ld.global.u32 %r0, [%a];", kEnd - 4, kEnd - 2, kMisaligned},
    {"ld.global.u8 %r0, [%a];", kEnd - 1, kEnd, kIllegal},
    {"ld.global.v4.u32 {%r0,%r1,%r2,%r3}, [%a];", kEnd - 16, kEnd - 8, kMisaligned},
    {"ld.global.v2.u64 {%x0,%x1}, [%a];", kEnd - 16, kEnd, kIllegal},
    {"ld.global.u64 %x0, [%a];", kDataAddress, 0xfffffffffffffff8, kIllegal},
    {"ld.u16 %r0, [%a];", kDataAddress, kDataAddress + 1, kMisaligned},
    {"ld.u64 %x0, [%a];", kDataAddress, 0x1234567800, kIllegal},
    {"ld.u64 %x0, [%a];", kDataAddress, 0x7000'0000'0000, kIllegal},
    {"st.global.u32 [%a], %r0;", kDataAddress, 16, kIllegal},
    {"st.global.u64 [%a], %x0;", kDataAddress, kDataAddress + 4, kMisaligned},
    {"st.global.v4.u32 [%a], {%r0,%r1,%r2,%r3};", kDataAddress, kEnd, kIllegal},
    {"st.u8 [%a], %r0;", kDataAddress, kEnd + 7, kIllegal},
    {"ld.shared.u32 %r0, [%a];", 0, 256, kIllegal},
    {"ld.shared.u32 %r0, [%n];", 252, 256, kIllegal},
    {"ld.shared.u32 %r0, [%n];", 0, 0xfffffffc, kIllegal},
    {"ld.shared.u32 %r0, [%a];", 0, 0x1'0000'0000, kIllegal},
    {"ld.shared.u32 %r0, [%n];", 0, 2, kMisaligned},
    {"st.shared.u64 [%n], %x0;", 248, 252, kMisaligned},
    {"st.shared.v2.u32 [%a], {%r0,%r1};", 248, 1024, kIllegal},
    {"ld.local.u32 %r0, [%a];", 0, 0x100000, kIllegal},
    {"st.local.u32 [%n], %r0;", 0, 0x80000000, kIllegal},
    {"st.local.u16 [%n], %r0;", 0, 1, kMisaligned},
    {"ld.param.u32 %r0, [%a];", 16, 20, kIllegal},
    {"atom.global.add.u32 %r0, [%a], %r1;", kDataAddress, kEnd, kIllegal},
    {"atom.global.cas.b64 %x0, [%a], %x1, %x2;", kDataAddress, kDataAddress + 4, kMisaligned},
    {"atom.add.u32 %r0, [%a], %r1;", kDataAddress, 8, kIllegal},
    {"red.global.add.u64 [%a], %x1;", kDataAddress, kDataAddress + 2, kMisaligned},
    {"red.shared.add.u32 [%n], %r1;", 0, 512, kIllegal},
    {"atom.shared.exch.b32 %r0, [%n], %r1;", 0, 3, kMisaligned},
    {"atom.global.add.noftz.f16x2 %r0, [%a], %r1;", kDataAddress, kDataAddress + 2, kMisaligned},
    {"cp.async.ca.shared.global [%n], [0x1000000000], 8;", 248, 256, kIllegal},
    {"cp.async.ca.shared.global [%n], [0x1000000000], 4;", 0, 2, kMisaligned},
    {"cp.async.cg.shared.global [room], [%a], 16;", kDataAddress, kEnd, kIllegal},
    {"cp.async.ca.shared.global [room], [%a], 8;", kDataAddress, kDataAddress + 4, kMisaligned},
};

class Faults : public LevelTest {};

TEST_P(Faults, Accesses) {
  Machine machine(level());
  for (const Refused& refused : kRefused) {
    ASSERT_TRUE(machine.Load(FaultingKernel(refused.instruction)));
    const uint32_t line = machine.LineOf(refused.instruction);
    // One lane, lanes of a partly used warp, and all of them: the first is reported.
    for (const uint32_t at_fault : {1u << 19, 0xf0000000u, 0xffffffffu, 1u}) {
      const auto params = Params().Add(refused.good).Add(refused.bad).Add(at_fault);
      const std::optional<Fault> fault = machine.Run("test", {2, 1, 1}, {32}, params);
      ASSERT_TRUE(fault) << refused.instruction << " at " << std::hex << refused.bad;
      EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(refused.kind))
          << refused.instruction << ": " << fault->message;
      EXPECT_EQ(fault->address, refused.bad) << refused.instruction << ": " << fault->message;
      EXPECT_EQ(fault->ptx_line, line) << fault->message;
      EXPECT_EQ(fault->block[0], 1u);
      EXPECT_EQ(fault->thread[0], static_cast<uint32_t>(std::countr_zero(at_fault))) << fault->message;
      EXPECT_NE(fault->message.find("kernel test"), std::string::npos) << fault->message;
      EXPECT_NE(fault->message.find("PTX line " + std::to_string(line)), std::string::npos) << fault->message;
    }
    // No thread is at fault: the same kernel runs, on the same engine.
    EXPECT_TRUE(machine.RunWell("test", {2, 1, 1}, {32}, Params().Add(refused.good).Add(refused.bad).Add(0u)))
        << refused.instruction;
  }
}

// Even rows of addresses, which the engine checks by their ends: each of the lanes at an end is the only one outside
// once.
TEST_P(Faults, RowsOfAddresses) {
  constexpr char kAccess[] = "ld.global.u32 %r1, [%a];";
  Machine machine(level());
  ASSERT_TRUE(machine.Load(std::string(R"(.visible .entry test(.param .u64 first, .param .u64 second)
{
.reg .b64 %a, %second;
.reg .b32 %i, %half, %r1;
.reg .pred %p;
ld.param.u64 %a, [first];
ld.param.u64 %second, [second];
mov.u32 %i, %tid.x;
and.b32 %half, %i, 15;
setp.ge.u32 %p, %i, 16;
@%p mov.u64 %a, %second;
mad.wide.u32 %a, %half, 4, %a;
)") + kAccess + "\nret;\n}\n"));
  struct Row {
    uint64_t first, second;  // where the two halves of the warp begin
    uint32_t thread;         // the first outside
  };
  for (const Row& row :
       {Row{kEnd - 60, kDataAddress, 15}, Row{kDataAddress - 4, kDataAddress, 0}, Row{kDataAddress, kEnd - 60, 31},
        Row{kDataAddress, kDataAddress - 4, 16}, Row{kEnd - 124, kEnd - 60, 31}}) {
    const std::optional<Fault> fault = machine.Run("test", {}, {32}, Params().Add(row.first).Add(row.second));
    ASSERT_TRUE(fault) << row.thread;
    EXPECT_EQ(fault->kind, kIllegal);
    EXPECT_EQ(fault->thread[0], row.thread);
  }
  EXPECT_TRUE(machine.RunWell("test", {}, {32}, Params().Add(kEnd - 64).Add(kDataAddress)));
}

// The same in shared and local memory, at the widths of elements that move as they are and that do not.
TEST_P(Faults, RowsOfAddressesInABlocksMemory) {
  struct Row {
    const char* access;
    uint32_t first, step;  // the address of lane 0, and how far the lanes' lie apart
    uint32_t thread;       // the first at fault
    FaultKind kind;
  };
  constexpr uint32_t kNobody = 32;
  const Row kRows[] = {
      {"ld.shared.u32 %r, [%n];", 128, 4, kNobody, {}},
      {"ld.shared.u32 %r, [%n];", 132, 4, 31, kIllegal},
      {"ld.shared.u32 %r, [%n];", 0xfffffffc, 4, 0, kIllegal},
      {"ld.shared.u32 %r, [%n];", 256, 0, 0, kIllegal},
      {"ld.shared.u32 %r, [%n];", 252, 0, kNobody, {}},
      {"ld.shared.u32 %r, [%n];", 2, 4, 0, kMisaligned},
      {"ld.shared.u32 %r, [%n+128];", 0, 4, kNobody, {}},
      {"ld.shared.u32 %r, [%n+128];", 4, 4, 31, kIllegal},
      {"ld.shared.u32 %r, [%a];", 132, 4, 31, kIllegal},
      {"ld.shared.u8 %r, [%n];", 224, 1, kNobody, {}},
      {"ld.shared.u8 %r, [%n];", 225, 1, 31, kIllegal},
      {"ld.shared.u64 %x, [%n];", 0, 8, kNobody, {}},
      {"ld.shared.u64 %x, [%n];", 8, 8, 31, kIllegal},
      {"ld.shared.v2.u32 {%r,%i}, [%n];", 8, 8, 31, kIllegal},
      {"st.shared.u32 [%n], %r;", 128, 4, kNobody, {}},
      {"st.shared.u32 [%n], %r;", 132, 4, 31, kIllegal},
      {"st.shared.u16 [%n], %r;", 194, 2, 31, kIllegal},
      {"ld.local.u32 %r, [%n];", 252, 0, kNobody, {}},
      {"ld.local.u32 %r, [%n];", 132, 4, 31, kIllegal},
      {"st.local.u32 [%n], %r;", 256, 0, 0, kIllegal},
      {"ld.u32 %r, [%s];", 128, 4, kNobody, {}},
      {"ld.u32 %r, [%s];", 132, 4, 31, kIllegal},
      {"ld.u32 %r, [%l];", 132, 4, 31, kIllegal},
  };
  Machine machine(level());
  for (const Row& row : kRows) {
    ASSERT_TRUE(machine.Load(std::string(R"(.visible .entry test(.param .u32 first, .param .u32 step)
{
.shared .align 16 .b8 room[256];
.local .align 16 .b8 own[256];
.reg .b64 %a, %s, %l, %x;
.reg .b32 %i, %n, %r, %step;
ld.param.u32 %n, [first];
ld.param.u32 %step, [step];
mov.u32 %i, %tid.x;
mad.lo.u32 %n, %i, %step, %n;
cvt.u64.u32 %a, %n;
cvta.shared.u64 %s, %a;
cvta.local.u64 %l, %a;
mov.u32 %r, 0;
st.shared.u32 [room], %r;
st.local.u32 [own], %r;
)") + row.access + "\nret;\n}\n"));
    const std::optional<Fault> fault = machine.Run("test", {}, {32}, Params().Add(row.first).Add(row.step));
    ASSERT_EQ(fault.has_value(), row.thread != kNobody) << row.access << " from " << row.first;
    if (!fault) continue;
    EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(row.kind)) << row.access << " from " << row.first;
    EXPECT_EQ(fault->thread[0], row.thread) << row.access << " from " << row.first;
  }
}

// A generic address in a window is refused with the whole address.
TEST_P(Faults, GenericWindows) {
  Machine machine(level());
  for (const std::string space : {"shared", "local"}) {
    ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 out)
{
.shared .align 16 .b8 room[64];
.local .align 16 .b8 own[64];
.reg .b64 %out, %a;
.reg .b32 %r;
ld.param.u64 %out, [out];
mov.u32 %r, 1;
st.shared.u32 [room], %r;
st.local.u32 [own], %r;
mov.u64 %a, 0x4000000;
cvta.)" + space + R"(.u64 %a, %a;
st.global.u64 [%out], %a;
ld.u32 %r, [%a];
ret;
}
)"));
    const std::optional<Fault> fault = machine.Run("test", {}, {32}, Params().Add(kDataAddress));
    ASSERT_TRUE(fault);
    EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(kIllegal));
    EXPECT_EQ(fault->address, machine.Read<uint64_t>(0));
    EXPECT_EQ(fault->ptx_line, machine.LineOf("ld.u32 %r, [%a];"));
  }
}

// Lanes that are masked off, or elsewhere, may hold any address.
TEST_P(Faults, OnlyActiveLanesCount) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %a, %d;
.reg .b32 %i, %r;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %i, %tid.x;
mov.u64 %a, 1;
setp.eq.u32 %p, %i, 5;
@%p mov.u64 %a, %d;
@!%p bra ELSEWHERE;
mov.u32 %r, 77;
st.global.u32 [%a], %r;
ld.u32 %r, [%a];
atom.global.add.u32 %r, [%a], %r;
ELSEWHERE:
@%p st.global.u32 [%a+4], %r;
ret;
}
)"));
  machine.Fill(0);
  ASSERT_TRUE(machine.RunWell("test", {}, {32}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<uint32_t>(0), 154u);
  EXPECT_EQ(machine.Read<uint32_t>(4), 77u);
}

TEST_P(Faults, ThreadOfThreeDimensionalBlock) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .b32 %x, %y, %z, %b;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %x, %tid.x;
mov.u32 %y, %tid.y;
mov.u32 %z, %tid.z;
mov.u32 %b, %ctaid.y;
setp.eq.u32 %p, %x, 3;
setp.eq.and.u32 %p, %y, 2, %p;
setp.eq.and.u32 %p, %z, 1, %p;
setp.eq.and.u32 %p, %b, 4, %p;
@%p st.global.u32 [%d+-8], %x;
ret;
}
)"));
  const std::optional<Fault> fault = machine.Run("test", {2, 5, 1}, {4, 5, 2}, Params().Add(kDataAddress));
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->address, kDataAddress - 8);
  EXPECT_EQ((std::vector{fault->thread[0], fault->thread[1], fault->thread[2]}), (std::vector{3u, 2u, 1u}));
  EXPECT_EQ(fault->block[1], 4u);
}

TEST_P(Faults, Trap) {
  Machine machine(level());
  for (const std::string instruction : {"@%p trap;", "@%p brkpt;"}) {
    ASSERT_TRUE(machine.Load(
        ".visible .entry test()\n{\n.reg .b32 %i;\n.reg .pred %p;\nmov.u32 %i, %tid.x;\nsetp.eq.u32 %p, %i, 40;\n" +
        instruction + "\nret;\n}\n"));
    const std::optional<Fault> fault = machine.Run("test", {}, {64}, Params());
    ASSERT_TRUE(fault);
    EXPECT_EQ(static_cast<int>(fault->kind), static_cast<int>(FaultKind::kTrap));
    EXPECT_EQ(fault->thread[0], 40u);
    EXPECT_EQ(fault->ptx_line, machine.LineOf(instruction));
    EXPECT_TRUE(machine.RunWell("test", {}, {40}, Params())) << "no thread reaches it in a smaller block";
  }
}

// A kernel that needs what the engine lacks is refused with the list; others of the module run.
TEST_P(Faults, MissingForms) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry bad()
{
.reg .b32 %r<4>;
mov.u32 %r0, 1;
frobnicate.u32 %r1, %r0;
add.s32 %r2, %r0, %r0;
frob.s32 %r3, %r0;
ret;
}
.visible .entry good()
{
ret;
}
)"));
  const std::string refusal = machine.Refusal("bad");
  EXPECT_NE(refusal.find("frobnicate.u32"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find("frob.s32"), std::string::npos) << refusal;
  EXPECT_NE(refusal.find(std::to_string(machine.LineOf("frob.s32"))), std::string::npos) << refusal;
  EXPECT_EQ(refusal.find("add.s32"), std::string::npos) << refusal;
  EXPECT_TRUE(machine.RunWell("good", {}, {32}, Params()));
}

// Code for multicast objects loads, and faults when it is reached.
TEST_P(Faults, MulticastObjects) {
  for (const std::string instruction :
       {"multimem.ld_reduce.relaxed.sys.global.add.acc::f32.v4.bf16x2 {%r0, %r1, %r2, %r3}, [%d];",
        "multimem.st.global.v4.f32 [%d], {%r0, %r1, %r2, %r3};",
        "multimem.red.relaxed.sys.global.add.u32 [%d], %r0;"}) {
    Machine machine(level());
    ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data, .param .u32 reaches)
{
.reg .b64 %d;
.reg .b32 %r<4>;
.reg .pred %p;
ld.param.u64 %d, [data];
ld.param.u32 %r0, [reaches];
setp.ne.u32 %p, %r0, 0;
@%p )" + instruction + "\nret;\n}\n"));
    EXPECT_TRUE(machine.RunWell("test", {1}, {32}, Params().Add(kDataAddress).Add(0u)));
    const std::optional<Fault> fault = machine.Run("test", {1}, {32}, Params().Add(kDataAddress).Add(1u));
    ASSERT_TRUE(fault) << instruction;
    EXPECT_EQ(fault->kind, FaultKind::kIllegalInstruction);
    EXPECT_NE(fault->message.find("multicast"), std::string::npos) << fault->message;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Faults, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
