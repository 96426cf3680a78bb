// Integer arithmetic (PTX ISA, section 9.7.1) and extended-precision arithmetic with the carry flag (9.7.2).

#include "server/softgpu/exec/lanes/lane_ops.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

// An unsigned type in which T's arithmetic wraps as on hardware, free of C++'s promotion to int.
template <class T>
using Wrap = std::conditional_t<sizeof(T) == 8, u64, u32>;

template <class T>
using Double = std::conditional_t<
    std::is_signed_v<T>, std::conditional_t<sizeof(T) == 8, __int128, std::conditional_t<sizeof(T) == 4, s64, s32>>,
    std::conditional_t<sizeof(T) == 8, unsigned __int128, std::conditional_t<sizeof(T) == 4, u64, u32>>>;

template <class T>
inline Double<T> WideProduct(T a, T b) {
  return static_cast<Double<T>>(a) * static_cast<Double<T>>(b);
}
template <class T>
inline T LowProduct(T a, T b) {
  return static_cast<T>(static_cast<Wrap<T>>(a) * static_cast<Wrap<T>>(b));
}
template <class T>
inline T HighProduct(T a, T b) {
  return static_cast<T>(WideProduct(a, b) >> (8 * sizeof(T)));
}
template <class T>
inline T Sum(T a, T b) {
  return static_cast<T>(static_cast<Wrap<T>>(a) + static_cast<Wrap<T>>(b));
}
template <class T>
inline T Difference(T a, T b) {
  return static_cast<T>(static_cast<Wrap<T>>(a) - static_cast<Wrap<T>>(b));
}

template <class T>
inline T Lower(T a, T b) {
  return a < b ? a : b;
}
template <class T>
inline T Higher(T a, T b) {
  return a > b ? a : b;
}

template <class T>
inline T Saturated(s64 value) {
  constexpr s64 kHigh = 0x7fffffff, kLow = -kHigh - 1;
  return static_cast<T>(value > kHigh ? kHigh : value < kLow ? kLow : value);
}

// Division by zero is unspecified in PTX; hardware gives all ones, as remainder too.
template <class T>
inline T Quotient(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return Difference(T{0}, a);
  }
  return static_cast<T>(a / b);
}
template <class T>
inline T Remainder(T a, T b) {
  if (b == 0) return static_cast<T>(~T{0});
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}

template <class T>
void AddAny(FormTable& table) {
  const char* type = kName<T>;
  AddMap(table, {"add.", type}, [](T a, T b) { return Sum(a, b); });
  AddMap(table, {"sub.", type}, [](T a, T b) { return Difference(a, b); });
  AddMap(table, {"mul.lo.", type}, [](T a, T b) { return LowProduct(a, b); });
  AddMap(table, {"mul.hi.", type}, [](T a, T b) { return HighProduct(a, b); });
  AddMap(table, {"mad.lo.", type}, [](T a, T b, T c) { return Sum(LowProduct(a, b), c); });
  AddMap(table, {"mad.hi.", type}, [](T a, T b, T c) { return Sum(HighProduct(a, b), c); });
  AddMap(table, {"div.", type}, [](T a, T b) { return Quotient(a, b); });
  AddMap(table, {"rem.", type}, [](T a, T b) { return Remainder(a, b); });
  AddMap(table, {"min.", type}, [](T a, T b) { return Lower(a, b); });
  AddMap(table, {"max.", type}, [](T a, T b) { return Higher(a, b); });
  AddMap(table, {"sad.", type}, [](T a, T b, T c) { return Sum(c, a < b ? Difference(b, a) : Difference(a, b)); });
  if constexpr (std::is_signed_v<T>) {
    AddMap(table, {"abs.", type}, [](T a) -> T { return a < 0 ? Difference(T{0}, a) : a; });
    AddMap(table, {"neg.", type}, [](T a) { return Difference(T{0}, a); });
  }
}

// F of the lower and of the upper halves of two words.
template <class T, class F>
inline u32 Halves(u32 a, u32 b, F f) {
  const u32 low = static_cast<u16>(f(static_cast<T>(a), static_cast<T>(b)));
  return low | static_cast<u32>(f(static_cast<T>(a >> 16), static_cast<T>(b >> 16))) << 16;
}

