// Conversions (PTX ISA, section 9.7.9, cvt) between integers, f32 and f64.

#include "server/softgpu/exec/lanes/integral.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

// Clamped to the range of D.
template <class D, class S>
inline D Clamped(S value) {
  if constexpr (std::is_signed_v<S> && !std::is_signed_v<D>) {
    if (value < 0) return 0;
  }
  using Common = std::conditional_t<std::is_signed_v<S> && std::is_signed_v<D>, s64, u64>;
  if constexpr (std::is_signed_v<S> && std::is_signed_v<D>) {
    if (static_cast<Common>(value) < static_cast<Common>(kLowest<D>)) return kLowest<D>;
  }
  if (static_cast<Common>(value) > static_cast<Common>(kHighest<D>)) return kHighest<D>;
  return static_cast<D>(value);
}

template <class D, class S>
void AddIntegers(FormTable& table) {
  AddMap(table, {"cvt.", kName<D>, ".", kName<S>}, [](S a) -> D { return static_cast<D>(a); });
  AddMap(table, {"cvt.sat.", kName<D>, ".", kName<S>}, [](S a) -> D { return Clamped<D>(a); });
}

template <class T, class S, Rounding kMode>
void AddFromInteger(FormTable& table, const char* rounding) {
  AddMap<kMode>(table, {"cvt.", rounding, kName<T>, ".", kName<S>}, [](S a) { return static_cast<T>(a); });
}

template <class D, class T, Integral kMode>
void AddToInteger(FormTable& table, const char* rounding) {
  AddMap(table, {"cvt.", rounding, kName<D>, ".", kName<T>}, [](T a) -> D { return ToInteger<D>(Rounded<kMode>(a)); });
  if constexpr (sizeof(T) == 4) {
    AddMap(table, {"cvt.", rounding, "ftz.", kName<D>, ".", kName<T>},
           [](T a) -> D { return ToInteger<D>(Rounded<kMode>(Flush(a))); });
  }
}

template <class I>
void AddIntegerType(FormTable& table) {
  AddIntegers<u8, I>(table);
  AddIntegers<s8, I>(table);
  AddIntegers<u16, I>(table);
  AddIntegers<s16, I>(table);
  AddIntegers<u32, I>(table);
  AddIntegers<s32, I>(table);
  AddIntegers<u64, I>(table);
  AddIntegers<s64, I>(table);
  AddFromInteger<f32, I, Rounding::kNearest>(table, "rn.");
  AddFromInteger<f32, I, Rounding::kZero>(table, "rz.");
  AddFromInteger<f32, I, Rounding::kDown>(table, "rm.");
  AddFromInteger<f32, I, Rounding::kUp>(table, "rp.");
  AddFromInteger<f64, I, Rounding::kNearest>(table, "rn.");
  AddFromInteger<f64, I, Rounding::kZero>(table, "rz.");
  AddFromInteger<f64, I, Rounding::kDown>(table, "rm.");
  AddFromInteger<f64, I, Rounding::kUp>(table, "rp.");
  AddToInteger<I, f32, Integral::kNearest>(table, "rni.");
  AddToInteger<I, f32, Integral::kZero>(table, "rzi.");
  AddToInteger<I, f32, Integral::kDown>(table, "rmi.");
  AddToInteger<I, f32, Integral::kUp>(table, "rpi.");
  AddToInteger<I, f64, Integral::kNearest>(table, "rni.");
  AddToInteger<I, f64, Integral::kZero>(table, "rzi.");
  AddToInteger<I, f64, Integral::kDown>(table, "rmi.");
  AddToInteger<I, f64, Integral::kUp>(table, "rpi.");
}

template <class T, bool kFtz, bool kSat>
void AddSameWidth(FormTable& table) {
  const char* flags = kFtz ? (kSat ? "ftz.sat." : "ftz.") : (kSat ? "sat." : "");
  const char* type = kName<T>;
  // As hardware has it, NaNs of f32 stay as they are in what is no more than a copy, and nowhere else.
  static constexpr auto out = [](T a) {
    const T result = Out<kFtz, kSat>(a);
    return std::is_same_v<T, f32> ? Canonical(result) : result;
  };
  AddMap(table, {"cvt.", flags, type, ".", type}, [](T a) { return kFtz || kSat ? out(In<kFtz>(a)) : a; });
  AddMap(table, {"cvt.rni.", flags, type, ".", type},
         [](T a) { return out(Rounded<Integral::kNearest>(In<kFtz>(a))); });
  AddMap(table, {"cvt.rzi.", flags, type, ".", type},
         [](T a) { return out(Rounded<Integral::kZero>(In<kFtz>(a))); });
  AddMap(table, {"cvt.rmi.", flags, type, ".", type},
         [](T a) { return out(Rounded<Integral::kDown>(In<kFtz>(a))); });
  AddMap(table, {"cvt.rpi.", flags, type, ".", type},
         [](T a) { return out(Rounded<Integral::kUp>(In<kFtz>(a))); });
}

