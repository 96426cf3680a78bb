// Integer arithmetic (PTX ISA, section 9.7.1) and extended precision (9.7.2), against 128-bit arithmetic.

#include <algorithm>
#include <cstdlib>

#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

using Wide = __int128;

// An exact value brought back to T as two's complement does.
template <class T>
T Wrapped(Wide value) {
  return static_cast<T>(static_cast<std::make_unsigned_t<T>>(static_cast<unsigned __int128>(value)));
}
template <class T>
Wide Product(T a, T b) {
  return static_cast<Wide>(a) * static_cast<Wide>(b);
}
template <class T>
T High(T a, T b) {
  if constexpr (sizeof(T) == 8 && !std::is_signed_v<T>) {  // the product needs all 128 bits
    return static_cast<T>((static_cast<unsigned __int128>(a) * b) >> 64);
  } else {
    return Wrapped<T>(Product(a, b) >> (8 * sizeof(T)));
  }
}

template <class T>
void TestArithmetic(Machine& machine, int level) {
  const std::string type = NameOf<T>();
  const auto run = [&](const std::string& operation, auto reference) {
    RunValues(machine, level, Exact(operation + "." + type, reference));
  };
  run("add", [](T a, T b) { return Wrapped<T>(Wide{a} + b); });
  run("sub", [](T a, T b) { return Wrapped<T>(Wide{a} - b); });
  run("mul.lo", [](T a, T b) {
    return Wrapped<T>(static_cast<Wide>(static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b)));
  });
  run("mul.hi", [](T a, T b) { return High(a, b); });
  run("mad.lo", [](T a, T b, T c) {
    return Wrapped<T>(static_cast<Wide>(static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b) +
                                        static_cast<unsigned __int128>(c)));
  });
  run("mad.hi", [](T a, T b, T c) { return Wrapped<T>(Wide{High(a, b)} + c); });
  // Division by zero is left open: what recorded hardware does is asked of it with other data (recordings.h).
  run("div", [](T a, T b) { return b == 0 ? std::nullopt : std::optional(Wrapped<T>(Wide{a} / Wide{b})); });
  run("rem", [](T a, T b) { return b == 0 ? std::nullopt : std::optional(Wrapped<T>(Wide{a} % Wide{b})); });
  run("min", [](T a, T b) { return a < b ? a : b; });
  run("max", [](T a, T b) { return a < b ? b : a; });
  run("sad", [](T a, T b, T c) { return Wrapped<T>(Wide{c} + (Wide{a} < Wide{b} ? Wide{b} - a : Wide{a} - b)); });
  if constexpr (std::is_signed_v<T>) {
    run("abs", [](T a) { return Wrapped<T>(a < 0 ? -Wide{a} : Wide{a}); });
    run("neg", [](T a) { return Wrapped<T>(-Wide{a}); });
  }
}

template <class T, class D>
void TestWide(Machine& machine, int level) {
  const std::string type = NameOf<T>();
  RunValues(machine, level, Exact("mul.wide." + type, [](T a, T b) { return Wrapped<D>(Product(a, b)); }));
  RunValues(machine, level, Exact("mad.wide." + type, [](T a, T b, D c) { return Wrapped<D>(Product(a, b) + c); }));
}

// The operands of mul24 are the low 24 bits.
template <class T>
Wide Product24(T a, T b) {
  const auto low = [](T value) {
    Wide result = static_cast<uint32_t>(value) & 0xffffff;
    if (std::is_signed_v<T> && (result & 0x800000) != 0) result -= 0x1000000;
    return result;
  };
  return low(a) * low(b);
}

template <class T>
void Test24(Machine& machine, int level) {
  const std::string type = NameOf<T>();
  const auto run = [&](const std::string& operation, auto reference) {
    RunValues(machine, level, Exact(operation + "." + type, reference));
  };
  run("mul24.lo", [](T a, T b) { return Wrapped<T>(Product24(a, b)); });
  run("mul24.hi", [](T a, T b) { return Wrapped<T>(Product24(a, b) >> 16); });
  run("mad24.lo", [](T a, T b, T c) { return Wrapped<T>(Wide{Wrapped<T>(Product24(a, b))} + c); });
  run("mad24.hi", [](T a, T b, T c) { return Wrapped<T>(Wide{Wrapped<T>(Product24(a, b) >> 16)} + c); });
}

int32_t Clamped(Wide value) {
  return value > INT32_MAX ? INT32_MAX : value < INT32_MIN ? INT32_MIN : static_cast<int32_t>(value);
}

