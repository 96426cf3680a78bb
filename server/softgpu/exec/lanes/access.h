#pragma once

#include "server/softgpu/exec/lanes/vectors.h"
#include "server/softgpu/exec/memory.h"

// How handlers get at memory: every access of every active lane is checked for range and alignment before a byte moves.

namespace outboard::softgpu {

namespace {

// A contiguous piece of memory that a group of accesses may lie in.
struct Window {
  u64 begin;
  u64 size;
  std::byte* host;
  u64 lane_bytes = 0;  // how far each lane's piece lies behind that of the lane before
};

template <class T>
inline T LoadFrom(const void* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

// Whether `kCount` addresses lie `stride` apart.
template <u32 kCount, class A>
[[gnu::always_inline]] inline bool IsEven(const A* address, A stride) {
  const A first = LoadFrom<A>(address);
  Vector<A> differ = {};
#pragma GCC unroll 16
  for (u32 i = 0; i < kCount; i += VectorOf<A>::kLanesEach) {
    differ |= LoadVectorAt<A>(address + i) ^ ((Iota<A>() + static_cast<A>(i)) * stride + first);
  }
  return IsZero<A>(differ);
}

// Whether the accesses of `bytes` at address[lane] + offset lie in `window` and are aligned, for every lane of `mask`.
//
// A (u32 or u64) is the width of the address registers. An offset is in range exactly when neither it nor (size - bytes
// - it) is negative; both signs are gathered over the lanes, so the loop has no branch.
template <class A>
inline bool Fits(const A* address, u64 offset, const Window& window, u32 bytes, u32 mask) {
  constexpr A kSign = A{1} << (8 * sizeof(A) - 1);
  if (window.size < bytes) return false;
  const A base = static_cast<A>(offset - window.begin);
  const A limit = static_cast<A>(window.size - bytes);
  Vector<A> outside = {}, low_bits = {};
  for (u32 lane = 0; lane < kLanes; lane += VectorOf<A>::kLanesEach) {
    const Vector<A> o = LoadVectorAt<A>(address + lane) + base;
    const Vector<A> take = mask == kAllLanes ? ~Vector<A>{} : MaskAt<A>(mask, lane);
    outside |= (o | (limit - o)) & take;
    low_bits |= o & take;
  }
  return IsZero<A>((outside & kSign) | (low_bits & static_cast<A>(bytes - 1)));
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

// The extent that this instruction hit last. Empty where the access is not allowed.
template <AccessKind kKind>
[[gnu::always_inline]] inline Window LastWindow(const Extent* hit) {
  const u64 size = hit->end - hit->begin;
  return {hit->begin, kKind == AccessKind::kRead || hit->writable ? size : 0, hit->host};
}
inline const Extent*& LastHit(const Inst& inst, WarpContext& warp) {
  return warp.hit[reinterpret_cast<uintptr_t>(&inst) / sizeof(Inst) % WarpContext::kHits];
}

// The extent that the accesses are most likely in: the one that this instruction hit last, or else that of the first
// active lane.
template <AccessKind kKind>
inline Window DeviceWindow(const Inst& inst, WarpContext& warp, u64 first_address) {
  const Extent*& hit = LastHit(inst, warp);
  if (first_address - hit->begin >= hit->end - hit->begin) {
    if (const Extent* extent = FindExtent(warp, first_address)) hit = extent;
  }
  return LastWindow<kKind>(hit);
}

// Calls use(addresses, offset, window) for the piece of memory that the accesses are most likely in, the addresses
// being a row of u32 or u64, and returns what it does. False when there is no such piece.
template <AccessKind kKind, class Use>
inline bool UseWindow(const Inst& inst, WarpContext& warp, u32 mask, Use use) {
  const u64 offset = static_cast<u64>(inst.imm) + (inst.extra & kFrameLocal ? warp.local_base : 0);
  Window window{0, warp.shared_bytes, warp.shared};
  switch (inst.space) {
    case MemorySpace::kShared:
      break;
    case MemorySpace::kLocal:
      window = {0, warp.local_bytes, warp.local, warp.local_bytes};
      break;
    case MemorySpace::kParam:
      return false;
    default: {
      if (inst.extra & kNarrowAddress) return false;
      const u64 first = Row<const u64>(warp, inst.a)[__builtin_ctz(mask)] + offset;
      if (inst.space == MemorySpace::kGlobal || first < kSharedWindow) {
        window = DeviceWindow<kKind>(inst, warp, first);
      } else if ((first & kWindowMask) == kSharedWindow) {
        window.begin = kSharedWindow;
      } else if ((first & kWindowMask) == kLocalWindow) {
        window = {kLocalWindow, warp.local_bytes, warp.local, warp.local_bytes};
      } else {
        return false;
      }
    }
  }
  if (inst.extra & kNarrowAddress) return use(Row<const u32>(warp, inst.a), offset, window);
  return use(Row<const u64>(warp, inst.a), offset, window);
}

// The places of accesses that fit into the window; of inactive lanes, any.
template <class A>
inline void FillPlaces(const A* address, u64 offset, const Window& window, std::byte** places) {
  const A shift = static_cast<A>(offset - window.begin);
  // A number, as an inactive lane's place may be beyond all memory.
  const u64 host = reinterpret_cast<u64>(window.host);
  for (u32 lane = 0; lane < kLanes; ++lane) {
    places[lane] =
        reinterpret_cast<std::byte*>(host + u64{lane} * window.lane_bytes + static_cast<A>(address[lane] + shift));
  }
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

// The place of each active lane's access: the quick way where it goes, else the exact one. Of inactive lanes, any.
// False with warp.fault set when one is refused.
template <AccessKind kKind>
[[gnu::noinline]] bool Resolve(const Inst& inst, WarpContext& warp, u32 bytes, u32 mask, std::byte** places) {
  const auto fill = [&](const auto* address, u64 offset, const Window& window) {
    if (!Fits(address, offset, window, bytes, mask)) return false;
    FillPlaces(address, offset, window, places);
    return true;
  };
  return UseWindow<kKind>(inst, warp, mask, fill) || ResolveLanes(inst, warp, bytes, mask, kKind, places);
}

template <u32 kCount>
using LaneCount = std::integral_constant<u32, kCount>;

// The accesses of `kCount` lanes whose addresses are all the same or lie one element apart, by one of two functions:
// uniform(count, place of all) or contiguous(count, place of the first); `count` is a LaneCount. False when they do
// not, or when an access is out of the window or misaligned; nothing has moved then.
template <u32 kCount, class A, class Uniform, class Contiguous>
[[gnu::always_inline]] inline bool AccessEvenly(const A* address, u64 offset, const Window& window, u32 bytes,
                                                Uniform uniform, Contiguous contiguous) {
  const A first = LoadFrom<A>(address), step = LoadFrom<A>(address + 1) - first;  // the row may be of a float
  const A o = static_cast<A>(first + (offset - window.begin));
  // The ends of an even row of addresses speak for all between them.
  const auto fits = [&](u64 span) __attribute__((always_inline)) {
    return window.size >= span && o <= window.size - span && (o & (bytes - 1)) == 0;
  };
  if (step == bytes) {
    if (!IsEven<kCount, A>(address, bytes) || !fits(u64{bytes} * kCount)) return false;
    contiguous(LaneCount<kCount>(), window.host + o);
    return true;
  }
  if (step != 0 || !IsEven<kCount, A>(address, 0) || !fits(bytes)) return false;
  uniform(LaneCount<kCount>(), window.host + o);
  return true;
}

// How far behind a warp's contiguous accesses in device memory the CPU is told to fetch: where the next warps' will be,
// most often, and a CPU's own looking ahead ends with the page.
inline constexpr u64 kFetchDistance = 1024;

inline void FetchAhead(const std::byte* place, u64 bytes) {
  const u64 ahead = reinterpret_cast<u64>(place) + kFetchDistance;  // a number, as it may be beyond the memory
  for (u64 at = 0; at < bytes; at += 64) __builtin_prefetch(reinterpret_cast<const void*>(ahead + at));
}

// The same for a whole warp with all lanes active, in shared memory or where in device memory the instruction hit last.
template <AccessKind kKind, class Uniform, class Contiguous>
[[gnu::always_inline]] inline bool TryEvenly(const Inst& inst, WarpContext& warp, u32 bytes, Uniform uniform,
                                             Contiguous contiguous) {
  const u64 offset = static_cast<u64>(inst.imm);
  if (inst.space == MemorySpace::kShared) {
    const Window window{0, warp.shared_bytes, warp.shared};
    if (inst.extra & kNarrowAddress)
      return AccessEvenly<kLanes>(Row<const u32>(warp, inst.a), offset, window, bytes, uniform, contiguous);
    return AccessEvenly<kLanes>(Row<const u64>(warp, inst.a), offset, window, bytes, uniform, contiguous);
  }
  if (inst.space > MemorySpace::kGlobal || (inst.extra & kNarrowAddress) != 0) return false;
  const Window window = LastWindow<kKind>(LastHit(inst, warp));
  const auto fetching = [&](auto count, std::byte* place) __attribute__((always_inline)) {
    FetchAhead(place, u64{bytes} * kLanes);
    contiguous(count, place);
  };
  return AccessEvenly<kLanes>(Row<const u64>(warp, inst.a), offset, window, bytes, uniform, fetching);
}

}  // namespace
}  // namespace outboard::softgpu
