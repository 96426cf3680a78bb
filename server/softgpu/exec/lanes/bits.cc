// Logic, shifts and bit fields (PTX ISA, sections 9.7.1 and 9.7.8).

#include "server/softgpu/exec/lanes/lane_ops.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

template <class T>
inline T ShiftLeft(T a, u32 count) {
  return count >= 8 * sizeof(T) ? T{0} : static_cast<T>(a << count);
}
template <class T>
inline T ShiftRight(T a, u32 count) {
  constexpr u32 kBits = 8 * sizeof(T);
  if constexpr (std::is_signed_v<T>) return static_cast<T>(a >> (count >= kBits ? kBits - 1 : count));
  return count >= kBits ? T{0} : static_cast<T>(a >> count);
}

template <class T>
void AddLogic(FormTable& table, const char* type) {
  AddMap(table, {"and.", type}, [](T a, T b) { return static_cast<T>(a & b); });
  AddMap(table, {"or.", type}, [](T a, T b) { return static_cast<T>(a | b); });
  AddMap(table, {"xor.", type}, [](T a, T b) { return static_cast<T>(a ^ b); });
  AddMap(table, {"not.", type}, [](T a) { return static_cast<T>(~a); });
  AddMap(table, {"cnot.", type}, [](T a) { return static_cast<T>(a == 0); });
  AddMap(table, {"shl.", type}, [](T a, u32 count) { return ShiftLeft(a, count); });
  AddMap(table, {"shr.", type}, [](T a, u32 count) { return ShiftRight(a, count); });
  using Signed = std::make_signed_t<T>;
  AddMap(table, {"shr.", kName<T>}, [](T a, u32 count) { return ShiftRight(a, count); });
  AddMap(table, {"shr.", kName<Signed>}, [](Signed a, u32 count) { return ShiftRight(a, count); });
}

// The position of the most significant bit that differs from the sign, or -1 (section 9.7.1, bfind).
template <class T>
inline u32 FindLeading(T a, bool shift_amount) {
  using U = std::make_unsigned_t<T>;
  constexpr u32 kBits = 8 * sizeof(T);
  U bits = static_cast<U>(a);
  if constexpr (std::is_signed_v<T>) {
    if (a < 0) bits = static_cast<U>(~bits);
  }
  if (bits == 0) return 0xffffffffu;
  const u32 position = 63 - static_cast<u32>(__builtin_clzll(u64{bits}));
  return shift_amount ? kBits - 1 - position : position;
}

// Position and length of a field. Those of 32 bits count modulo 256 (sections 9.7.1, bfe and bfi); of 64 bits, which
// hardware has no instruction for, a GPU's driver takes the whole operand, whatever the manual says.
template <class T>
inline u64 FieldOperand(u32 operand) {
  return sizeof(T) == 4 ? operand & 0xff : operand;
}

template <class T>
inline T ExtractField(T a, u32 b, u32 c) {
  using U = std::make_unsigned_t<T>;
  constexpr u32 kBits = 8 * sizeof(T);
  const u64 position = FieldOperand<T>(b), length = FieldOperand<T>(c);
  if (length == 0) return 0;
  U sign = 0;
  if constexpr (std::is_signed_v<T>) {
    const u64 top = position + length - 1 < kBits - 1 ? position + length - 1 : kBits - 1;
    sign = (static_cast<U>(a) >> top) & 1;
  }
  const U field = position >= kBits ? U{0} : static_cast<U>(a) >> position;
  const u64 available = position >= kBits ? 0 : kBits - position;
  const u64 kept = length < available ? length : available;
  const U below = kept >= kBits ? ~U{0} : (U{1} << kept) - 1;
  return static_cast<T>((field & below) | (sign != 0 ? ~below : U{0}));
}

template <class T>
inline T InsertField(T a, T b, u32 c, u32 d) {
  constexpr u32 kBits = 8 * sizeof(T);
  const u64 position = FieldOperand<T>(c), length = FieldOperand<T>(d);
  if (length == 0 || position >= kBits) return b;
  const T below = length >= kBits ? ~T{0} : (T{1} << length) - 1;
  const T field = below << position;
  return (b & ~field) | ((a << position) & field);
}

