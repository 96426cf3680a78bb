// Atomics and reductions (PTX ISA, sections 9.7.13.5 atom and 9.7.13.6 red): results in memory and values returned,
// with lanes taken in order, which is the order that the engine promises within a warp.

#include <algorithm>

#include "tests/instructions/exact_float.h"
#include "tests/instructions/inputs.h"
#include "tests/instructions/spaces.h"
#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

// Operands and results as bits of the operation's type.
using Update = uint64_t (*)(uint64_t old, uint64_t b, uint64_t c);

struct Operation {
  const char* name;  // "add.u32"
  uint32_t bytes;
  Update update;
  bool is_float = false;
  bool compares = false;  // has a third operand, and no form of red
};

template <class T>
T As(uint64_t bits) {
  return static_cast<T>(bits);
}
template <class T, class F>
constexpr Update Typed(F) {
  return [](uint64_t old, uint64_t b, uint64_t) { return ToBits(F{}(FromBits<T>(old), FromBits<T>(b))); };
}
template <class T>
uint64_t Added(uint64_t old, uint64_t b, uint64_t) {
  return ToBits(Rounded<T>(MPFR_RNDN, [&](mpfr_ptr r, mpfr_rnd_t mode) {
    return mpfr_add(r, Number::Of(FromBits<T>(old)), Number::Of(FromBits<T>(b)), mode);
  }));
}
// The sum of halves, or of both halves of packed values.
template <class V>
uint64_t HalvesAdded(uint64_t old, uint64_t b, uint64_t) {
  return Both(
             []<class H>(H x, H y) {
               return Rounded<H>(MPFR_RNDN, [&](mpfr_ptr r, mpfr_rnd_t mode) {
                 return mpfr_add(r, Number::Of(x.Value()), Number::Of(y.Value()), mode);
               });
             },
             FromBits<V>(old), FromBits<V>(b))
      .bits;
}
template <class T>
std::vector<Operation> IntegerOperations() {
  static const std::string type = NameOf<T>();
  static const std::string add = "add." + type, min = "min." + type, max = "max." + type;
  using U = std::make_unsigned_t<T>;
  return {{add.c_str(), sizeof(T),
           Typed<T>([](T old, T b) { return static_cast<T>(static_cast<U>(old) + static_cast<U>(b)); })},
          {min.c_str(), sizeof(T), Typed<T>([](T old, T b) { return std::min(old, b); })},
          {max.c_str(), sizeof(T), Typed<T>([](T old, T b) { return std::max(old, b); })}};
}
template <class T>
std::vector<Operation> BitOperations() {
  static const std::string type = "b" + std::to_string(8 * sizeof(T));
  static const std::string names[] = {"and." + type, "or." + type, "xor." + type, "exch." + type, "cas." + type};
  return {{names[0].c_str(), sizeof(T), Typed<T>([](T old, T b) { return static_cast<T>(old & b); })},
          {names[1].c_str(), sizeof(T), Typed<T>([](T old, T b) { return static_cast<T>(old | b); })},
          {names[2].c_str(), sizeof(T), Typed<T>([](T old, T b) { return static_cast<T>(old ^ b); })},
          {names[3].c_str(), sizeof(T), Typed<T>([](T, T b) { return b; })},
          {names[4].c_str(), sizeof(T),
           [](uint64_t old, uint64_t b, uint64_t c) { return As<T>(old) == As<T>(b) ? c : old; }, false, true}};
}

uint64_t Incremented(uint64_t old, uint64_t b, uint64_t) { return old >= b ? 0 : old + 1; }
uint64_t Decremented(uint64_t old, uint64_t b, uint64_t) { return old == 0 || old > b ? b : old - 1; }
uint64_t CompareAndSwap16(uint64_t old, uint64_t b, uint64_t c) { return old == b ? c : old; }