template <class T>
void AddPacked(FormTable& table) {
  const char* type = kName<T>;
  AddMap(table, {"add.", type, "x2"}, [](u32 a, u32 b) { return Halves<T>(a, b, Sum<T>); });
  AddMap(table, {"min.", type, "x2"}, [](u32 a, u32 b) { return Halves<T>(a, b, Lower<T>); });
  AddMap(table, {"max.", type, "x2"}, [](u32 a, u32 b) { return Halves<T>(a, b, Higher<T>); });
}

// .relu: what is negative becomes 0.
void AddRelu(FormTable& table) {
  static constexpr auto relu = [](auto a) { return a < 0 ? decltype(a){0} : a; };
  AddMap(table, {"min.relu.s32"}, [](s32 a, s32 b) { return relu(Lower(a, b)); });
  AddMap(table, {"max.relu.s32"}, [](s32 a, s32 b) { return relu(Higher(a, b)); });
  AddMap(table, {"min.relu.s16x2"},
         [](u32 a, u32 b) { return Halves<s16>(a, b, [](s16 c, s16 d) { return relu(Lower(c, d)); }); });
  AddMap(table, {"max.relu.s16x2"},
         [](u32 a, u32 b) { return Halves<s16>(a, b, [](s16 c, s16 d) { return relu(Higher(c, d)); }); });
}

// The differences of parts of kBits each, without signs (PTX ISA, section 9.7.18), each in its place or added up.
template <u32 kBits, bool kAdds>
inline u32 Distance(u32 a, u32 b) {
  u32 result = 0;
  for (u32 i = 0; i < 32; i += kBits) {
    const u32 x = a >> i & ((1u << kBits) - 1), y = b >> i & ((1u << kBits) - 1);
    const u32 distance = x > y ? x - y : y - x;
    result += kAdds ? distance : distance << i;
  }
  return result;
}

template <u32 kBits>
void AddDistances(FormTable& table, const char* name) {
  // The third operand is for the parts that a mask leaves out, which nobody writes.
  AddMap(table, {name, ".u32.u32.u32"}, [](u32 a, u32 b, u32) { return Distance<kBits, false>(a, b); });
  AddMap(table, {name, ".u32.u32.u32.add"}, [](u32 a, u32 b, u32 c) { return c + Distance<kBits, true>(a, b); });
}

// The number of the low `bits` bits of a.
template <class T, bool kClamps>
inline T Extended(T a, u32 bits) {
  if (kClamps && bits > 31) return a;
  bits &= 31;
  if (bits == 0) return 0;
  return static_cast<T>(static_cast<T>(static_cast<u32>(a) << (32 - bits)) >> (32 - bits));
}

template <class T>
void AddExtensions(FormTable& table) {
  AddMap(table, {"szext.clamp.", kName<T>}, [](T a, u32 bits) { return Extended<T, true>(a, bits); });
  AddMap(table, {"szext.wrap.", kName<T>}, [](T a, u32 bits) { return Extended<T, false>(a, bits); });
}

// vshr of whole words (PTX ISA, section 9.7.17.4): a shift to the right, by at most 32 or by the amount's low five
// bits, and then an operation with c.
inline u32 Shifted(u32 a, u32 b, bool clamps) {
  if (!clamps) return a >> (b & 31);
  return b > 31 ? 0 : a >> b;
}

template <bool kClamps>
void AddShift(FormTable& table, const char* mode) {
  AddMap(table, {"vshr.u32.u32.u32.", mode}, [](u32 a, u32 b) { return Shifted(a, b, kClamps); });
  AddMap(table, {"vshr.u32.u32.u32.", mode, ".add"}, [](u32 a, u32 b, u32 c) { return Shifted(a, b, kClamps) + c; });
  AddMap(table, {"vshr.u32.u32.u32.", mode, ".min"},
         [](u32 a, u32 b, u32 c) { return Lower(Shifted(a, b, kClamps), c); });
  AddMap(table, {"vshr.u32.u32.u32.", mode, ".max"},
         [](u32 a, u32 b, u32 c) { return Higher(Shifted(a, b, kClamps), c); });
}

template <class T>
void AddWide(FormTable& table) {
  using D = Double<T>;
  AddMap(table, {"mul.wide.", kName<T>}, [](T a, T b) -> D { return WideProduct(a, b); });
  AddMap(table, {"mad.wide.", kName<T>}, [](T a, T b, D c) -> D { return Sum<D>(WideProduct(a, b), c); });
}

// The low 24 bits, sign-extended for signed types.
template <class T>
inline s64 Low24(T a) {
  if constexpr (std::is_signed_v<T>) return static_cast<s32>(static_cast<u32>(a) << 8) >> 8;
  return a & 0xffffff;
}

