#pragma once

#include <mpfr.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "tests/instructions/short_float.h"

// Floating-point results computed apart from the CPU's own arithmetic: by GNU MPFR, rounded once to the format's
// precision and range.

namespace outboard::softgpu::testing {

// An MPFR number of wide range. Not copyable.
class Number {
 public:
  explicit Number(mpfr_prec_t precision) { mpfr_init2(value_, precision); }
  template <class T>
  static Number Of(T value) {
    Number number(std::is_floating_point_v<T> ? std::numeric_limits<double>::digits : 64);
    if constexpr (std::is_same_v<T, float>)
      mpfr_set_flt(number.value_, value, MPFR_RNDN);
    else if constexpr (std::is_same_v<T, double>)
      mpfr_set_d(number.value_, value, MPFR_RNDN);
    else if constexpr (std::is_signed_v<T>)
      mpfr_set_si(number.value_, value, MPFR_RNDN);
    else
      mpfr_set_ui(number.value_, value, MPFR_RNDN);
    return number;
  }
  Number(Number&& other) noexcept {
    mpfr_init2(value_, mpfr_get_prec(other.value_));
    mpfr_swap(value_, other.value_);
  }
  Number& operator=(Number&&) = delete;
  ~Number() { mpfr_clear(value_); }

  operator mpfr_ptr() { return value_; }           // NOLINT(google-explicit-constructor)
  operator mpfr_srcptr() const { return value_; }  // NOLINT(google-explicit-constructor)

 private:
  mpfr_t value_;
};

// mpfr_set is a macro that reads its operand twice.
inline int Set(mpfr_ptr result, const Number& value, mpfr_rnd_t mode) {
  mpfr_srcptr source = value;
  return mpfr_set(result, source, mode);
}

// A format's significand and range, as in std::numeric_limits.
struct Precision {
  int digits, min_exponent, max_exponent;
};
template <class T>
inline constexpr Precision kPrecision = {std::numeric_limits<T>::digits, std::numeric_limits<T>::min_exponent,
                                         std::numeric_limits<T>::max_exponent};
template <int kExponent, int kFraction>
inline constexpr Precision kPrecision<ShortFloat<kExponent, kFraction>> = {
    ShortFloat<kExponent, kFraction>::kDigits, ShortFloat<kExponent, kFraction>::kMinExponent,
    ShortFloat<kExponent, kFraction>::kMaxExponent};

// `operation`(result, mode) computes into a number of the format's precision and returns MPFR's ternary value; the
// result is then fitted to the format's range, subnormal numbers included, as if rounded once.
template <class Operation>
double RoundedTo(const Precision& format, mpfr_rnd_t mode, Operation operation) {
  Number result(format.digits);
  int ternary = operation(static_cast<mpfr_ptr>(result), mode);
  const mpfr_exp_t lowest = mpfr_get_emin(), highest = mpfr_get_emax();
  // MPFR's significands are in [1/2, 1).
  mpfr_set_emin(format.min_exponent - format.digits + 1);
  mpfr_set_emax(format.max_exponent);
  ternary = mpfr_check_range(result, ternary, mode);
  mpfr_subnormalize(result, ternary, mode);
  const double value = mpfr_get_d(result, MPFR_RNDN);
  mpfr_set_emin(lowest);
  mpfr_set_emax(highest);
  return value;
}

template <class T, class Operation>
T Rounded(mpfr_rnd_t mode, Operation operation) {
  const double value = RoundedTo(kPrecision<T>, mode, operation);
  if constexpr (kIsShort<T>) {
    return T::Of(value);
  } else {
    return static_cast<T>(value);
  }
}

template <class T>
bool IsSubnormal(T value) {
  return value != 0 && std::fabs(value) < std::numeric_limits<T>::min();
}
template <class T>
T Flushed(T value, bool flush = true) {
  if constexpr (kIsShort<T>) {
    return flush && (value.bits & T::kInfinity) == 0 ? T{value.bits & T::kSign} : value;
  } else {
    return flush && IsSubnormal(value) ? std::copysign(T{0}, value) : value;
  }
}
// Whether the product of two values is so small that .ftz makes it zero before it is rounded, as hardware does. `exact`:
// the product.
template <class T>
bool IsFlushedProduct(double exact) {
  return exact != 0 && std::fabs(exact) < std::ldexp(1.0, kPrecision<T>.min_exponent - 1);
}
// Clamped to [0, 1], NaN to +0.
template <class T>
T Saturated(T value, bool saturate = true) {
  if (!saturate) return value;
  if (!(value > 0)) return T{0};
  return value < 1 ? value : T{1};
}

// The rounding modifiers of PTX and what they mean.
struct RoundingMode {
  const char* name;  // "rn"
  mpfr_rnd_t mode;
};
inline constexpr RoundingMode kRoundingModes[] = {
    {"rn", MPFR_RNDN}, {"rz", MPFR_RNDZ}, {"rm", MPFR_RNDD}, {"rp", MPFR_RNDU}};

}  // namespace outboard::softgpu::testing
