// Logic, shifts and bit fields (PTX ISA, sections 9.7.1 and 9.7.8), bit by bit as the ISA's pseudocode has them.

#include <algorithm>

#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

template <class T>
inline constexpr uint32_t kBits = 8 * sizeof(T);

template <class T>
bool BitOf(T value, uint32_t bit) {
  return ((static_cast<uint64_t>(value) >> bit) & 1) != 0;
}

// A value whose bit i is bit(i).
template <class T, class F>
T FromEachBit(F bit) {
  std::make_unsigned_t<T> value = 0;
  for (uint32_t i = 0; i < kBits<T>; ++i)
    value |= static_cast<std::make_unsigned_t<T>>(std::make_unsigned_t<T>{bit(i)} << i);
  return static_cast<T>(value);
}

template <class T>
void TestLogic(Machine& machine, int level) {
  const std::string type = "b" + std::to_string(kBits<T>);
  const auto run = [&](const std::string& operation, auto reference) {
    RunValues(machine, level, Exact(operation + "." + type, reference));
  };
  run("and", [](T a, T b) { return FromEachBit<T>([&](uint32_t i) { return BitOf(a, i) && BitOf(b, i); }); });
  run("or", [](T a, T b) { return FromEachBit<T>([&](uint32_t i) { return BitOf(a, i) || BitOf(b, i); }); });
  run("xor", [](T a, T b) { return FromEachBit<T>([&](uint32_t i) { return BitOf(a, i) != BitOf(b, i); }); });
  run("not", [](T a) { return FromEachBit<T>([&](uint32_t i) { return !BitOf(a, i); }); });
  run("cnot", [](T a) { return static_cast<T>(a == 0 ? 1 : 0); });
  run("shl", [](T a, uint32_t n) { return FromEachBit<T>([&](uint32_t i) { return i >= n && BitOf(a, i - n); }); });
  run("mov", [](T a) { return a; });
}

// A field's place or length: modulo 256, but of a field of 64 bits the whole operand, which is not what the manual says
// but what a GPU computes.
template <class T>
uint64_t FieldOperand(uint32_t operand) {
  return kBits<T> == 32 ? operand % 256 : operand;
}

template <class T>
T ShiftedRight(T a, uint32_t n) {
  const bool fill = std::is_signed_v<T> && BitOf(a, kBits<T> - 1);
  return FromEachBit<T>([&](uint32_t i) { return n < kBits<T> - i ? BitOf(a, i + n) : fill; });
}

template <class T>
void TestRightShift(Machine& machine, int level, const std::string& type) {
  RunValues(machine, level, Exact("shr." + type, [](T a, uint32_t n) { return ShiftedRight(a, n); }));
}

// Tries the case, whose last two operands are a field's place and length, with many that lie in or near the word.
void RunField(Machine& machine, int level, ValueCase value_case) {
  RunValues(machine, level, value_case);
  const size_t operands = value_case.results.size() + value_case.sources.size();
  for (const size_t operand : {operands - 2, operands - 1}) {
    const std::string name = "$" + std::to_string(operand);
    value_case.text = "and.b32 " + name + ", " + name + ", 127;\n" + value_case.text;
  }
  const auto expect = value_case.expect;
  value_case.expect = [expect, last = value_case.sources.size() - 1](const uint64_t* sources, Expectation* results) {
    uint64_t masked[8];
    std::copy(sources, sources + last + 1, masked);
    masked[last - 1] &= 127;
    masked[last] &= 127;
    expect(masked, results);
  };
  value_case.inputs = 16384;
  RunValues(machine, level, value_case);
}

template <class T>
void TestFields(Machine& machine, int level) {
  const std::string type = "b" + std::to_string(kBits<T>);
  const auto run = [&](const std::string& operation, auto reference) {
    RunValues(machine, level, Exact(operation + "." + type, reference));
  };
  run("popc", [](T a) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < kBits<T>; ++i) count += BitOf(a, i);
    return count;
  });
  run("clz", [](T a) {
    uint32_t count = 0;
    while (count < kBits<T> && !BitOf(a, kBits<T> - 1 - count)) ++count;
    return count;
  });
  run("brev", [](T a) { return FromEachBit<T>([&](uint32_t i) { return BitOf(a, kBits<T> - 1 - i); }); });
  RunField(machine, level, Exact("bfi." + type, [](T a, T b, uint32_t c, uint32_t d) {
             const uint64_t position = FieldOperand<T>(c), length = FieldOperand<T>(d);
             return FromEachBit<T>([&](uint32_t i) {
               return i >= position && i - position < length ? BitOf(a, i - position) : BitOf(b, i);
             });
           }));
}

