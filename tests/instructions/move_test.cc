// Moves, packing, special registers and address conversion (PTX ISA, sections 9.7.9 and 10).

#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

class MoveForms : public LevelTest {};

// mov.b16, mov.b32 and mov.b64 are tested with the bit operations; these are its other spellings.
TEST_P(MoveForms, Types) {
  Machine machine(level());
  const auto run = [&](const std::string& type, auto reference) {
    RunValues(machine, level(), Exact("", reference, "@G mov." + type + " $0, $1;"));
  };
  run("u16", [](uint16_t a) { return a; });
  run("s16", [](uint16_t a) { return a; });
  run("u32", [](uint32_t a) { return a; });
  run("s32", [](uint32_t a) { return a; });
  run("f32", [](uint32_t a) { return a; });
  run("u64", [](uint64_t a) { return a; });
  run("s64", [](uint64_t a) { return a; });
  run("f64", [](uint64_t a) { return a; });
}

TEST_P(MoveForms, Packing) {
  Machine machine(level());
  const auto run = [&](const std::string& form, const std::string& text, auto reference) {
    RunValues(machine, level(), Exact(form, reference, text));
  };
  run("mov.b16.pack2", "{ .reg .b8 %low; cvt.u8.u32 %low, $1; @G mov.b16 $0, {%low, 7}; }",
      [](uint32_t a) { return static_cast<uint16_t>(7 << 8 | (a & 0xff)); });
  run("mov.b32.pack2", "@G mov.b32 $0, {$1, $2};", [](uint16_t a, uint16_t b) { return uint32_t{b} << 16 | a; });
  run("mov.b64.pack2", "@G mov.b64 $0, {$1, $2};", [](uint32_t a, uint32_t b) { return uint64_t{b} << 32 | a; });
  run("mov.b64.pack4", "@G mov.b64 $0, {$1, $2, $3, $4};", [](uint16_t a, uint16_t b, uint16_t c, uint16_t d) {
    return uint64_t{d} << 48 | uint64_t{c} << 32 | uint64_t{b} << 16 | a;
  });
  run("mov.b32.unpack", "@G mov.b32 {$0, $1}, $2;",
      [](uint32_t a) { return std::tuple(static_cast<uint16_t>(a), static_cast<uint16_t>(a >> 16)); });
  run("mov.b64.unpack", "@G mov.b64 {$0, $1}, $2;",
      [](uint64_t a) { return std::tuple(static_cast<uint32_t>(a), static_cast<uint32_t>(a >> 32)); });
  run("", "@G mov.b64 {$0, $1, $2, $3}, $4;", [](uint64_t a) {
    return std::tuple(static_cast<uint16_t>(a), static_cast<uint16_t>(a >> 16), static_cast<uint16_t>(a >> 32),
                      static_cast<uint16_t>(a >> 48));
  });
  run("", "@G mov.b64 {_, $0}, $1;", [](uint64_t a) { return static_cast<uint32_t>(a >> 32); });
  // The four bytes of a word, put together in another order.
  run("mov.b32.pack4", "{ .reg .b8 %q<4>; mov.b32 {%q0, %q1, %q2, %q3}, $1; @G mov.b32 $0, {%q2, %q0, %q3, %q1}; }",
      [](uint32_t a) { return (a >> 16 & 0xff) | (a & 0xff) << 8 | (a >> 24) << 16 | (a >> 8 & 0xff) << 24; });
}