template <class T>
void Add24(FormTable& table) {
  AddMap(table, {"mul24.lo.", kName<T>}, [](T a, T b) { return static_cast<T>(Low24(a) * Low24(b)); });
  AddMap(table, {"mul24.hi.", kName<T>}, [](T a, T b) { return static_cast<T>((Low24(a) * Low24(b)) >> 16); });
  AddMap(table, {"mad24.lo.", kName<T>}, [](T a, T b, T c) { return Sum(static_cast<T>(Low24(a) * Low24(b)), c); });
  AddMap(table, {"mad24.hi.", kName<T>},
         [](T a, T b, T c) { return Sum(static_cast<T>((Low24(a) * Low24(b)) >> 16), c); });
}

template <class A, class B>
void AddDotProduct(FormTable& table) {
  AddMap(table, {"dp4a.", std::is_signed_v<A> ? "s32." : "u32.", std::is_signed_v<B> ? "s32" : "u32"},
         [](u32 a, u32 b, u32 c) {
           for (int byte = 0; byte < 4; ++byte) {
             const s32 left = static_cast<A>(a >> (8 * byte)), right = static_cast<B>(b >> (8 * byte));
             c += static_cast<u32>(left * right);
           }
           return c;
         });
}

// Of two values of 16 bits with two of the four bytes, the lower or the upper ones.
template <class A, class B, bool kUpper>
inline u32 HalfwordDotProduct(u32 a, u32 b, u32 c) {
  for (int i = 0; i < 2; ++i) {
    const s32 left = static_cast<A>(a >> (16 * i)), right = static_cast<B>(b >> (8 * (kUpper ? i + 2 : i)));
    c += static_cast<u32>(left * right);
  }
  return c;
}

template <class A, class B>
void AddHalfwordDotProduct(FormTable& table) {
  const char* left = std::is_signed_v<A> ? "s32." : "u32.";
  const char* right = std::is_signed_v<B> ? "s32" : "u32";
  AddMap(table, {"dp2a.lo.", left, right},
         [](u32 a, u32 b, u32 c) { return HalfwordDotProduct<A, B, false>(a, b, c); });
  AddMap(table, {"dp2a.hi.", left, right}, [](u32 a, u32 b, u32 c) { return HalfwordDotProduct<A, B, true>(a, b, c); });
}

template <class T>
struct Carried {
  T value;
  bool carry;
};

template <class T>
inline Carried<T> SumWithCarry(T a, T b, bool carry) {
  T value;
  const bool first = __builtin_add_overflow(a, b, &value);
  const bool second = __builtin_add_overflow(value, static_cast<T>(carry), &value);
  return {value, first || second};
}
template <class T>
inline Carried<T> DifferenceWithBorrow(T a, T b, bool borrow) {
  T value;
  const bool first = __builtin_sub_overflow(a, b, &value);
  const bool second = __builtin_sub_overflow(value, static_cast<T>(borrow), &value);
  return {value, first || second};
}

// F(a, b, c, carry in) on unsigned T; the flag CC.CF is read from the row `d` if kIn and written to the row `dst2` if
// kOut.
template <class T, int kSources, bool kIn, bool kOut, auto F>
struct CarryMap {
  static constexpr char kLetter = Storage<T>::kLetter;
  static void Run(const Inst& inst, WarpContext& warp, u32 mask) {
    alignas(64) T value[kLanes];
    alignas(64) s32 carry[kLanes];
    const u32 carry_in = kIn ? Predicate(warp, inst.d) : 0;
    const T* a = Row<T>(warp, inst.a);
    const T* b = Row<T>(warp, inst.b);
    const T* c = kSources == 3 ? Row<T>(warp, inst.c) : a;
    for (u32 i = 0; i < kLanes; ++i) {
      const Carried<T> result = F(a[i], b[i], c[i], ((carry_in >> i) & 1) != 0);
      value[i] = result.value;
      carry[i] = -static_cast<s32>(result.carry);
    }
    Blend(Row<T>(warp, inst.dst), value, mask);
    if constexpr (kOut) {
      u32& flag = Predicate(warp, inst.dst2);
      flag = (flag & ~mask) | (PackMask(carry) & mask);
    }
  }
};

