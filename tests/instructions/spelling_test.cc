// Forms as compilers and libraries write them where the engine has another name for what they do, and accesses of every
// type and width in the places where the other tests have the types alone that mean something there.

#include "tests/instructions/inputs.h"
#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

class Spellings : public LevelTest {
 protected:
  Spellings() : machine_(level()) {}

  template <class F>
  void Run(const std::string& text, F reference) {
    RunValues(machine_, level(), Exact("", reference, "@G " + text));
  }

  // The results of two spellings are the same bits. T: the types of the sources, of which the first is the result's.
  template <class... T>
  void ExpectSame(const std::string& spelling, const std::string& known) {
    const uint32_t bits = BitsOf(TypeOf<std::tuple_element_t<0, std::tuple<T...>>>());
    std::string sources;
    for (size_t k = 1; k <= sizeof...(T); ++k) sources += ", $" + std::to_string(k);
    RunValues(machine_, level(),
              Exact(
                  "", [](T...) { return true; },
                  "{ .reg .b" + std::to_string(bits) + " %one, %other; " + spelling + " %one" + sources + "; " + known +
                      " %other" + sources + "; @G setp.eq.b" + std::to_string(bits) + " $0, %one, %other; }"));
  }

  template <class T>
  void ExpectRoundedToNearest(const std::string& modifiers = "") {
    for (const std::string operation : {"add", "sub", "mul"}) {
      const std::string type = modifiers + "." + NameOf<T>();
      ExpectSame<T, T>(operation + type, operation + ".rn" + type);
    }
  }

  Machine machine_;
};

// Two in one register, each as if it were alone.
TEST_P(Spellings, PairsOfFloats) {
  for (const std::string rounding : {"", ".rn", ".rz", ".rm", ".rp", ".rn.ftz"}) {
    const auto run = [&](const std::string& operation, size_t sources) {
      const auto operands = [&](const std::string& prefix) {
        std::string text;
        for (size_t k = 1; k <= sources; ++k) text += ", " + prefix + std::to_string(k);
        return text;
      };
      std::string known = "{ .reg .f32 %low<4>, %high<4>;";
      for (size_t k = 1; k <= sources; ++k) {
        const std::string number = std::to_string(k);
        known += " mov.b64 {%low" + number + ", %high" + number + "}, $" + number + ";";
      }
      const std::string scalar = operation + (rounding.empty() ? ".rn" : rounding) + ".f32 ";
      known += " " + scalar + "%low0" + operands("%low") + "; " + scalar + "%high0" + operands("%high") +
               "; .reg .b64 %one, %other; mov.b64 %other, {%low0, %high0}; ";
      const std::string text =
          known + operation + rounding + ".f32x2 %one" + operands("$") + "; @G setp.eq.b64 $0, %one, %other; }";
      if (sources == 3) {
        RunValues(machine_, level(),
                  Exact(
                      "", [](uint64_t, uint64_t, uint64_t) { return true; }, text));
      } else {
        RunValues(machine_, level(),
                  Exact(
                      "", [](uint64_t, uint64_t) { return true; }, text));
      }
    };
    run("add", 2);
    run("mul", 2);
    run("fma", 3);
  }
}

TEST_P(Spellings, WithoutNegativeResults) {
  ExpectSame<int32_t, int32_t>("max.s32.relu", "max.relu.s32");
  ExpectSame<int32_t, int32_t>("min.s32.relu", "min.relu.s32");
  ExpectSame<uint32_t, uint32_t>("max.s16x2.relu", "max.relu.s16x2");
  ExpectSame<uint32_t, uint32_t>("min.s16x2.relu", "min.relu.s16x2");
}

TEST_P(Spellings, EventsThatNobodyCounts) {
  Run("mov.b32 $0, $1; pmevent 3; pmevent.mask 7;", [](uint32_t a) { return a; });
}

TEST_P(Spellings, Selection) {
  const auto run = [&](const std::string& type, auto zero) {
    using T = decltype(zero);
    Run("selp." + type + " $0, $1, $2, $3;", [](T a, T b, bool c) { return c ? a : b; });
  };
  for (const std::string type : {"u16", "s16"}) run(type, uint16_t{0});
  for (const std::string type : {"u32", "s32", "f32"}) run(type, uint32_t{0});
  for (const std::string type : {"u64", "s64", "f64"}) run(type, uint64_t{0});
}

TEST_P(Spellings, ComparisonOfBits) {
  const auto run = [&](const std::string& type, auto zero) {
    using T = decltype(zero);
    Run("setp.eq." + type + " $0, $1, $2;", [](T a, T b) { return a == b; });
    Run("setp.ne." + type + " $0, $1, $2;", [](T a, T b) { return a != b; });
  };
  run("b16", uint16_t{0});
  run("b32", uint32_t{0});
  run("b64", uint64_t{0});
}

