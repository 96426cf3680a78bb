// Floating-point arithmetic that IEEE 754 defines (PTX ISA, section 9.7.3): each result is the exactly rounded one.
//
// .ftz flushes subnormal inputs and results to zero of the same sign, explicitly, so that all CPU levels agree.

#include "server/softgpu/exec/lanes/float_ops.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

inline f32 Root(f32 a) { return __builtin_sqrtf(a); }
inline f64 Root(f64 a) { return __builtin_sqrt(a); }

// With .ftz a product that is below the smallest normal number before it is rounded becomes zero, as on hardware, also
// where rounding would make it that number. (A fused one is looked at when it is rounded.)
template <bool kFtz, class T>
inline T Product(T a, T b) {
  if constexpr (kFtz) {
    const f64 exact = f64{Flush(a)} * f64{Flush(b)};
    return __builtin_fabs(exact) < 0x1p-126 ? __builtin_copysignf(0.0f, static_cast<f32>(exact)) : Flush(a) * Flush(b);
  }
  return a * b;
}

// Of two NaNs in f64 the second operand of a sum or product wins, and the first of a division.
template <class T, Rounding kMode, bool kFtz, bool kSat>
void AddArithmetic(FormTable& table, const char* rounding) {
  const char* ftz = kFtz ? "ftz." : "";
  const char* sat = kSat ? "sat." : "";
  const char* type = kName<T>;
  AddMap<kMode>(table, {"add.", rounding, ftz, sat, type},
                [](T a, T b) { return Result(Out<kFtz, kSat>(In<kFtz>(a) + In<kFtz>(b)), a, b); });
  AddMap<kMode>(table, {"sub.", rounding, ftz, sat, type},
                [](T a, T b) { return Result(Out<kFtz, kSat>(In<kFtz>(a) - In<kFtz>(b)), a, b); });
  AddMap<kMode>(table, {"mul.", rounding, ftz, sat, type},
                [](T a, T b) { return Result(Out<false, kSat>(Product<kFtz>(a, b)), a, b); });
  AddMap<kMode>(table, {"fma.", rounding, ftz, sat, type},
                [](T a, T b, T c) { return MultiplyAdd<kFtz, kSat>(a, b, c); });
}

template <class T, Rounding kMode, bool kFtz>
void AddDivision(FormTable& table, const char* rounding) {
  const char* ftz = kFtz ? "ftz." : "";
  const char* type = kName<T>;
  AddMap<kMode>(table, {"div.", rounding, ftz, type},
                [](T a, T b) { return Result(Out<kFtz, false>(In<kFtz>(a) / In<kFtz>(b)), b, a); });
  AddMap<kMode>(table, {"rcp.", rounding, ftz, type},
                [](T a) { return Result(Out<kFtz, false>(T{1} / In<kFtz>(a)), a); });
  AddMap<kMode>(table, {"sqrt.", rounding, ftz, type},
                [](T a) { return Result(Out<kFtz, false>(Root(In<kFtz>(a))), a); });
}

template <Rounding kMode>
void AddRounding(FormTable& table, const char* rounding) {
  AddArithmetic<f32, kMode, false, false>(table, rounding);
  AddArithmetic<f32, kMode, true, false>(table, rounding);
  AddArithmetic<f32, kMode, false, true>(table, rounding);
  AddArithmetic<f32, kMode, true, true>(table, rounding);
  AddArithmetic<f64, kMode, false, false>(table, rounding);
  AddDivision<f32, kMode, false>(table, rounding);
  AddDivision<f32, kMode, true>(table, rounding);
  AddDivision<f64, kMode, false>(table, rounding);
}

template <class T>
inline T WithSign(T magnitude, T sign) {
  using U = decltype(Bits(magnitude));
  constexpr U kSign = U{1} << (8 * sizeof(T) - 1);
  return __builtin_bit_cast(T, static_cast<U>((Bits(magnitude) & ~kSign) | (Bits(sign) & kSign)));
}

// -0 is less than +0; with kNan a NaN operand wins, else the other operand does (section 9.7.3, min and max).
template <bool kMax, bool kNan, class T>
inline T Extreme(T a, T b) {
  if (a != a || b != b) {
    if (kNan || (a != a && b != b)) return Result(a + b, a, b);
    return a != a ? b : a;
  }
  if (a == b) return (__builtin_signbit(a) != 0) == kMax ? b : a;
  return (a < b) == kMax ? b : a;
}