// Generic addresses: the windows of shared, local and param memory are made by cvta, so what they are stays the
// engine's business.
TEST_P(MoveForms, AddressConversion) {
  Machine machine(level());
  const auto run = [&](const std::string& form, const std::string& text, auto reference) {
    ValueCase value_case = Exact(form, reference, text);
    RunValues(machine, level(), value_case);
  };
  for (const char* space : {"global", "const"}) {
    const std::string to = std::string("cvta.to.") + space + ".u64", from = std::string("cvta.") + space + ".u64";
    run(from, "@G " + from + " $0, $1;", [](uint64_t a) { return a; });
    run(to, "@G " + to + " $0, $1;", [](uint64_t a) { return a; });
  }
  // An address below 4 GiB goes to its window and comes back; it is in that window and in no other.
  for (const std::string space : {"shared", "local", "param"}) {
    const std::string from = "cvta." + space + ".u64", to = "cvta.to." + space + ".u64";
    run(from, from + " $0, $1; " + to + " $0, $0;", [](uint64_t a) { return a & 0xffffffff; });
    run(to,
        "and.b64 $1, $1, 0xffffffff; " + from + " $0, $1; @G " + to +
            " $0, $0; @!%guard mov.u64 $0, 0x5a5a5a5a5a5a5a5a;",
        [](uint64_t a) { return a & 0xffffffff; });
    for (const std::string other : {"shared", "local", "param", "global"}) {
      const bool is_same = other == space;
      run(is_same ? "isspacep." + space : "",
          "and.b64 $1, $1, 0xffffffff; " + from + " $1, $1; @G isspacep." + other + " $0, $1;",
          [is_same](uint64_t) { return is_same; });
    }
    run("", "and.b64 $1, $1, 0xffffffffffff; shr.u64 $1, $1, 1; @G isspacep." + space + " $0, $1;",
        [](uint64_t) { return false; });
  }
  // No process has memory above 2^47.
  run("isspacep.global", "and.b64 $1, $1, 0xffffffffffff; shr.u64 $1, $1, 1; @G isspacep.global $0, $1;",
      [](uint64_t) { return true; });
  for (const std::string space : {"shared::cta", "shared::cluster"}) {
    run("", "and.b64 $1, $1, 0xffffffff; cvta.shared.u64 $1, $1; @G isspacep." + space + " $0, $1;",
        [](uint64_t) { return true; });
    run("", "and.b64 $1, $1, 0xffffffff; cvta." + space + ".u64 $1, $1; @G isspacep.shared $0, $1;",
        [](uint64_t) { return true; });
  }
}

// --- Special registers: what each thread of a three-dimensional launch reads.
// --------------------------------------------------

constexpr Dim3 kGrid{3, 2, 2}, kBlock{5, 7, 3};
constexpr uint32_t kSharedBytes = 48, kDynamicBytes = 80;
constexpr uint32_t kBlockThreads = 5 * 7 * 3, kWarps = (kBlockThreads + 31) / 32;

struct Place {
  uint32_t block[3], thread[3];
  uint32_t linear_block, linear_thread, lane;
};

struct SpecialRegister {
  const char* name;
  uint32_t (*value)(const Place& place);
};
const SpecialRegister kRegisters[] = {
    {"%tid.x", [](const Place& p) { return p.thread[0]; }},
    {"%tid.y", [](const Place& p) { return p.thread[1]; }},
    {"%tid.z", [](const Place& p) { return p.thread[2]; }},
    {"%ntid.x", [](const Place&) { return kBlock.x; }},
    {"%ntid.y", [](const Place&) { return kBlock.y; }},
    {"%ntid.z", [](const Place&) { return kBlock.z; }},
    {"%ctaid.x", [](const Place& p) { return p.block[0]; }},
    {"%ctaid.y", [](const Place& p) { return p.block[1]; }},
    {"%ctaid.z", [](const Place& p) { return p.block[2]; }},
    {"%nctaid.x", [](const Place&) { return kGrid.x; }},
    {"%nctaid.y", [](const Place&) { return kGrid.y; }},
    {"%nctaid.z", [](const Place&) { return kGrid.z; }},
    {"%laneid", [](const Place& p) { return p.lane; }},
    {"%warpid", [](const Place& p) { return p.linear_thread / 32; }},
    {"%nwarpid", [](const Place&) { return kWarps; }},
    {"%lanemask_eq", [](const Place& p) { return uint32_t{1} << p.lane; }},
    {"%lanemask_le", [](const Place& p) { return static_cast<uint32_t>((uint64_t{2} << p.lane) - 1); }},
    {"%lanemask_lt", [](const Place& p) { return static_cast<uint32_t>((uint64_t{1} << p.lane) - 1); }},
    {"%lanemask_ge", [](const Place& p) { return static_cast<uint32_t>(~((uint64_t{1} << p.lane) - 1)); }},
    {"%lanemask_gt", [](const Place& p) { return static_cast<uint32_t>(~((uint64_t{2} << p.lane) - 1)); }},
    {"%dynamic_smem_size", [](const Place&) { return kDynamicBytes; }},
    {"%total_smem_size", [](const Place&) { return kSharedBytes + kDynamicBytes; }},
    {"%nsmid", [](const Place&) { return 3u; }},
};