template <class T>
void TestTypedFields(Machine& machine, int level) {
  static constexpr uint32_t kTop = kBits<T> - 1;
  const std::string type = NameOf<T>();
  RunField(machine, level, Exact("bfe." + type, [](T a, uint32_t b, uint32_t c) {
             const uint64_t position = FieldOperand<T>(b), length = FieldOperand<T>(c);
             const uint64_t last = std::min<uint64_t>(position + length - 1, kTop);
             const bool sign = std::is_signed_v<T> && length != 0 && BitOf(a, static_cast<uint32_t>(last));
             return FromEachBit<T>(
                 [&](uint32_t i) {
                   const uint64_t from = position + i;
                   return i < length && from <= kTop ? BitOf(a, static_cast<uint32_t>(from)) : sign;
                 });
           }));
  const auto find = [](T a) -> uint32_t {
    if (std::is_signed_v<T> && BitOf(a, kTop)) a = static_cast<T>(~a);
    for (uint32_t i = kBits<T>; i-- > 0;) {
      if (BitOf(a, i)) return i;
    }
    return 0xffffffff;
  };
  RunValues(machine, level, Exact("bfind." + type, find));
  RunValues(machine, level, Exact("bfind.shiftamt." + type, [find](T a) {
              const uint32_t position = find(a);
              return position == 0xffffffff ? position : kTop - position;
            }));
}

class BitForms : public LevelTest {};

TEST_P(BitForms, Logic) {
  Machine machine(level());
  TestLogic<uint16_t>(machine, level());
  TestLogic<uint32_t>(machine, level());
  TestLogic<uint64_t>(machine, level());
}

TEST_P(BitForms, RightShifts) {
  Machine machine(level());
  TestRightShift<uint16_t>(machine, level(), "b16");
  TestRightShift<uint16_t>(machine, level(), "u16");
  TestRightShift<int16_t>(machine, level(), "s16");
  TestRightShift<uint32_t>(machine, level(), "b32");
  TestRightShift<uint32_t>(machine, level(), "u32");
  TestRightShift<int32_t>(machine, level(), "s32");
  TestRightShift<uint64_t>(machine, level(), "b64");
  TestRightShift<uint64_t>(machine, level(), "u64");
  TestRightShift<int64_t>(machine, level(), "s64");
}

TEST_P(BitForms, Fields) {
  Machine machine(level());
  TestFields<uint32_t>(machine, level());
  TestFields<uint64_t>(machine, level());
  TestTypedFields<uint32_t>(machine, level());
  TestTypedFields<int32_t>(machine, level());
  TestTypedFields<uint64_t>(machine, level());
  TestTypedFields<int64_t>(machine, level());
}

