// Floating-point arithmetic with IEEE rounding (PTX ISA, section 9.7.3), against MPFR.

#include <xmmintrin.h>

#include "tests/instructions/exact_float.h"
#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

// The modifiers that go between the rounding and the type. Only f32 has them.
struct Modifiers {
  bool ftz, sat;
  std::string Text() const { return std::string(ftz ? ".ftz" : "") + (sat ? ".sat" : ""); }
};
template <class T>
std::vector<Modifiers> ModifiersOf(bool with_sat) {
  if (sizeof(T) == 8) return {{false, false}};
  if (!with_sat) return {{false, false}, {true, false}};
  return {{false, false}, {true, false}, {false, true}, {true, true}};
}

// Calls operation(result, numbers of the flushed operands..., mode) exactly and applies the modifiers.
template <class T, class Operation, class... A>
T Computed(mpfr_rnd_t mode, Modifiers modifiers, Operation operation, A... operands) {
  const auto rounded = [&](const auto&... numbers) {
    return Rounded<T>(mode, [&](mpfr_ptr result, mpfr_rnd_t rounding) {
      return operation(result, static_cast<mpfr_srcptr>(numbers)..., rounding);
    });
  };
  const T value = rounded(Number::Of(Flushed(operands, modifiers.ftz))...);
  return Saturated(Flushed(value, modifiers.ftz), modifiers.sat);
}

template <class T>
void TestArithmetic(Machine& machine, int level, const RoundingMode& rounding) {
  for (const Modifiers modifiers : ModifiersOf<T>(true)) {
    const mpfr_rnd_t mode = rounding.mode;
    const std::string suffix = std::string(".") + rounding.name + modifiers.Text() + "." + NameOf<T>();
    const auto run = [&](const char* operation, auto reference) {
      RunValues(machine, level, Exact(operation + suffix, reference));
    };
    run("add", [=](T a, T b) { return Computed<T>(mode, modifiers, mpfr_add, a, b); });
    run("sub", [=](T a, T b) { return Computed<T>(mode, modifiers, mpfr_sub, a, b); });
    run("mul", [=](T a, T b) {
      if (const double exact = double{Flushed(a)} * double{Flushed(b)}; modifiers.ftz && IsFlushedProduct<T>(exact)) {
        return Saturated(static_cast<T>(std::copysign(0.0, exact)), modifiers.sat);
      }
      return Computed<T>(mode, modifiers, mpfr_mul, a, b);
    });
    run("fma", [=](T a, T b, T c) { return Computed<T>(mode, modifiers, mpfr_fma, a, b, c); });
  }
}

template <class T>
void TestDivision(Machine& machine, int level, const RoundingMode& rounding) {
  for (const Modifiers modifiers : ModifiersOf<T>(false)) {
    const mpfr_rnd_t mode = rounding.mode;
    const std::string suffix = std::string(".") + rounding.name + modifiers.Text() + "." + NameOf<T>();
    const auto run = [&](const char* operation, auto reference) {
      RunValues(machine, level, Exact(operation + suffix, reference));
    };
    run("div", [=](T a, T b) { return Computed<T>(mode, modifiers, mpfr_div, a, b); });
    run("rcp", [=](T a) {
      return Computed<T>(
          mode, modifiers, [](mpfr_ptr r, mpfr_srcptr x, mpfr_rnd_t m) { return mpfr_ui_div(r, 1, x, m); }, a);
    });
    run("sqrt", [=](T a) { return Computed<T>(mode, modifiers, mpfr_sqrt, a); });
  }
}

// The order of min and max: -0 before +0. `nan_wins`: .NaN, which makes any NaN operand the canonical NaN.
template <class T>
Expectation Extreme(T a, T b, bool max, bool nan_wins) {
  const auto nan = [&] { return Expectation{Expectation::kBits, sizeof(T) == 4 ? 0x7fffffffu : 0x7fffffffffffffffu}; };
  if (std::isnan(a) && std::isnan(b)) return sizeof(T) == 4 ? nan() : Expectation{Expectation::kAnyNan, 0};
  if (std::isnan(a) || std::isnan(b)) return nan_wins ? nan() : ExpectationOf(std::isnan(a) ? b : a);
  const bool a_first = a < b || (a == b && std::signbit(a));
  return ExpectationOf(a_first != max ? a : b);
}