// .xorsign.abs: the extreme of the magnitudes with the sign of the product.
template <bool kMax, bool kNan>
inline f32 SignedExtreme(f32 a, f32 b) {
  const f32 extreme = Extreme<kMax, kNan>(WithSign(a, 1.0f), WithSign(b, 1.0f));
  return extreme != extreme ? extreme : __builtin_bit_cast(f32, Bits(extreme) | ((Bits(a) ^ Bits(b)) & 0x80000000u));
}

template <class T, bool kFtz, bool kNan>
void AddExtremes(FormTable& table) {
  const char* ftz = kFtz ? "ftz." : "";
  const char* nan = kNan ? "NaN." : "";
  AddMap(table, {"min.", ftz, nan, kName<T>}, [](T a, T b) { return Extreme<false, kNan>(In<kFtz>(a), In<kFtz>(b)); });
  AddMap(table, {"max.", ftz, nan, kName<T>}, [](T a, T b) { return Extreme<true, kNan>(In<kFtz>(a), In<kFtz>(b)); });
  if constexpr (std::is_same_v<T, f32>) {
    AddMap(table, {"min.", ftz, nan, "xorsign.abs.f32"},
           [](f32 a, f32 b) { return SignedExtreme<false, kNan>(In<kFtz>(a), In<kFtz>(b)); });
    AddMap(table, {"max.", ftz, nan, "xorsign.abs.f32"},
           [](f32 a, f32 b) { return SignedExtreme<true, kNan>(In<kFtz>(a), In<kFtz>(b)); });
  }
}

template <class T, bool kFtz>
void AddSigns(FormTable& table) {
  const char* ftz = kFtz ? "ftz." : "";
  // Of f32 alone this is no arithmetic, and a NaN changes as other values do.
  static constexpr auto finish = [](T result, T a) {
    return std::is_same_v<T, f32> && !kFtz ? result : Result(result, a);
  };
  AddMap(table, {"abs.", ftz, kName<T>}, [](T a) { return finish(WithSign(In<kFtz>(a), T{0}), a); });
  AddMap(table, {"neg.", ftz, kName<T>},
         [](T a) { return finish(WithSign(In<kFtz>(a), __builtin_signbit(a) ? T{1} : T{-1}), a); });
}

// A value's bits without its sign, and those of infinity.
template <class T>
inline auto Magnitude(T a) {
  return static_cast<decltype(Bits(a))>(Bits(a) << 1) >> 1;
}
template <class T>
inline auto Infinity() {
  return Bits(static_cast<T>(__builtin_inff()));
}

template <class T>
void AddTests(FormTable& table) {
  const char* type = kName<T>;
  AddMap(table, {"testp.finite.", type}, [](T a) { return Magnitude(a) < Infinity<T>(); });
  AddMap(table, {"testp.infinite.", type}, [](T a) { return Magnitude(a) == Infinity<T>(); });
  AddMap(table, {"testp.number.", type}, [](T a) { return Magnitude(a) <= Infinity<T>(); });
  AddMap(table, {"testp.notanumber.", type}, [](T a) { return Magnitude(a) > Infinity<T>(); });
  // Zero counts as normal (section 9.7.3.1).
  AddMap(table, {"testp.normal.", type},
         [](T a) { return Magnitude(a) < Infinity<T>() && ((Bits(a) & Infinity<T>()) != 0 || Magnitude(a) == 0); });
  AddMap(table, {"testp.subnormal.", type}, [](T a) { return Magnitude(a) != 0 && (Bits(a) & Infinity<T>()) == 0; });
  AddMap(table, {"copysign.", type}, [](T sign, T magnitude) { return WithSign(magnitude, sign); });
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddFloat(FormTable& table) {
  AddRounding<Rounding::kNearest>(table, "rn.");
  AddRounding<Rounding::kZero>(table, "rz.");
  AddRounding<Rounding::kDown>(table, "rm.");
  AddRounding<Rounding::kUp>(table, "rp.");
  AddExtremes<f32, false, false>(table);
  AddExtremes<f32, true, false>(table);
  AddExtremes<f32, false, true>(table);
  AddExtremes<f32, true, true>(table);
  AddExtremes<f64, false, false>(table);
  AddSigns<f32, false>(table);
  AddSigns<f32, true>(table);
  AddSigns<f64, false>(table);
  AddTests<f32>(table);
  AddTests<f64>(table);
}

}  // namespace outboard::softgpu