template <class T, bool kIn, bool kOut, int kSources, auto F>
void AddCarryForm(FormTable& table, const char* name, const char* name_with_carry_in) {
  constexpr char w = Storage<T>::kLetter;
  static constexpr char kThree[] = {
      w, kOut ? 'C' : '=', kOut ? '=' : w, w, w, kOut ? w : kIn ? 'C' : '\0', kIn && kOut ? 'C' : '\0', '\0'};
  static constexpr char kTwo[] = {
      w, kOut ? 'C' : '=', kOut ? '=' : w, w, kOut ? w : kIn ? 'C' : '\0', kIn && kOut ? 'C' : '\0', '\0'};
  const char* signature = kSources == 3 ? kThree : kTwo;
  const char* head = kIn ? name_with_carry_in : name;
  for (const char* sign : {"s", "u"}) {
    AddForm(table, {head, kOut ? ".cc." : ".", sign, sizeof(T) == 8 ? "64" : "32"}, signature,
            CarryMap<T, kSources, kIn, kOut, F>::Run);
  }
}

// The high half of a product differs between signed and unsigned operands, so it has its own registration.
template <class T, class S, bool kIn, bool kOut>
void AddMadHigh(FormTable& table) {
  constexpr char w = Storage<T>::kLetter;
  static constexpr char kSignature[] = {
      w, kOut ? 'C' : '=', kOut ? '=' : w, w, w, kOut ? w : kIn ? 'C' : '\0', kIn && kOut ? 'C' : '\0', '\0'};
  constexpr auto kHigh = [](T a, T b, T c, bool carry) {
    return SumWithCarry(static_cast<T>(HighProduct(static_cast<S>(a), static_cast<S>(b))), c, carry);
  };
  AddForm(table, {kIn ? "madc.hi" : "mad.hi", kOut ? ".cc." : ".", kName<S>}, kSignature,
          CarryMap<T, 3, kIn, kOut, kHigh>::Run);
}

template <class T, bool kIn, bool kOut>
void AddCarry(FormTable& table) {
  AddCarryForm<T, kIn, kOut, 2, [](T a, T b, T, bool carry) { return SumWithCarry(a, b, carry); }>(table, "add",
                                                                                                   "addc");
  AddCarryForm<T, kIn, kOut, 2, [](T a, T b, T, bool carry) { return DifferenceWithBorrow(a, b, carry); }>(table, "sub",
                                                                                                           "subc");
  AddCarryForm<T, kIn, kOut, 3, [](T a, T b, T c, bool carry) { return SumWithCarry(LowProduct(a, b), c, carry); }>(
      table, "mad.lo", "madc.lo");
  AddMadHigh<T, T, kIn, kOut>(table);
  AddMadHigh<T, std::make_signed_t<T>, kIn, kOut>(table);
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddInteger(FormTable& table) {
  AddAny<u16>(table);
  AddAny<s16>(table);
  AddAny<u32>(table);
  AddAny<s32>(table);
  AddAny<u64>(table);
  AddAny<s64>(table);
  AddWide<u16>(table);
  AddWide<s16>(table);
  AddWide<u32>(table);
  AddWide<s32>(table);
  Add24<u32>(table);
  Add24<s32>(table);
  AddMap(table, {"add.sat.s32"}, [](s32 a, s32 b) { return Saturated<s32>(s64{a} + b); });
  AddMap(table, {"sub.sat.s32"}, [](s32 a, s32 b) { return Saturated<s32>(s64{a} - b); });
  AddMap(table, {"mad.hi.sat.s32"}, [](s32 a, s32 b, s32 c) { return Saturated<s32>(s64{HighProduct(a, b)} + c); });
  AddDotProduct<s8, s8>(table);
  AddHalfwordDotProduct<s16, s8>(table);
  AddDotProduct<s8, u8>(table);
  AddHalfwordDotProduct<s16, u8>(table);
  AddDotProduct<u8, s8>(table);
  AddHalfwordDotProduct<u16, s8>(table);
  AddDotProduct<u8, u8>(table);
  AddHalfwordDotProduct<u16, u8>(table);
  AddPacked<u16>(table);
  AddPacked<s16>(table);
  AddRelu(table);
  AddDistances<16>(table, "vabsdiff2");
  AddDistances<8>(table, "vabsdiff4");
  AddExtensions<u32>(table);
  AddExtensions<s32>(table);
  AddShift<true>(table, "clamp");
  AddShift<false>(table, "wrap");
  AddCarry<u32, false, true>(table);
  AddCarry<u32, true, false>(table);
  AddCarry<u32, true, true>(table);
  AddCarry<u64, false, true>(table);
  AddCarry<u64, true, false>(table);
  AddCarry<u64, true, true>(table);
}

}  // namespace outboard::softgpu
