#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "server/softgpu/exec/inst.h"

// The tools that instruction handlers are made of. Included only by the .cc files of this folder, which are compiled
// once per CPU level (OUTBOARD_CPU_LEVEL); everything is in an unnamed namespace so that no level's code can stand in
// for another's.

namespace outboard::softgpu {
namespace {

using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using f32 = float;
using f64 = double;

// What a row holds for a value of type T: 32-bit lanes for everything narrower.
template <class T>
struct Storage {
  using type = std::conditional_t<(sizeof(T) < 4), std::conditional_t<std::is_signed_v<T>, s32, u32>, T>;
  static constexpr char kLetter = sizeof(T) == 8 ? 'l' : 'w';
};
template <>
struct Storage<bool> {
  using type = s32;  // expanded: 0 or -1 per lane
  static constexpr char kLetter = 'p';
};

template <class T>
inline T* Row(WarpContext& warp, Slot slot) {
  return reinterpret_cast<T*>(warp.base[slot >> 31] + (slot & ~kConstantBit));
}

inline u32& Predicate(WarpContext& warp, Slot slot) { return *Row<u32>(warp, slot); }

inline void ExpandMask(u32 mask, s32* lanes) {
  for (u32 i = 0; i < kLanes; ++i) lanes[i] = -static_cast<s32>((mask >> i) & 1);
}

// One bit per lane from lanes that are 0 or -1.
inline u32 PackMask(const s32* lanes) {
  u32 mask = 0;
#if OUTBOARD_CPU_LEVEL >= 3
  for (int i = 0; i < 4; ++i) {
    const __m256 eight = _mm256_loadu_ps(reinterpret_cast<const float*>(lanes + 8 * i));
    mask |= static_cast<u32>(_mm256_movemask_ps(eight)) << (8 * i);
  }
#else
  for (int i = 0; i < 8; ++i) {
    const __m128 four = _mm_loadu_ps(reinterpret_cast<const float*>(lanes + 4 * i));
    mask |= static_cast<u32>(_mm_movemask_ps(four)) << (4 * i);
  }
#endif
  return mask;
}

// Writes the lanes of `mask` from `from` to `to`.
template <class S>
inline void Blend(S* to, const S* from, u32 mask) {
  using Bits = std::conditional_t<sizeof(S) == 8, u64, u32>;
  using SignedBits = std::make_signed_t<Bits>;
  alignas(64) s32 lanes[kLanes];
  ExpandMask(mask, lanes);
  auto* to_bits = reinterpret_cast<Bits __attribute__((may_alias))*>(to);
  auto* from_bits = reinterpret_cast<const Bits __attribute__((may_alias))*>(from);
  for (u32 i = 0; i < kLanes; ++i) {
    const Bits take = static_cast<Bits>(static_cast<SignedBits>(lanes[i]));
    to_bits[i] = (from_bits[i] & take) | (to_bits[i] & ~take);
  }
}

// A source operand as rows of its storage type; predicates are expanded first.
template <class T>
class Source {
 public:
  Source(WarpContext& warp, Slot slot) : row_(Row<const typename Storage<T>::type>(warp, slot)) {}
  T operator[](u32 lane) const { return static_cast<T>(row_[lane]); }

 private:
  const typename Storage<T>::type* row_;
};
template <>
class Source<bool> {
 public:
  Source(WarpContext& warp, Slot slot) { ExpandMask(Predicate(warp, slot), lanes_); }
  bool operator[](u32 lane) const { return lanes_[lane] != 0; }

