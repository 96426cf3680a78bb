// Arithmetic on f16, bf16 and pairs of them (PTX ISA, section 9.7.4), against MPFR. Where the ISA leaves open which NaN
// a result is, the engine's is the canonical one, as a GPU's.

#include "tests/instructions/exact_float.h"
#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

enum class Clamp { kNone, kSat, kRelu };
struct Modifiers {
  bool ftz;
  Clamp clamp;
  std::string Text() const {
    return std::string(ftz ? ".ftz" : "") + (clamp == Clamp::kSat ? ".sat" : clamp == Clamp::kRelu ? ".relu" : "");
  }
};
// bf16 has .relu alone.
template <class V>
std::vector<Modifiers> ModifiersOf(bool with_relu) {
  const bool is_f16 = std::is_same_v<V, F16> || std::is_same_v<V, F16x2>;
  std::vector<Modifiers> all;
  for (const bool ftz : {false, true}) {
    for (const Clamp clamp : {Clamp::kNone, Clamp::kSat, Clamp::kRelu}) {
      if ((ftz || clamp == Clamp::kSat) && !is_f16) continue;
      if (clamp != Clamp::kRelu || with_relu) all.push_back({ftz, clamp});
    }
  }
  return all;
}

// "clamps the result to [0.0, 1.0]. NaN results are flushed to +0.0f", and "to 0 if negative", which is taken to be the
// maximum of the result and +0.
template <class H>
H Clamped(H result, Clamp clamp) {
  if (clamp == Clamp::kSat) return H::Of(Saturated(result.Value()));
  return clamp == Clamp::kRelu && std::signbit(result.Value()) ? H{0} : result;
}

// operation(result, numbers of the flushed operands..., mode), exactly, with the modifiers applied.
template <class Operation, class H, class... More>
H Computed(Modifiers modifiers, Operation operation, H first, More... more) {
  const auto rounded = [&](const auto&... numbers) {
    return Rounded<H>(MPFR_RNDN, [&](mpfr_ptr result, mpfr_rnd_t rounding) {
      return operation(result, static_cast<mpfr_srcptr>(numbers)..., rounding);
    });
  };
  const H value =
      rounded(Number::Of(Flushed(first, modifiers.ftz).Value()), Number::Of(Flushed(more, modifiers.ftz).Value())...);
  return Clamped(Flushed(value, modifiers.ftz), modifiers.clamp);
}

template <class H>
H Product(Modifiers modifiers, H a, H b) {
  const double exact = Flushed(a, modifiers.ftz).Value() * Flushed(b, modifiers.ftz).Value();
  if (modifiers.ftz && IsFlushedProduct<H>(exact)) return Clamped(H::Of(std::copysign(0.0, exact)), modifiers.clamp);
  return Computed(modifiers, mpfr_mul, a, b);
}

template <class V>
void TestArithmetic(Machine& machine, int level) {
  for (const Modifiers modifiers : ModifiersOf<V>(false)) {
    const std::string suffix = ".rn" + modifiers.Text() + "." + NameOf<V>();
    const auto run = [&](const char* operation, auto function) {
      RunValues(machine, level, Exact(operation + suffix, [=](V a, V b) {
                  return Both([=](auto x, auto y) { return Computed(modifiers, function, x, y); }, a, b);
                }));
    };
    run("add", mpfr_add);
    run("sub", mpfr_sub);
    RunValues(machine, level, Exact("mul" + suffix, [=](V a, V b) {
                return Both([=](auto x, auto y) { return Product(modifiers, x, y); }, a, b);
              }));
  }
  for (const Modifiers modifiers : ModifiersOf<V>(true)) {
    RunValues(machine, level, Exact("fma.rn" + modifiers.Text() + "." + NameOf<V>(), [=](V a, V b, V c) {
                return Both([=](auto x, auto y, auto z) { return Computed(modifiers, mpfr_fma, x, y, z); }, a, b, c);
              }));
  }
}

template <class H>
bool IsNan(H a) {
  return (a.bits & H::kNan) > H::kInfinity;
}

// -0 is less than +0.
template <class H>
H Extreme(H a, H b, bool max, bool nan_wins) {
  if (IsNan(a) || IsNan(b)) return nan_wins || (IsNan(a) && IsNan(b)) ? H{H::kNan} : IsNan(a) ? b : a;
  const bool a_first = a.Value() < b.Value() || (a.Value() == b.Value() && std::signbit(a.Value()));
  return a_first != max ? a : b;
}

