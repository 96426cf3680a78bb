#pragma once

#include "server/softgpu/exec/lanes/lane_ops.h"

// Bits, flushing and NaNs of floating-point values, as PTX defines them (PTX ISA, section 9.7.3).

namespace outboard::softgpu {
namespace {

inline u32 Bits(f32 value) { return __builtin_bit_cast(u32, value); }
inline u64 Bits(f64 value) { return __builtin_bit_cast(u64, value); }

// A subnormal becomes zero of the same sign.
inline f32 Flush(f32 value) {
  const u32 bits = Bits(value);
  return __builtin_bit_cast(f32, (bits & 0x7f800000u) == 0 ? bits & 0x80000000u : bits);
}

template <bool kFtz, class T>
inline T In(T value) {
  if constexpr (kFtz) return Flush(value);
  return value;
}

// .sat: clamp to [0, 1]; NaN becomes +0.
template <bool kFtz, bool kSat, class T>
inline T Out(T value) {
  if constexpr (kFtz) value = Flush(value);
  if constexpr (kSat) value = value > T{0} ? (value < T{1} ? value : T{1}) : T{0};
  return value;
}

template <class T>
inline T Nan();
template <>
inline f32 Nan<f32>() {
  return __builtin_bit_cast(f32, 0x7fffffffu);
}
template <>
inline f64 Nan<f64>() {
  return __builtin_bit_cast(f64, u64{0x7fffffffffffffff});
}

// A value in which every NaN is the one that hardware makes of f32. x86 would keep an operand's payload, and which one
// depends on the code.
template <class T>
inline T Canonical(T value) {
  return value != value ? Nan<T>() : value;
}

// A NaN, made quiet.
inline f64 Quiet(f64 nan) { return __builtin_bit_cast(f64, Bits(nan) | u64{1} << 51); }

// What arithmetic on `sources` has computed, with the NaN that an H200 makes of it, since PTX leaves that open: of f32
// the canonical one; of f64 the last of the sources that is one, made quiet, or the one below where none is.
template <class... Sources>
inline f32 Result(f32 value, Sources...) {
  return Canonical(value);
}
template <class... Sources>
inline f64 Result(f64 value, Sources... sources) {
  f64 nan = __builtin_bit_cast(f64, u64{0xfff8000000000000});
  ((nan = sources != sources ? Quiet(sources) : nan), ...);
  return value != value ? nan : value;
}

inline f32 Fused(f32 a, f32 b, f32 c) { return __builtin_fmaf(a, b, c); }
inline f64 Fused(f64 a, f64 b, f64 c) { return __builtin_fma(a, b, c); }

// fma. Of three NaNs in f64 the second wins, then the third, then the first.
template <bool kFtz, bool kSat, class T>
inline T MultiplyAdd(T a, T b, T c) {
  return Result(Out<kFtz, kSat>(Fused(In<kFtz>(a), In<kFtz>(b), In<kFtz>(c))), a, c, b);
}

}  // namespace
}  // namespace outboard::softgpu
