// Moves, packing, special registers and address-space conversion (PTX ISA, sections 9.7.9 and 10).

#include "server/softgpu/exec/lanes/lane_ops.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

template <class T, class Value>
inline void Fill(const Inst& inst, WarpContext& warp, u32 mask, Value value) {
  StoreLanes<T>(warp, inst.dst, mask, [&](u32 lane) { return static_cast<T>(value(lane)); });
}

// F(warp, lane): the value of a special register.
template <class T, auto F>
void Special(const Inst& inst, WarpContext& warp, u32 mask) {
  Fill<T>(inst, warp, mask, [&](u32 lane) { return F(warp, lane); });
}

template <class T, auto F>
void AddSpecial(FormTable& table, const char* name) {
  AddForm(table, {"mov.", name}, sizeof(T) == 8 ? "l=" : "w=", Special<T, F>);
}

template <int kAxis>
void AddAxis(FormTable& table, const char* axis) {
  AddForm(table, {"mov.%tid", axis}, "w=", Special<u32, [](WarpContext& w, u32 lane) { return w.tid[kAxis][lane]; }>);
  AddForm(table, {"mov.%ntid", axis}, "w=", Special<u32, [](WarpContext& w, u32) { return w.ntid[kAxis]; }>);
  AddForm(table, {"mov.%ctaid", axis}, "w=", Special<u32, [](WarpContext& w, u32) { return w.ctaid[kAxis]; }>);
  AddForm(table, {"mov.%nctaid", axis}, "w=", Special<u32, [](WarpContext& w, u32) { return w.nctaid[kAxis]; }>);
}

// A clock is read once per instruction, not once per lane. 1 GHz, as the device's clock rate says.
template <class T, int kShift>
void Clock(const Inst& inst, WarpContext& warp, u32 mask) {
  const u64 now = NanosecondClock() >> kShift;
  Fill<T>(inst, warp, mask, [&](u32) { return now; });
}

// `imm` bytes into the running frame's local memory.
template <class T>
void LocalAddress(const Inst& inst, WarpContext& warp, u32 mask) {
  const u64 address = warp.local_base + static_cast<u64>(inst.imm);
  Fill<T>(inst, warp, mask, [&](u32) { return address; });
}

void Pack2x8(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32 *a = Row<u32>(warp, inst.a), *b = Row<u32>(warp, inst.b);
  StoreLanes<u32>(warp, inst.dst, mask, [&](u32 i) { return (a[i] & 0xff) | (b[i] & 0xff) << 8; });
}
void Pack2x16(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32 *a = Row<u32>(warp, inst.a), *b = Row<u32>(warp, inst.b);
  StoreLanes<u32>(warp, inst.dst, mask, [&](u32 i) { return (a[i] & 0xffff) | (b[i] << 16); });
}
void Pack4x8(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32 *a = Row<u32>(warp, inst.a), *b = Row<u32>(warp, inst.b), *c = Row<u32>(warp, inst.c),
            *d = Row<u32>(warp, inst.d);
  StoreLanes<u32>(warp, inst.dst, mask,
                  [&](u32 i) { return (a[i] & 0xff) | ((b[i] & 0xff) << 8) | ((c[i] & 0xff) << 16) | (d[i] << 24); });
}
void Pack2x32(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32 *a = Row<u32>(warp, inst.a), *b = Row<u32>(warp, inst.b);
  StoreLanes<u64>(warp, inst.dst, mask, [&](u32 i) { return u64{a[i]} | (u64{b[i]} << 32); });
}
void Pack4x16(const Inst& inst, WarpContext& warp, u32 mask) {
  const u32 *a = Row<u32>(warp, inst.a), *b = Row<u32>(warp, inst.b), *c = Row<u32>(warp, inst.c),
            *d = Row<u32>(warp, inst.d);
  StoreLanes<u64>(warp, inst.dst, mask, [&](u32 i) {
    return (u64{a[i]} & 0xffff) | ((u64{b[i]} & 0xffff) << 16) | ((u64{c[i]} & 0xffff) << 32) | (u64{d[i]} << 48);
  });
}

// The element of the row `a` that starts at bit `imm`.
template <class T>
void Extract(const Inst& inst, WarpContext& warp, u32 mask) {
  const T* a = Row<T>(warp, inst.a);
  StoreLanes<u32>(warp, inst.dst, mask, [&](u32 i) { return static_cast<u32>(a[i] >> inst.imm); });
}