 private:
  alignas(64) s32 lanes_[kLanes];
};

// Runs `compute(lane)` for every lane, active or not, and keeps the results of the active ones. Results for inactive
// lanes come from whatever their registers hold, so `compute` must be defined for every input.
template <class D, class Compute>
[[gnu::always_inline]] inline void StoreLanes(WarpContext& warp, Slot slot, u32 mask, Compute compute) {
  using S = typename Storage<D>::type;
  alignas(64) S out[kLanes];
  if constexpr (std::is_same_v<D, bool>) {
    for (u32 i = 0; i < kLanes; ++i) out[i] = -static_cast<s32>(compute(i));
    u32& predicate = Predicate(warp, slot);
    predicate = (predicate & ~mask) | (PackMask(out) & mask);
  } else {
    S* to = Row<S>(warp, slot);
    S* target = mask == kAllLanes ? to : out;
#pragma GCC ivdep
    for (u32 i = 0; i < kLanes; ++i) target[i] = static_cast<S>(compute(i));
    if (mask != kAllLanes) Blend(to, out, mask);
  }
}

// MXCSR's rounding field. The memory clobbers keep the loads of operands after, and the stores of results before, a
// change.
enum class Rounding : u32 { kNearest = 0x0000, kDown = 0x2000, kUp = 0x4000, kZero = 0x6000 };

template <Rounding kMode>
class RoundingScope {
 public:
  RoundingScope() {
    if constexpr (kMode != Rounding::kNearest) {
      asm volatile("stmxcsr %0" : "=m"(saved_)::"memory");
      const u32 wanted = (saved_ & ~u32{0x6000}) | static_cast<u32>(kMode);
      asm volatile("ldmxcsr %0" ::"m"(wanted) : "memory");
    }
  }
  ~RoundingScope() {
    if constexpr (kMode != Rounding::kNearest) asm volatile("ldmxcsr %0" ::"m"(saved_) : "memory");
  }

 private:
  u32 saved_ = 0;
};

// A handler from a stateless function of values: Run computes F lane by lane. F's own type says the operands.
template <class F, Rounding kMode, class Call>
struct MapOf;

template <class F, Rounding kMode, class D, class... A>
struct MapOf<F, kMode, D (F::*)(A...) const> {
  static constexpr char kSignature[] = {Storage<D>::kLetter, '=', Storage<A>::kLetter..., '\0'};

  static void Run(const Inst& inst, WarpContext& warp, u32 mask) {
    const Slot slots[] = {inst.a, inst.b, inst.c, inst.d};
    Apply(inst, warp, mask, slots, std::make_index_sequence<sizeof...(A)>());
  }

 private:
  template <size_t... I>
  static void Apply(const Inst& inst, WarpContext& warp, u32 mask, const Slot* slots, std::index_sequence<I...>) {
    Loop(inst, warp, mask, Source<A>(warp, slots[I])...);
  }
  static void Loop(const Inst& inst, WarpContext& warp, u32 mask, const Source<A>&... sources) {
    const RoundingScope<kMode> scope;
    StoreLanes<D>(warp, inst.dst, mask, [&](u32 lane) { return F{}(sources[lane]...); });
  }
};

// Adds a form whose name is the parts put together.
template <size_t N>
inline void AddForm(FormTable& table, const char* const (&parts)[N], const char* signature, Handler handler,
                    Control control = Control::kStraight) {
  table.Add(parts, N, signature, handler, control);
}

template <Rounding kMode = Rounding::kNearest, size_t N, class F>
inline void AddMap(FormTable& table, const char* const (&parts)[N], F) {
  using Handler = MapOf<F, kMode, decltype(&F::operator())>;
  AddForm(table, parts, Handler::kSignature, Handler::Run);
}

// PTX spelling of a C++ type.
template <class T>
inline constexpr const char* kName = nullptr;
template <>
inline constexpr const char* kName<u8> = "u8";
template <>
inline constexpr const char* kName<u16> = "u16";
template <>
inline constexpr const char* kName<u32> = "u32";
template <>
inline constexpr const char* kName<u64> = "u64";
template <>
inline constexpr const char* kName<s8> = "s8";
template <>
inline constexpr const char* kName<s16> = "s16";
template <>
inline constexpr const char* kName<s32> = "s32";
template <>
inline constexpr const char* kName<s64> = "s64";
template <>
inline constexpr const char* kName<f32> = "f32";
template <>
inline constexpr const char* kName<f64> = "f64";

}  // namespace
}  // namespace outboard::softgpu