// Without a rounding, and with .ftz behind the type.
TEST_P(Spellings, Floats) {
  ExpectRoundedToNearest<float>();
  ExpectRoundedToNearest<float>(".ftz");
  ExpectRoundedToNearest<float>(".sat");
  ExpectRoundedToNearest<float>(".ftz.sat");
  ExpectRoundedToNearest<double>();
  ExpectRoundedToNearest<F16>();
  ExpectRoundedToNearest<F16>(".ftz");
  ExpectRoundedToNearest<F16x2>();
  ExpectRoundedToNearest<F16x2>(".ftz");
  ExpectRoundedToNearest<BF16>();
  ExpectRoundedToNearest<BF16x2>();
  for (const std::string operation : {"ex2", "lg2", "rcp", "rsqrt", "sqrt", "sin", "cos"})
    ExpectSame<float>(operation + ".approx.f32.ftz", operation + ".approx.ftz.f32");
}

// The mode before .sync.
TEST_P(Spellings, Votes) {
  RunValues(machine_, level(),
            Exact(
                "", [](bool) { return true; },
                "{ .reg .b32 %one, %other; vote.ballot.sync.b32 %one, $1, 0xffffffff; vote.sync.ballot.b32 %other, $1, "
                "0xffffffff; @G setp.eq.b32 $0, %one, %other; }"));
  for (const std::string mode : {"all", "any", "uni"}) {
    RunValues(machine_, level(),
              Exact(
                  "", [](bool) { return false; },
                  "{ .reg .pred %one, %other; vote." + mode + ".sync.pred %one, $1, 0xffffffff; vote.sync." + mode +
                      ".pred %other, $1, 0xffffffff; @G xor.pred $0, %one, %other; }"));
  }
}

// --- Accesses: bytes that are copied with instructions of every type and width.

struct AccessType {
  const char* name;
  uint32_t bytes;
};
constexpr AccessType kTypes[] = {{"b8", 1},  {"u8", 1},  {"s8", 1},  {"b16", 2}, {"u16", 2}, {"s16", 2}, {"b32", 4},
                                 {"u32", 4}, {"s32", 4}, {"f32", 4}, {"b64", 8}, {"u64", 8}, {"s64", 8}, {"f64", 8}};
constexpr uint32_t kThreads = 40;
constexpr size_t kFrom = 0, kTo = 1 << 16;

// "{%r0, %r1}", or one register without braces.
std::string Registers(const AccessType& type, uint32_t width) {
  const std::string letter = type.bytes == 8 ? "%x" : "%r";
  if (width == 1) return letter + "0";
  std::string text;
  for (uint32_t k = 0; k < width; ++k) text += (k == 0 ? "{" : ", ") + letter + std::to_string(k);
  return text + "}";
}
std::string Words(const AccessType& type, uint32_t width) {
  return (width == 1 ? "." : ".v" + std::to_string(width) + ".") + type.name;
}

// Every thread copies an element by `body`, which finds its address in %from, where it is to go in %to, and 8 registers
// of either size.
void ExpectCopied(Machine& machine, const std::string& before, const std::string& body, uint32_t bytes) {
  ASSERT_TRUE(machine.Load(before +
                           ".visible .entry test(.param .u64 data)\n{\n.reg .b64 %from, %to, %o, %x<8>;\n"
                           ".reg .b32 %i, %r<8>;\nld.param.u64 %from, [data];\nmov.u32 %i, %tid.x;\n"
                           "mul.wide.u32 %o, %i, " +
                           std::to_string(bytes) + ";\nadd.u64 %from, %from, %o;\nadd.u64 %to, %from, " +
                           std::to_string(kTo) + ";\n" + body + "ret;\n}\n"));
  machine.Fill(0);
  std::mt19937_64 random = RandomOf(body);
  for (uint32_t i = 0; i < kThreads * bytes; ++i) machine.Write(kFrom + i, static_cast<uint8_t>(random()));
  ASSERT_TRUE(machine.RunWell("test", {}, {kThreads}, Params().Add(kDataAddress)));
  EXPECT_EQ(std::memcmp(machine.data() + kFrom, machine.data() + kTo, kThreads * bytes), 0) << body;
  EXPECT_EQ(machine.Read<uint64_t>(kTo + kThreads * bytes), 0u) << body;
}

