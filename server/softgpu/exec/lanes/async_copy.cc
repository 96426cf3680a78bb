// Asynchronous copies to shared memory (PTX ISA, section 9.7.9.25: cp.async).
//
// A copy is done when it is asked for, which is the earliest that PTX allows, so waiting needs nothing.

#include "server/softgpu/exec/lanes/access.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

// Reads `size` bytes, at most kBytes, of one lane's source in device memory; no other byte need be there. False with
// warp.fault set when it is refused.
template <u32 kBytes>
inline bool ReadSource(WarpContext& warp, u64 address, u32 size, u32 lane, std::byte* to) {
  const bool is_whole = size >= kBytes || address % kBytes != 0;
  const u32 step = is_whole ? kBytes : 1;
  for (u32 done = 0; done < size && done < kBytes; done += step) {
    const std::byte* from = ResolveLane(warp, MemorySpace::kGlobal, address + done, step, lane, AccessKind::kRead);
    if (from == nullptr) return false;
    __builtin_memcpy(to + done, from, step);
  }
  return true;
}

// `a`: where to in shared memory, `b`: where from; `c`: how many bytes of the source there are, the others being zero;
// `d`: lanes that ignore their source and copy zeros. `c` and `d` may be missing.
template <u32 kBytes>
void Copy(const Inst& inst, WarpContext& warp, u32 mask) {
  std::byte* places[kLanes];
  if (!ResolveLanes(inst, warp, kBytes, mask, AccessKind::kWrite, places)) return;
  const u64* from = Row<const u64>(warp, inst.b);
  const u32* size = inst.c == kNoSlot ? nullptr : Row<const u32>(warp, inst.c);
  const u32 ignored = inst.d == kNoSlot ? 0 : Predicate(warp, inst.d);
  std::byte data[kLanes][kBytes] = {};
  for (u32 rest = mask & ~ignored; rest != 0; rest &= rest - 1) {
    const u32 lane = static_cast<u32>(__builtin_ctz(rest));
    if (!ReadSource<kBytes>(warp, from[lane], size == nullptr ? kBytes : size[lane], lane, data[lane])) return;
  }
  ForLanes(mask, [&](u32 lane) { __builtin_memcpy(places[lane], data[lane], kBytes); });
}

void Nothing(const Inst&, WarpContext&, u32) {}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddAsyncCopy(FormTable& table) {
  AddForm(table, {"cp.async.4"}, "=Alwp", Copy<4>, Control::kChecked);
  AddForm(table, {"cp.async.8"}, "=Alwp", Copy<8>, Control::kChecked);
  AddForm(table, {"cp.async.16"}, "=Alwp", Copy<16>, Control::kChecked);
  AddForm(table, {"cp.async.commit_group"}, "=", Nothing);
  AddForm(table, {"cp.async.wait_group"}, "=i", Nothing);
  AddForm(table, {"cp.async.wait_all"}, "=", Nothing);
}

}  // namespace outboard::softgpu
