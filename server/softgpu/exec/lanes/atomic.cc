// Atomics and reductions to memory (PTX ISA, section 9.7.13: atom, red), lane by lane in order.
//
// Device memory is shared by the engine's threads and by processes, so it is updated with the CPU's atomic
// instructions. A block runs on one thread, so its shared memory needs none.

#include "server/softgpu/exec/lanes/access.h"
#include "server/softgpu/exec/lanes/half.h"
#include "server/softgpu/exec/lanes/levels.h"

namespace outboard::softgpu {
namespace {

// Replaces the value at `place` by next(old) and returns old.
template <class T, class Next>
inline T Update(std::byte* place, bool shared_memory, Next next) {
  using U = std::conditional_t<sizeof(T) == 8, u64, std::conditional_t<sizeof(T) == 4, u32, u16>>;
  if (shared_memory) {
    const T old = LoadFrom<T>(place);
    StoreTo(place, next(old));
    return old;
  }
  U* word = reinterpret_cast<U*>(place);
  U expected = __atomic_load_n(word, __ATOMIC_RELAXED);
  for (;;) {
    const T old = __builtin_bit_cast(T, expected);
    const U wanted = __builtin_bit_cast(U, static_cast<T>(next(old)));
    if (__atomic_compare_exchange_n(word, &expected, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) return old;
  }
}

struct InShared {
  bool value;
};

// F(old, b, c), or F(old, b, in shared memory): the new value. atom returns the old one in `dst`; red has no `dst`.
template <class T, class F>
void Atomic(const Inst& inst, WarpContext& warp, u32 mask) {
  using S = typename Storage<T>::type;
  const S* b = Row<const S>(warp, inst.b);
  const S* c = inst.c == kNoSlot ? b : Row<const S>(warp, inst.c);
  alignas(64) S old[kLanes];
  std::byte* places[kLanes];
  if (!ResolveLanes(inst, warp, sizeof(T), mask, AccessKind::kWrite, places)) return;
  ForLanes(mask, [&](u32 lane) {
    const bool shared_memory =
        places[lane] - warp.shared >= 0 && places[lane] - warp.shared < static_cast<s64>(warp.shared_bytes);
    const T operand = static_cast<T>(b[lane]), other = static_cast<T>(c[lane]);
    old[lane] = static_cast<S>(Update<T>(places[lane], shared_memory, [&](T value) {
      if constexpr (std::is_invocable_v<F, T, T, InShared>) {
        return F{}(value, operand, InShared{shared_memory});
      } else {
        return F{}(value, operand, other);
      }
    }));
  });
  if (inst.dst == kNoSlot) return;
  S* to = Row<S>(warp, inst.dst);
  ForLanes(mask, [&](u32 lane) { to[lane] = old[lane]; });
}

// `kThird`: the operation has a third operand, and no red.
template <class T, bool kThird = false, class F>
void AddOperation(FormTable& table, const char* operation, const char* type, F) {
  constexpr char w = Storage<T>::kLetter;
  static constexpr char kAtom[] = {w, '=', 'A', w, kThird ? w : '\0', '\0'};
  static constexpr char kRed[] = {'=', 'A', w, '\0'};
  for (const char* space : {"", "global.", "shared."}) {
    AddForm(table, {"atom.", space, operation, type}, kAtom, Atomic<T, F>, Control::kChecked);
    if (!kThird) AddForm(table, {"red.", space, operation, type}, kRed, Atomic<T, F>, Control::kChecked);
  }
}

template <class T>
void AddArithmetic(FormTable& table) {
  using U = std::make_unsigned_t<T>;
  AddOperation<T>(table, "add.", kName<T>,
                  [](T old, T b, T) { return static_cast<T>(static_cast<U>(old) + static_cast<U>(b)); });
  AddOperation<T>(table, "min.", kName<T>, [](T old, T b, T) -> T { return b < old ? b : old; });
  AddOperation<T>(table, "max.", kName<T>, [](T old, T b, T) -> T { return old < b ? b : old; });
}

template <class T>
void AddBitwise(FormTable& table, const char* type) {
  AddOperation<T>(table, "and.", type, [](T old, T b, T) -> T { return old & b; });
  AddOperation<T>(table, "or.", type, [](T old, T b, T) -> T { return old | b; });
  AddOperation<T>(table, "xor.", type, [](T old, T b, T) -> T { return old ^ b; });
  AddOperation<T>(table, "exch.", type, [](T, T b, T) -> T { return b; });
  AddOperation<T, true>(table, "cas.", type, [](T old, T b, T c) -> T { return old == b ? c : old; });
}

// .noftz: subnormal numbers are kept.
template <class V>
void AddHalves(FormTable& table) {
  AddOperation<V>(table, "add.noftz.", kName<V>, [](V old, V b, V) {
    return Each(
        []<class F>(Half<F> x, Half<F> y) { return Half<F>(Narrowed<F>(SumToOdd(In<false>(x), In<false>(y)))); }, old,
        b);
  });
}

}  // namespace

template <>
void Lanes<OUTBOARD_CPU_LEVEL>::AddAtomic(FormTable& table) {
  AddArithmetic<u32>(table);
  AddArithmetic<s32>(table);
  AddArithmetic<u64>(table);
  AddArithmetic<s64>(table);
  AddBitwise<u32>(table, "b32");
  AddBitwise<u64>(table, "b64");
  AddOperation<u16, true>(table, "cas.", "b16", [](u16 old, u16 b, u16 c) -> u16 { return old == b ? c : old; });
  AddOperation<u32>(table, "inc.", "u32", [](u32 old, u32 b, u32) -> u32 { return old >= b ? 0 : old + 1; });
  AddOperation<u32>(table, "dec.", "u32", [](u32 old, u32 b, u32) -> u32 { return old == 0 || b < old ? b : old - 1; });
  // In global memory subnormal numbers are flushed, in shared memory they are not.
  AddOperation<f32>(table, "add.", "f32", [](f32 old, f32 b, InShared in_shared) {
    return in_shared.value ? Canonical(old + b) : Flush(Canonical(Flush(old) + Flush(b)));
  });
  AddOperation<f64>(table, "add.", "f64", [](f64 old, f64 b, f64) { return Canonical(old + b); });
  AddHalves<f16>(table);
  AddHalves<f16x2>(table);
  AddHalves<bf16>(table);
  AddHalves<bf16x2>(table);
}

}  // namespace outboard::softgpu
