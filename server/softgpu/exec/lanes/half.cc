// Arithmetic on f16, bf16 and pairs of them (PTX ISA, section 9.7.4). Whatever NaN PTX leaves open is the canonical
// one, as hardware makes it.

#include "server/softgpu/exec/lanes/half.h"

#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

// A result rounded to the format of H, with the modifiers applied.
template <class H, bool kFtz, Clamp kClamp>
inline H Rounded(f64 value) {
  using F = typename H::Format;
  return H(Clamped<F, kClamp>(Flushed<kFtz>(H(Narrowed<F>(value))).bits));
}

// With .ftz a product that is below the smallest normal number before it is rounded becomes zero, as in f32.
template <class H, bool kFtz>
inline f64 Product(H a, H b) {
  constexpr f64 kLeastNormal = __builtin_bit_cast(f64, static_cast<u64>(1024 - H::Format::kBias) << 52);
  const f64 exact = In<kFtz>(a) * In<kFtz>(b);
  return kFtz && __builtin_fabs(exact) < kLeastNormal ? __builtin_copysign(0.0, exact) : exact;
}

template <class V, bool kFtz, Clamp kClamp>
void AddFusedProduct(FormTable& table) {
  AddMap(table, {"fma.rn.", kFtz ? "ftz." : "", kClampName[static_cast<int>(kClamp)], kName<V>}, [](V a, V b, V c) {
    return Each(
        []<class H>(H x, H y, H z) {
          // Products have at most twice the bits of a factor: exact.
          return Rounded<H, kFtz, kClamp>(SumToOdd(In<kFtz>(x) * In<kFtz>(y), In<kFtz>(z)));
        },
        a, b, c);
  });
}

template <class V, bool kFtz, Clamp kClamp>
void AddArithmetic(FormTable& table) {
  const char* ftz = kFtz ? "ftz." : "";
  const char* clamp = kClampName[static_cast<int>(kClamp)];
  AddMap(table, {"add.rn.", ftz, clamp, kName<V>}, [](V a, V b) {
    return Each([]<class H>(H x, H y) { return Rounded<H, kFtz, kClamp>(SumToOdd(In<kFtz>(x), In<kFtz>(y))); }, a, b);
  });
  AddMap(table, {"sub.rn.", ftz, clamp, kName<V>}, [](V a, V b) {
    return Each([]<class H>(H x, H y) { return Rounded<H, kFtz, kClamp>(SumToOdd(In<kFtz>(x), -In<kFtz>(y))); }, a, b);
  });
  AddMap(table, {"mul.rn.", ftz, clamp, kName<V>}, [](V a, V b) {
    return Each([]<class H>(H x, H y) { return Rounded<H, kFtz, kClamp>(Product<H, kFtz>(x, y)); }, a, b);
  });
  AddFusedProduct<V, kFtz, kClamp>(table);
}

// The order of values as that of integers: -0 is less than +0.
template <class H>
inline s32 Rank(H a) {
  const s32 magnitude = a.bits & 0x7fff;
  return a.bits > 0x7fff ? -1 - magnitude : magnitude;
}

template <class H>
inline bool IsNan(H a) {
  return (a.bits & 0x7fff) > H::Format::kInfinity;
}

// Its NaNs made the canonical one.
template <class H>
inline H Quieted(H a) {
  return IsNan(a) ? H(H::Format::kNan) : a;
}

// With kNan any NaN operand gives NaN, else the other operand wins. kXorSign: of the magnitudes, with the product's
// sign.
template <bool kMax, bool kNan, bool kXorSign, class H>
inline H Extreme(H first, H second) {
  const H a(kXorSign ? first.bits & 0x7fff : first.bits), b(kXorSign ? second.bits & 0x7fff : second.bits);
  const H extreme = (Rank(a) < Rank(b)) == kMax ? b : a;
  const H number = IsNan(a) ? b : IsNan(b) ? a : extreme;
  const bool is_nan = kNan ? IsNan(a) || IsNan(b) : IsNan(number);
  const u32 sign = kXorSign ? (first.bits ^ second.bits) & 0x8000 : 0;
  return is_nan ? H(H::Format::kNan) : H(number.bits | sign);
}

template <class V, bool kFtz, bool kNan, bool kXorSign>
void AddExtremes(FormTable& table) {
  const char* ftz = kFtz ? "ftz." : "";
  const char* nan = kNan ? "NaN." : "";
  const char* xor_sign = kXorSign ? "xorsign.abs." : "";
  AddMap(table, {"min.", ftz, nan, xor_sign, kName<V>}, [](V a, V b) {
    return Each([]<class H>(H x, H y) { return Extreme<false, kNan, kXorSign>(Flushed<kFtz>(x), Flushed<kFtz>(y)); }, a,
                b);
  });
  AddMap(table, {"max.", ftz, nan, xor_sign, kName<V>}, [](V a, V b) {
    return Each([]<class H>(H x, H y) { return Extreme<true, kNan, kXorSign>(Flushed<kFtz>(x), Flushed<kFtz>(y)); }, a,
                b);
  });
}

template <class V, bool kFtz>
void AddSignsAndExtremes(FormTable& table) {
  const char* ftz = kFtz ? "ftz." : "";
  AddMap(table, {"abs.", ftz, kName<V>},
         [](V a) { return Each([]<class H>(H x) { return Quieted(H(Flushed<kFtz>(x).bits & 0x7fff)); }, a); });
  AddMap(table, {"neg.", ftz, kName<V>},
         [](V a) { return Each([]<class H>(H x) { return Quieted(H(Flushed<kFtz>(x).bits ^ 0x8000)); }, a); });
  AddExtremes<V, kFtz, false, false>(table);
  AddExtremes<V, kFtz, false, true>(table);
  AddExtremes<V, kFtz, true, false>(table);
  AddExtremes<V, kFtz, true, true>(table);
}

// f16 has the modifiers .ftz and .sat, bf16 has not.
template <class V>
void AddWithModifiers(FormTable& table) {
  AddArithmetic<V, true, Clamp::kNone>(table);
  AddArithmetic<V, false, Clamp::kUnit>(table);
  AddArithmetic<V, true, Clamp::kUnit>(table);
  AddFusedProduct<V, true, Clamp::kRelu>(table);
  AddSignsAndExtremes<V, true>(table);
}

template <class V>
void AddPlain(FormTable& table) {
  AddArithmetic<V, false, Clamp::kNone>(table);
  AddFusedProduct<V, false, Clamp::kRelu>(table);
  AddSignsAndExtremes<V, false>(table);
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddHalf(FormTable& table) {
  AddPlain<f16>(table);
  AddPlain<f16x2>(table);
  AddPlain<bf16>(table);
  AddPlain<bf16x2>(table);
  AddWithModifiers<f16>(table);
  AddWithModifiers<f16x2>(table);
}

}  // namespace outboard::softgpu
