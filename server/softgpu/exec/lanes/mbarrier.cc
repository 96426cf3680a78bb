// Barriers in shared memory (PTX ISA, section 9.7.13.15: mbarrier), and the copies whose end they announce (section
// 9.7.9.25: cp.async.mbarrier.arrive and cp.async.bulk).
//
// A copy is done when it is asked for, which is the earliest that PTX allows.

#include "server/softgpu/exec/lanes/access.h"
#include "server/softgpu/exec/lanes/tensor_levels.h"

namespace outboard::softgpu {
namespace {

constexpr u32 kCountBits = 20;
constexpr u32 kCountMask = (1u << kCountBits) - 1;

// What an mbarrier object holds. A block's threads take turns, so nothing here is atomic.
struct Barrier {
  explicit Barrier(u64 word)
      : pending(static_cast<u32>(word) & kCountMask),
        expected(static_cast<u32>(word >> kCountBits) & kCountMask),
        bytes(static_cast<s32>(static_cast<s64>(word << 1) >> (2 * kCountBits + 1))),
        phase(static_cast<u32>(word >> 63)) {}
  u64 Word() const {
    return u64{pending & kCountMask} | u64{expected & kCountMask} << kCountBits |
           (static_cast<u64>(s64{bytes}) << (2 * kCountBits) & ~(u64{1} << 63)) | u64{phase} << 63;
  }
  void EndPhase() {
    if ((pending & kCountMask) != 0 || bytes != 0) return;
    phase ^= 1;
    pending = expected;
  }

  u32 pending, expected;  // arrivals that this phase still needs, and that the next ones will
  s32 bytes;              // that copies are still to write
  u32 phase;              // 0 or 1
};

// Runs act(barrier, lane) on the barrier of each lane, one lane after the other. `state`, where there is one, becomes
// what the barrier was before.
template <class Act>
inline void ForBarriers(const Inst& inst, WarpContext& warp, u32 mask, Act act) {
  u64* const state = inst.dst == kNoSlot ? nullptr : Row<u64>(warp, inst.dst);
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    std::byte* const place =
        ResolveLane(warp, inst.space, AddressOf(inst, warp, lane), sizeof(u64), lane, AccessKind::kWrite);
    if (place == nullptr) return;
    const u64 word = LoadFrom<u64>(place);
    Barrier barrier(word);
    act(barrier, lane);
    StoreTo(place, barrier.Word());
    if (state != nullptr) state[lane] = word;
  }
}

// `b`: the count.
void Initialize(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32* const count = Row<const u32>(warp, inst.b);
  ForBarriers(inst, warp, mask, [&](Barrier& barrier, u32 lane) {
    barrier = Barrier(0);
    barrier.pending = barrier.expected = count[lane];
  });
}

void Invalidate(const Inst& inst, WarpContext& warp, u32 mask) {
  ForBarriers(inst, warp, mask, [](Barrier& barrier, u32) { barrier = Barrier(0); });
}

// `b`: how many arrive, or with kExpects, of which one arrives, how many bytes are still to come.
template <bool kExpects, bool kDrops>
void Arrive(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32* const operand = Row<const u32>(warp, inst.b);
  ForBarriers(inst, warp, mask, [&](Barrier& barrier, u32 lane) {
    const u32 count = kExpects ? 1 : operand[lane];
    if (kExpects) barrier.bytes += static_cast<s32>(operand[lane]);
    if (kDrops) barrier.expected -= count;
    barrier.pending -= count;
    barrier.EndPhase();
  });
}

// `b`: bytes that are to come, or have come.
template <bool kHaveCome>
void CountBytes(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32* const bytes = Row<const u32>(warp, inst.b);
  ForBarriers(inst, warp, mask, [&](Barrier& barrier, u32 lane) {
    barrier.bytes += static_cast<s32>(kHaveCome ? u32{0} - bytes[lane] : bytes[lane]);
    barrier.EndPhase();
  });
}

// `dst`: the predicate, true when the phase of `b` is over: of a state, or with kParity one by its number.
template <bool kParity>
void Test(const Inst& inst, WarpContext& warp, u32 mask) {
  u32 is_over = 0;
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    const std::byte* const place =
        ResolveLane(warp, inst.space, AddressOf(inst, warp, lane), sizeof(u64), lane, AccessKind::kRead);
    if (place == nullptr) return;
    const u32 phase = kParity ? Row<u32>(warp, inst.b)[lane] & 1 : Barrier(Row<u64>(warp, inst.b)[lane]).phase;
    is_over |= u32{Barrier(LoadFrom<u64>(place)).phase != phase} << lane;
  }
  if (inst.dst == kNoSlot) return;
  u32& predicate = Predicate(warp, inst.dst);
  predicate = (predicate & ~mask) | is_over;
}

