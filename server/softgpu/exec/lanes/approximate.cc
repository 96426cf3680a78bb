// Approximate functions (PTX ISA, sections 9.7.3 and 9.7.4: the .approx and .full forms). Hardware's last bits are not
// documented; ours come from short series in double precision, rounded once, so they are within PTX's bounds and equal
// on every CPU.

#include "server/softgpu/exec/lanes/half.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

inline f64 PowerOfTwo(s64 exponent) { return __builtin_bit_cast(f64, static_cast<u64>(exponent + 1023) << 52); }

// 2^x, relative error below 2^-40.
inline f64 Exp2(f64 x) {
  x = x < -1000 ? -1000 : x > 1000 ? 1000 : x;
  const f64 whole = __builtin_rint(x);
  const f64 r = (x - whole) * 0.6931471805599453;
  f64 sum = 1.0 / 3628800;
  sum = sum * r + 1.0 / 362880;
  sum = sum * r + 1.0 / 40320;
  sum = sum * r + 1.0 / 5040;
  sum = sum * r + 1.0 / 720;
  sum = sum * r + 1.0 / 120;
  sum = sum * r + 1.0 / 24;
  sum = sum * r + 1.0 / 6;
  sum = sum * r + 0.5;
  sum = sum * r + 1.0;
  sum = sum * r + 1.0;
  return sum * PowerOfTwo(static_cast<s64>(whole));
}

inline f32 Exp2(f32 x) {
  if (x != x) return Nan<f32>();
  return static_cast<f32>(Exp2(static_cast<f64>(x)));
}

