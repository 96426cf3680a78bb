// Operations between the lanes of a warp (PTX ISA, sections 9.7.9.6 shfl.sync and 9.7.13: vote, match, redux,
// activemask). The interpreter has already waited for the lanes that the membermask names.

#include "server/softgpu/exec/lanes/lane_ops.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

enum class Shuffle { kUp, kDown, kButterfly, kIndex };

template <Shuffle kMode>
void Exchange(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32 *a = Row<u32>(warp, inst.a), *b = Row<u32>(warp, inst.b), *c = Row<u32>(warp, inst.c);
  alignas(64) u32 out[kLanes];
  u32 valid = 0;
  for (u32 lane = 0; lane < kLanes; ++lane) {
    const u32 delta = b[lane] & 31, clamp = c[lane] & 31, segment = (c[lane] >> 8) & 31;
    const u32 highest = (lane & segment) | (clamp & ~segment);
    const u32 lowest = lane & segment;
    s32 from;
    bool inside;
    if constexpr (kMode == Shuffle::kUp) {
      from = static_cast<s32>(lane) - static_cast<s32>(delta);
      inside = from >= static_cast<s32>(highest);
    } else {
      from = static_cast<s32>(kMode == Shuffle::kDown        ? lane + delta
                              : kMode == Shuffle::kButterfly ? lane ^ delta
                                                             : lowest | (delta & ~segment));
      inside = from <= static_cast<s32>(highest);
    }
    out[lane] = a[inside ? static_cast<u32>(from) & 31 : lane];
    valid |= u32{inside} << lane;
  }
  Blend(Row<u32>(warp, inst.dst), out, mask);
  if (inst.dst2 != kNoSlot) {
    u32& predicate = Predicate(warp, inst.dst2);
    predicate = (predicate & ~mask) | (valid & mask);
  }
}

inline void Assign(WarpContext& warp, Slot slot, u32 mask, bool value) {
  u32& predicate = Predicate(warp, slot);
  predicate = value ? predicate | mask : predicate & ~mask;
}
inline void Assign(WarpContext& warp, Slot slot, u32 mask, u32 value) {
  StoreLanes<u32>(warp, slot, mask, [&](u32) { return value; });
}

// F(active lanes, lanes where the predicate holds).
template <auto F>
void Vote(const Inst& inst, WarpContext& warp, u32 mask) {
  Assign(warp, inst.dst, mask, F(mask, Predicate(warp, inst.a) & mask));
}

template <class T>
void MatchAny(const Inst& inst, WarpContext& warp, u32 mask) {
  const T* a = Row<T>(warp, inst.a);
  alignas(64) u32 out[kLanes] = {};
  for (u32 lane = 0; lane < kLanes; ++lane) {
    for (u32 other = 0; other < kLanes; ++other) out[lane] |= u32{a[lane] == a[other]} << other;
    out[lane] &= mask;
  }
  Blend(Row<u32>(warp, inst.dst), out, mask);
}

template <class T>
void MatchAll(const Inst& inst, WarpContext& warp, u32 mask) {
  const T* a = Row<T>(warp, inst.a);
  const T first = a[__builtin_ctz(mask)];
  bool equal = true;
  for (u32 lane = 0; lane < kLanes; ++lane) equal = equal && (((mask >> lane) & 1) == 0 || a[lane] == first);
  Assign(warp, inst.dst, mask, equal ? mask : 0u);
  if (inst.dst2 != kNoSlot) Assign(warp, inst.dst2, mask, equal);
}

template <class T, auto F>
void Reduce(const Inst& inst, WarpContext& warp, u32 mask) {
  const T* a = Row<T>(warp, inst.a);
  T sum = a[__builtin_ctz(mask)];
  for (u32 rest = mask & (mask - 1); rest != 0; rest &= rest - 1) sum = F(sum, a[__builtin_ctz(rest)]);
  Assign(warp, inst.dst, mask, static_cast<u32>(sum));
}

void ActiveMask(const Inst& inst, WarpContext& warp, u32 mask) { Assign(warp, inst.dst, mask, mask); }

// The lowest lane leads.
void Elect(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32 leader = static_cast<u32>(__builtin_ctz(mask));
  Assign(warp, inst.dst, mask, leader);
  if (inst.dst2 == kNoSlot) return;
  u32& predicate = Predicate(warp, inst.dst2);
  predicate = (predicate & ~mask) | 1u << leader;
}

template <class T>
void AddReduction(FormTable& table) {
  const char* type = kName<T>;
  AddForm(table, {"redux.sync.add.", type}, "w=wM", Reduce<T, [](T a, T b) { return static_cast<T>(u32(a) + u32(b)); }>,
          Control::kSync);
  AddForm(table, {"redux.sync.min.", type}, "w=wM", Reduce<T, [](T a, T b) { return a < b ? a : b; }>, Control::kSync);
  AddForm(table, {"redux.sync.max.", type}, "w=wM", Reduce<T, [](T a, T b) { return b < a ? a : b; }>, Control::kSync);
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddWarp(FormTable& table) {
  AddForm(table, {"shfl.sync.up.b32"}, "wP=wwwM", Exchange<Shuffle::kUp>, Control::kSync);
  AddForm(table, {"shfl.sync.down.b32"}, "wP=wwwM", Exchange<Shuffle::kDown>, Control::kSync);
  AddForm(table, {"shfl.sync.bfly.b32"}, "wP=wwwM", Exchange<Shuffle::kButterfly>, Control::kSync);
  AddForm(table, {"shfl.sync.idx.b32"}, "wP=wwwM", Exchange<Shuffle::kIndex>, Control::kSync);
  AddForm(table, {"vote.sync.all.pred"}, "p=pM", Vote<[](u32 lanes, u32 true_lanes) { return lanes == true_lanes; }>,
          Control::kSync);
  AddForm(table, {"vote.sync.any.pred"}, "p=pM", Vote<[](u32, u32 true_lanes) { return true_lanes != 0; }>,
          Control::kSync);
  AddForm(table, {"vote.sync.uni.pred"}, "p=pM",
          Vote<[](u32 lanes, u32 true_lanes) { return true_lanes == 0 || lanes == true_lanes; }>, Control::kSync);
  AddForm(table, {"vote.sync.ballot.b32"}, "w=pM", Vote<[](u32, u32 true_lanes) { return true_lanes; }>,
          Control::kSync);
  AddForm(table, {"match.any.sync.b32"}, "w=wM", MatchAny<u32>, Control::kSync);
  AddForm(table, {"match.any.sync.b64"}, "w=lM", MatchAny<u64>, Control::kSync);
  AddForm(table, {"match.all.sync.b32"}, "wP=wM", MatchAll<u32>, Control::kSync);
  AddForm(table, {"match.all.sync.b64"}, "wP=lM", MatchAll<u64>, Control::kSync);
  AddReduction<u32>(table);
  AddReduction<s32>(table);
  AddForm(table, {"redux.sync.and.b32"}, "w=wM", Reduce<u32, [](u32 a, u32 b) { return a & b; }>, Control::kSync);
  AddForm(table, {"redux.sync.or.b32"}, "w=wM", Reduce<u32, [](u32 a, u32 b) { return a | b; }>, Control::kSync);
  AddForm(table, {"redux.sync.xor.b32"}, "w=wM", Reduce<u32, [](u32 a, u32 b) { return a ^ b; }>, Control::kSync);
  AddForm(table, {"elect.sync"}, "wP=M", Elect, Control::kSync);
  AddForm(table, {"activemask.b32"}, "w=", ActiveMask);
}

}  // namespace outboard::softgpu
