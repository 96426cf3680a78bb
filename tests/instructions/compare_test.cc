// Comparison and selection (PTX ISA, section 9.7.6), with NaN and subnormal operands, combined predicates and both
// results.

#include <cmath>

#include "tests/instructions/exact_float.h"
#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

// How two values stand to each other.
enum class Order { kLess, kEqual, kGreater, kUnordered };

template <class T>
Order OrderOf(T a, T b) {
  if constexpr (kIsShort<T>) {
    return OrderOf(a.Value(), b.Value());
  } else {
    if constexpr (std::is_floating_point_v<T>) {
      if (std::isnan(a) || std::isnan(b)) return Order::kUnordered;
    }
    return a < b ? Order::kLess : b < a ? Order::kGreater : Order::kEqual;
  }
}

// The operators as sets of orders.
struct Comparison {
  const char* name;
  bool less, equal, greater, unordered;
  bool Holds(Order order) const {
    return order == Order::kLess      ? less
           : order == Order::kEqual   ? equal
           : order == Order::kGreater ? greater
                                      : unordered;
  }
};
constexpr Comparison kOrdered[] = {{"eq", false, true, false, false}, {"ne", true, false, true, false},
                                   {"lt", true, false, false, false}, {"le", true, true, false, false},
                                   {"gt", false, false, true, false}, {"ge", false, true, true, false}};
constexpr Comparison kUnordered[] = {{"equ", false, true, false, true}, {"neu", true, false, true, true},
                                     {"ltu", true, false, false, true}, {"leu", true, true, false, true},
                                     {"gtu", false, false, true, true}, {"geu", false, true, true, true},
                                     {"num", true, true, true, false},  {"nan", false, false, false, true}};
constexpr Comparison kUnsigned[] = {{"lo", true, false, false, false},
                                    {"ls", true, true, false, false},
                                    {"hi", false, false, true, false},
                                    {"hs", false, true, true, false}};

template <class T>
void TestComparison(Machine& machine, int level, const Comparison& comparison, bool ftz,
                    const char* form_prefix = "setp.") {
  const std::string name = form_prefix + std::string(comparison.name) + (ftz ? ".ftz." : ".") + NameOf<T>();
  RunValues(machine, level, Exact(name, [comparison, ftz](T a, T b) {
              if constexpr (!std::is_integral_v<T>)
                return comparison.Holds(OrderOf(Flushed(a, ftz), Flushed(b, ftz)));
              else
                return comparison.Holds(OrderOf(a, b));
            }));
}

template <class T>
void TestSelection(Machine& machine, int level) {
  const std::string type = "b" + std::to_string(8 * sizeof(T));
  const auto run = [&](const std::string& form, auto reference) { RunValues(machine, level, Exact(form, reference)); };
  run("selp." + type, [](T a, T b, bool c) { return c ? a : b; });
  run("slct." + type + ".s32", [](T a, T b, int32_t c) { return c >= 0 ? a : b; });
  run("slct." + type + ".f32", [](T a, T b, float c) { return !std::isnan(c) && c >= 0 ? a : b; });
  run("slct.ftz." + type + ".f32", [](T a, T b, float c) { return !std::isnan(c) && Flushed(c) >= 0 ? a : b; });
}

bool Combined(const std::string& operation, bool a, bool b) {
  return operation == "and" ? a && b : operation == "or" ? a || b : a != b;
}

class CompareForms : public LevelTest {};

TEST_P(CompareForms, Integers) {
  Machine machine(level());
  for (const Comparison& comparison : kOrdered) {
    TestComparison<uint16_t>(machine, level(), comparison, false);
    TestComparison<int16_t>(machine, level(), comparison, false);
    TestComparison<uint32_t>(machine, level(), comparison, false);
    TestComparison<int32_t>(machine, level(), comparison, false);
    TestComparison<uint64_t>(machine, level(), comparison, false);
    TestComparison<int64_t>(machine, level(), comparison, false);
  }
}

TEST_P(CompareForms, Floats) {
  Machine machine(level());
  const auto run = [&](const Comparison& comparison) {
    TestComparison<float>(machine, level(), comparison, false);
    TestComparison<float>(machine, level(), comparison, true);
    TestComparison<double>(machine, level(), comparison, false);
    TestComparison<F16>(machine, level(), comparison, false);
    TestComparison<F16>(machine, level(), comparison, true);
    TestComparison<BF16>(machine, level(), comparison, false);
  };
  for (const Comparison& comparison : kOrdered) run(comparison);
  for (const Comparison& comparison : kUnordered) run(comparison);
}