template <bool kFtz, bool kSat>
void AddBetweenWidths(FormTable& table) {
  const char* flags = kFtz ? (kSat ? "ftz.sat." : "ftz.") : (kSat ? "sat." : "");
  // A NaN keeps its sign and what there is room for of its payload, as on x86; .ftz, a step before, makes it canonical.
  AddMap(table, {"cvt.", flags, "f64.f32"}, [](f32 a) {
    return Out<false, kSat>(static_cast<f64>(kFtz ? Canonical(Flush(a)) : a));
  });
  constexpr auto narrow = [](f64 a) { return Out<kFtz, kSat>(static_cast<f32>(a)); };
  AddMap<Rounding::kNearest>(table, {"cvt.rn.", flags, "f32.f64"}, narrow);
  AddMap<Rounding::kZero>(table, {"cvt.rz.", flags, "f32.f64"}, narrow);
  AddMap<Rounding::kDown>(table, {"cvt.rm.", flags, "f32.f64"}, narrow);
  AddMap<Rounding::kUp>(table, {"cvt.rp.", flags, "f32.f64"}, narrow);
}

template <int kBits, bool kSigned>
s32 Clamped(s32 a) {
  constexpr s32 kMost = (1 << (kSigned ? kBits - 1 : kBits)) - 1, kLeast = kSigned ? -kMost - 1 : 0;
  return a < kLeast ? kLeast : a > kMost ? kMost : a;
}

// b below a, both clamped, and what there is room for of c above them.
template <int kBits, bool kSigned>
u32 Packed(s32 a, s32 b, u32 c) {
  constexpr u32 kMask = (1u << kBits) - 1;
  const u32 low = static_cast<u32>(Clamped<kBits, kSigned>(b)) & kMask;
  const u32 high = static_cast<u32>(Clamped<kBits, kSigned>(a)) & kMask;
  return low | high << kBits | (kBits < 16 ? c << (2 * kBits % 32) : 0);
}

template <int kBits>
void AddPackedBelow(FormTable& table, const char* bits) {
  AddMap(table, {"cvt.pack.sat.s", bits, ".s32.b32"}, [](s32 a, s32 b, u32 c) { return Packed<kBits, true>(a, b, c); });
  AddMap(table, {"cvt.pack.sat.u", bits, ".s32.b32"},
         [](s32 a, s32 b, u32 c) { return Packed<kBits, false>(a, b, c); });
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddConvert(FormTable& table) {
  AddIntegerType<u8>(table);
  AddIntegerType<s8>(table);
  AddIntegerType<u16>(table);
  AddIntegerType<s16>(table);
  AddIntegerType<u32>(table);
  AddIntegerType<s32>(table);
  AddIntegerType<u64>(table);
  AddIntegerType<s64>(table);
  AddMap(table, {"cvt.pack.sat.s16.s32"}, [](s32 a, s32 b) { return Packed<16, true>(a, b, 0); });
  AddMap(table, {"cvt.pack.sat.u16.s32"}, [](s32 a, s32 b) { return Packed<16, false>(a, b, 0); });
  AddPackedBelow<8>(table, "8");
  AddPackedBelow<4>(table, "4");
  AddPackedBelow<2>(table, "2");
  AddSameWidth<f32, false, false>(table);
  AddSameWidth<f32, true, false>(table);
  AddSameWidth<f32, false, true>(table);
  AddSameWidth<f32, true, true>(table);
  AddSameWidth<f64, false, false>(table);
  AddSameWidth<f64, false, true>(table);
  AddBetweenWidths<false, false>(table);
  AddBetweenWidths<true, false>(table);
  AddBetweenWidths<false, true>(table);
  AddBetweenWidths<true, true>(table);
}

}  // namespace outboard::softgpu
