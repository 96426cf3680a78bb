// Loads, stores and fences (PTX ISA, sections 9.7.9 and 9.7.13).
//
// x86 orders memory more strongly than PTX asks for, so .volatile, .relaxed, .acquire and .release need nothing beyond
// a plain access of the right size, in a record of its own (FunctionDecoder::FuseProduct); only fences act.

#include "server/softgpu/exec/lanes/levels.h"
#include "server/softgpu/exec/lanes/load.h"

namespace outboard::softgpu {
namespace {

template <class T, int kWidth>
[[gnu::noinline]] void StoreVector(const Inst& inst, WarpContext& warp, u32 mask) {
  using S = typename Storage<T>::type;
  alignas(64) std::byte* places[kLanes];
  if (!Resolve<AccessKind::kWrite>(inst, warp, kWidth * sizeof(T), mask, places)) return;
  const Slot own[] = {inst.b, inst.c, inst.d, inst.dst};
  const Slot* const slots = kWidth <= 4 ? own : warp.operands + inst.d;
  const S* from[kWidth];
  for (int k = 0; k < kWidth; ++k) from[k] = Row<const S>(warp, slots[k]);
  ForLanes(mask, [&](u32 lane) {
    if constexpr (kWidth == 1) {
      StoreTo(places[lane], static_cast<T>(from[0][lane]));
    } else {
      Whole<kWidth * sizeof(T)> value{};
      for (u32 k = 0; k < kWidth; ++k) value.Add(k, static_cast<T>(from[k][lane]));
      value.Store(places[lane]);
    }
  });
}

template <class T>
void Store(const Inst& inst, WarpContext& warp, u32 mask) {
  using S = typename Storage<T>::type;
  const auto uniform = [&](auto count, std::byte* to) __attribute__((always_inline)) {
    StoreTo(to, static_cast<T>(Row<const S>(warp, inst.b)[count - 1]));
  };
  const auto contiguous = [&](auto count, std::byte* to) __attribute__((always_inline)) {
    const S* const values = Row<const S>(warp, inst.b);
    if constexpr (sizeof(T) >= 4) {
      CopyRow<count, T>(to, values);
    } else {
      for (u32 i = 0; i < count; ++i) StoreTo(to + u64{i} * sizeof(T), static_cast<T>(values[i]));
    }
  };
  if (mask == kAllLanes && TryEvenly<AccessKind::kWrite>(inst, warp, sizeof(T), uniform, contiguous)) return;
  StoreVector<T, 1>(inst, warp, mask);
}

// A kernel's parameter at a fixed offset: one value for all lanes.
template <class T, int kWidth>
void LoadParam(const Inst& inst, WarpContext& warp, u32 mask) {
  using S = typename Storage<T>::type;
  const Slot slots[] = {inst.dst, inst.dst2, inst.b, inst.c};
  for (int k = 0; k < kWidth; ++k) {
    if (slots[k] == kNoSlot) continue;
    const S value = static_cast<S>(LoadFrom<T>(warp.params + inst.imm + k * sizeof(T)));
    StoreLanes<T>(warp, slots[k], mask, [&](u32) { return static_cast<T>(value); });
  }
}

template <class T>
void AddType(FormTable& table, const char* type) {
  constexpr char w = Storage<T>::kLetter;
  static constexpr char kLoad[] = {w, '=', 'A', '\0'}, kLoad2[] = {w, w, '=', 'A', '\0'},
                        kLoad4[] = {w, w, w, w, '=', 'A', '\0'};
  static constexpr char kStore[] = {'=', 'A', w, '\0'}, kStore2[] = {'=', 'A', w, w, '\0'},
                        kStore4[] = {'=', 'A', w, w, w, w, '\0'};
  for (const char* space : {"", "global.", "shared.", "local.", "param."}) {
    AddForm(table, {"ld.", space, type}, kLoad, Load<T>, Control::kChecked);
    AddForm(table, {"ld.", space, "v2.", type}, kLoad2, LoadVector<T, 2>, Control::kChecked);
    AddForm(table, {"ld.", space, "v4.", type}, kLoad4, LoadVector<T, 4>, Control::kChecked);
    if (space[0] == 'p' || std::is_same_v<T, s8> || std::is_same_v<T, s16>) continue;
    AddForm(table, {"st.", space, type}, kStore, Store<T>, Control::kChecked);
    AddForm(table, {"st.", space, "v2.", type}, kStore2, StoreVector<T, 2>, Control::kChecked);
    AddForm(table, {"st.", space, "v4.", type}, kStore4, StoreVector<T, 4>, Control::kChecked);
  }
  AddForm(table, {"ld.param.fixed.", type}, kLoad, LoadParam<T, 1>);
  AddForm(table, {"ld.param.fixed.v2.", type}, kLoad2, LoadParam<T, 2>);
  AddForm(table, {"ld.param.fixed.v4.", type}, kLoad4, LoadParam<T, 4>);
}

void Fence(const Inst&, WarpContext&, u32) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

void Nothing(const Inst&, WarpContext&, u32) {}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddMemory(FormTable& table) {
  AddType<u8>(table, "b8");
  AddType<s8>(table, "s8");
  AddType<u16>(table, "b16");
  AddType<s16>(table, "s16");
  AddType<u32>(table, "b32");
  AddType<u64>(table, "b64");
  AddForm(table, {"ld.global.v8.b32"}, "wwwwwwww=A", LoadVector<u32, 8>, Control::kChecked);
  AddForm(table, {"st.global.v8.b32"}, "=Awwwwwwww", StoreVector<u32, 8>, Control::kChecked);
  AddForm(table, {"membar"}, "=", Fence);
  AddForm(table, {"prefetch"}, "=", Nothing);
}

}  // namespace outboard::softgpu
