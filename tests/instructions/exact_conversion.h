#pragma once

#include "tests/instructions/exact_float.h"
#include "tests/instructions/values.h"

// What conversions to integers and to whole numbers give (PTX ISA, section 9.7.9.21, cvt).

namespace outboard::softgpu::testing {

using Wide = __int128;

template <class T>
constexpr Wide Lowest() {
  return std::is_signed_v<T> ? -(Wide{1} << (8 * sizeof(T) - 1)) : 0;
}
template <class T>
constexpr Wide Highest() {
  return (Wide{1} << (8 * sizeof(T) - (std::is_signed_v<T> ? 1 : 0))) - 1;
}
template <class T>
T Clamped(Wide value) {
  return static_cast<T>(value < Lowest<T>() ? Lowest<T>() : value > Highest<T>() ? Highest<T>() : value);
}

// A register of 32 bits takes narrower results, extended by their own sign.
template <class T>
using InRegister = std::conditional_t<(sizeof(T) < 4), std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>, T>;
template <class T>
InRegister<T> Extended(T value) {
  return value;
}

// The whole number next to a finite value.
template <class T>
Number Whole(T a, mpfr_rnd_t mode) {
  Number whole(std::numeric_limits<double>::digits);
  mpfr_rint(whole, Number::Of(a), mode);
  return whole;
}

template <class D, class T>
InRegister<D> ToInteger(T a, mpfr_rnd_t mode) {
  if (std::isnan(a)) {
    // Zero, except that conversions from f64 and to 64 bits give the number that has only its top bit set.
    const bool is_zero = sizeof(T) == 4 && sizeof(D) < 8;
    return Extended(static_cast<D>(is_zero ? 0 : uint64_t{1} << (8 * sizeof(D) - 1)));
  }
  if (std::isinf(a)) return Extended(static_cast<D>(a < 0 ? Lowest<D>() : Highest<D>()));
  const Number whole = Whole(a, mode);
  mpfr_srcptr value = whole;
  if (mpfr_cmp_d(value, 0x1p65) > 0) return Extended(static_cast<D>(Highest<D>()));
  if (mpfr_cmp_d(value, -0x1p65) < 0) return Extended(static_cast<D>(Lowest<D>()));
  // Exact: a 53-bit integer times a power of two below 2^66.
  const double whole_double = mpfr_get_d(value, MPFR_RNDN);
  return Extended(Clamped<D>(static_cast<Wide>(whole_double)));
}

template <class T>
T Integral(T a, mpfr_rnd_t mode) {
  if (!std::isfinite(a)) return a;
  return std::copysign(static_cast<T>(mpfr_get_d(Whole(a, mode), MPFR_RNDN)), a);
}

}  // namespace outboard::softgpu::testing