template <class V>
void TestExtremes(Machine& machine, int level, bool ftz) {
  for (const bool max : {false, true}) {
    for (const bool nan_wins : {false, true}) {
      const std::string form = std::string(max ? "max" : "min") + (ftz ? ".ftz" : "") + (nan_wins ? ".NaN" : "");
      RunValues(machine, level, Exact(form + "." + NameOf<V>(), [=](V first, V second) {
                  return Both(
                      [=]<class H>(H a, H b) { return Extreme(Flushed(a, ftz), Flushed(b, ftz), max, nan_wins); },
                      first, second);
                }));
      // Of the magnitudes, with the product's sign unless it is NaN.
      RunValues(machine, level, Exact(form + ".xorsign.abs." + NameOf<V>(), [=](V first, V second) {
                  return Both(
                      [=]<class H>(H a, H b) {
                        const H x = Flushed(H{a.bits & H::kNan}, ftz), y = Flushed(H{b.bits & H::kNan}, ftz);
                        const H extreme = Extreme(x, y, max, nan_wins);
                        return IsNan(extreme) ? extreme : H{extreme.bits | ((a.bits ^ b.bits) & H::kSign)};
                      },
                      first, second);
                }));
    }
  }
}

template <class V>
void TestSigns(Machine& machine, int level, bool ftz) {
  const std::string suffix = std::string(ftz ? ".ftz." : ".") + NameOf<V>();
  RunValues(machine, level, Exact("abs" + suffix, [=](V a) {
              return Both([=]<class H>(H x) { return IsNan(x) ? H{H::kNan} : H{Flushed(x, ftz).bits & H::kNan}; }, a);
            }));
  RunValues(machine, level, Exact("neg" + suffix, [=](V a) {
              return Both([=]<class H>(H x) { return IsNan(x) ? H{H::kNan} : H{Flushed(x, ftz).bits ^ H::kSign}; }, a);
            }));
}

class HalfForms : public LevelTest {};

TEST_P(HalfForms, Arithmetic) {
  Machine machine(level());
  TestArithmetic<F16>(machine, level());
  TestArithmetic<F16x2>(machine, level());
  TestArithmetic<BF16>(machine, level());
  TestArithmetic<BF16x2>(machine, level());
}

// Products in the middle between two numbers, with an addend that is too small for double precision to hold the sum.
TEST_P(HalfForms, ProductsNearTies) {
  Machine machine(level());
  const auto fused = [](BF16 a, BF16 b, BF16 c) { return Computed({false, Clamp::kNone}, mpfr_fma, a, b, c); };
  RunValues(machine, level(),
            Exact(
                "", [=](BF16 c) { return fused({0x3f81}, {0x3fc0}, c); }, "@G fma.rn.bf16 $0, 0x3f81, 0x3fc0, $1;"));
  RunValues(machine, level(),
            Exact(
                "", [=](BF16 c) { return fused({0xbf81}, {0x3fc0}, c); }, "@G fma.rn.bf16 $0, 0xbf81, 0x3fc0, $1;"));
}

// Spellings that mean one of the forms above, registers declared by their format, and a pair taken apart.
TEST_P(HalfForms, Synonyms) {
  Machine machine(level());
  const Modifiers none{false, Clamp::kNone};
  const auto run = [&](const std::string& text, auto reference) {
    RunValues(machine, level(), Exact("", reference, text));
  };
  run("@G add.f16 $0, $1, $2;", [=](F16 a, F16 b) { return Computed(none, mpfr_add, a, b); });
  run("@G sub.bf16 $0, $1, $2;", [=](BF16 a, BF16 b) { return Computed(none, mpfr_sub, a, b); });
  run("@G mul.ftz.sat.f16 $0, $1, $2;", [](F16 a, F16 b) { return Product({true, Clamp::kSat}, a, b); });
  run("@G mul.bf16x2 $0, $1, $2;",
      [=](BF16x2 a, BF16x2 b) { return Both([=](BF16 x, BF16 y) { return Computed(none, mpfr_mul, x, y); }, a, b); });
  run("{ .reg .f16 %q<2>; mov.b16 %q0, $1; add.f16 %q1, %q0, %q0; mov.b16 $0, %q1; }",
      [=](F16 a) { return Computed(none, mpfr_add, a, a); });
  run("{ .reg .f16x2 %q; .reg .f16 %low, %high; mov.b32 %q, $1; add.f16x2 %q, %q, %q; mov.b32 {%low, %high}, %q;\n"
      "mul.f16 $0, %low, %high; }",
      [=](F16x2 a) {
        const auto twice = [=](F16 x) { return Computed(none, mpfr_add, x, x); };
        return Computed(none, mpfr_mul, twice(a.low()), twice(a.high()));
      });
}

