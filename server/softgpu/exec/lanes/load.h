#pragma once

#include "server/softgpu/exec/lanes/access.h"

// The handlers of loads (PTX ISA, section 9.7.9.8), and what stores share with them.

namespace outboard::softgpu {
namespace {

// The value at places[lane] + offset for each lane of `mask`.
template <class T, class S>
inline void LoadRow(S* to, std::byte* const* places, u64 offset, u32 mask) {
  if (sizeof(T) < 4 || mask != kAllLanes)
    return ForLanes(mask, [&](u32 lane) { to[lane] = static_cast<S>(LoadFrom<T>(places[lane] + offset)); });
  if constexpr (sizeof(T) >= 4) {
    constexpr u32 kHalf = kLanes / 2;  // often all of one row of a block
    for (u32 half = 0; half < kLanes; half += kHalf) {
      const u64* const at = reinterpret_cast<const u64*>(places + half);
      if (IsEven<kHalf, u64>(at, 0)) {
        FillRow<kHalf>(to + half, LoadFrom<T>(places[half] + offset));
      } else if (IsEven<kHalf, u64>(at, sizeof(T))) {
        CopyRow<kHalf, T>(to + half, places[half] + offset);
      } else {
        for (u32 lane = half; lane < half + kHalf; lane += VectorOf<T>::kLanesEach)
          GatherVector(to + lane, places + lane, offset);
      }
    }
  }
}

// The bytes of one lane's vector, moved at once as a GPU does, up to 16: programs put a value and what says that it is
// there into one. A CPU with AVX moves 16 aligned bytes at once (Intel SDM volume 3, section 9.1.1). Volatile, since a
// compiler may take an access apart, or move only what is used of it.
template <u32 kBytes>
struct Whole {
  static constexpr u32 kWords = (kBytes + 7) / 8;
  using Word = std::conditional_t<kBytes == 2, u16, std::conditional_t<kBytes == 4, u32, u64>>;

  u64 words[kWords];

  static Whole Load(const std::byte* from) {
    Whole value;
    if constexpr (kBytes < 16) {
      value.words[0] = __atomic_load_n(reinterpret_cast<const Word*>(from), __ATOMIC_RELAXED);
    } else {
      for (u32 i = 0; i < kWords; i += 2) {
        const __m128i part = *reinterpret_cast<const volatile __m128i_u*>(from + 8 * i);
        value.words[i] = static_cast<u64>(_mm_cvtsi128_si64(part));
        value.words[i + 1] = static_cast<u64>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(part, part)));
      }
    }
    return value;
  }
  void Store(std::byte* to) const {
    if constexpr (kBytes < 16) {
      __atomic_store_n(reinterpret_cast<Word*>(to), static_cast<Word>(words[0]), __ATOMIC_RELAXED);
    } else {
      for (u32 i = 0; i < kWords; i += 2) {
        *reinterpret_cast<volatile __m128i_u*>(to + 8 * i) =
            _mm_set_epi64x(static_cast<s64>(words[i + 1]), static_cast<s64>(words[i]));
      }
    }
  }

  template <class T>
  T Element(u32 k) const {
    return static_cast<T>(words[k * sizeof(T) / 8] >> (8 * (k * sizeof(T) % 8)));
  }
  template <class T>
  void Add(u32 k, T value) {
    words[k * sizeof(T) / 8] |= u64{static_cast<std::make_unsigned_t<T>>(value)} << (8 * (k * sizeof(T) % 8));
  }
};

// A vector of more than four elements has its slots in a list, at WarpContext::operands + Inst::d.

// By places of all kinds.
template <class T, int kWidth>
[[gnu::noinline]] void LoadVector(const Inst& inst, WarpContext& warp, u32 mask) {
  using S = typename Storage<T>::type;
  alignas(64) std::byte* places[kLanes];
  if (!Resolve<AccessKind::kRead>(inst, warp, kWidth * sizeof(T), mask, places)) return;
  if constexpr (kWidth == 1) {
    LoadRow<T>(Row<S>(warp, inst.dst), places, 0, mask);
  } else {
    using Value = Whole<kWidth * sizeof(T)>;
    const Slot own[] = {inst.dst, inst.dst2, inst.b, inst.c};
    const Slot* const slots = kWidth <= 4 ? own : warp.operands + inst.d;
    alignas(64) S out[kWidth][kLanes];
    S* to[kWidth];
    for (int k = 0; k < kWidth; ++k) to[k] = mask == kAllLanes && slots[k] != kNoSlot ? Row<S>(warp, slots[k]) : out[k];
    constexpr u32 kHalf = kLanes / 2;  // often all of one row of a block
    for (u32 half = 0; half < kLanes; half += kHalf) {
      if (mask == kAllLanes && IsEven<kHalf, u64>(reinterpret_cast<const u64*>(places + half), 0)) {
        const Value value = Value::Load(places[half]);
        for (u32 k = 0; k < kWidth; ++k) FillRow<kHalf>(to[k] + half, static_cast<S>(value.template Element<T>(k)));
      } else {
        ForLanes(mask & ((1u << kHalf) - 1) << half, [&](u32 lane) {
          const Value value = Value::Load(places[lane]);
          for (u32 k = 0; k < kWidth; ++k) to[k][lane] = static_cast<S>(value.template Element<T>(k));
        });
      }
    }
    if (mask == kAllLanes) return;
    for (int k = 0; k < kWidth; ++k) {
      if (slots[k] != kNoSlot) Blend(Row<S>(warp, slots[k]), out[k], mask);
    }
  }
}

template <class T>
void Load(const Inst& inst, WarpContext& warp, u32 mask) {
  using S = typename Storage<T>::type;
  const auto uniform = [&](auto count, const std::byte* from) __attribute__((always_inline)) {
    FillRow<count>(Row<S>(warp, inst.dst), static_cast<S>(LoadFrom<T>(from)));
  };
  const auto contiguous = [&](auto count, const std::byte* from) __attribute__((always_inline)) {
    S* const to = Row<S>(warp, inst.dst);
    if constexpr (sizeof(T) >= 4) {
      CopyRow<count, T>(to, from);
    } else {
      for (u32 i = 0; i < count; ++i) to[i] = static_cast<S>(LoadFrom<T>(from + u64{i} * sizeof(T)));
    }
  };
  if (mask == kAllLanes && TryEvenly<AccessKind::kRead>(inst, warp, sizeof(T), uniform, contiguous)) return;
  LoadVector<T, 1>(inst, warp, mask);
}

}  // namespace
}  // namespace outboard::softgpu