// A kernel in which every thread stores the special register, read by `opcode` into a register of `bits`, as one cell
// of 8 bytes.
std::string ReadingKernel(const std::string& name, uint32_t bits, const std::string& opcode = "mov") {
  const std::string type = bits == 64 ? "u64" : "u32", reg = bits == 64 ? "%x" : "%r";
  return ".visible .entry test(.param .u64 out)\n{\n.shared .align 16 .b8 room[48];\n.reg .b32 %r, %i, %n;\n.reg .b64 "
         "%x, %out, %o;\n"
         "ld.param.u64 %out, [out];\n"
         // ((ctaid.z * nctaid.y + ctaid.y) * nctaid.x + ctaid.x) * threads + thread in the block
         "mov.u32 %i, %ctaid.z;\nmov.u32 %n, %nctaid.y;\nmov.u32 %r, %ctaid.y;\nmad.lo.u32 %i, %i, %n, %r;\n"
         "mov.u32 %n, %nctaid.x;\nmov.u32 %r, %ctaid.x;\nmad.lo.u32 %i, %i, %n, %r;\n"
         "mov.u32 %n, %ntid.z;\nmov.u32 %r, %tid.z;\nmad.lo.u32 %i, %i, %n, %r;\n"
         "mov.u32 %n, %ntid.y;\nmov.u32 %r, %tid.y;\nmad.lo.u32 %i, %i, %n, %r;\n"
         "mov.u32 %n, %ntid.x;\nmov.u32 %r, %tid.x;\nmad.lo.u32 %i, %i, %n, %r;\n"
         "mov.u32 %r, room;\nst.shared.u32 [%r], %i;\n"
         "mul.wide.u32 %o, %i, 8;\nadd.u64 %out, %out, %o;\n" +
         opcode + "." + type + (opcode == "cvt" ? ".u32 " : " ") + reg + ", " + name + ";\nst.global." + type +
         " [%out], " + reg + ";\nret;\n}\n";
}

template <class Check>
void ForThreads(Check check) {
  for (uint32_t block = 0; block < kGrid.Count(); ++block) {
    for (uint32_t thread = 0; thread < kBlockThreads; ++thread) {
      const Place place{{block % kGrid.x, block / kGrid.x % kGrid.y, block / kGrid.x / kGrid.y},
                        {thread % kBlock.x, thread / kBlock.x % kBlock.y, thread / kBlock.x / kBlock.y},
                        block,
                        thread,
                        thread % 32};
      check(place, size_t{block} * kBlockThreads + thread);
    }
  }
}

TEST_P(MoveForms, SpecialRegisters) {
  Machine machine(level());
  for (const SpecialRegister& reg : kRegisters) {
    machine.Fill(0);
    ASSERT_TRUE(machine.Load(ReadingKernel(reg.name, 32)));
    ASSERT_TRUE(machine.RunWell("test", kGrid, kBlock, Params().Add(kDataAddress), kDynamicBytes));
    ForThreads([&](const Place& place, size_t index) {
      ASSERT_EQ(machine.Read<uint32_t>(index * 8), reg.value(place)) << reg.name << " of thread " << index;
    });
    ExpectSameAtEveryLevel(reg.name, level(), machine.data(), kGrid.Count() * kBlockThreads * 8);
    RecordTested(std::string("mov.") + reg.name, level());
  }
  // As the operand of a conversion.
  ASSERT_TRUE(machine.Load(ReadingKernel("%tid.y", 64, "cvt")));
  machine.Fill(0xff);
  ASSERT_TRUE(machine.RunWell("test", kGrid, kBlock, Params().Add(kDataAddress), kDynamicBytes));
  ForThreads([&](const Place& place, size_t index) { ASSERT_EQ(machine.Read<uint64_t>(index * 8), place.thread[1]); });
}

