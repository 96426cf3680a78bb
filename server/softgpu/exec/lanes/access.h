#pragma once

#include "server/softgpu/exec/lanes/lane_ops.h"
#include "server/softgpu/exec/memory.h"

// How handlers get at memory: every access of every active lane is checked for range and alignment before a byte moves.

namespace outboard::softgpu {

namespace {

// A contiguous piece of memory that a group of accesses may lie in.
struct Window {
  u64 begin;
  u64 size;
  std::byte* host;
};

// How the addresses of half a warp lie to each other.
enum class Pattern { kUniform, kContiguous, kScattered };
inline constexpr u32 kHalf = kLanes / 2;

template <class A>
inline Pattern PatternOf(const A* address, u32 stride) {
  const A first = address[0];
  A apart = 0;
  for (u32 i = 0; i < kHalf; ++i) apart |= (address[i] - first) ^ static_cast<A>(i * stride);
  if (apart == 0) return Pattern::kContiguous;
  A differ = 0;
  for (u32 i = 0; i < kHalf; ++i) differ |= address[i] ^ first;
  return differ == 0 ? Pattern::kUniform : Pattern::kScattered;
}

// Whether the accesses of `bytes` at address[lane] + offset lie in `window` and are aligned, for every lane of `mask`.
//
// A (u32 or u64) is the width of the address registers. An offset is in range exactly when neither it nor (size - bytes
// - it) is negative; both signs are gathered over the lanes, so the loop has no branch.
template <class A>
inline bool Fits(const A* address, u64 offset, const Window& window, u32 bytes, u32 mask) {
  using Signed = std::make_signed_t<A>;
  if (window.size < bytes) return false;
  const A base = static_cast<A>(offset - window.begin);
  const A limit = static_cast<A>(window.size - bytes);
  A outside = 0, low_bits = 0;
  if (mask == kAllLanes) {
    for (u32 i = 0; i < kLanes; ++i) {
      const A o = address[i] + base;
      outside |= o | static_cast<A>(limit - o);
      low_bits |= o;
    }
  } else {
    alignas(64) s32 lanes[kLanes];
    ExpandMask(mask, lanes);
    for (u32 i = 0; i < kLanes; ++i) {
      const A o = address[i] + base;
      const A take = static_cast<A>(static_cast<Signed>(lanes[i]));
      outside |= (o | static_cast<A>(limit - o)) & take;
      low_bits |= o & take;
    }
  }
  return static_cast<Signed>(outside) >= 0 && (low_bits & (bytes - 1)) == 0;
}

template <class T>
inline T LoadFrom(const std::byte* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
inline void StoreTo(std::byte* to, T value) {
  __builtin_memcpy(to, &value, sizeof value);
}

// Calls move(lane, place) for each lane of `mask`.
template <class Move>
inline void ForLanes(u32 mask, Move move) {
  for (u32 rest = mask; rest != 0; rest &= rest - 1) move(static_cast<u32>(__builtin_ctz(rest)));
}

// The extent that the accesses are most likely in: the one that this instruction hit last, or else that of the first
// active lane. Empty where the access is not allowed.
template <AccessKind kKind>
inline Window DeviceWindow(const Inst& inst, WarpContext& warp, u64 first_address) {
  const Extent*& hit = warp.hit[reinterpret_cast<uintptr_t>(&inst) / sizeof(Inst) % WarpContext::kHits];
  if (first_address - hit->begin >= hit->end - hit->begin) {
    if (const Extent* extent = FindExtent(warp, first_address)) hit = extent;
  }
  const u64 size = hit->end - hit->begin;
  return {hit->begin, kKind == AccessKind::kRead || hit->writable ? size : 0, hit->host};
}

// The quick way for one element per lane in device or shared memory. Moves the data by one of three functions: for the
// sixteen lanes from `lane` on, uniform(lane, place of all) or contiguous(lane, place of the first); for one lane,
// each(lane, place). False when an access is out of the window or misaligned; nothing has moved then.
template <class A, class Uniform, class Contiguous, class Each>
inline bool AccessWindow(const A* address, u64 offset, const Window& window, u32 bytes, u32 mask, Uniform uniform,
                         Contiguous contiguous, Each each) {
  const u64 shift = offset - window.begin;
  const auto place = [&](u32 lane) { return window.host + static_cast<A>(address[lane] + shift); };
  if (mask != kAllLanes) {
    if (!Fits(address, offset, window, bytes, mask)) return false;
    ForLanes(mask, [&](u32 lane) { each(lane, place(lane)); });
    return true;
  }
  const Pattern patterns[2] = {PatternOf(address, bytes), PatternOf(address + kHalf, bytes)};
  if (patterns[0] == Pattern::kScattered || patterns[1] == Pattern::kScattered) {
    if (!Fits(address, offset, window, bytes, mask)) return false;
  } else {
    // The ends of an even row of addresses speak for all between them.
    for (const u32 lane : {u32{0}, kHalf - 1, kHalf, kLanes - 1}) {
      const A o = static_cast<A>(address[lane] + shift);
      if (window.size < bytes || o > window.size - bytes || (o & (bytes - 1)) != 0) return false;
    }
  }
  for (u32 half = 0; half < 2; ++half) {
    const u32 lane = half * kHalf;
    switch (patterns[half]) {
      case Pattern::kUniform:
        uniform(lane, place(lane));
        break;
      case Pattern::kContiguous:
        contiguous(lane, place(lane));
        break;
      case Pattern::kScattered:
        for (u32 i = lane; i < lane + kHalf; ++i) each(i, place(i));
        break;
    }
  }
  return true;
}

inline u64 AddressOf(const Inst& inst, WarpContext& warp, u32 lane) {
  const u64 offset = static_cast<u64>(inst.imm) + (inst.extra & kFrameLocal ? warp.local_base : 0);
  if (inst.extra & kNarrowAddress) return static_cast<u32>(Row<u32>(warp, inst.a)[lane] + offset);
  return Row<u64>(warp, inst.a)[lane] + offset;
}

// The exact way for any space: the place of each active lane's access. False with warp.fault set when one is refused.
__attribute__((noinline, unused)) bool ResolveLanes(const Inst& inst, WarpContext& warp, u32 bytes, u32 mask,
                                                    AccessKind kind, std::byte** places) {
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    places[lane] = ResolveLane(warp, inst.space, AddressOf(inst, warp, lane), bytes, lane, kind);
    if (places[lane] == nullptr) return false;
  }
  return true;
}

// One element of T per lane: the quick way where it goes, else the exact one.
template <AccessKind kKind, class Uniform, class Contiguous, class Each>
inline void Access(const Inst& inst, WarpContext& warp, u32 bytes, u32 mask, Uniform uniform, Contiguous contiguous,
                   Each each) {
  const u64 offset = static_cast<u64>(inst.imm);
  if (inst.space == MemorySpace::kShared) {
    const Window window{0, warp.shared_bytes, warp.shared};
    if (inst.extra & kNarrowAddress) {
      if (AccessWindow(Row<const u32>(warp, inst.a), offset, window, bytes, mask, uniform, contiguous, each)) return;
    } else if (AccessWindow(Row<const u64>(warp, inst.a), offset, window, bytes, mask, uniform, contiguous, each)) {
      return;
    }
  } else if (inst.space <= MemorySpace::kGlobal && (inst.extra & kNarrowAddress) == 0) {
    const u64* address = Row<const u64>(warp, inst.a);
    const Window window = DeviceWindow<kKind>(inst, warp, address[__builtin_ctz(mask)] + offset);
    if (AccessWindow(address, offset, window, bytes, mask, uniform, contiguous, each)) return;
  }
  std::byte* places[kLanes];
  if (!ResolveLanes(inst, warp, bytes, mask, kKind, places)) return;
  ForLanes(mask, [&](u32 lane) { each(lane, places[lane]); });
}

}  // namespace
}  // namespace outboard::softgpu