template <class T>
inline T Reversed(T a) {
  T result = 0;
  for (u32 bit = 0; bit < 8 * sizeof(T); ++bit) result |= ((a >> bit) & 1) << (8 * sizeof(T) - 1 - bit);
  return result;
}

template <class T>
void AddFields(FormTable& table, const char* type) {
  using Signed = std::make_signed_t<T>;
  AddMap(table, {"popc.", type}, [](T a) { return static_cast<u32>(__builtin_popcountll(u64{a})); });
  AddMap(table, {"clz.", type}, [](T a) {
    return a == 0 ? u32{8 * sizeof(T)} : static_cast<u32>(__builtin_clzll(u64{a})) - (64 - u32{8 * sizeof(T)});
  });
  AddMap(table, {"brev.", type}, [](T a) { return Reversed(a); });
  AddMap(table, {"bfi.", type}, [](T a, T b, u32 c, u32 d) { return InsertField(a, b, c, d); });
  AddMap(table, {"bfe.", kName<T>}, [](T a, u32 b, u32 c) { return ExtractField(a, b, c); });
  AddMap(table, {"bfe.", kName<Signed>}, [](Signed a, u32 b, u32 c) { return ExtractField(a, b, c); });
  AddMap(table, {"bfind.", kName<T>}, [](T a) { return FindLeading(a, false); });
  AddMap(table, {"bfind.", kName<Signed>}, [](Signed a) { return FindLeading(a, false); });
  AddMap(table, {"bfind.shiftamt.", kName<T>}, [](T a) { return FindLeading(a, true); });
  AddMap(table, {"bfind.shiftamt.", kName<Signed>}, [](Signed a) { return FindLeading(a, true); });
}

// Any function of three bits, by its truth table (section 9.7.8, lop3).
void Lop3(const Inst& inst, WarpContext& warp, u32 mask) {
  u32 term[8];
  for (int i = 0; i < 8; ++i) term[i] = (inst.imm >> i) & 1 ? ~0u : 0u;
  const u32 *a = Row<u32>(warp, inst.a), *b = Row<u32>(warp, inst.b), *c = Row<u32>(warp, inst.c);
  StoreLanes<u32>(warp, inst.dst, mask, [&](u32 i) {
    const u32 without_a =
        (~b[i] & ((~c[i] & term[0]) | (c[i] & term[1]))) | (b[i] & ((~c[i] & term[2]) | (c[i] & term[3])));
    const u32 with_a =
        (~b[i] & ((~c[i] & term[4]) | (c[i] & term[5]))) | (b[i] & ((~c[i] & term[6]) | (c[i] & term[7])));
    return (~a[i] & without_a) | (a[i] & with_a);
  });
}

inline u32 Permuted(u32 a, u32 b, u32 selector) {
  const u64 bytes = (u64{b} << 32) | a;
  u32 result = 0;
  for (int i = 0; i < 4; ++i) {
    const u32 control = (selector >> (4 * i)) & 0xf;
    u32 byte = static_cast<u32>(bytes >> (8 * (control & 7))) & 0xff;
    if (control & 8) byte = byte & 0x80 ? 0xff : 0;
    result |= byte << (8 * i);
  }
  return result;
}

// The modes of prmt: the selector that each of the four values of c & 3 stands for.
constexpr u16 kForward[] = {0x3210, 0x4321, 0x5432, 0x6543}, kBackward[] = {0x5670, 0x6701, 0x7012, 0x0123},
              kReplicate8[] = {0x0000, 0x1111, 0x2222, 0x3333}, kClampLeft[] = {0x3210, 0x3211, 0x3222, 0x3333},
              kClampRight[] = {0x0000, 0x1110, 0x2210, 0x3210}, kReplicate16[] = {0x1010, 0x3232, 0x1010, 0x3232};

template <const u16 (&kSelectors)[4]>
void AddPermute(FormTable& table, const char* mode) {
  AddMap(table, {"prmt.b32.", mode}, [](u32 a, u32 b, u32 c) { return Permuted(a, b, kSelectors[c & 3]); });
}

template <bool kLeft, bool kWrap>
inline u32 Funnel(u32 low, u32 high, u32 count) {
  count = kWrap ? count & 31 : count > 32 ? 32 : count;
  const u64 both = (u64{high} << 32) | low;
  return static_cast<u32>(kLeft ? (both << count) >> 32 : both >> count);
}