// Registers whose values are the engine's to choose, within rules.
TEST_P(MoveForms, MachineRegisters) {
  Machine machine(level());
  const auto run = [&](const char* name, uint32_t bits) {
    machine.Fill(0);
    return machine.Load(ReadingKernel(name, bits)) &&
           machine.RunWell("test", kGrid, kBlock, Params().Add(kDataAddress), kDynamicBytes);
  };
  ASSERT_TRUE(run("%smid", 32));
  ForThreads([&](const Place& place, size_t index) {
    ASSERT_LT(machine.Read<uint32_t>(index * 8), 3u);
    // All threads of a block run on one multiprocessor.
    ASSERT_EQ(machine.Read<uint32_t>(index * 8),
              machine.Read<uint32_t>(size_t{place.linear_block} * kBlockThreads * 8));
  });
  RecordTested("mov.%smid", level());

  ASSERT_TRUE(run("%gridid", 64));
  const uint64_t first = machine.Read<uint64_t>(0);
  ForThreads([&](const Place&, size_t index) { ASSERT_EQ(machine.Read<uint64_t>(index * 8), first); });
  ASSERT_TRUE(machine.RunWell("test", kGrid, kBlock, Params().Add(kDataAddress), kDynamicBytes));
  EXPECT_NE(machine.Read<uint64_t>(0), first) << "two launches have the same %gridid";
  RecordTested("mov.%gridid", level());
}

// Where system software has shared memory: apart from the program's own, zero when a block begins.
TEST_P(MoveForms, ReservedSharedMemory) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 out)
{
.shared .align 16 .b8 room[48];
.reg .b64 %out, %at, %a;
.reg .b32 %r<8>, %b;
ld.param.u64 %out, [out];
mov.u32 %r0, %reserved_smem_offset_begin;
mov.u32 %r1, %reserved_smem_offset_end;
mov.u32 %r2, %reserved_smem_offset_cap;
mov.u32 %r3, %reserved_smem_offset_0;
mov.u32 %r4, %reserved_smem_offset_1;
mov.u32 %r5, %total_smem_size;
cvt.u64.u32 %a, %r4;
cvta.shared.u64 %a, %a;
ld.u32 %r6, [%a];
mov.u32 %r7, room;
mov.u32 %b, %ctaid.x;
mul.wide.u32 %at, %b, 32;
add.u64 %out, %out, %at;
st.global.v4.u32 [%out], {%r0, %r1, %r2, %r3};
st.global.v4.u32 [%out+16], {%r4, %r5, %r6, %r7};
st.u32 [%a], 7;
ret;
}
)"));
  constexpr uint32_t kDynamic = 80, kBlocks = 8;
  ASSERT_TRUE(machine.RunWell("test", {kBlocks, 1, 1}, {}, Params().Add(kDataAddress), kDynamic));
  for (uint32_t block = 0; block < kBlocks; ++block) {
    const auto value = [&](size_t index) { return machine.Read<uint32_t>(block * 32 + index * 4); };
    const uint32_t begin = value(0), end = value(1), first = value(3), second = value(4), room = value(7);
    EXPECT_EQ(end - begin, value(2));
    EXPECT_LE(begin, first);
    EXPECT_LT(first, second);
    EXPECT_LE(second + 288, end) << "what cooperative groups need";
    EXPECT_EQ(value(5), 48 + kDynamic);
    EXPECT_EQ(value(6), 0u);
    EXPECT_TRUE(room + 48 <= begin || room >= end);
  }
}