TEST_P(CompareForms, OtherSpellings) {
  Machine machine(level());
  for (const Comparison& comparison : kUnsigned) {
    RunValues(machine, level(),
              Exact(
                  "", [comparison](uint32_t a, uint32_t b) { return comparison.Holds(OrderOf(a, b)); },
                  "@G setp." + std::string(comparison.name) + ".u32 $0, $1, $2;"));
    RunValues(machine, level(),
              Exact(
                  "", [comparison](uint64_t a, uint64_t b) { return comparison.Holds(OrderOf(a, b)); },
                  "@G setp." + std::string(comparison.name) + ".u64 $0, $1, $2;"));
  }
  RunValues(machine, level(),
            Exact(
                "", [](uint32_t a, uint32_t b) { return a == b; }, "@G setp.eq.b32 $0, $1, $2;"));
  RunValues(machine, level(),
            Exact(
                "", [](uint64_t a, uint64_t b) { return a != b; }, "@G setp.ne.b64 $0, $1, $2;"));
  RunValues(machine, level(),
            Exact(
                "", [](uint16_t a, uint16_t b) { return a != b; }, "@G setp.ne.b16 $0, $1, $2;"));
}

// p = (a op b) bool c; q = !(a op b) bool c.
TEST_P(CompareForms, CombinedWithPredicate) {
  Machine machine(level());
  for (const std::string operation : {"and", "or", "xor"}) {
    for (const bool negated : {false, true}) {
      const std::string third = negated ? "!$4;" : "$4;";
      const auto both = [=](bool holds, bool c) {
        return std::tuple(Combined(operation, holds, c != negated), Combined(operation, !holds, c != negated));
      };
      RunValues(machine, level(),
                Exact(
                    "", [=](int32_t a, int32_t b, bool c) { return both(a < b, c); },
                    "@G setp.lt." + operation + ".s32 $0|$1, $2, $3, " + third));
      RunValues(
          machine, level(),
          Exact(
              "", [=](float a, float b, bool c) { return both(OrderOf(Flushed(a), Flushed(b)) == Order::kEqual, c); },
              "@G setp.eq." + operation + ".ftz.f32 $0|$1, $2, $3, " + third));
      RunValues(machine, level(),
                Exact(
                    "",
                    [=](double a, double b, bool c) {
                      return Combined(operation, OrderOf(a, b) == Order::kUnordered, c != negated);
                    },
                    "@G setp.nan." + operation + ".f64 $0, $1, $2, " + (negated ? "!$3;" : "$3;")));
    }
  }
  RunValues(machine, level(),
            Exact(
                "", [](uint32_t a, uint32_t b) { return std::tuple(a > b, a <= b); }, "@G setp.gt.u32 $0|$1, $2, $3;"));
  // A result that is also the predicate that it is combined with.
  RunValues(machine, level(),
            Exact(
                "", [](uint32_t a, uint32_t b, bool c) { return std::tuple(a == b && c, a != b && c); },
                "and.pred $0, $4, $4; setp.eq.and.u32 $0|$1, $2, $3, $0;"));
  RunValues(machine, level(),
            Exact(
                "", [](uint32_t a, uint32_t b, bool c) { return std::tuple(a == b && c, a != b && c); },
                "and.pred $1, $4, $4; setp.eq.and.u32 $0|$1, $2, $3, $1;"));
}

TEST_P(CompareForms, Set) {
  Machine machine(level());
  const auto run = [&](const std::string& text, auto reference) {
    RunValues(machine, level(), Exact("", reference, "@G " + text));
  };
  run("set.lt.u32.s32 $0, $1, $2;", [](int32_t a, int32_t b) { return a < b ? 0xffffffffu : 0u; });
  run("set.ge.s32.u64 $0, $1, $2;", [](uint64_t a, uint64_t b) { return a >= b ? 0xffffffffu : 0u; });
  run("set.neu.u32.f32 $0, $1, $2;",
      [](float a, float b) { return OrderOf(a, b) != Order::kEqual ? 0xffffffffu : 0u; });
  run("set.le.f32.s32 $0, $1, $2;", [](int32_t a, int32_t b) { return a <= b ? 1.0f : 0.0f; });
  run("set.gt.ftz.f32.f32 $0, $1, $2;",
      [](float a, float b) { return OrderOf(Flushed(a), Flushed(b)) == Order::kGreater ? 1.0f : 0.0f; });
  run("set.ltu.u32.f64 $0, $1, $2;", [](double a, double b) {
    return OrderOf(a, b) == Order::kLess || OrderOf(a, b) == Order::kUnordered ? 0xffffffffu : 0u;
  });
  run("set.eq.xor.u32.u32 $0, $1, $2, $3;",
      [](uint32_t a, uint32_t b, bool c) { return (a == b) != c ? 0xffffffffu : 0u; });
  run("set.lo.and.u32.u16 $0, $1, $2, !$3;",
      [](uint16_t a, uint16_t b, bool c) { return a < b && !c ? 0xffffffffu : 0u; });
}