// `count` ones from bit `first` < 32 on, as many as there is room for.
inline u32 OnesFrom(u32 first, u32 count) {
  const u64 ones = (u64{1} << (count > 32 ? 32 : count)) - 1;
  return static_cast<u32>(ones << first);
}

// The place of the bit that is set and the offset'th from `base` on, counting from 1 upwards, from -1 downwards, and
// with 0 only the one there; or -1 (section 9.7.1, fns).
inline u32 FindSet(u32 mask, u32 base, s32 offset) {
  if (base > 31) return 0xffffffffu;
  const u32 from = offset < 0 ? mask & (0xffffffffu >> (31 - base)) : mask >> base << base;
  if (offset == 0) return from >> base & 1 ? base : 0xffffffffu;
  u32 skip = offset < 0 ? 0u - static_cast<u32>(offset) - 1 : static_cast<u32>(offset) - 1;
  for (u32 rest = from; rest != 0; --skip) {
    const u32 place = static_cast<u32>(offset < 0 ? 31 - __builtin_clz(rest) : __builtin_ctz(rest));
    if (skip == 0) return place;
    rest &= ~(1u << place);
  }
  return 0xffffffffu;
}

template <auto F>
void PredicateLogic(const Inst& inst, WarpContext& warp, u32 mask) {
  u32& result = Predicate(warp, inst.dst);
  const u32 a = Predicate(warp, inst.a);
  const u32 b = inst.b == kNoSlot ? 0 : Predicate(warp, inst.b);
  result = (result & ~mask) | (F(a, b) & mask);
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddBits(FormTable& table) {
  AddLogic<u16>(table, "b16");
  AddLogic<u32>(table, "b32");
  AddLogic<u64>(table, "b64");
  AddFields<u32>(table, "b32");
  AddFields<u64>(table, "b64");
  AddForm(table, {"lop3.b32"}, "w=wwwi", Lop3);
  AddMap(table, {"prmt.b32"}, [](u32 a, u32 b, u32 c) { return Permuted(a, b, c); });
  AddPermute<kForward>(table, "f4e");
  AddPermute<kBackward>(table, "b4e");
  AddPermute<kReplicate8>(table, "rc8");
  AddPermute<kClampLeft>(table, "ecl");
  AddPermute<kClampRight>(table, "ecr");
  AddPermute<kReplicate16>(table, "rc16");
  AddMap(table, {"shf.l.wrap.b32"}, [](u32 a, u32 b, u32 c) { return Funnel<true, true>(a, b, c); });
  AddMap(table, {"shf.l.clamp.b32"}, [](u32 a, u32 b, u32 c) { return Funnel<true, false>(a, b, c); });
  AddMap(table, {"shf.r.wrap.b32"}, [](u32 a, u32 b, u32 c) { return Funnel<false, true>(a, b, c); });
  AddMap(table, {"shf.r.clamp.b32"}, [](u32 a, u32 b, u32 c) { return Funnel<false, false>(a, b, c); });
  AddMap(table, {"bmsk.clamp.b32"}, [](u32 a, u32 b) { return a > 31 ? 0 : OnesFrom(a, b); });
  AddMap(table, {"bmsk.wrap.b32"}, [](u32 a, u32 b) { return OnesFrom(a & 31, b & 31); });
  AddMap(table, {"fns.b32"}, [](u32 mask, u32 base, s32 offset) { return FindSet(mask, base, offset); });
  AddForm(table, {"and.pred"}, "p=pp", PredicateLogic<[](u32 a, u32 b) { return a & b; }>);
  AddForm(table, {"or.pred"}, "p=pp", PredicateLogic<[](u32 a, u32 b) { return a | b; }>);
  AddForm(table, {"xor.pred"}, "p=pp", PredicateLogic<[](u32 a, u32 b) { return a ^ b; }>);
  AddForm(table, {"not.pred"}, "p=p", PredicateLogic<[](u32 a, u32) { return ~a; }>);
  AddForm(table, {"mov.pred"}, "p=p", PredicateLogic<[](u32 a, u32) { return a; }>);
}

}  // namespace outboard::softgpu