// A clock never runs backwards, its halves fit together, and it is not at rest.
TEST_P(MoveForms, Clocks) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 out)
{
.reg .b64 %out, %a, %b, %c, %d;
.reg .b32 %r<8>, %n;
.reg .pred %p;
ld.param.u64 %out, [out];
mov.u64 %a, %clock64;
mov.u32 %r0, %clock;
mov.u32 %r1, %clock_hi;
mov.u64 %c, %globaltimer;
mov.u32 %r2, %globaltimer_lo;
mov.u32 %r3, %globaltimer_hi;
mov.u32 %n, 0;
AGAIN:
mov.u64 %b, %clock64;
add.u32 %n, %n, 1;
setp.lt.u32 %p, %n, 100000;
setp.eq.and.u64 %p, %a, %b, %p;
@%p bra AGAIN;
mov.u64 %d, %globaltimer;
st.global.u64 [%out], %a;
st.global.u64 [%out+8], %b;
st.global.u64 [%out+16], %c;
st.global.u64 [%out+24], %d;
st.global.u32 [%out+32], %r0;
st.global.u32 [%out+36], %r1;
st.global.u32 [%out+40], %r2;
st.global.u32 [%out+44], %r3;
ret;
}
)"));
  ASSERT_TRUE(machine.RunWell("test", {}, {}, Params().Add(kDataAddress)));
  const uint64_t clock_before = machine.Read<uint64_t>(0), clock_after = machine.Read<uint64_t>(8);
  const uint64_t timer_before = machine.Read<uint64_t>(16), timer_after = machine.Read<uint64_t>(24);
  EXPECT_LT(clock_before, clock_after);
  EXPECT_LE(timer_before, timer_after);
  // A half read between two whole readings lies between them, modulo 2^32.
  const auto within = [](uint64_t before, uint64_t after, uint32_t low, uint32_t high) {
    const bool low_fits = low - static_cast<uint32_t>(before) <= after - before;
    return low_fits && high >= before >> 32 && high <= after >> 32;
  };
  EXPECT_TRUE(within(clock_before, clock_after, machine.Read<uint32_t>(32), machine.Read<uint32_t>(36)));
  EXPECT_TRUE(within(timer_before, timer_after, machine.Read<uint32_t>(40), machine.Read<uint32_t>(44)));
  for (const char* name : {"%clock", "%clock_hi", "%clock64", "%globaltimer", "%globaltimer_lo", "%globaltimer_hi"}) {
    RecordTested(std::string("mov.") + name, level());
  }
}

// The address of a local variable: each of two is where loads by name find what was stored through it, and they do not
// overlap.
TEST_P(MoveForms, LocalAddresses) {
  for (const std::string bits : {"32", "64"}) {
    Machine machine(level());
    const std::string reg = bits == "64" ? "%x" : "%a";
    ASSERT_TRUE(machine.Load(
        ".visible .entry test(.param .u64 out)\n{\n"
        ".local .align 8 .b8 first[24];\n.local .align 16 .b8 second[32];\n"
        ".reg .b64 %out, %o, %x<2>;\n.reg .b32 %r, %v, %a<2>;\n"
        "ld.param.u64 %out, [out];\nmov.u32 %r, %tid.x;\nmul.wide.u32 %o, %r, 16;\nadd.u64 %out, %out, %o;\n"
        "mov.u" +
        bits + " " + reg + "0, first;\nmov.u" + bits + " " + reg +
        "1, second+8;\n"
        "add.u32 %v, %r, 1000;\nst.local.u32 [" +
        reg +
        "0+20], %v;\n"
        "add.u32 %v, %r, 2000;\nst.local.u32 [" +
        reg +
        "1], %v;\n"
        "ld.local.u32 %v, [first+20];\nst.global.u32 [%out], %v;\n"
        "ld.local.u32 %v, [second+8];\nst.global.u32 [%out+4], %v;\n"
        "cvt.u64.u" +
        bits + " %x0, " + reg + "0;\ncvt.u64.u" + bits + " %x1, " + reg +
        "1;\n"
        "sub.u64 %x1, %x1, %x0;\nst.global.u32 [%out+8], %x1;\nret;\n}\n"));
    ASSERT_TRUE(machine.RunWell("test", {}, {64}, Params().Add(kDataAddress)));
    for (uint32_t thread = 0; thread < 64; ++thread) {
      EXPECT_EQ(machine.Read<uint32_t>(thread * 16), thread + 1000);
      EXPECT_EQ(machine.Read<uint32_t>(thread * 16 + 4), thread + 2000);
      const int32_t apart = machine.Read<int32_t>(thread * 16 + 8) - 8;
      EXPECT_TRUE(apart >= 24 || apart <= -32) << "the variables overlap: " << apart;
    }
    RecordTested("mov.local_address.b" + bits, level());
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, MoveForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