TEST_P(HalfForms, Extremes) {
  Machine machine(level());
  for (const bool ftz : {false, true}) {
    TestExtremes<F16>(machine, level(), ftz);
    TestExtremes<F16x2>(machine, level(), ftz);
  }
  TestExtremes<BF16>(machine, level(), false);
  TestExtremes<BF16x2>(machine, level(), false);
}

TEST_P(HalfForms, Signs) {
  Machine machine(level());
  for (const bool ftz : {false, true}) {
    TestSigns<F16>(machine, level(), ftz);
    TestSigns<F16x2>(machine, level(), ftz);
  }
  TestSigns<BF16>(machine, level(), false);
  TestSigns<BF16x2>(machine, level(), false);
}

using Unary = int (*)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t);

// Whether `got` is the function's value at `a` but for the error that the ISA allows, absolute or relative, or for the
// rounding of a subnormal result. Zeros, infinities and NaN must be those of the function.
template <class H>
bool IsNear(H a, H got, Unary function, double absolute, double relative) {
  Number exact(60);
  function(exact, Number::Of(a.Value()), MPFR_RNDN);
  const double wanted = mpfr_get_d(exact, MPFR_RNDN);
  if (std::isnan(wanted) || std::isinf(wanted) || wanted == 0) return got.bits == H::Of(wanted).bits;
  const double past_highest = std::ldexp(1.0, H::kMaxExponent);
  if (std::fabs(wanted) >= past_highest) return got.bits == H::Of(std::copysign(HUGE_VAL, wanted)).bits;
  const double smallest = std::ldexp(1.0, H::kMinExponent - H::kDigits);
  const double allowed = std::max(absolute + relative * std::fabs(wanted), smallest / 2);
  const double value = std::isinf(got.Value()) ? std::copysign(past_highest, got.Value()) : got.Value();
  return std::fabs(value - wanted) <= allowed;
}

// All operands of one half, or pairs of some. `ftz`: subnormal operands count as zeros, and subnormal results are
// zeros.
template <class V, class H>
void TestApproximate(Machine& machine, int level, const std::string& name, bool ftz, Unary function, double absolute,
                     double relative) {
  const double smallest_normal = std::ldexp(1.0, H::kMinExponent - 1);
  const auto is_near = [=](H a, H got) {
    if (ftz && got.bits == 0) return IsNear(Flushed(a), got, function, smallest_normal, 0);
    if (ftz && (got.bits & H::kInfinity) == 0) return false;
    return IsNear(Flushed(a, ftz), got, function, absolute, relative);
  };
  ValueCase value_case = Exact(name + NameOf<V>(), [](V a) { return a; });
  value_case.expect = nullptr;
  value_case.accept = [=](const uint64_t* source, const uint64_t* got) {
    const V a = FromBits<V>(*source), result = FromBits<V>(*got);
    if constexpr (kIsPacked<V>) {
      return is_near(a.low(), result.low()) && is_near(a.high(), result.high());
    } else {
      return is_near(a, result);
    }
  };
  if (!kIsPacked<V>) value_case.inputs = 1 << 16;
  RunValues(machine, level, value_case);
}

TEST_P(HalfForms, Approximate) {
  Machine machine(level());
  const double none = 0;
  const double f16_tanh = std::ldexp(1.0, -11) * 1.0090511720867;    // 2^-10.987
  const double f16_ex2 = std::ldexp(1.0, -10) * 1.0717734625362931;  // 2^-9.9
  const double bf16_tanh = std::ldexp(1.0, -8), bf16_ex2 = std::ldexp(1.0, -7);
  TestApproximate<F16, F16>(machine, level(), "tanh.approx.", false, mpfr_tanh, f16_tanh, none);
  TestApproximate<F16x2, F16>(machine, level(), "tanh.approx.", false, mpfr_tanh, f16_tanh, none);
  TestApproximate<BF16, BF16>(machine, level(), "tanh.approx.", false, mpfr_tanh, bf16_tanh, none);
  TestApproximate<BF16x2, BF16>(machine, level(), "tanh.approx.", false, mpfr_tanh, bf16_tanh, none);
  TestApproximate<F16, F16>(machine, level(), "ex2.approx.", false, mpfr_exp2, none, f16_ex2);
  TestApproximate<F16x2, F16>(machine, level(), "ex2.approx.", false, mpfr_exp2, none, f16_ex2);
  TestApproximate<BF16, BF16>(machine, level(), "ex2.approx.ftz.", true, mpfr_exp2, none, bf16_ex2);
  TestApproximate<BF16x2, BF16>(machine, level(), "ex2.approx.ftz.", true, mpfr_exp2, none, bf16_ex2);
}

INSTANTIATE_TEST_SUITE_P(Levels, HalfForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
