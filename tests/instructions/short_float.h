#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

// Floating-point formats of 16 and fewer bits, as the references see them: a value is a double, which holds every one
// exactly.

namespace outboard::softgpu::testing {

template <int kExponent, int kFraction>
struct ShortFloat {
  // As in std::numeric_limits.
  static constexpr int kDigits = kFraction + 1;
  static constexpr int kMaxExponent = 1 << (kExponent - 1), kMinExponent = 3 - kMaxExponent;
  static constexpr uint32_t kSign = 1u << (kExponent + kFraction), kNan = kSign - 1;
  static constexpr uint32_t kInfinity = ((1u << kExponent) - 1) << kFraction;

  // Of a value that the format has; NaN gives the canonical one.
  static ShortFloat Of(double value) {
    uint32_t bits = 0;
    if (std::isnan(value)) return {kNan};
    if (std::isinf(value)) {
      bits = kInfinity;
    } else if (value != 0) {
      const int exponent = std::max(std::ilogb(value), kMinExponent - 1);
      const auto units = static_cast<uint32_t>(std::ldexp(std::fabs(value), kFraction - exponent));
      bits = (static_cast<uint32_t>(exponent - kMinExponent + 1) << kFraction) + units;
    }
    return {bits | (std::signbit(value) ? kSign : 0)};
  }
  double Value() const {
    const uint32_t magnitude = bits & kNan, fraction = magnitude & ((1u << kFraction) - 1);
    const int exponent = static_cast<int>(magnitude >> kFraction);
    double value = exponent == 0 ? std::ldexp(fraction, kMinExponent - kDigits)
                                 : std::ldexp(fraction + (1u << kFraction), exponent - 2 + kMinExponent - kFraction);
    if (magnitude == kInfinity) value = std::numeric_limits<double>::infinity();
    if (magnitude > kInfinity) value = std::numeric_limits<double>::quiet_NaN();
    return std::copysign(value, bits & kSign ? -1.0 : 1.0);
  }

  uint32_t bits;
};
using F16 = ShortFloat<5, 10>;
using BF16 = ShortFloat<8, 7>;

template <class H>
struct Packed {
  static Packed Of(H low, H high) { return {low.bits | high.bits << 16}; }
  H low() const { return {bits & 0xffff}; }
  H high() const { return {bits >> 16}; }
  uint32_t bits;
};
using F16x2 = Packed<F16>;
using BF16x2 = Packed<BF16>;

template <class T>
inline constexpr bool kIsShort = std::is_same_v<T, F16> || std::is_same_v<T, BF16>;
template <class T>
inline constexpr bool kIsPacked = std::is_same_v<T, F16x2> || std::is_same_v<T, BF16x2>;

// f(a...) of halves, or of both halves of packed values.
template <class F, class V, class... More>
V Both(F f, V a, More... more) {
  if constexpr (kIsPacked<V>) {
    return V::Of(f(a.low(), more.low()...), f(a.high(), more.high()...));
  } else {
    return f(a, more...);
  }
}

}  // namespace outboard::softgpu::testing