std::vector<Operation> Operations() {
  std::vector<Operation> all;
  for (const std::vector<Operation>& some :
       {IntegerOperations<uint32_t>(), IntegerOperations<int32_t>(), IntegerOperations<uint64_t>(),
        IntegerOperations<int64_t>(), BitOperations<uint32_t>(), BitOperations<uint64_t>()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  all.push_back({"inc.u32", 4, Incremented});
  all.push_back({"dec.u32", 4, Decremented});
  all.push_back({"cas.b16", 2, CompareAndSwap16, false, true});
  all.push_back({"add.f32", 4, Added<float>, true});
  all.push_back({"add.f64", 8, Added<double>, true});
  all.push_back({"add.noftz.f16", 2, HalvesAdded<F16>});
  all.push_back({"add.noftz.bf16", 2, HalvesAdded<BF16>});
  all.push_back({"add.noftz.f16x2", 4, HalvesAdded<F16x2>});
  all.push_back({"add.noftz.bf16x2", 4, HalvesAdded<BF16x2>});
  return all;
}

uint64_t Masked(uint64_t value, uint32_t bytes) {
  return bytes == 8 ? value : value & ((uint64_t{1} << (8 * bytes)) - 1);
}

// The register class of the operation's operands.
std::string RegisterOf(uint32_t bytes, const char* which) {
  return std::string(bytes == 8 ? "%l" : bytes == 4 ? "%r" : "%h") + which;
}

// Operands: b from %v0, c from %v1. Odd lanes of a compare-and-swap compare with what is in memory before. Floats are
// numbers in ±[1, 2), added to zeros.
std::string AtomicText(const Where& where, const Operation& operation, bool returns) {
  const std::string b = RegisterOf(operation.bytes, "1"), c = RegisterOf(operation.bytes, "2"),
                    d = RegisterOf(operation.bytes, "0");
  const std::string narrow = operation.bytes == 8 ? "mov.u64 " : operation.bytes == 4 ? "cvt.u32.u64 " : "cvt.u16.u64 ";
  const std::string unsigned_type = ".u" + std::to_string(8 * operation.bytes) + " ";
  std::string text;
  if (operation.is_float) {
    const bool is_double = operation.bytes == 8;
    text += is_double ? "and.b64 %v0, %v0, 0x800fffffffffffff;\nor.b64 %v0, %v0, 0x3ff0000000000000;\n"
                      : "and.b64 %v0, %v0, 0x807fffff;\nor.b64 %v0, %v0, 0x3f800000;\n";
    text += "mov.u64 %v1, 0;\n";
  }
  text += narrow + b + ", %v0;\n" + narrow + c + ", %v1;\n";
  if (operation.is_float) text += "@%guard st" + where.Dotted() + unsigned_type + AddressText(where) + ", " + c + ";\n";
  if (operation.compares) {
    text +=
        "and.b32 %i, %lane, 1;\nsetp.eq.u32 %odd, %i, 1;\nsetp.ne.and.u32 %odd, %run, 0, %odd;\n"
        "@%odd ld" +
        where.Dotted() + unsigned_type + b + ", " + AddressText(where) + ";\n";
  }
  text += "bar.warp.sync 0xffffffff;\n";
  if (returns)
    text += (operation.bytes == 2   ? "mov.u16 "
             : operation.bytes == 4 ? "mov.u32 "
                                    : "mov.u64 ") +
            d +
            (operation.bytes == 2   ? ", 0x5a5a;\n"
             : operation.bytes == 4 ? ", 0x5a5a5a5a;\n"
                                    : ", 0x5a5a5a5a5a5a5a5a;\n");
  text += std::string("@%guard ") + (returns ? "atom" : "red") + where.Dotted() + "." + operation.name + " " +
          (returns ? d + ", " : "") + AddressText(where) + ", " + b + (operation.compares ? ", " + c : "") + ";\n";
  if (returns)
    text += operation.bytes == 8 ? "mov.u64 %x0, " + d + ";\n"
                                 : "cvt.u64.u" + std::to_string(8 * operation.bytes) + " %x0, " + d + ";\n";
  return text;
}

void TestAtomic(Machine& machine, int level, const Where& where, const Operation& operation, bool returns) {
  const std::string form = std::string(returns ? "atom." : "red.") + where.Form() + operation.name;
  const std::string name = form + (where.narrow ? " narrow" : "") + std::to_string(where.space);
  std::mt19937_64 random = RandomOf(name);
  const uint32_t bytes = operation.bytes;
  const std::vector<Pattern> patterns = MakePatterns(random, (kRegion - kFirstByte) / bytes);
  const std::string registers = ".reg .b16 %h<3>;\n.reg .b32 %r<3>;\n.reg .b64 %l<3>;\n.reg .pred %odd;\n";
  if (!machine.Load(AccessKernel(where, AtomicText(where, operation, returns), registers))) return;
  const std::optional<Regions> regions = RunAccess(machine, where, patterns, bytes, random);
  if (!regions) return;
  for (uint32_t block = 0; block < patterns.size(); ++block) {
    const Pattern& pattern = patterns[block];
    Region memory = regions->Of(block, 0);
    const auto read = [&](uint32_t offset) {
      uint64_t value = 0;
      std::memcpy(&value, memory.data() + offset, bytes);
      return value;
    };
    const Region before = memory;
    const auto offset_of = [&](uint32_t lane) { return kFirstByte + pattern.slot[lane] * bytes; };
    const auto runs = [&](uint32_t lane) { return ((pattern.lanes >> lane) & 1) != 0; };
    if (operation.is_float) {
      for (uint32_t lane = 0; lane < 32; ++lane) {
        if (runs(lane)) std::memset(memory.data() + offset_of(lane), 0, bytes);
      }
    }
    for (uint32_t lane = 0; lane < 32; ++lane) {
      uint64_t expected = Masked(0x5a5a5a5a5a5a5a5a, bytes);
      if (runs(lane)) {
        uint64_t b = Masked(ValueOf(machine, block, lane, 0), bytes),
                 c = Masked(ValueOf(machine, block, lane, 1), bytes);
        if (operation.is_float) {
          b = bytes == 8 ? (b & 0x800fffffffffffff) | 0x3ff0000000000000 : (b & 0x807fffff) | 0x3f800000;
        }
        if (operation.compares && lane % 2 == 1) std::memcpy(&(b = 0), before.data() + offset_of(lane), bytes);
        expected = read(offset_of(lane));
        const uint64_t updated = Masked(operation.update(expected, b, c), bytes);
        std::memcpy(memory.data() + offset_of(lane), &updated, bytes);
      }
      if (returns) {
        ASSERT_EQ(Masked(ResultOf(machine, block, lane, 0), bytes), expected)
            << name << ", " << pattern.name << ", lane " << lane;
      }
    }
    const Region after = RegionAfter(machine, where, block, 0);
    const auto differ = std::mismatch(memory.begin(), memory.end(), after.begin()).first;
    ASSERT_TRUE(differ == memory.end()) << name << ", " << pattern.name << ", byte " << differ - memory.begin();
  }
  ExpectSameAtEveryLevel(name, level, machine.data() + kResults, patterns.size() * 32 * 32);
  RecordTested(form, level);
}

class AtomicForms : public LevelTest {};

TEST_P(AtomicForms, Patterns) {
  Machine machine(level());
  for (const Where& where : AtomicPlaces()) {
    for (const Operation& operation : Operations()) {
      TestAtomic(machine, level(), where, operation, true);
      if (!operation.compares && std::string_view(operation.name).substr(0, 4) != "exch")
        TestAtomic(machine, level(), where, operation, false);
      if (HasFatalFailure()) return;
    }
  }
}

// The engine also has red.exch, which PTX does not; it is what atom.exch does without a result.
TEST_P(AtomicForms, ReductionsThatPtxLacks) {
  Machine machine(level());
  for (const Where& where : AtomicPlaces()) {
    for (const Operation& operation : Operations()) {
      if (std::string_view(operation.name).substr(0, 4) == "exch")
        TestAtomic(machine, level(), where, operation, false);
      if (HasFatalFailure()) return;
    }
  }
}

// --- Chosen operands.
// ---------------------------------------------------------------------------------------------------------

struct Chosen {
  const char* operation;
  uint32_t bytes;
  uint64_t old, b, c, updated;
  uint64_t updated_in_global;
};
constexpr uint64_t kNone = 0;
const Chosen kChosen[] = {
    {"inc.u32", 4, 0, 0, kNone, 0, 0},
    {"inc.u32", 4, 4, 5, kNone, 5, 5},
    {"inc.u32", 4, 5, 5, kNone, 0, 0},
    {"inc.u32", 4, 6, 5, kNone, 0, 0},
    {"inc.u32", 4, 0xfffffffe, 0xffffffff, kNone, 0xffffffff, 0xffffffff},
    {"inc.u32", 4, 0xffffffff, 0xffffffff, kNone, 0, 0},
    {"dec.u32", 4, 0, 7, kNone, 7, 7},
    {"dec.u32", 4, 7, 7, kNone, 6, 6},
    {"dec.u32", 4, 8, 7, kNone, 7, 7},
    {"dec.u32", 4, 1, 7, kNone, 0, 0},
    {"dec.u32", 4, 0xffffffff, 0xffffffff, kNone, 0xfffffffe, 0xfffffffe},
    {"cas.b32", 4, 3, 3, 9, 9, 9},
    {"cas.b32", 4, 3, 4, 9, 3, 3},
    {"cas.b16", 2, 0xffff, 0xffff, 0x1234, 0x1234, 0x1234},
    {"cas.b64", 8, 0x1'0000'0000, 0, 5, 0x1'0000'0000, 0x1'0000'0000},
    {"min.s32", 4, 0x80000000, 0x7fffffff, kNone, 0x80000000, 0x80000000},
    {"max.s32", 4, 0x80000000, 0x7fffffff, kNone, 0x7fffffff, 0x7fffffff},
    {"min.u32", 4, 0x80000000, 0x7fffffff, kNone, 0x7fffffff, 0x7fffffff},
    {"min.s64", 8, 0x8000000000000000, 1, kNone, 0x8000000000000000, 0x8000000000000000},
    {"max.u64", 8, 0x8000000000000000, 1, kNone, 0x8000000000000000, 0x8000000000000000},
    {"add.u64", 8, 0xffffffff, 1, kNone, 0x100000000, 0x100000000},
    {"add.f32", 4, 0x3f800000, 0x33800000, kNone, 0x3f800000, 0x3f800000},  // 1 + 2^-24: a tie to even
    {"add.f32", 4, 0x3f800001, 0x33800000, kNone, 0x3f800002, 0x3f800002},
    {"add.f32", 4, 0x7f7fffff, 0x7f7fffff, kNone, 0x7f800000, 0x7f800000},
    {"add.f32", 4, 0x80000000, 0x80000000, kNone, 0x80000000, 0x80000000},
    // Shared memory adds subnormal numbers, global memory flushes them.
    {"add.f32", 4, 0x00000001, 0x00000001, kNone, 0x00000002, 0x00000000},
    {"add.f32", 4, 0x00800001, 0x80800000, kNone, 0x00000001, 0x00000000},
    {"add.f64", 8, 1, 1, kNone, 2, 2},
    {"add.f64", 8, 0x3ff0000000000000, 0x3ca0000000000000, kNone, 0x3ff0000000000000, 0x3ff0000000000000},
};

TEST_P(AtomicForms, ChosenOperands) {
  Machine machine(level());
  for (const bool shared : {false, true}) {
    for (const Chosen& chosen : kChosen) {
      const std::string type = std::to_string(8 * chosen.bytes), r = chosen.bytes == 8   ? "%l"
                                                                     : chosen.bytes == 4 ? "%r"
                                                                                         : "%h";
      const bool compares = std::string_view(chosen.operation).substr(0, 3) == "cas";
      const std::string space = shared ? ".shared" : ".global", address = shared ? "[room]" : "[%d+64]";
      ASSERT_TRUE(machine.Load(
          ".visible .entry test(.param .u64 data)\n{\n.shared .align 8 .b8 room[8];\n.reg .b64 %d, %l<4>;\n"
          ".reg .b32 %r<4>;\n.reg .b16 %h<4>;\nld.param.u64 %d, [data];\n"
          "ld.global.b" +
          type + " " + r + "0, [%d];\nld.global.b" + type + " " + r +
          "1, [%d+8];\n"
          "ld.global.b" +
          type + " " + r + "2, [%d+16];\nst" + space + ".b" + type + " " + address + ", " + r +
          "0;\n"
          "atom" +
          space + "." + chosen.operation + " " + r + "3, " + address + ", " + r + "1" +
          (compares ? ", " + r + "2" : "") + ";\nst.global.b" + type + " [%d+24], " + r +
          "3;\n"
          "ld" +
          space + ".b" + type + " " + r + "3, " + address + ";\nst.global.b" + type + " [%d+32], " + r +
          "3;\nret;\n}\n"));
      machine.Fill(0);
      machine.Write(0, chosen.old);
      machine.Write(8, chosen.b);
      machine.Write(16, chosen.c);
      ASSERT_TRUE(machine.RunWell("test", {}, {}, Params().Add(kDataAddress)));
      EXPECT_EQ(machine.Read<uint64_t>(24), chosen.old) << chosen.operation;
      EXPECT_EQ(machine.Read<uint64_t>(32), shared ? chosen.updated : chosen.updated_in_global)
          << chosen.operation << space << " of " << std::hex << chosen.old << " and " << chosen.b;
    }
  }
}

// Threads of many blocks, run by several threads of the engine, on one place.
TEST_P(AtomicForms, ManyBlocks) {
  Machine machine(level(), 4);
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d, %l, %m, %n;
.reg .b32 %r, %i, %b, %old, %new;
.reg .f32 %f;
.reg .pred %p;
ld.param.u64 %d, [data];
mov.u32 %i, %tid.x;
mov.u32 %b, %ctaid.x;
mad.lo.u32 %i, %b, 64, %i;
atom.global.add.u32 %r, [%d], 1;
red.global.add.u64 [%d+8], 3;
red.global.max.u32 [%d+16], %i;
red.global.min.s32 [%d+20], %i;
red.global.inc.u32 [%d+24], 999;
mov.f32 %f, 0f3f800000;
red.add.f32 [%d+28], %f;
mul.wide.u32 %l, %r, 4;
add.u64 %l, %d, %l;
st.global.u32 [%l+4096], 1;
ld.volatile.global.u32 %old, [%d+32];
AGAIN:
add.u32 %new, %old, 2;
atom.global.cas.b32 %r, [%d+32], %old, %new;
setp.ne.u32 %p, %r, %old;
mov.u32 %old, %r;
@%p bra AGAIN;
cvt.u64.u32 %m, %i;
atom.global.exch.b64 %n, [%d+40], %m;
red.global.add.u64 [%d+48], %n;
red.global.add.u64 [%d+56], %m;
ret;
}
)"));
  machine.Fill(0);
  machine.Write<int32_t>(20, 1 << 30);
  constexpr uint32_t kThreads = 64 * 500;
  ASSERT_TRUE(machine.RunWell("test", {500}, {64}, Params().Add(kDataAddress)));
  EXPECT_EQ(machine.Read<uint32_t>(0), kThreads);
  EXPECT_EQ(machine.Read<uint64_t>(8), 3u * kThreads);
  EXPECT_EQ(machine.Read<uint32_t>(16), kThreads - 1);
  EXPECT_EQ(machine.Read<int32_t>(20), 0);
  EXPECT_EQ(machine.Read<uint32_t>(24), kThreads % 1000);
  EXPECT_EQ(machine.Read<float>(28), static_cast<float>(kThreads));
  EXPECT_EQ(machine.Read<uint32_t>(32), 2 * kThreads);
  // What was exchanged out, and what was left in, is all that was exchanged in.
  EXPECT_EQ(machine.Read<uint64_t>(48) + machine.Read<uint64_t>(40), machine.Read<uint64_t>(56));
  // Every thread got a number of its own.
  for (uint32_t i = 0; i < kThreads; ++i) ASSERT_EQ(machine.Read<uint32_t>(4096 + 4 * i), 1u) << i;
}

