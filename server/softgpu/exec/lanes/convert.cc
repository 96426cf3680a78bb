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
  AddMap(table, {"cvt.", flags, type, ".", type}, [](T a) { return Out<kFtz, kSat>(In<kFtz>(a)); });
  AddMap(table, {"cvt.rni.", flags, type, ".", type},
         [](T a) { return Out<kFtz, kSat>(Rounded<Integral::kNearest>(In<kFtz>(a))); });
  AddMap(table, {"cvt.rzi.", flags, type, ".", type},
         [](T a) { return Out<kFtz, kSat>(Rounded<Integral::kZero>(In<kFtz>(a))); });
  AddMap(table, {"cvt.rmi.", flags, type, ".", type},
         [](T a) { return Out<kFtz, kSat>(Rounded<Integral::kDown>(In<kFtz>(a))); });
  AddMap(table, {"cvt.rpi.", flags, type, ".", type},
         [](T a) { return Out<kFtz, kSat>(Rounded<Integral::kUp>(In<kFtz>(a))); });
}

template <bool kFtz, bool kSat>
void AddBetweenWidths(FormTable& table) {
  const char* flags = kFtz ? (kSat ? "ftz.sat." : "ftz.") : (kSat ? "sat." : "");
  AddMap(table, {"cvt.", flags, "f64.f32"},
         [](f32 a) { return Canonical(Out<false, kSat>(static_cast<f64>(In<kFtz>(a)))); });
  constexpr auto narrow = [](f64 a) { return Canonical(Out<kFtz, kSat>(static_cast<f32>(a))); };
  AddMap<Rounding::kNearest>(table, {"cvt.rn.", flags, "f32.f64"}, narrow);
  AddMap<Rounding::kZero>(table, {"cvt.rz.", flags, "f32.f64"}, narrow);
  AddMap<Rounding::kDown>(table, {"cvt.rm.", flags, "f32.f64"}, narrow);
  AddMap<Rounding::kUp>(table, {"cvt.rp.", flags, "f32.f64"}, narrow);
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
