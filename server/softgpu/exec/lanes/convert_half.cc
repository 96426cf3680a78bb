// Conversions (PTX ISA, section 9.7.9, cvt) from and to f16, bf16 and their pairs, and to and from formats of 8 bits
// and tf32.

#include "server/softgpu/exec/lanes/half.h"
#include "server/softgpu/exec/lanes/integral.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

template <class H, Rounding kMode, Clamp kClamp = Clamp::kNone, bool kFinite = false>
inline H ToHalf(f64 value) {
  using F = typename H::Format;
  return H(Clamped<F, kClamp>(Narrowed<F, kMode, kFinite>(value)));
}

// An integer as f64, rounded to odd where it has more than its 53 bits.
inline f64 Odd(u64 a) {
  if (a >> 53 == 0) return static_cast<f64>(static_cast<s64>(a));
  return static_cast<f64>(static_cast<s64>(a >> 11 | ((a & 0x7ff) != 0 ? 1 : 0))) * 2048.0;
}
template <class I>
inline f64 Odd(I a) {
  if constexpr (sizeof(I) < 8) {
    return static_cast<f64>(a);
  } else {
    return a < 0 ? -Odd(u64{0} - static_cast<u64>(a)) : Odd(static_cast<u64>(a));
  }
}

template <class H, class I, Clamp kClamp>
void AddFromInteger(FormTable& table) {
  const char* sat = kClampName[static_cast<int>(kClamp)];
  const char *to = kName<H>, *from = kName<I>;
  AddMap(table, {"cvt.rn.", sat, to, ".", from}, [](I a) { return ToHalf<H, Rounding::kNearest, kClamp>(Odd(a)); });
  AddMap(table, {"cvt.rz.", sat, to, ".", from}, [](I a) { return ToHalf<H, Rounding::kZero, kClamp>(Odd(a)); });
  AddMap(table, {"cvt.rm.", sat, to, ".", from}, [](I a) { return ToHalf<H, Rounding::kDown, kClamp>(Odd(a)); });
  AddMap(table, {"cvt.rp.", sat, to, ".", from}, [](I a) { return ToHalf<H, Rounding::kUp, kClamp>(Odd(a)); });
}

// Like f32, which holds every value of H: NaN is 0, but the top bit alone of a result of 64 bits.
template <class I, Integral kMode, class H>
inline I FromHalf(H a) {
  return ToInteger<I>(Rounded<kMode>(static_cast<f32>(In<false>(a))));
}

template <class H, class I>
void AddInteger(FormTable& table) {
  const char *half = kName<H>, *integer = kName<I>;
  AddFromInteger<H, I, Clamp::kNone>(table);
  if constexpr (std::is_same_v<H, f16>) AddFromInteger<H, I, Clamp::kUnit>(table);
  AddMap(table, {"cvt.rni.", integer, ".", half}, [](H a) -> I { return FromHalf<I, Integral::kNearest>(a); });
  AddMap(table, {"cvt.rzi.", integer, ".", half}, [](H a) -> I { return FromHalf<I, Integral::kZero>(a); });
  AddMap(table, {"cvt.rmi.", integer, ".", half}, [](H a) -> I { return FromHalf<I, Integral::kDown>(a); });
  AddMap(table, {"cvt.rpi.", integer, ".", half}, [](H a) -> I { return FromHalf<I, Integral::kUp>(a); });
}

// From f32 or f64, whose .ftz and .sat come in this order. As hardware has it, .ftz of f16 changes nothing: a
// subnormal f32 is rounded as it is. A NaN of f64 keeps its sign and the upper bits of its payload, one of f32 does not.
template <class H, class T, bool kFtz, Rounding kMode, Clamp kClamp>
inline H FromFloat(T a) {
  using F = typename H::Format;
  if constexpr (std::is_same_v<T, f64> && kClamp == Clamp::kNone) {
    if (a != a) {
      const u32 upper = static_cast<u32>(Bits(a) >> (52 - F::kFractionBits)) & (F::kSign - 1);
      return H(upper | F::kInfinity | u32{1} << (F::kFractionBits - 1) | (__builtin_signbit(a) ? F::kSign : 0));
    }
  }
  return ToHalf<H, kMode, kClamp>(f64{In<kFtz && std::is_same_v<H, bf16>>(a)});
}

template <class H, class T, bool kFtz, Clamp kClamp>
void AddNarrowing(FormTable& table) {
  const char* ftz = kFtz ? "ftz." : "";
  const char* sat = kClampName[static_cast<int>(kClamp)];
  const char *to = kName<H>, *from = kName<T>;
  AddMap(table, {"cvt.rn.", ftz, sat, to, ".", from},
         [](T a) { return FromFloat<H, T, kFtz, Rounding::kNearest, kClamp>(a); });
  AddMap(table, {"cvt.rz.", ftz, sat, to, ".", from},
         [](T a) { return FromFloat<H, T, kFtz, Rounding::kZero, kClamp>(a); });
  AddMap(table, {"cvt.rm.", ftz, sat, to, ".", from},
         [](T a) { return FromFloat<H, T, kFtz, Rounding::kDown, kClamp>(a); });
  AddMap(table, {"cvt.rp.", ftz, sat, to, ".", from},
         [](T a) { return FromFloat<H, T, kFtz, Rounding::kUp, kClamp>(a); });
}