template <class A, class B>
void TestDotProduct(Machine& machine, int level) {
  const auto dot = [](uint32_t a, uint32_t b, uint32_t c) {
    Wide sum = c;
    for (int byte = 0; byte < 4; ++byte) {
      sum += Wide{static_cast<A>(a >> (8 * byte))} * static_cast<B>(b >> (8 * byte));
    }
    return Wrapped<uint32_t>(sum);
  };
  const auto type = [](bool is_signed) { return is_signed ? std::string("s32") : std::string("u32"); };
  const std::string types = type(std::is_signed_v<A>) + "." + type(std::is_signed_v<B>);
  RunValues(machine, level, Exact("dp4a." + types, dot));
  // Halfwords times the lower or the upper two bytes.
  using A16 = std::conditional_t<std::is_signed_v<A>, int16_t, uint16_t>;
  for (const uint32_t first : {0, 2}) {
    RunValues(machine, level,
              Exact(std::string(first == 0 ? "dp2a.lo." : "dp2a.hi.") + types, [=](uint32_t a, uint32_t b, uint32_t c) {
                Wide sum = c;
                for (uint32_t i = 0; i < 2; ++i)
                  sum += Wide{static_cast<A16>(a >> (16 * i))} * static_cast<B>(b >> (8 * (first + i)));
                return Wrapped<uint32_t>(sum);
              }));
  }
}

class IntegerForms : public LevelTest {};

TEST_P(IntegerForms, Arithmetic) {
  Machine machine(level());
  TestArithmetic<uint16_t>(machine, level());
  TestArithmetic<int16_t>(machine, level());
  TestArithmetic<uint32_t>(machine, level());
  TestArithmetic<int32_t>(machine, level());
  TestArithmetic<uint64_t>(machine, level());
  TestArithmetic<int64_t>(machine, level());
}

TEST_P(IntegerForms, WideAndNarrowProducts) {
  Machine machine(level());
  TestWide<uint16_t, uint32_t>(machine, level());
  TestWide<int16_t, int32_t>(machine, level());
  TestWide<uint32_t, uint64_t>(machine, level());
  TestWide<int32_t, int64_t>(machine, level());
  Test24<uint32_t>(machine, level());
  Test24<int32_t>(machine, level());
  TestDotProduct<int8_t, int8_t>(machine, level());
  TestDotProduct<int8_t, uint8_t>(machine, level());
  TestDotProduct<uint8_t, int8_t>(machine, level());
  TestDotProduct<uint8_t, uint8_t>(machine, level());
}

TEST_P(IntegerForms, Saturating) {
  Machine machine(level());
  RunValues(machine, level(), Exact("add.sat.s32", [](int32_t a, int32_t b) { return Clamped(Wide{a} + b); }));
  RunValues(machine, level(), Exact("sub.sat.s32", [](int32_t a, int32_t b) { return Clamped(Wide{a} - b); }));
  RunValues(machine, level(),
            Exact("mad.hi.sat.s32", [](int32_t a, int32_t b, int32_t c) { return Clamped(Wide{High(a, b)} + c); }));
}

// The instruction between one that sets the flag to the last operand's low bit (0xffffffff + 1 carries, 0 - 1 borrows)
// and one that reads it, of the same kind.
std::string ChainText(const std::string& form, bool borrows, int sources) {
  const std::string operands = sources == 3 ? "$0, $2, $3, $4" : "$0, $2, $3";
  const std::string flag = "$" + std::to_string(2 + sources);
  const std::string set = borrows ? "sub.cc.u32 $t, 0, " + flag + ";\n" : "add.cc.u32 $t, " + flag + ", 0xffffffff;\n";
  const std::string read = borrows ? "subc.u32 $1, 0, 0;\nneg.s32 $1, $1;" : "addc.u32 $1, 0, 0;";
  return "and.b32 " + flag + ", " + flag + ", 1;\n" + set + form + " " + operands + ";\n" + read;
}

// What an instruction of the chain does: an exact result, its low part, and whether it overflowed its unsigned type.
template <class T>
struct Step {
  T value;
  bool carry;
};
template <class T>
Step<T> SumOf(T a, T b, uint32_t carry) {
  const Wide sum = Wide{a} + b + carry;
  return {Wrapped<T>(sum), (sum >> (8 * sizeof(T))) != 0};
}
template <class T>
Step<T> DifferenceOf(T a, T b, uint32_t borrow) {
  const Wide difference = Wide{a} - b - borrow;
  return {Wrapped<T>(difference), difference < 0};
}