template <class T>
ValueCase ExtremeCase(bool max, bool ftz, bool nan_wins) {
  const std::string form =
      std::string(max ? "max" : "min") + (ftz ? ".ftz" : "") + (nan_wins ? ".NaN." : ".") + NameOf<T>();
  ValueCase value_case = Exact(form, [](T a, T) { return a; });
  value_case.expect = [=](const uint64_t* in, Expectation* out) {
    *out = Extreme(Flushed(FromBits<T>(in[0]), ftz), Flushed(FromBits<T>(in[1]), ftz), max, nan_wins);
  };
  return value_case;
}

// .xorsign.abs: of the magnitudes, with the product's sign unless it is NaN.
ValueCase SignedExtremeCase(bool max, bool ftz, bool nan_wins) {
  const std::string form = std::string(max ? "max" : "min") + (ftz ? ".ftz" : "") + (nan_wins ? ".NaN" : "");
  ValueCase value_case = Exact(form + ".xorsign.abs.f32", [](float a, float) { return a; });
  value_case.expect = [=](const uint64_t* in, Expectation* out) {
    const float a = Flushed(FromBits<float>(in[0]), ftz), b = Flushed(FromBits<float>(in[1]), ftz);
    *out = Extreme(std::fabs(a), std::fabs(b), max, nan_wins);
    if (out->bits <= 0x7f800000) out->bits |= (in[0] ^ in[1]) & 0x80000000;
  };
  return value_case;
}

template <class T>
void TestTests(Machine& machine, int level) {
  const auto run = [&](const char* property, auto reference) {
    RunValues(machine, level, Exact(std::string("testp.") + property + "." + NameOf<T>(), reference));
  };
  run("finite", [](T a) { return !std::isnan(a) && !std::isinf(a); });
  run("infinite", [](T a) { return std::isinf(a); });
  run("number", [](T a) { return !std::isnan(a); });
  run("notanumber", [](T a) { return std::isnan(a); });
  // "As a special case, positive and negative zero are considered normal numbers."
  run("normal", [](T a) { return std::isnormal(a) || a == 0; });
  run("subnormal", [](T a) { return IsSubnormal(a); });
}

template <class T>
T Negated(T a) {
  return std::copysign(a, std::signbit(a) ? T{1} : T{-1});
}

template <class T>
void TestSigns(Machine& machine, int level, bool ftz) {
  const std::string suffix = std::string(ftz ? ".ftz." : ".") + NameOf<T>();
  RunValues(machine, level, Exact("abs" + suffix, [=](T a) { return std::fabs(Flushed(a, ftz)); }));
  RunValues(machine, level, Exact("neg" + suffix, [=](T a) { return Negated(Flushed(a, ftz)); }));
}

// All bits count here, those of a NaN too.
template <class T>
void TestCopySign(Machine& machine, int level) {
  ValueCase value_case = Exact("copysign." + NameOf<T>(), [](T, T b) { return b; });
  value_case.expect = [](const uint64_t* in, Expectation* out) {
    const uint64_t sign = uint64_t{1} << (8 * sizeof(T) - 1);
    *out = {Expectation::kBits, (in[0] & sign) | (in[1] & ~sign)};
  };
  RunValues(machine, level, value_case);
}

class FloatForms : public LevelTest {};

TEST_P(FloatForms, Arithmetic) {
  Machine machine(level());
  for (const RoundingMode& rounding : kRoundingModes) {
    TestArithmetic<float>(machine, level(), rounding);
    TestArithmetic<double>(machine, level(), rounding);
  }
}

TEST_P(FloatForms, DivisionAndRoots) {
  Machine machine(level());
  for (const RoundingMode& rounding : kRoundingModes) {
    TestDivision<float>(machine, level(), rounding);
    TestDivision<double>(machine, level(), rounding);
  }
}