// .relu and .satfinite, of one f32 and of two, the first of which goes into the upper half.
template <class H, Rounding kMode, Clamp kClamp, bool kFinite>
void AddPacking(FormTable& table, const char* rounding) {
  const char* relu = kClampName[static_cast<int>(kClamp)];
  const char* finite = kFinite ? "satfinite." : "";
  AddMap(table, {"cvt.", rounding, relu, finite, kName<Pair<H>>, ".f32"}, [](f32 a, f32 b) {
    return Pair<H>(ToHalf<H, kMode, kClamp, kFinite>(b), ToHalf<H, kMode, kClamp, kFinite>(a));
  });
  if constexpr (kClamp != Clamp::kNone || kFinite) {
    AddMap(table, {"cvt.", rounding, relu, finite, kName<H>, ".f32"},
           [](f32 a) { return ToHalf<H, kMode, kClamp, kFinite>(a); });
  }
}

template <class H, Rounding kMode>
void AddPackings(FormTable& table, const char* rounding) {
  AddPacking<H, kMode, Clamp::kNone, false>(table, rounding);
  AddPacking<H, kMode, Clamp::kNone, true>(table, rounding);
  AddPacking<H, kMode, Clamp::kRelu, false>(table, rounding);
  AddPacking<H, kMode, Clamp::kRelu, true>(table, rounding);
}

// As hardware has it, a NaN of bf16 keeps its bits as f32, and one of f16 becomes the canonical one; as f64 all keep
// sign and payload, made quiet.
template <class T, class H, bool kFtz, bool kSat>
inline T Widen(H a) {
  using F = typename H::Format;
  if constexpr (!kSat && !kFtz) {
    if ((a.bits & (F::kSign - 1)) > F::kInfinity) {
      if constexpr (std::is_same_v<T, f32> && std::is_same_v<H, bf16>) {
        return __builtin_bit_cast(f32, u32{a.bits} << 16);
      } else if constexpr (std::is_same_v<T, f64>) {
        const u64 sign = u64{a.bits & F::kSign} << (64 - F::kBits);
        const u64 payload = u64{a.bits & (F::kSign - 1)} << (52 - F::kFractionBits);
        return Quiet(__builtin_bit_cast(f64, sign | u64{0x7ff} << 52 | payload));
      }
    }
  }
  return Canonical(Out<kFtz, kSat>(static_cast<T>(In<false>(a))));
}

template <class T, class H, bool kFtz, bool kSat>
void AddWidening(FormTable& table) {
  AddMap(table, {"cvt.", kFtz ? "ftz." : "", kSat ? "sat." : "", kName<T>, ".", kName<H>},
         [](H a) { return Widen<T, H, kFtz, kSat>(a); });
}

// To a whole number of the same format; every one is exact in it.
template <class H, Clamp kClamp>
void AddSameFormat(FormTable& table) {
  const char* sat = kClampName[static_cast<int>(kClamp)];
  const char* type = kName<H>;
  static constexpr auto narrow = [](f64 value) { return ToHalf<H, Rounding::kNearest, kClamp>(value); };
  AddMap(table, {"cvt.", sat, type, ".", type}, [](H a) { return narrow(In<false>(a)); });
  AddMap(table, {"cvt.rni.", sat, type, ".", type},
         [](H a) { return narrow(Rounded<Integral::kNearest>(In<false>(a))); });
  AddMap(table, {"cvt.rzi.", sat, type, ".", type}, [](H a) { return narrow(Rounded<Integral::kZero>(In<false>(a))); });
  AddMap(table, {"cvt.rmi.", sat, type, ".", type}, [](H a) { return narrow(Rounded<Integral::kDown>(In<false>(a))); });
  AddMap(table, {"cvt.rpi.", sat, type, ".", type}, [](H a) { return narrow(Rounded<Integral::kUp>(In<false>(a))); });
}

template <class H>
void AddFormat(FormTable& table) {
  AddInteger<H, u8>(table);
  AddInteger<H, s8>(table);
  AddInteger<H, u16>(table);
  AddInteger<H, s16>(table);
  AddInteger<H, u32>(table);
  AddInteger<H, s32>(table);
  AddInteger<H, u64>(table);
  AddInteger<H, s64>(table);
  AddNarrowing<H, f32, false, Clamp::kNone>(table);
  AddNarrowing<H, f32, true, Clamp::kNone>(table);
  AddNarrowing<H, f64, false, Clamp::kNone>(table);
  AddPackings<H, Rounding::kNearest>(table, "rn.");
  AddPackings<H, Rounding::kZero>(table, "rz.");
  AddWidening<f32, H, false, false>(table);
  AddWidening<f32, H, true, false>(table);
  AddWidening<f64, H, false, false>(table);
  AddSameFormat<H, Clamp::kNone>(table);
}