template <u64 kWindow>
void AddWindow(FormTable& table, const char* space) {
  AddMap(table, {"cvta.", space, ".u64"}, [](u64 a) { return kWindow | (a & 0xffffffff); });
  AddMap(table, {"cvta.to.", space, ".u64"}, [](u64 a) { return a & 0xffffffff; });
  AddMap(table, {"isspacep.", space}, [](u64 a) { return (a & kWindowMask) == kWindow; });
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddMove(FormTable& table) {
  AddMap(table, {"mov.b16"}, [](u32 a) { return a; });
  AddMap(table, {"mov.b32"}, [](u32 a) { return a; });
  AddMap(table, {"mov.b64"}, [](u64 a) { return a; });
  AddForm(table, {"mov.b16.pack2"}, "w=ww", Pack2x8);
  AddForm(table, {"mov.b32.pack2"}, "w=ww", Pack2x16);
  AddForm(table, {"mov.b32.pack4"}, "w=wwww", Pack4x8);
  AddForm(table, {"mov.b64.pack2"}, "l=ww", Pack2x32);
  AddForm(table, {"mov.b64.pack4"}, "l=wwww", Pack4x16);
  AddForm(table, {"mov.b32.unpack"}, "w=wi", Extract<u32>);
  AddForm(table, {"mov.b64.unpack"}, "w=li", Extract<u64>);
  AddForm(table, {"mov.local_address.b32"}, "w=i", LocalAddress<u32>);
  AddForm(table, {"mov.local_address.b64"}, "l=i", LocalAddress<u64>);

  AddAxis<0>(table, ".x");
  AddAxis<1>(table, ".y");
  AddAxis<2>(table, ".z");
  AddSpecial<u32, [](WarpContext&, u32 lane) { return lane; }>(table, "%laneid");
  AddSpecial<u32, [](WarpContext& w, u32) { return w.warp_id; }>(table, "%warpid");
  AddSpecial<u32, [](WarpContext& w, u32) { return w.warp_count; }>(table, "%nwarpid");
  AddSpecial<u32, [](WarpContext& w, u32) { return w.sm_id; }>(table, "%smid");
  AddSpecial<u32, [](WarpContext& w, u32) { return w.sm_count; }>(table, "%nsmid");
  AddSpecial<u64, [](WarpContext& w, u32) { return w.grid_id; }>(table, "%gridid");
  AddSpecial<u32, [](WarpContext&, u32 lane) { return 1u << lane; }>(table, "%lanemask_eq");
  AddSpecial<u32, [](WarpContext&, u32 lane) { return (2u << lane) - 1; }>(table, "%lanemask_le");
  AddSpecial<u32, [](WarpContext&, u32 lane) { return (1u << lane) - 1; }>(table, "%lanemask_lt");
  AddSpecial<u32, [](WarpContext&, u32 lane) { return ~((1u << lane) - 1); }>(table, "%lanemask_ge");
  AddSpecial<u32, [](WarpContext&, u32 lane) { return ~((2u << lane) - 1); }>(table, "%lanemask_gt");
  AddSpecial<u32, [](WarpContext& w, u32) { return w.dynamic_shared_bytes; }>(table, "%dynamic_smem_size");
  AddSpecial<u32, [](WarpContext& w, u32) { return w.total_shared_bytes; }>(table, "%total_smem_size");
  AddSpecial<u32, [](WarpContext& w, u32) { return static_cast<u32>(w.grid_workspace >> 32); }>(table, "%envreg1");
  AddSpecial<u32, [](WarpContext& w, u32) { return static_cast<u32>(w.grid_workspace); }>(table, "%envreg2");
  AddForm(table, {"mov.%clock"}, "w=", Clock<u32, 0>);
  AddForm(table, {"mov.%clock_hi"}, "w=", Clock<u32, 32>);
  AddForm(table, {"mov.%clock64"}, "l=", Clock<u64, 0>);
  AddForm(table, {"mov.%globaltimer"}, "l=", Clock<u64, 0>);
  AddForm(table, {"mov.%globaltimer_lo"}, "w=", Clock<u32, 0>);
  AddForm(table, {"mov.%globaltimer_hi"}, "w=", Clock<u32, 32>);

  AddWindow<kSharedWindow>(table, "shared");
  AddWindow<kLocalWindow>(table, "local");
  AddWindow<kParamWindow>(table, "param");
  AddMap(table, {"cvta.global.u64"}, [](u64 a) { return a; });
  AddMap(table, {"cvta.to.global.u64"}, [](u64 a) { return a; });
  AddMap(table, {"cvta.const.u64"}, [](u64 a) { return a; });
  AddMap(table, {"cvta.to.const.u64"}, [](u64 a) { return a; });
  AddMap(table, {"isspacep.global"}, [](u64 a) { return a < kSharedWindow; });
}

}  // namespace outboard::softgpu