// `step`(a, b, c, flag) for the family whose forms are name.cc, name_in and name_in.cc.
template <class T, int kSources, class F>
void TestChain(Machine& machine, int level, const std::string& name, const std::string& name_in,
               const std::string& type, F step) {
  const bool borrows = name == "sub";
  for (const bool takes : {false, true}) {
    for (const bool gives : {false, true}) {
      if (!takes && !gives) continue;
      const std::string form = (takes ? name_in : name) + (gives ? ".cc." : ".") + type;
      const auto result = [=](T a, T b, T c, uint32_t flag) {
        const Step<T> done = step(a, b, c, takes ? flag & 1 : 0);
        return std::tuple(done.value, gives ? uint32_t{done.carry} : flag & 1);
      };
      ValueCase value_case;
      if constexpr (kSources == 3) {
        value_case = Exact(form, result);
      } else {
        value_case = Exact(form, [result](T a, T b, uint32_t flag) { return result(a, b, 0, flag); });
      }
      value_case.text = ChainText(form, borrows, kSources);
      RunValues(machine, level, value_case);
    }
  }
}

template <class T>
void TestChains(Machine& machine, int level) {
  using S = std::make_signed_t<T>;
  for (const std::string& type : {NameOf<T>(), NameOf<S>()}) {
    const bool is_signed = type[0] == 's';
    TestChain<T, 2>(machine, level, "add", "addc", type, [](T a, T b, T, uint32_t flag) { return SumOf(a, b, flag); });
    TestChain<T, 2>(machine, level, "sub", "subc", type,
                    [](T a, T b, T, uint32_t flag) { return DifferenceOf(a, b, flag); });
    TestChain<T, 3>(machine, level, "mad.lo", "madc.lo", type, [](T a, T b, T c, uint32_t flag) {
      return SumOf(Wrapped<T>(static_cast<Wide>(static_cast<unsigned __int128>(a) * b)), c, flag);
    });
    TestChain<T, 3>(machine, level, "mad.hi", "madc.hi", type, [is_signed](T a, T b, T c, uint32_t flag) {
      const T high = is_signed ? static_cast<T>(High(static_cast<S>(a), static_cast<S>(b))) : High(a, b);
      return SumOf(high, c, flag);
    });
  }
}

TEST_P(IntegerForms, CarryChains) {
  Machine machine(level());
  TestChains<uint32_t>(machine, level());
  TestChains<uint64_t>(machine, level());
}

// A lane that does not run the instruction keeps its flag.
TEST_P(IntegerForms, CarryOfMaskedLanes) {
  Machine machine(level());
  const std::string text =
      "{ .reg .pred %q; and.b32 $3, $3, 1; setp.ne.u32 %q, $3, 0;\n"
      "add.cc.u32 $t, 0xffffffff, 1;\n"
      "@%q add.cc.u32 $0, $1, $2;\n"
      "@!%q mov.u32 $0, 7;\n"
      "addc.u32 $0, $0, 0; }";
  RunValues(machine, level(),
            Exact(
                "",
                [](uint32_t a, uint32_t b, uint32_t runs) {
                  const Step<uint32_t> sum = SumOf(a, b, 0);
                  return (runs & 1) != 0 ? sum.value + sum.carry : 8;
                },
                text));
}

// A sum of 128 bits by four instructions, as compilers write it.
TEST_P(IntegerForms, LongAddition) {
  Machine machine(level());
  const std::string text =
      "{ .reg .b32 %a<4>, %b<4>; mov.b64 {%a0, %a1}, $2; mov.b64 {%a2, %a3}, $3; mov.b64 {%b0, %b1}, $4; mov.b64 {%b2, "
      "%b3}, $5;\n"
      "add.cc.u32 %a0, %a0, %b0; addc.cc.u32 %a1, %a1, %b1; addc.cc.u32 %a2, %a2, %b2; addc.u32 %a3, %a3, %b3;\n"
      "mov.b64 $0, {%a0, %a1}; mov.b64 $1, {%a2, %a3}; }";
  RunValues(machine, level(),
            Exact(
                "",
                [](uint64_t a_low, uint64_t a_high, uint64_t b_low, uint64_t b_high) {
                  using Unsigned = unsigned __int128;
                  const Unsigned sum = ((Unsigned{a_high} << 64) | a_low) + ((Unsigned{b_high} << 64) | b_low);
                  return std::tuple(static_cast<uint64_t>(sum), static_cast<uint64_t>(sum >> 64));
                },
                text));
}

// Two numbers of 16 bits in a word.
template <class T, class F>
uint32_t InHalves(uint32_t a, uint32_t b, F f) {
  const auto low = static_cast<uint16_t>(f(static_cast<T>(a), static_cast<T>(b)));
  const auto high = static_cast<uint16_t>(f(static_cast<T>(a >> 16), static_cast<T>(b >> 16)));
  return low | static_cast<uint32_t>(high) << 16;
}