// Two values of 8 bits, those of the first operand or of the upper half above.
template <class F, Clamp kClamp>
void AddEightBits(FormTable& table, const char* type) {
  const char* relu = kClampName[static_cast<int>(kClamp)];
  static constexpr auto narrow = [](f64 high, f64 low) {
    const u32 upper = Clamped<F, kClamp>(Narrowed<F, Rounding::kNearest, true>(high));
    return static_cast<u16>(upper << 8 | Clamped<F, kClamp>(Narrowed<F, Rounding::kNearest, true>(low)));
  };
  AddMap(table, {"cvt.rn.", relu, "satfinite.", type, ".f32"}, [](f32 a, f32 b) { return narrow(a, b); });
  AddMap(table, {"cvt.rn.", relu, "satfinite.", type, ".f16x2"},
         [](f16x2 a) { return narrow(In<false>(a.high()), In<false>(a.low())); });
  AddMap(table, {"cvt.rn.", relu, "f16x2.", type}, [](u16 a) {
    return f16x2(ToHalf<f16, Rounding::kNearest, kClamp>(Widened<F>(a)),
                 ToHalf<f16, Rounding::kNearest, kClamp>(Widened<F>(a >> 8)));
  });
}

// A tf32 lies in the upper bits of a register of 32 bits, as an f32 would.
template <Rounding kMode, Clamp kClamp, bool kFinite>
void AddTf32(FormTable& table, const char* rounding) {
  AddMap(table, {"cvt.", rounding, kClampName[static_cast<int>(kClamp)], kFinite ? "satfinite." : "", "tf32.f32"},
         [](f32 a) { return Clamped<Tf32, kClamp>(Narrowed<Tf32, kMode, kFinite>(a)) << 13; });
}

template <Rounding kMode>
void AddTf32Rounding(FormTable& table, const char* rounding) {
  AddTf32<kMode, Clamp::kNone, false>(table, rounding);
  AddTf32<kMode, Clamp::kNone, true>(table, rounding);
  AddTf32<kMode, Clamp::kRelu, false>(table, rounding);
  AddTf32<kMode, Clamp::kRelu, true>(table, rounding);
}

// .rna: ties go away from zero, so half of the last place is added to the magnitude and the rest cut off. What is no
// number is cut off as it is, which makes an infinity of some NaNs; .satfinite takes one from the last place then. It is
// so on hardware.
template <bool kFinite>
void AddTf32TiesAway(FormTable& table) {
  AddMap(table, {"cvt.rna.", kFinite ? "satfinite." : "", "tf32.f32"}, [](f32 a) {
    if (!(__builtin_fabsf(a) < __builtin_inff())) return (Bits(a) & ~0x1fffu) - (kFinite ? 0x2000 : 0);
    const f32 rounded = __builtin_bit_cast(f32, (Bits(a) + 0x1000) & ~0x1fffu);
    return Narrowed<Tf32, Rounding::kZero, kFinite>(rounded) << 13;
  });
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddConvertHalf(FormTable& table) {
  AddFormat<f16>(table);
  AddFormat<bf16>(table);
  // What bf16 has not: .sat.
  AddNarrowing<f16, f32, false, Clamp::kUnit>(table);
  AddNarrowing<f16, f32, true, Clamp::kUnit>(table);
  AddNarrowing<f16, f64, false, Clamp::kUnit>(table);
  AddWidening<f32, f16, false, true>(table);
  AddWidening<f32, f16, true, true>(table);
  AddWidening<f64, f16, false, true>(table);
  AddSameFormat<f16, Clamp::kUnit>(table);

  AddNarrowing<f16, bf16, false, Clamp::kNone>(table);
  AddNarrowing<bf16, f16, false, Clamp::kNone>(table);
  AddEightBits<E4m3, Clamp::kNone>(table, "e4m3x2");
  AddEightBits<E4m3, Clamp::kRelu>(table, "e4m3x2");
  AddEightBits<E5m2, Clamp::kNone>(table, "e5m2x2");
  AddEightBits<E5m2, Clamp::kRelu>(table, "e5m2x2");
  AddTf32Rounding<Rounding::kNearest>(table, "rn.");
  AddTf32Rounding<Rounding::kZero>(table, "rz.");
  AddTf32TiesAway<false>(table);
  AddTf32TiesAway<true>(table);
}

}  // namespace outboard::softgpu