// The two results are those of the lower and of the upper halves.
template <class V>
void TestPacked(Machine& machine, int level) {
  const std::string type = NameOf<V>();
  const auto run = [&](const std::string& text, auto reference) {
    RunValues(machine, level, Exact("", reference, "@G " + text));
  };
  const auto less = [](auto a, auto b) { return OrderOf(a, b) == Order::kLess; };
  const auto not_equal = [](auto a, auto b) { return OrderOf(a, b) != Order::kEqual; };
  const auto pack = [](bool low, bool high, uint32_t one) { return (low ? one : 0) | (high ? one << 16 : 0); };
  const uint32_t one = std::is_same_v<V, F16x2> ? 0x3c00 : 0x3f80;
  run("setp.lt." + type + " $0|$1, $2, $3;",
      [=](V a, V b) { return std::tuple(less(a.low(), b.low()), less(a.high(), b.high())); });
  run("setp.neu." + type + " $0, $1, $2;", [=](V a, V b) { return not_equal(a.low(), b.low()); });
  for (const std::string operation : {"and", "or", "xor"}) {
    run("setp.lt." + operation + "." + type + " $0|$1, $2, $3, !$4;", [=](V a, V b, bool c) {
      return std::tuple(Combined(operation, less(a.low(), b.low()), !c),
                        Combined(operation, less(a.high(), b.high()), !c));
    });
    run("set.neu." + operation + "." + type + "." + type + " $0, $1, $2, $3;", [=](V a, V b, bool c) {
      return pack(Combined(operation, not_equal(a.low(), b.low()), c),
                  Combined(operation, not_equal(a.high(), b.high()), c), one);
    });
  }
  for (const std::string result : {"u32", "s32"}) {
    run("set.lt." + result + "." + type + " $0, $1, $2;",
        [=](V a, V b) { return pack(less(a.low(), b.low()), less(a.high(), b.high()), 0xffff); });
  }
  // Into a register that is also a source, and of a predicate that is also a result.
  run("mov.b32 $0, $1; @G set.lt." + type + "." + type + " $0, $0, $2;",
      [=](V a, V b) { return pack(less(a.low(), b.low()), less(a.high(), b.high()), one); });
  RunValues(
      machine, level,
      Exact(
          "", [=](V a, V b, bool c) { return std::tuple(less(a.low(), b.low()) && c, less(a.high(), b.high()) && c); },
          "and.pred $0, $4, $4; setp.lt.and." + type + " $0|$1, $2, $3, $0;"));
}

TEST_P(CompareForms, Packed) {
  Machine machine(level());
  TestPacked<F16x2>(machine, level());
  TestPacked<BF16x2>(machine, level());
  RunValues(machine, level(),
            Exact(
                "",
                [](F16x2 a, F16x2 b) {
                  const auto equal = [](F16 x, F16 y) { return OrderOf(Flushed(x), Flushed(y)) == Order::kEqual; };
                  return std::tuple(equal(a.low(), b.low()), equal(a.high(), b.high()));
                },
                "@G setp.eq.ftz.f16x2 $0|$1, $2, $3;"));
}

// set with a result or operands of 16 bits.
TEST_P(CompareForms, SetOfHalves) {
  Machine machine(level());
  const auto run = [&](const std::string& text, auto reference) {
    RunValues(machine, level(), Exact("", reference, "@G " + text));
  };
  const auto less = [](auto a, auto b) { return OrderOf(a, b) == Order::kLess; };
  const F16 zero{0}, one{0x3c00};
  const BF16 zero_brain{0}, one_brain{0x3f80};
  run("set.lt.f16.f16 $0, $1, $2;", [=](F16 a, F16 b) { return less(a, b) ? one : zero; });
  run("set.lt.ftz.f16.f16 $0, $1, $2;", [=](F16 a, F16 b) { return less(Flushed(a), Flushed(b)) ? one : zero; });
  run("set.lt.bf16.f16 $0, $1, $2;", [=](F16 a, F16 b) { return less(a, b) ? one_brain : zero_brain; });
  run("set.lt.bf16.bf16 $0, $1, $2;", [=](BF16 a, BF16 b) { return less(a, b) ? one_brain : zero_brain; });
  run("set.lt.u16.f16 $0, $1, $2;", [=](F16 a, F16 b) { return static_cast<uint16_t>(less(a, b) ? 0xffff : 0); });
  run("set.lt.s16.bf16 $0, $1, $2;", [=](BF16 a, BF16 b) { return static_cast<uint16_t>(less(a, b) ? 0xffff : 0); });
  run("set.lt.u32.bf16 $0, $1, $2;", [=](BF16 a, BF16 b) { return less(a, b) ? 0xffffffffu : 0u; });
  run("set.lt.xor.s32.f16 $0, $1, $2, $3;", [=](F16 a, F16 b, bool c) { return less(a, b) != c ? 0xffffffffu : 0u; });
  run("set.lt.f16.s32 $0, $1, $2;", [=](int32_t a, int32_t b) { return a < b ? one : zero; });
  run("set.eq.bf16.b64 $0, $1, $2;", [=](uint64_t a, uint64_t b) { return a == b ? one_brain : zero_brain; });
  run("set.lt.ftz.f16.f32 $0, $1, $2;", [=](float a, float b) { return less(Flushed(a), Flushed(b)) ? one : zero; });
}

TEST_P(CompareForms, Selection) {
  Machine machine(level());
  TestSelection<uint16_t>(machine, level());
  TestSelection<uint32_t>(machine, level());
  TestSelection<uint64_t>(machine, level());
}

INSTANTIATE_TEST_SUITE_P(Levels, CompareForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