// With a cache policy as one more operand, and eight words.
TEST_P(Spellings, GlobalMemory) {
  for (const AccessType& type : kTypes) {
    for (const uint32_t width : {1, 2, 4, 8}) {
      if (width == 8 && type.bytes != 4) continue;
      const std::string words = Words(type, width), registers = Registers(type, width);
      const auto run = [&](const std::string& hint, const std::string& policy) {
        ExpectCopied(machine_, "",
                     "ld.global" + hint + words + " " + registers + ", [%from]" + policy + ";\nst.global" + hint +
                         words + " [%to], " + registers + policy + ";\n",
                     type.bytes * width);
      };
      run("", "");
      run(".L2::cache_hint", ", %o");
    }
  }
}

TEST_P(Spellings, ConstantMemory) {
  const std::string table =
      ".const .align 16 .b32 table[8] = {0x11223344, 0x8899aabb, 0xccddeeff, 1, 0xfedcba98, 2, 3, 0x80000000};\n";
  const uint32_t words[8] = {0x11223344, 0x8899aabb, 0xccddeeff, 1, 0xfedcba98, 2, 3, 0x80000000};
  for (const AccessType& type : kTypes) {
    for (const uint32_t width : {1, 2, 4}) {
      const uint32_t bytes = type.bytes * width;
      ASSERT_TRUE(machine_.Load(table +
                                ".visible .entry test(.param .u64 data)\n{\n.reg .b64 %to, %x<8>;\n"
                                ".reg .b32 %r<8>;\nld.param.u64 %to, [data];\nld.const" +
                                Words(type, width) + " " + Registers(type, width) + ", [table];\nst.global" +
                                Words(type, width) + " [%to], " + Registers(type, width) + ";\nret;\n}\n"));
      machine_.Fill(0);
      ASSERT_TRUE(machine_.RunWell("test", {}, {32}, Params().Add(kDataAddress)));
      EXPECT_EQ(std::memcmp(machine_.data(), words, bytes), 0) << type.name << width;
      EXPECT_EQ(machine_.Read<uint64_t>(bytes), 0u);
    }
  }
}

// Results that nobody wants go nowhere.
TEST_P(Spellings, Sinks) {
  for (const std::string instruction :
       {"add.u32 _, %r, %r;", "add.u64 _, %x, %x;", "fma.rn.f32 _, %r, %r, %r;", "mov.b32 _, %r;", "cvt.u64.u32 _, %r;",
        "shfl.sync.idx.b32 _, %r, 0, 31, -1;", "shfl.sync.idx.b32 _|%p, %r, 0, 31, -1;", "elect.sync _|%p, -1;",
        "match.all.sync.b32 _|%p, %r, -1;", "vote.sync.any.pred _, %p, -1;", "setp.eq.u32 _|%p, %r, 0;",
        "testp.finite.f32 _, %r;"}) {
    ASSERT_TRUE(
        machine_.Load(".visible .entry test(.param .u64 data)\n{\n.reg .b64 %to, %x;\n.reg .b32 %r;\n"
                      ".reg .pred %p;\nld.param.u64 %to, [data];\nld.global.u64 %x, [%to];\n"
                      "ld.global.u32 %r, [%to];\nsetp.ne.u32 %p, %r, 0;\n" +
                      instruction + "\nst.global.u64 [%to+8], %x;\nst.global.u32 [%to+16], %r;\nret;\n}\n"));
    machine_.Fill(0);
    machine_.Write(0, uint64_t{0x3f80000012345678});
    ASSERT_TRUE(machine_.RunWell("test", {}, {32}, Params().Add(kDataAddress))) << instruction;
    EXPECT_EQ(machine_.Read<uint64_t>(8), 0x3f80000012345678) << instruction;
    EXPECT_EQ(machine_.Read<uint32_t>(16), 0x12345678u) << instruction;
  }
}

// The arguments and results of functions.
TEST_P(Spellings, Arguments) {
  for (const AccessType& type : kTypes) {
    for (const uint32_t width : {1, 2, 4}) {
      const std::string words = Words(type, width), registers = Registers(type, width);
      const uint32_t bytes = type.bytes * width;
      const std::string place = ".param .align 16 .b8 ", size = "[" + std::to_string(bytes) + "]";
      const std::string function = ".func (" + place + "result" + size + ") same(" + place + "argument" + size +
                                   ")\n{\n.reg .b64 %x<8>;\n.reg .b32 %r<8>;\nld.param" + words + " " + registers +
                                   ", [argument];\nst.param" + words + " [result], " + registers + ";\nret;\n}\n";
      ExpectCopied(machine_, function,
                   "ld.global" + words + " " + registers + ", [%from];\n{\n" + place + "in" + size + ";\n" + place +
                       "out" + size + ";\nst.param" + words + " [in], " + registers +
                       ";\ncall.uni (out), same, (in);\n" + "ld.param" + words + " " + registers +
                       ", [out];\n}\nst.global" + words + " [%to], " + registers + ";\n",
                   bytes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, Spellings, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
