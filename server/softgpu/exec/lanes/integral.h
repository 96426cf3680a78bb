#pragma once

#include "server/softgpu/exec/lanes/float_ops.h"

// Floating-point values as whole numbers (PTX ISA, section 9.7.9, cvt's notes).

namespace outboard::softgpu {
namespace {

template <class T>
inline constexpr T kLowest = std::is_signed_v<T> ? static_cast<T>(std::make_unsigned_t<T>{1} << (8 * sizeof(T) - 1))
                                                 : T{0};
template <class T>
inline constexpr T kHighest = static_cast<T>(~kLowest<T>);

// `whole` is integral or not finite. Out of range clamps; NaN is 0, but the top bit alone when f64 or 64 bits are
// involved (cvt's notes).
template <class D, class T>
inline D ToInteger(T whole) {
  constexpr T kPastHighest = static_cast<T>(kHighest<D> / 2 + 1) * T{2};
  constexpr bool kNanIsZero = sizeof(T) == 4 && sizeof(D) < 8;
  if (whole != whole) return kNanIsZero ? D{0} : static_cast<D>(u64{1} << (8 * sizeof(D) - 1));
  if (whole >= kPastHighest) return kHighest<D>;
  if (whole <= static_cast<T>(kLowest<D>)) return kLowest<D>;
  return static_cast<D>(whole);
}

enum class Integral { kNearest, kZero, kDown, kUp };

template <Integral kMode>
inline f32 Rounded(f32 a) {
  if constexpr (kMode == Integral::kNearest) return __builtin_rintf(a);
  if constexpr (kMode == Integral::kZero) return __builtin_truncf(a);
  if constexpr (kMode == Integral::kDown) return __builtin_floorf(a);
  return __builtin_ceilf(a);
}
template <Integral kMode>
inline f64 Rounded(f64 a) {
  if constexpr (kMode == Integral::kNearest) return __builtin_rint(a);
  if constexpr (kMode == Integral::kZero) return __builtin_trunc(a);
  if constexpr (kMode == Integral::kDown) return __builtin_floor(a);
  return __builtin_ceil(a);
}

}  // namespace
}  // namespace outboard::softgpu
