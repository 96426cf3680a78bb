#pragma once

#include "server/softgpu/exec/lanes/float_ops.h"

// Floating-point formats of 8 and 16 bits, and the way between them and f64.
//
// Arithmetic on them is done in f64, rounded to odd where it is inexact, and rounded once more, to the format. As f64
// has over two bits more than any of them, that is the exactly rounded result, in every rounding mode.

namespace outboard::softgpu {
namespace {

// A value lies in the low kBits bits of a word: sign, exponent, fraction.
template <u32 kExponent, u32 kFraction>
struct Format {
  static constexpr u32 kExponentBits = kExponent, kFractionBits = kFraction, kBits = 1 + kExponent + kFraction;
  static constexpr u32 kSign = 1u << (kBits - 1);
  static constexpr s64 kBias = (s64{1} << (kExponent - 1)) - 1;
  static constexpr u32 kOne = static_cast<u32>(kBias) << kFraction;
  static constexpr u32 kInfinity = ((1u << kExponent) - 1) << kFraction;
  static constexpr u32 kHighest = kInfinity - 1;  // the largest number
  static constexpr u32 kNan = kSign - 1;          // the one that hardware makes
};

using E5m2 = Format<5, 2>;
using Tf32 = Format<8, 10>;
// Without infinities: but for one NaN, the highest exponent has numbers.
struct E4m3 : Format<4, 3> {
  static constexpr u32 kHighest = 0x7e;
  static constexpr u32 kInfinity = 0x80;  // no value
};

// What a register of 16 bits holds. The bits above it in its row are unspecified.
template <class F>
struct Half {
  using Format = F;
  Half() = default;
  explicit Half(u32 word) : bits(static_cast<u16>(word)) {}
  explicit operator u32() const { return bits; }
  u16 bits;
};
using f16 = Half<Format<5, 10>>;
using bf16 = Half<Format<8, 7>>;

// Two of them in a register of 32 bits.
template <class H>
struct Pair {
  Pair() = default;
  explicit Pair(u32 word) : bits(word) {}
  Pair(H low, H high) : bits(low.bits | static_cast<u32>(high.bits) << 16) {}
  explicit operator u32() const { return bits; }
  H low() const { return H(bits); }
  H high() const { return H(bits >> 16); }
  u32 bits;
};
using f16x2 = Pair<f16>;
using bf16x2 = Pair<bf16>;

template <class H>
struct Storage<Pair<H>> {
  using type = u32;
  static constexpr char kLetter = 'w';
};

template <>
inline constexpr const char* kName<f16> = "f16";
template <>
inline constexpr const char* kName<bf16> = "bf16";
template <>
inline constexpr const char* kName<f16x2> = "f16x2";
template <>
inline constexpr const char* kName<bf16x2> = "bf16x2";

// compute(a...) of halves, or of both halves of pairs.
template <class Compute, class F, class... More>
[[gnu::always_inline]] inline Half<F> Each(Compute compute, Half<F> a, More... more) {
  return compute(a, more...);
}
template <class Compute, class H, class... More>
[[gnu::always_inline]] inline Pair<H> Each(Compute compute, Pair<H> a, More... more) {
  return {compute(a.low(), more.low()...), compute(a.high(), more.high()...)};
}

// The value of a word's low bits in the format F.
template <class F>
inline f64 Widened(u32 word) {
  const u32 magnitude = word & (F::kSign - 1);
  // Put where f64 has its own exponent and fraction; what is wrong then is the bias, for subnormal numbers too.
  constexpr f64 kScale = __builtin_bit_cast(f64, static_cast<u64>(2046 - F::kBias) << 52);
  f64 value = __builtin_bit_cast(f64, u64{magnitude} << (52 - F::kFractionBits)) * kScale;
  if (magnitude > F::kHighest) value = magnitude == F::kInfinity ? __builtin_inf() : Nan<f64>();
  return (word & F::kSign) != 0 ? -value : value;
}
// A subnormal number becomes zero of the same sign.
template <bool kFtz, class F>
inline Half<F> Flushed(Half<F> a) {
  return kFtz && (a.bits & F::kInfinity) == 0 ? Half<F>(a.bits & F::kSign) : a;
}
template <bool kFtz, class F>
inline f64 In(Half<F> a) {
  return Widened<F>(Flushed<kFtz>(a).bits);
}

// `value` rounded to the format F, in the low bits; NaN is the canonical one. What is past the highest number becomes
// that or infinity as IEEE 754 says for the rounding mode, and with kFinite always that, infinity too.
template <class F, Rounding kMode = Rounding::kNearest, bool kFinite = false>
inline u32 Narrowed(f64 value) {
  constexpr u64 kInfinity = u64{0x7ff} << 52, kHidden = u64{1} << 52;
  const u64 magnitude = Bits(value) & ~(u64{1} << 63);
  const bool negative = Bits(value) >> 63 != 0;
  const s64 exponent = static_cast<s64>(magnitude >> 52) - 1023 + F::kBias;
  const s64 below = exponent < 1 ? 1 - exponent : 0;  // how far below the smallest normal number
  // 54 bits dropped are all of them, and less than half of the last one that is kept.
  const s64 wanted_shift = 52 - s64{F::kFractionBits} + below;
  const u64 shift = static_cast<u64>(wanted_shift < 54 ? wanted_shift : 54);
  const u64 significand = (magnitude & (kHidden - 1)) | (magnitude >= kHidden ? kHidden : 0);
  const u64 kept = significand >> shift, half = u64{1} << (shift - 1);
  const u64 dropped = significand & (2 * half - 1);
  bool up = false;
  if constexpr (kMode == Rounding::kNearest) up = dropped > half || (dropped == half && (kept & 1) != 0);
  if constexpr (kMode == Rounding::kDown) up = negative && dropped != 0;
  if constexpr (kMode == Rounding::kUp) up = !negative && dropped != 0;
  // A carry out of the fraction counts the exponent up; the hidden bit does so once.
  const u64 scale = exponent < 1 ? 0 : static_cast<u64>(exponent - 1) << F::kFractionBits;
  const u64 rounded = scale + kept + (up ? 1 : 0);
  const bool inwards =
      kMode == Rounding::kZero || (kMode == Rounding::kDown && !negative) || (kMode == Rounding::kUp && negative);
  const u32 past_highest = kFinite || (inwards && magnitude < kInfinity) ? F::kHighest : F::kInfinity;
  const u32 word = (rounded > F::kHighest ? past_highest : static_cast<u32>(rounded)) | (negative ? F::kSign : 0);
  return magnitude > kInfinity ? F::kNan : word;
}

// .sat clamps to [0, 1] with NaN to +0; .relu makes what is negative +0.
enum class Clamp { kNone, kUnit, kRelu };
inline constexpr const char* kClampName[] = {"", "sat.", "relu."};

template <class F, Clamp kClamp>
inline u32 Clamped(u32 word) {
  if constexpr (kClamp == Clamp::kUnit) return word > F::kInfinity ? 0 : word > F::kOne ? F::kOne : word;
  if constexpr (kClamp == Clamp::kRelu) return (word & F::kSign) != 0 ? 0 : word;
  return word;
}

// a + b, rounded to odd: when it is inexact, to the neighbour whose last bit is set.
inline f64 SumToOdd(f64 a, f64 b) {
  const f64 sum = a + b;
  const f64 b_taken = sum - a;
  const f64 error = (a - (sum - b_taken)) + (b - b_taken);
  const bool inexact = error > 0 || error < 0;  // not so for NaN, which an infinite sum gives
  const u64 bits = Bits(sum);
  if (!inexact || (bits & 1) != 0) return sum;
  return __builtin_bit_cast(f64, (error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

}  // namespace
}  // namespace outboard::softgpu