// Spellings that mean one of the forms above.
TEST_P(FloatForms, Synonyms) {
  Machine machine(level());
  const Modifiers none{false, false}, ftz{true, false}, sat{false, true};
  const auto run = [&](const std::string& text, auto reference) {
    RunValues(machine, level(), Exact("", reference, "@G " + text));
  };
  run("add.f32 $0, $1, $2;", [=](float a, float b) { return Computed<float>(MPFR_RNDN, none, mpfr_add, a, b); });
  run("sub.ftz.f32 $0, $1, $2;", [=](float a, float b) { return Computed<float>(MPFR_RNDN, ftz, mpfr_sub, a, b); });
  run("mul.sat.f32 $0, $1, $2;", [=](float a, float b) { return Computed<float>(MPFR_RNDN, sat, mpfr_mul, a, b); });
  run("mul.f64 $0, $1, $2;", [=](double a, double b) { return Computed<double>(MPFR_RNDN, none, mpfr_mul, a, b); });
  run("mad.rz.f32 $0, $1, $2, $3;",
      [=](float a, float b, float c) { return Computed<float>(MPFR_RNDZ, none, mpfr_fma, a, b, c); });
  run("mad.rp.f64 $0, $1, $2, $3;",
      [=](double a, double b, double c) { return Computed<double>(MPFR_RNDU, none, mpfr_fma, a, b, c); });
  run("add.f32 $0, $1, 0f3f800000;", [=](float a) { return Computed<float>(MPFR_RNDN, none, mpfr_add, a, 1.0f); });
  run("add.f64 $0, $1, 0d3ff8000000000000;",
      [=](double a) { return Computed<double>(MPFR_RNDN, none, mpfr_add, a, 1.5); });
  run("mul.f32 $0, $1, 0.1;", [=](float a) { return Computed<float>(MPFR_RNDN, none, mpfr_mul, a, 0.1f); });
}

TEST_P(FloatForms, Extremes) {
  Machine machine(level());
  for (const bool max : {false, true}) {
    for (const bool ftz : {false, true}) {
      for (const bool nan_wins : {false, true}) {
        RunValues(machine, level(), ExtremeCase<float>(max, ftz, nan_wins));
        RunValues(machine, level(), SignedExtremeCase(max, ftz, nan_wins));
      }
    }
    RunValues(machine, level(), ExtremeCase<double>(max, false, false));
  }
}

TEST_P(FloatForms, SignsAndTests) {
  Machine machine(level());
  TestSigns<float>(machine, level(), false);
  TestSigns<float>(machine, level(), true);
  TestSigns<double>(machine, level(), false);
  TestCopySign<float>(machine, level());
  TestCopySign<double>(machine, level());
  TestTests<float>(machine, level());
  TestTests<double>(machine, level());
}

// What a program has set for its own arithmetic does not count in kernels, on none of the engine's threads, and is as
// it was afterwards.
TEST_P(FloatForms, ModeOfTheProgram) {
  const unsigned before = _mm_getcsr();
  const unsigned mode = before | 0xe040;  // towards zero, subnormal results and operands are zeros
  _mm_setcsr(mode);
  Machine machine(level(), 4);
  bool runs = machine.Load(R"(.visible .entry test(.param .u64 data)
{
.reg .b64 %d, %o;
.reg .b32 %i, %n, %t;
.reg .f32 %half, %sum, %x;
.reg .f64 %y;
ld.param.u64 %d, [data];
mov.u32 %i, %ctaid.x;
mov.u32 %n, %ntid.x;
mov.u32 %t, %tid.x;
mad.lo.u32 %i, %i, %n, %t;
mul.wide.u32 %o, %i, 16;
add.u64 %d, %d, %o;
ld.global.f32 %half, [%d];
ld.global.f32 %x, [%d+4];
mul.f32 %sum, %x, %half;
st.global.f32 [%d], %sum;
cvt.f64.f32 %y, %half;
add.f64 %y, %y, 0d3cafffffffffffff;
cvt.rn.f32.f64 %x, %y;
add.f32 %x, %x, 0f33ffffff;
st.global.f32 [%d+4], %x;
st.global.f64 [%d+8], %y;
ret;
}
)");
  for (uint32_t i = 0; i < 256 * 32; ++i) {
    machine.Write<uint32_t>(16 * i, 0x3f000000);
    machine.Write<uint32_t>(16 * i + 4, 0x00800000);
  }
  runs = runs && machine.RunWell("test", {256}, {32}, Params().Add(kDataAddress));
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  ASSERT_TRUE(runs);
  EXPECT_EQ(after & ~0x3fu, mode & ~0x3fu);  // but for the flags of what happened
  for (uint32_t i = 0; i < 256 * 32; ++i) {
    ASSERT_EQ(machine.Read<uint32_t>(16 * i), 0x00400000u) << i;
    ASSERT_EQ(machine.Read<uint32_t>(16 * i + 4), 0x3f000002u) << i;
    ASSERT_EQ(machine.Read<uint64_t>(16 * i + 8), 0x3fe0000000000002u) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Levels, FloatForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