// `a`: where to, `b`: where from, of which kToShared says which is in shared memory; `c`: bytes, a multiple of 16; `d`:
// the barrier to tell, with kToShared.
template <bool kToShared>
void CopyBulk(const Inst& inst, WarpContext& warp, u32 mask) {
  constexpr u32 kStep = 16;
  constexpr MemorySpace kTo = kToShared ? MemorySpace::kShared : MemorySpace::kGlobal;
  constexpr MemorySpace kFrom = kToShared ? MemorySpace::kGlobal : MemorySpace::kShared;
  const u64 *to = Row<const u64>(warp, inst.a), *from = Row<const u64>(warp, inst.b);
  const u32* const bytes = Row<const u32>(warp, inst.c);
  for (u32 rest = mask; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    if (bytes[lane] % kStep != 0) {
      warp.fault = {AccessError::kMisaligned, lane, from[lane] + bytes[lane]};
      return;
    }
    for (u32 done = 0; done < bytes[lane]; done += kStep) {
      const std::byte* const source = ResolveLane(warp, kFrom, from[lane] + done, kStep, lane, AccessKind::kRead);
      if (source == nullptr) return;
      std::byte* const place = ResolveLane(warp, kTo, to[lane] + done, kStep, lane, AccessKind::kWrite);
      if (place == nullptr) return;
      __builtin_memcpy(place, source, kStep);
    }
    if constexpr (kToShared) {
      std::byte* const place = ResolveLane(warp, MemorySpace::kShared, Row<const u64>(warp, inst.d)[lane], sizeof(u64),
                                           lane, AccessKind::kWrite);
      if (place == nullptr) return;
      Barrier barrier(LoadFrom<u64>(place));
      barrier.bytes -= static_cast<s32>(bytes[lane]);
      barrier.EndPhase();
      StoreTo(place, barrier.Word());
    }
  }
}

void Nothing(const Inst&, WarpContext&, u32) {}

}  // namespace

template <>
void TensorLanes<OUTBOARD_CPU_LEVEL>::AddMbarrier(FormTable& table) {
  constexpr Control kChecked = Control::kChecked;
  AddForm(table, {"mbarrier.init"}, "=Aw", Initialize, kChecked);
  AddForm(table, {"mbarrier.inval"}, "=A", Invalidate, kChecked);
  AddForm(table, {"mbarrier.arrive"}, "l=Aw", Arrive<false, false>, kChecked);
  AddForm(table, {"mbarrier.arrive.noComplete"}, "l=Aw", Arrive<false, false>, kChecked);
  AddForm(table, {"mbarrier.arrive.expect_tx"}, "l=Aw", Arrive<true, false>, kChecked);
  AddForm(table, {"mbarrier.arrive_drop"}, "l=Aw", Arrive<false, true>, kChecked);
  AddForm(table, {"mbarrier.arrive_drop.noComplete"}, "l=Aw", Arrive<false, true>, kChecked);
  AddForm(table, {"mbarrier.arrive_drop.expect_tx"}, "l=Aw", Arrive<true, true>, kChecked);
  AddForm(table, {"mbarrier.expect_tx"}, "=Aw", CountBytes<false>, kChecked);
  AddForm(table, {"mbarrier.complete_tx"}, "=Aw", CountBytes<true>, kChecked);
  AddForm(table, {"mbarrier.test_wait"}, "p=Al", Test<false>, kChecked);
  AddForm(table, {"mbarrier.test_wait.parity"}, "p=Aw", Test<true>, kChecked);
  AddForm(table, {"mbarrier.try_wait"}, "p=Al", Test<false>, kChecked);
  AddForm(table, {"mbarrier.try_wait.parity"}, "p=Aw", Test<true>, kChecked);
  AddMap(table, {"mbarrier.pending_count.b64"}, [](u64 state) { return Barrier(state).pending; });
  // What counts the arrival up when the copies begin, and down when they are done.
  AddForm(table, {"cp.async.mbarrier.arrive"}, "=A", Nothing);
  AddForm(table, {"cp.async.mbarrier.arrive.noinc"}, "=Aw", Arrive<false, false>, kChecked);
  AddForm(table, {"cp.async.bulk.shared.global"}, "=llwl", CopyBulk<true>, kChecked);
  AddForm(table, {"cp.async.bulk.global.shared"}, "=llw", CopyBulk<false>, kChecked);
  AddForm(table, {"cp.async.bulk.commit_group"}, "=", Nothing);
  AddForm(table, {"cp.async.bulk.wait_group"}, "=i", Nothing);
  AddForm(table, {"cp.async.bulk.wait_group.read"}, "=i", Nothing);
  // A grid begins when those before it in its stream are done.
  AddForm(table, {"griddepcontrol.launch_dependents"}, "=", Nothing);
  AddForm(table, {"griddepcontrol.wait"}, "=", Nothing);
}

}  // namespace outboard::softgpu
