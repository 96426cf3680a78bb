#pragma once

#include "server/softgpu/exec/lanes/lane_ops.h"

// Rows of lanes as vectors of the CPU level's size, for what loops over lanes do not become by themselves.

namespace outboard::softgpu {
namespace {

inline constexpr u32 kVectorBytes = OUTBOARD_CPU_LEVEL >= 4 ? 64 : OUTBOARD_CPU_LEVEL == 3 ? 32 : 16;

// Unaligned, and of any memory.
template <class T, u32 kBytes = kVectorBytes>
struct VectorOf {
  typedef T type __attribute__((vector_size(kBytes), aligned(1), may_alias));
  static constexpr u32 kLanesEach = kBytes / sizeof(T);
};
template <class T>
using Vector = typename VectorOf<T>::type;

template <class T>
inline Vector<T> LoadVectorAt(const void* from) {
  return *static_cast<const Vector<T>*>(from);
}
template <class T>
inline void StoreVectorAt(void* to, Vector<T> value) {
  *static_cast<Vector<T>*>(to) = value;
}

// a * b + c, rounded once.
inline Vector<f64> FusedMultiplyAdd(f64 a, Vector<f64> b, Vector<f64> c) {
#if OUTBOARD_CPU_LEVEL >= 4
  return _mm512_fmadd_pd(_mm512_set1_pd(a), b, c);
#elif OUTBOARD_CPU_LEVEL == 3
  return _mm256_fmadd_pd(_mm256_set1_pd(a), b, c);
#else
  for (u32 i = 0; i < VectorOf<f64>::kLanesEach; ++i) c[i] = __builtin_fma(a, b[i], c[i]);
  return c;
#endif
}

// 0, 1, 2 and so on.
template <class T, size_t... I>
inline Vector<T> IotaOf(std::index_sequence<I...>) {
  return Vector<T>{static_cast<T>(I)...};
}
template <class T>
inline Vector<T> Iota() {
  return IotaOf<T>(std::make_index_sequence<VectorOf<T>::kLanesEach>());
}

template <class T>
inline bool IsZero(Vector<T> value) {
#if OUTBOARD_CPU_LEVEL >= 4
  const __m512i bits = reinterpret_cast<__m512i>(value);
  return _mm512_test_epi64_mask(bits, bits) == 0;
#elif OUTBOARD_CPU_LEVEL == 3
  const __m256i bits = reinterpret_cast<__m256i>(value);
  return _mm256_testz_si256(bits, bits) != 0;
#else
  const __m128i bits = reinterpret_cast<__m128i>(value);
  return _mm_testz_si128(bits, bits) != 0;
#endif
}

// All ones in the lanes of `mask`, for the lanes that begin at `lane`.
template <class T>
inline Vector<T> MaskAt(u32 mask, u32 lane) {
  const Vector<T> bit = T{1} << Iota<T>();
  return reinterpret_cast<Vector<T>>((bit & static_cast<T>(mask >> lane)) == bit);
}

// Copies `kCount` values of 4 or 8 bytes.
template <u32 kCount, class T>
inline void CopyRow(void* to, const void* from) {
  for (u32 at = 0; at < kCount * sizeof(T); at += kVectorBytes) {
    StoreVectorAt<T>(static_cast<std::byte*>(to) + at, LoadVectorAt<T>(static_cast<const std::byte*>(from) + at));
  }
}

template <u32 kCount, class T>
inline void FillRow(T* to, T value) {
  for (u32 i = 0; i < kCount; i += VectorOf<T>::kLanesEach) StoreVectorAt<T>(to + i, Vector<T>{} + value);
}

// Loads a vector of values of 4 or 8 bytes from places[i] + offset to `to`.
//
// Whole vectors are written, since a CPU that reads one back soon cannot put it together from smaller writes.
template <class T>
inline void GatherVector(T* to, std::byte* const* places, u64 offset) {
#if OUTBOARD_CPU_LEVEL >= 4
  const __m512i shift = _mm512_set1_epi64(static_cast<s64>(offset));
  const __m512i low = _mm512_add_epi64(_mm512_loadu_si512(places), shift);
  if constexpr (sizeof(T) == 8) {
    _mm512_storeu_si512(to, _mm512_i64gather_epi64(low, nullptr, 1));
  } else {
    const __m512i high = _mm512_add_epi64(_mm512_loadu_si512(places + 8), shift);
    _mm512_storeu_si512(to, _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_i64gather_epi32(low, nullptr, 1)),
                                               _mm512_i64gather_epi32(high, nullptr, 1), 1));
  }
#else
  Vector<T> values;
#pragma GCC unroll 8
  for (u32 i = 0; i < VectorOf<T>::kLanesEach; ++i) {
    T value;
    __builtin_memcpy(&value, places[i] + offset, sizeof value);
    values[i] = value;
  }
  StoreVectorAt<T>(to, values);
#endif
}

}  // namespace
}  // namespace outboard::softgpu
