// Approximate functions, within the errors that the PTX ISA states for each (section 9.7.3), against MPFR; and the
// results it prescribes for zeros, infinities, NaN and subnormal numbers.

#include "tests/instructions/exact_float.h"
#include "tests/instructions/values.h"

namespace outboard::softgpu::testing {
namespace {

constexpr mpfr_prec_t kPrecision = 200;
using Unary = int (*)(mpfr_ptr, mpfr_srcptr, mpfr_rnd_t);

int Reciprocal(mpfr_ptr result, mpfr_srcptr a, mpfr_rnd_t mode) { return mpfr_ui_div(result, 1, a, mode); }

// MPFR's reciprocal root of -0 is +infinity.
int ReciprocalRoot(mpfr_ptr result, mpfr_srcptr a, mpfr_rnd_t mode) {
  const bool is_negative_zero = mpfr_zero_p(a) && mpfr_signbit(a);
  const int ternary = mpfr_rec_sqrt(result, a, mode);
  if (is_negative_zero) mpfr_set_inf(result, -1);
  return ternary;
}

// What a result may be off by: `absolute`, or `relative` to the exact value, or `ulps` of the format at the exact
// value.
struct Bound {
  double absolute = 0, relative = 0, ulps = 0;
};

template <class T>
bool SameOrNan(T got, T wanted) {
  return std::isnan(wanted) ? std::isnan(got) : ToBits(got) == ToBits(wanted);
}

// |got - exact| is within the bound; a value past the format's range may also be the infinity, or with `ftz` a zero,
// that it rounds to.
template <class T>
bool IsWithin(T got, mpfr_srcptr exact, const Bound& bound, bool ftz) {
  const T nearest = Rounded<T>(MPFR_RNDN, [&](mpfr_ptr r, mpfr_rnd_t mode) { return mpfr_set(r, exact, mode); });
  if (SameOrNan(got, nearest) || SameOrNan(got, Flushed(nearest, ftz))) return true;
  if (std::isnan(got) || std::isnan(nearest) || std::isinf(nearest)) return false;
  if (ftz && IsSubnormal(got)) return false;
  if (std::isinf(got)) return std::fabs(nearest) == std::numeric_limits<T>::max() && bound.ulps >= 1;
  // A flushed zero where the exact value is at the border of the subnormal numbers.
  if (ftz && got == 0) return std::fabs(nearest) <= std::numeric_limits<T>::min();
  Number error(kPrecision), allowed(kPrecision), term(kPrecision);
  mpfr_sub(error, Number::Of(got), exact, MPFR_RNDN);
  mpfr_abs(error, error, MPFR_RNDN);
  mpfr_abs(allowed, exact, MPFR_RNDN);
  mpfr_mul_d(allowed, allowed, bound.relative, MPFR_RNDU);
  mpfr_add_d(allowed, allowed, bound.absolute, MPFR_RNDU);
  const T magnitude = std::max(std::fabs(nearest), std::numeric_limits<T>::min());
  const double ulp = std::ldexp(1.0, std::ilogb(magnitude) - std::numeric_limits<T>::digits + 1);
  mpfr_set_d(term, ulp, MPFR_RNDN);
  mpfr_mul_d(term, term, bound.ulps, MPFR_RNDU);
  mpfr_add(allowed, allowed, term, MPFR_RNDU);
  // A bound relative to a subnormal result is finer than its format; half a unit is what rounding takes.
  if (bound.relative > 0 && IsSubnormal(nearest))
    mpfr_add_d(allowed, allowed, static_cast<double>(std::numeric_limits<T>::denorm_min()) / 2, MPFR_RNDU);
  return mpfr_cmp(error, allowed) <= 0;
}

// Forms of one f32 operand. `bound`(a) may depend on the operand; without value nothing is promised there but a number.
template <class BoundOf>
void TestUnary(Machine& machine, int level, const std::string& name, Unary function, BoundOf bound) {
  for (const bool ftz : {false, true}) {
    RunValues(machine, level, Near1<float>(name + (ftz ? ".ftz.f32" : ".f32"), [=](float a, float got) {
                const float operand = Flushed(a, ftz);
                Number exact(kPrecision);
                function(exact, Number::Of(operand), MPFR_RNDN);
                if (mpfr_nan_p(static_cast<mpfr_srcptr>(exact))) return std::isnan(got);
                // Zeros and infinities are prescribed, with their signs.
                if (mpfr_zero_p(static_cast<mpfr_srcptr>(exact)) || mpfr_inf_p(static_cast<mpfr_srcptr>(exact)) ||
                    operand == 0) {
                  return ToBits(got) == ToBits(static_cast<float>(mpfr_get_flt(exact, MPFR_RNDN)));
                }
                const std::optional<Bound> allowed = bound(operand);
                return allowed ? IsWithin(got, exact, *allowed, ftz) : std::isfinite(got);
              }));
  }
}

std::optional<Bound> SineBound(float a) {
  constexpr double kPi = 3.14159265358979;
  if (std::fabs(a) <= 2 * kPi) return Bound{.absolute = std::ldexp(1.0, -20) * 0.7071067811865475};    // 2^-20.5
  if (std::fabs(a) <= 100 * kPi) return Bound{.absolute = std::ldexp(1.0, -14) * 0.6155722066724582};  // 2^-14.7
  return std::nullopt;
}

class ApproximateForms : public LevelTest {};

TEST_P(ApproximateForms, OneOperand) {
  Machine machine(level());
  const auto ulps = [](double count) { return [count](float) { return std::optional(Bound{.ulps = count}); }; };
  const auto relative = [](double error) { return [error](float) { return std::optional(Bound{.relative = error}); }; };
  TestUnary(machine, level(), "ex2.approx", mpfr_exp2, ulps(2));
  TestUnary(machine, level(), "lg2.approx", mpfr_log2, [](float a) {
    return std::optional(a > 0.5f && a < 2 ? Bound{.absolute = std::ldexp(1.0, -22)}
                                           : Bound{.relative = std::ldexp(1.0, -22)});
  });
  TestUnary(machine, level(), "sin.approx", mpfr_sin, SineBound);
  TestUnary(machine, level(), "cos.approx", mpfr_cos, SineBound);
  TestUnary(machine, level(), "rcp.approx", Reciprocal, ulps(1));
  TestUnary(machine, level(), "sqrt.approx", mpfr_sqrt, relative(std::ldexp(1.0, -23)));
  TestUnary(machine, level(), "rsqrt.approx", ReciprocalRoot,
            relative(std::ldexp(1.0, -23) * 1.0717734625362931));  // 2^-22.9
}

// A dense sweep of the range in which sine and cosine are used, as random bits seldom lie there.
TEST_P(ApproximateForms, SineSweep) {
  Machine machine(level());
  for (const float factor : {1.0f, 16.0f, 256.0f, 800.0f}) {
    ValueCase value_case = Exact("", [](uint32_t) { return std::tuple(0.0f, 0.0f, 0.0f); });
    char bits[16];
    std::snprintf(bits, sizeof bits, "0f%08x", std::bit_cast<uint32_t>(factor));
    // 2^32 inputs onto -0.2 .. 0.2, times the factor.
    value_case.text = "cvt.rn.f32.s32 $2, $3; mul.f32 $2, $2, 0f2ec90fdb; mul.f32 $2, $2, " + std::string(bits) +
                      ";\nsin.approx.f32 $0, $2; cos.approx.f32 $1, $2;";
    value_case.expect = nullptr;
    value_case.accept = [](const uint64_t*, const uint64_t* got) {
      const float angle = FromBits<float>(got[2]);
      const std::optional<Bound> bound = SineBound(angle);
      Number sine(kPrecision), cosine(kPrecision);
      mpfr_sin_cos(sine, cosine, Number::Of(angle), MPFR_RNDN);
      if (!bound) return std::isfinite(angle);
      return IsWithin(FromBits<float>(got[0]), sine, *bound, false) &&
             IsWithin(FromBits<float>(got[1]), cosine, *bound, false);
    };
    RunValues(machine, level(), value_case);
  }
}

TEST_P(ApproximateForms, HyperbolicTangent) {
  Machine machine(level());
  RunValues(machine, level(), Near1<float>("tanh.approx.f32", [](float a, float got) {
              if (std::isnan(a)) return std::isnan(got);
              if (a == 0) return ToBits(got) == ToBits(a);
              if (std::isinf(a)) return got == std::copysign(1.0f, a);
              Number exact(kPrecision);
              mpfr_tanh(exact, Number::Of(a), MPFR_RNDN);
              return IsWithin(got, exact, Bound{.relative = std::ldexp(1.0, -11)}, false);
            }));
}

TEST_P(ApproximateForms, Division) {
  Machine machine(level());
  for (const bool ftz : {false, true}) {
    for (const bool full : {false, true}) {
      const std::string form = std::string("div.") + (full ? "full" : "approx") + (ftz ? ".ftz.f32" : ".f32");
      RunValues(machine, level(), Near2<float>(form, [=](float first, float second, float got) {
                  const float a = Flushed(first, ftz), b = Flushed(second, ftz);
                  Number exact(kPrecision);
                  mpfr_div(exact, Number::Of(a), Number::Of(b), MPFR_RNDN);
                  if (mpfr_nan_p(static_cast<mpfr_srcptr>(exact))) return std::isnan(got);
                  if (b == 0 || std::isinf(b)) return ToBits(got) == ToBits(mpfr_get_flt(exact, MPFR_RNDN));
                  if (!full && std::fabs(b) > 0x1p126f) {
                    // 2^126 < |b| < 2^128: NaN for an infinite a, else a zero of the quotient's sign.
                    return std::isinf(a) ? std::isnan(got)
                                         : got == 0 && std::signbit(got) == (std::signbit(a) != std::signbit(b));
                  }
                  if (!full && std::fabs(b) < 0x1p-126f) return true;  // no bound is stated
                  return IsWithin(got, exact, Bound{.ulps = 2}, ftz);
                }));
    }
  }
}

// The double-precision forms that look at the upper word of the operand only.
void TestUpperWord(Machine& machine, int level, const std::string& form, Unary function) {
  RunValues(machine, level, Near1<double>(form, [function](double a, double got) {
              const double operand = Flushed(FromBits<double>(ToBits(a) & 0xffffffff00000000));
              if (std::isnan(operand)) return ToBits(got) == 0x7fffffff00000000;
              Number exact(kPrecision);
              function(exact, Number::Of(operand), MPFR_RNDN);
              if (mpfr_nan_p(static_cast<mpfr_srcptr>(exact))) return std::isnan(got);
              const double nearest = mpfr_get_d(exact, MPFR_RNDN);
              if (operand == 0 || std::isinf(operand)) return ToBits(got) == ToBits(nearest);
              // The format of the result has 20 fraction bits.
              return (ToBits(got) & 0xffffffff) == 0 &&
                     IsWithin(got, exact, Bound{.relative = std::ldexp(1.0, -19)}, true);
            }));
}

TEST_P(ApproximateForms, DoublePrecision) {
  Machine machine(level());
  TestUpperWord(machine, level(), "rcp.approx.ftz.f64", Reciprocal);
  TestUpperWord(machine, level(), "rsqrt.approx.ftz.f64", ReciprocalRoot);
  RunValues(machine, level(), Near1<double>("rsqrt.approx.f64", [](double a, double got) {
              Number exact(kPrecision);
              ReciprocalRoot(exact, Number::Of(a), MPFR_RNDN);
              if (mpfr_nan_p(static_cast<mpfr_srcptr>(exact))) return std::isnan(got);
              return IsWithin(got, exact, Bound{.ulps = 2},
                              false);  // the ISA states no figure; CUDA's guide says 1 ulp for rsqrt()
            }));
}

INSTANTIATE_TEST_SUITE_P(Levels, ApproximateForms, ::testing::ValuesIn(Levels()), LevelName);

}  // namespace
}  // namespace outboard::softgpu::testing