template <class T>
void TestPacked(Machine& machine, int level) {
  const std::string type = NameOf<T>() + "x2";
  const auto run = [&](const std::string& form, auto f) {
    RunValues(machine, level, Exact(form + type, [=](uint32_t a, uint32_t b) { return InHalves<T>(a, b, f); }));
  };
  run("add.", [](T a, T b) { return a + b; });
  run("min.", [](T a, T b) { return std::min(a, b); });
  run("max.", [](T a, T b) { return std::max(a, b); });
  if constexpr (std::is_signed_v<T>) {
    run("min.relu.", [](T a, T b) { return std::max<T>(std::min(a, b), 0); });
    run("max.relu.", [](T a, T b) { return std::max<T>(std::max(a, b), 0); });
  }
}

TEST_P(IntegerForms, PackedHalves) {
  Machine machine(level());
  TestPacked<uint16_t>(machine, level());
  TestPacked<int16_t>(machine, level());
}

TEST_P(IntegerForms, WithoutNegativeResults) {
  Machine machine(level());
  RunValues(machine, level(), Exact("min.relu.s32", [](int32_t a, int32_t b) { return std::max(std::min(a, b), 0); }));
  RunValues(machine, level(), Exact("max.relu.s32", [](int32_t a, int32_t b) { return std::max(std::max(a, b), 0); }));
}

TEST_P(IntegerForms, VideoShifts) {
  Machine machine(level());
  // Amounts near 32 as well, which random words are not.
  for (const std::string amount : {"", "and.b32 $2, $2, 63; "}) {
    for (const std::string mode : {"clamp", "wrap"}) {
      const bool clamps = mode == "clamp", is_small = !amount.empty();
      const auto shifted = [=](uint32_t a, uint32_t b) {
        const uint64_t by = clamps ? std::min<uint64_t>(is_small ? b & 63 : b, 32) : b & 31;
        return static_cast<uint32_t>(uint64_t{a} >> by);
      };
      const std::string name = "vshr.u32.u32.u32." + mode;
      const auto run = [&](const std::string& operation, auto f) {
        RunValues(machine, level(),
                  Exact(
                      name + operation, [=](uint32_t a, uint32_t b, uint32_t c) { return f(shifted(a, b), c); },
                      amount + "@G " + name + operation + " $0, $1, $2, $3;"));
      };
      run(".add", [](uint32_t a, uint32_t b) { return a + b; });
      run(".min", [](uint32_t a, uint32_t b) { return std::min(a, b); });
      run(".max", [](uint32_t a, uint32_t b) { return std::max(a, b); });
      RunValues(machine, level(), Exact(name, shifted, amount + "@G " + name + " $0, $1, $2;"));
    }
  }
}

TEST_P(IntegerForms, DistancesOfParts) {
  Machine machine(level());
  for (const int parts : {2, 4}) {
    const int bits = 32 / parts;
    const auto distance = [=](uint32_t a, uint32_t b, int i) {
      const int64_t mask = (int64_t{1} << bits) - 1;
      return static_cast<uint32_t>(std::abs((a >> i * bits & mask) - (b >> i * bits & mask)));
    };
    const std::string name = "vabsdiff" + std::to_string(parts) + ".u32.u32.u32";
    RunValues(machine, level(), Exact(name + ".add", [=](uint32_t a, uint32_t b, uint32_t c) {
                for (int i = 0; i < parts; ++i) c += distance(a, b, i);
                return c;
              }));
    RunValues(machine, level(), Exact(name, [=](uint32_t a, uint32_t b, uint32_t) {
                uint32_t result = 0;
                for (int i = 0; i < parts; ++i) result |= distance(a, b, i) << i * bits;
                return result;
              }));
  }
}

template <class T>
void TestExtensions(Machine& machine, int level) {
  for (const std::string mode : {"clamp", "wrap"}) {
    const auto extended = [mode](T a, uint64_t bits) -> T {
      bits = mode == "clamp" ? std::min<uint64_t>(bits, 32) : bits % 32;
      const int64_t one = 1, low = static_cast<int64_t>(static_cast<uint32_t>(a)) & ((one << bits) - 1);
      const bool is_negative = std::is_signed_v<T> && bits > 0 && (low >> (bits - 1) & 1) != 0;
      return static_cast<T>(is_negative ? low - (one << bits) : low);
    };
    const std::string name = "szext." + mode + "." + NameOf<T>();
    RunValues(machine, level, Exact(name, [=](T a, uint32_t bits) { return extended(a, bits); }));
    // Of few bits more often than random words are.
    RunValues(machine, level,
              Exact(
                  name, [=](T a, uint32_t bits) { return extended(a, bits & 63); },
                  "and.b32 $t, $2, 63;\n@G " + name + " $0, $1, $t;"));
  }
}

TEST_P(IntegerForms, Extensions) {
  Machine machine(level());
  TestExtensions<uint32_t>(machine, level());
  TestExtensions<int32_t>(machine, level());
}

INSTANTIATE_TEST_SUITE_P(Levels, IntegerForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