// log2 by the series of atanh around 1.
inline f32 Log2(f32 x) {
  if (x != x || x < 0) return Nan<f32>();
  if (x == 0) return -__builtin_inff();
  if (x == __builtin_inff()) return x;
  const u64 bits = Bits(static_cast<f64>(x));
  s64 exponent = static_cast<s64>(bits >> 52) - 1023;
  f64 mantissa = __builtin_bit_cast(f64, (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1;
  }
  const f64 t = (mantissa - 1) / (mantissa + 1), square = t * t;
  f64 sum = 1.0 / 17;
  sum = sum * square + 1.0 / 15;
  sum = sum * square + 1.0 / 13;
  sum = sum * square + 1.0 / 11;
  sum = sum * square + 1.0 / 9;
  sum = sum * square + 1.0 / 7;
  sum = sum * square + 1.0 / 5;
  sum = sum * square + 1.0 / 3;
  sum = sum * square + 1.0;
  return static_cast<f32>(static_cast<f64>(exponent) + t * sum * 2.8853900817779268);
}

// sin(x + quarter * pi / 2).
inline f32 Sine(f32 value, s64 quarter) {
  if (!(__builtin_fabsf(value) <= 3.4028235e38f)) return Nan<f32>();
  if (value == 0 && quarter == 0) return value;
  f64 x = value;
  if (__builtin_fabs(x) > 1e8) x = __builtin_fmod(x, 6.283185307179586);
  const f64 turns = __builtin_rint(x * 0.6366197723675814);
  const f64 r = (x - turns * 1.5707963267948966) - turns * 6.123233995736766e-17;
  const s64 quadrant = static_cast<s64>(turns) + quarter;
  const f64 square = r * r;
  f64 sine = -1.0 / 39916800;
  sine = sine * square + 1.0 / 362880;
  sine = sine * square - 1.0 / 5040;
  sine = sine * square + 1.0 / 120;
  sine = sine * square - 1.0 / 6;
  sine = (sine * square) * r + r;
  f64 cosine = 1.0 / 479001600;
  cosine = cosine * square - 1.0 / 3628800;
  cosine = cosine * square + 1.0 / 40320;
  cosine = cosine * square - 1.0 / 720;
  cosine = cosine * square + 1.0 / 24;
  cosine = cosine * square - 0.5;
  cosine = cosine * square + 1.0;
  const f64 result = quadrant & 1 ? cosine : sine;
  return static_cast<f32>(quadrant & 2 ? -result : result);
}

inline f64 HyperbolicTangent(f64 x) {
  if (x != x) return Nan<f64>();
  if (__builtin_fabs(x) < 1e-3) return x * (1 - x * x / 3);
  return 1 - 2 / (Exp2(x * 2.8853900817779268) + 1);
}

// a * (1 / b), whose reciprocal is zero for |b| above 2^126 (section 9.7.3.8).
inline f32 ApproximateQuotient(f32 a, f32 b) {
  const f32 magnitude = __builtin_fabsf(b);
  if (magnitude > 8.507059e37f && magnitude <= 3.4028235e38f) return a * __builtin_copysignf(0.0f, b);
  return a / b;
}

// The coarse double-precision forms read and make only the upper 32 bits, without subnormal numbers.
inline f64 UpperHalf(f64 value) {
  const u64 bits = Bits(value);
  const bool subnormal = (bits & 0x7ff0000000000000ull) == 0;
  return __builtin_bit_cast(f64, bits & (subnormal ? 0x8000000000000000ull : 0xffffffff00000000ull));
}

template <bool kFtz>
void AddSingle(FormTable& table) {
  const char* ftz = kFtz ? "ftz." : "";
  AddMap(table, {"ex2.approx.", ftz, "f32"}, [](f32 a) { return Out<kFtz, false>(Exp2(In<kFtz>(a))); });
  AddMap(table, {"lg2.approx.", ftz, "f32"}, [](f32 a) { return Out<kFtz, false>(Log2(In<kFtz>(a))); });
  AddMap(table, {"sin.approx.", ftz, "f32"}, [](f32 a) { return Out<kFtz, false>(Sine(In<kFtz>(a), 0)); });
  AddMap(table, {"cos.approx.", ftz, "f32"}, [](f32 a) { return Out<kFtz, false>(Sine(In<kFtz>(a), 1)); });
  AddMap(table, {"rcp.approx.", ftz, "f32"}, [](f32 a) { return Canonical(Out<kFtz, false>(1.0f / In<kFtz>(a))); });
  AddMap(table, {"sqrt.approx.", ftz, "f32"},
         [](f32 a) { return Canonical(Out<kFtz, false>(__builtin_sqrtf(In<kFtz>(a)))); });
  AddMap(table, {"rsqrt.approx.", ftz, "f32"},
         [](f32 a) { return Canonical(Out<kFtz, false>(static_cast<f32>(1.0 / __builtin_sqrt(f64{In<kFtz>(a)})))); });
  AddMap(table, {"div.approx.", ftz, "f32"},
         [](f32 a, f32 b) { return Canonical(Out<kFtz, false>(ApproximateQuotient(In<kFtz>(a), In<kFtz>(b)))); });
  AddMap(table, {"div.full.", ftz, "f32"},
         [](f32 a, f32 b) { return Canonical(Out<kFtz, false>(In<kFtz>(a) / In<kFtz>(b))); });
}

// .ftz is bf16's, and not named where there is no choice.
template <class V, bool kFtz>
void AddHalves(FormTable& table) {
  AddMap(table, {"ex2.approx.", kFtz ? "ftz." : "", kName<V>}, [](V a) {
    return Each(
        []<class F>(Half<F> x) {
          const f64 value = In<kFtz>(x);
          return Flushed<kFtz>(Half<F>(Narrowed<F>(value == value ? Exp2(value) : value)));
        },
        a);
  });
  AddMap(table, {"tanh.approx.", kName<V>}, [](V a) {
    return Each([]<class F>(Half<F> x) { return Half<F>(Narrowed<F>(HyperbolicTangent(In<false>(x)))); }, a);
  });
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddApproximate(FormTable& table) {
  AddSingle<false>(table);
  AddSingle<true>(table);
  AddHalves<f16, false>(table);
  AddHalves<f16x2, false>(table);
  AddHalves<bf16, true>(table);
  AddHalves<bf16x2, true>(table);
  AddMap(table, {"tanh.approx.f32"}, [](f32 a) { return Canonical(static_cast<f32>(HyperbolicTangent(f64{a}))); });
  AddMap(table, {"rcp.approx.ftz.f64"}, [](f64 a) { return UpperHalf(Canonical(1.0 / UpperHalf(a))); });
  AddMap(table, {"rsqrt.approx.ftz.f64"},
         [](f64 a) { return UpperHalf(Canonical(1.0 / __builtin_sqrt(UpperHalf(a)))); });
  AddMap(table, {"rsqrt.approx.f64"}, [](f64 a) { return Result(1.0 / __builtin_sqrt(a), a); });
}

}  // namespace outboard::softgpu