TEST_P(BitForms, FunnelShifts) {
  Machine machine(level());
  const auto run = [&](const std::string& form, auto reference) {
    RunValues(machine, level(), Exact(form, reference));
  };
  const auto bit_of_pair = [](uint32_t low, uint32_t high, uint32_t i) {
    return i < 32 ? BitOf(low, i) : i < 64 && BitOf(high, i - 32);
  };
  const auto left = [=](uint32_t a, uint32_t b, uint32_t n) {
    return FromEachBit<uint32_t>([&](uint32_t i) { return bit_of_pair(a, b, 32 + i - n); });
  };
  const auto right = [=](uint32_t a, uint32_t b, uint32_t n) {
    return FromEachBit<uint32_t>([&](uint32_t i) { return bit_of_pair(a, b, i + n); });
  };
  run("shf.l.wrap.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return left(a, b, c % 32); });
  run("shf.l.clamp.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return left(a, b, std::min(c, 32u)); });
  run("shf.r.wrap.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return right(a, b, c % 32); });
  run("shf.r.clamp.b32", [=](uint32_t a, uint32_t b, uint32_t c) { return right(a, b, std::min(c, 32u)); });
}

TEST_P(BitForms, Masks) {
  Machine machine(level());
  const auto run = [&](const std::string& mode, auto place) {
    RunField(machine, level(), Exact("bmsk." + mode + ".b32", [place](uint32_t a, uint32_t b) {
               return FromEachBit<uint32_t>([&](uint64_t i) { return i >= place(a) && i < place(a) + place(b); });
             }));
  };
  run("clamp", [](uint32_t n) { return uint64_t{n}; });
  run("wrap", [](uint32_t n) { return uint64_t{n % 32}; });
}

TEST_P(BitForms, FindsTheNthSetBit) {
  Machine machine(level());
  const auto find = [](uint32_t mask, uint32_t base, int64_t offset) -> uint32_t {
    const int64_t step = offset < 0 ? -1 : 1;
    int64_t left = offset == 0 ? 1 : offset * step;
    for (int64_t place = base; place >= 0 && place < 32; place += step) {
      left -= BitOf(mask, static_cast<uint32_t>(place));
      if (left == 0) return static_cast<uint32_t>(place);
      if (offset == 0) break;
    }
    return 0xffffffff;
  };
  RunField(machine, level(),
           Exact("fns.b32", [=](uint32_t mask, uint32_t base, int32_t offset) { return find(mask, base, offset); }));
  RunField(
      machine, level(),
      Exact(
          "fns.b32", [=](uint32_t mask, uint32_t base, int32_t offset) { return find(mask, base, -int64_t{offset}); },
          "neg.s32 $t, $3;\n@G fns.b32 $0, $1, $2, $t;"));
  // The bit itself.
  RunValues(machine, level(),
            Exact(
                "", [=](uint32_t mask, uint32_t base) { return find(mask, base & 31, 0); },
                "and.b32 $t, $2, 31;\n@G fns.b32 $0, $1, $t, 0;"));
}

TEST_P(BitForms, Permute) {
  Machine machine(level());
  RunValues(machine, level(), Exact("prmt.b32", [](uint32_t a, uint32_t b, uint32_t selector) {
              return FromEachBit<uint32_t>([&](uint32_t i) {
                const uint32_t control = (selector >> (i / 8 * 4)) & 0xf, byte = control & 7;
                const uint32_t source = byte < 4 ? a : b, first = byte % 4 * 8;
                return BitOf(source, (control & 8) != 0 ? first + 7 : first + i % 8);
              });
            }));
}

// The table of the modes of prmt, d.b3 first.
TEST_P(BitForms, PermuteByMode) {
  Machine machine(level());
  const std::pair<const char*, std::array<const char*, 4>> modes[] = {
      {"f4e", {"3210", "4321", "5432", "6543"}}, {"b4e", {"5670", "6701", "7012", "0123"}},
      {"rc8", {"0000", "1111", "2222", "3333"}}, {"ecl", {"3210", "3211", "3222", "3333"}},
      {"ecr", {"0000", "1110", "2210", "3210"}}, {"rc16", {"1010", "3232", "1010", "3232"}}};
  for (const auto& [mode, sources] : modes) {
    RunValues(machine, level(),
              Exact(std::string("prmt.b32.") + mode, [sources = sources](uint32_t a, uint32_t b, uint32_t c) {
                return FromEachBit<uint32_t>([&](uint32_t i) {
                  const auto byte = static_cast<uint32_t>(sources[c & 3][3 - i / 8] - '0');
                  return BitOf(byte < 4 ? a : b, byte % 4 * 8 + i % 8);
                });
              }));
  }
}

TEST_P(BitForms, AllFunctionsOfThreeBits) {
  Machine machine(level());
  for (uint32_t table = 0; table < 256; ++table) {
    ValueCase value_case = Exact(
        "lop3.b32",
        [table](uint32_t a, uint32_t b, uint32_t c) {
          return FromEachBit<uint32_t>(
              [&](uint32_t i) { return BitOf(table, 4 * BitOf(a, i) + 2 * BitOf(b, i) + BitOf(c, i)); });
        },
        "@G lop3.b32 $0, $1, $2, $3, " + std::to_string(table) + ";");
    value_case.inputs = 64;
    RunValues(machine, level(), value_case);
  }
}

TEST_P(BitForms, Predicates) {
  Machine machine(level());
  const auto run = [&](const std::string& form, auto reference) {
    RunValues(machine, level(), Exact(form, reference));
  };
  run("and.pred", [](bool a, bool b) { return a && b; });
  run("or.pred", [](bool a, bool b) { return a || b; });
  run("xor.pred", [](bool a, bool b) { return a != b; });
  run("not.pred", [](bool a) { return !a; });
  run("mov.pred", [](bool a) { return a; });
}

// Constants in place of registers.
TEST_P(BitForms, Immediates) {
  Machine machine(level());
  const auto run = [&](const std::string& text, auto reference) {
    RunValues(machine, level(), Exact("", reference, "@G " + text));
  };
  run("and.b32 $0, $1, 0xff00ff;", [](uint32_t a) { return a & 0xff00ff; });
  run("add.s32 $0, $1, -5;", [](uint32_t a) { return a - 5; });
  run("add.s64 $0, $1, -5;", [](uint64_t a) { return a - 5; });
  run("mul.wide.s32 $0, $1, -3;", [](int32_t a) { return int64_t{a} * -3; });
  run("shl.b64 $0, $1, 33;", [](uint64_t a) { return a << 33; });
  run("sub.s16 $0, 7, $1;", [](int16_t a) { return static_cast<int16_t>(7 - a); });
  run("selp.b32 $0, 5, -6, $1;", [](bool a) { return a ? 5u : 0xfffffffau; });
}

INSTANTIATE_TEST_SUITE_P(Levels, BitForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