// Each element of a vector by itself.
TEST_P(AtomicForms, Vectors) {
  Machine machine(level());
  ASSERT_TRUE(machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d;
.reg .f32 %a<4>, %b<4>;
ld.param.u64 %d, [data];
mov.f32 %b0, 0f3f800000;
mov.f32 %b1, 0f40000000;
mov.f32 %b2, 0f40400000;
mov.f32 %b3, 0f40800000;
atom.global.add.v4.f32 {%a0, %a1, %a2, %a3}, [%d+16], {%b0, %b1, %b2, %b3};
atom.add.v2.f32 {%a0, _}, [%d+16], {%b3, %b3};
red.global.gpu.add.v2.f32 [%d+24], {%b0, %b1};
st.global.v4.f32 [%d+64], {%a0, %a1, %a2, %a3};
ret;
}
)"));
  machine.Fill(0);
  ASSERT_TRUE(machine.RunWell("test", {}, {}, Params().Add(kDataAddress)));
  const float wanted[] = {5, 6, 4, 6};
  for (uint32_t i = 0; i < 4; ++i) EXPECT_EQ(machine.Read<float>(16 + 4 * i), wanted[i]) << i;
  EXPECT_EQ(machine.Read<float>(64), 1.0f);
  for (uint32_t i = 1; i < 4; ++i) EXPECT_EQ(machine.Read<float>(64 + 4 * i), 0.0f) << i;

  ASSERT_TRUE(
      machine.Load(".visible .entry test(.param .u64 data)\n{\n.reg .b64 %d;\n.reg .f32 %a<4>;\n"
                   "ld.param.u64 %d, [data];\nred.global.add.v4.f32 [%d], {%a0, %a1};\nret;\n}\n"));
  EXPECT_NE(machine.Refusal("test"), "");
}

// Words that say order and scope.
TEST_P(AtomicForms, Modifiers) {
  Machine machine(level());
  for (const std::string opcode :
       {"atom.relaxed.gpu.global.add.u32", "atom.acquire.sys.global.add.u32", "atom.acq_rel.cta.global.add.u32",
        "atom.release.gpu.add.u32", "atom.sys.global.add.u32"}) {
    // red has no acquire.
    std::string red = "red" + opcode.substr(4);
    for (const std::string order : {".acquire", ".acq_rel"}) {
      if (red.find(order) != std::string::npos) red.replace(red.find(order), order.size(), ".relaxed");
    }
    ASSERT_TRUE(machine.Load(
        ".visible .entry test(.param .u64 data)\n{\n.reg .b64 %d;\n.reg .b32 %r;\nld.param.u64 %d, [data];\n" + opcode +
        " %r, [%d], 2;\n" + red + " [%d], 1;\n" + opcode + " _, [%d], 4;\nret;\n}\n"));
    machine.Fill(0);
    ASSERT_TRUE(machine.RunWell("test", {}, {32}, Params().Add(kDataAddress)));
    EXPECT_EQ(machine.Read<uint32_t>(0), 32u * 7) << opcode;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, AtomicForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
