// Products of matrices (PTX ISA, sections 9.7.15.4 wmma.mma and 9.7.15.5 mma.sync).
//
// What PTX leaves open is done so: an element of D is computed in f64, beginning with that of C, with one exact product
// after the other in the order of k, and is rounded once, to the type of D. f64 itself is a chain of fused operations
// in the same order. Sums of integers are exact; then they wrap, or with .satfinite clamp.

#include "server/softgpu/exec/lanes/matrix.h"

#include "server/softgpu/exec/lanes/tensor_levels.h"
#include "server/softgpu/exec/lanes/vectors.h"

namespace outboard::softgpu {
namespace {

template <class E>
__attribute__((noinline)) void Unpack(const std::byte* packed, u32 count, typename E::Number* to) {
  for (u32 i = 0; i < count; ++i) to[i] = E::At(packed, i);
}
template <class E>
__attribute__((noinline)) void Pack(const typename E::Number* from, u32 count, std::byte* packed) {
  for (u32 i = 0; i < count; ++i) E::Put(packed, i, from[i]);
}

// Reads a fragment; gives the slot behind its own.
template <class Fragment, class E>
__attribute__((noinline)) const Slot* Read(WarpContext& warp, const Slot* slots, u32 rows, u32 columns, bool is_result,
                                           typename E::Number* to) {
  alignas(64) std::byte packed[kMaxPackedBytes];
  slots = Fragment::template ForPieces<E>(
      warp, slots, rows, columns, is_result,
      [&](u32 place, const std::byte* lanes, u32 bytes) { __builtin_memcpy(packed + place, lanes, bytes); });
  Unpack<E>(packed, rows * columns, to);
  return slots;
}
template <class Fragment, class E>
__attribute__((noinline)) void Write(WarpContext& warp, const Slot* slots, u32 rows, u32 columns,
                                     const typename E::Number* from) {
  alignas(64) std::byte packed[kMaxPackedBytes];
  Pack<E>(from, rows * columns, packed);
  Fragment::template ForPieces<E>(warp, slots, rows, columns, true, [&](u32 place, std::byte* lanes, u32 bytes) {
    __builtin_memcpy(lanes, packed + place, bytes);
  });
}

// The columns of a row of sums that are worked on at a time: as many as a vector holds, and not more than there are.
template <u32 kN, class T>
using Columns = VectorOf<T, (kN * sizeof(T) < kVectorBytes ? kN * sizeof(T) : kVectorBytes)>;

// kFused: rounded once. It makes no difference where the product is exact.
template <bool kFused, class T, class V>
inline V AddProducts(V sum, T a, V b) {
  if constexpr (std::is_same_v<T, f64> && (kFused || OUTBOARD_CPU_LEVEL >= 3)) return FusedMultiplyAdd(a, b, sum);
  return sum + a * b;
}

// Adds to each row of `sums`, m x kN, the products of a row of `a`, m x k, with the rows of `b`, kN x k.
template <u32 kN, bool kFused, class T>
__attribute__((noinline)) void MultiplyAdd(const T* a, const T* b, u32 m, u32 k, T* sums) {
  using Part = Columns<kN, T>;
  using V = typename Part::type;
  constexpr u32 kParts = kN / Part::kLanesEach;
  alignas(64) T columns[kMaxElements<T>];  // b as k x kN
  for (u32 i = 0; i < k; ++i) {
    for (u32 n = 0; n < kN; ++n) columns[i * kN + n] = b[n * k + i];
  }
  for (u32 row = 0; row < m; ++row) {
    V* const to = reinterpret_cast<V*>(sums + row * kN);
    V sum[kParts];
#pragma GCC unroll 16
    for (u32 part = 0; part < kParts; ++part) sum[part] = to[part];
    for (u32 i = 0; i < k; ++i) {
      const V* const column = reinterpret_cast<const V*>(columns + i * kN);
#pragma GCC unroll 16
      for (u32 part = 0; part < kParts; ++part)
        sum[part] = AddProducts<kFused>(sum[part], a[row * k + i], column[part]);
    }
#pragma GCC unroll 16
    for (u32 part = 0; part < kParts; ++part) to[part] = sum[part];
  }
}
template <bool kFused, class T>
inline void MultiplyAdd(const Shape& shape, const T* a, const T* b, T* sums) {
  if (shape.n == 8) return MultiplyAdd<8, kFused>(a, b, shape.m, shape.k, sums);
  if constexpr (!kFused) {
    if (shape.n == 16) return MultiplyAdd<16, kFused>(a, b, shape.m, shape.k, sums);
    MultiplyAdd<32, kFused>(a, b, shape.m, shape.k, sums);
  }
}

// The operands are a list of slots at WarpContext::operands + Inst::imm: those of D, A, B and C.
template <class Fragment, class A, class B, class C, class D, Rounding kMode>
void MultiplyFloats(const Inst& inst, WarpContext& warp, u32) {
  const Shape shape(inst);
  const Slot* const to = warp.operands + inst.imm;
  alignas(64) f64 a[kMaxElements<f64>], b[kMaxElements<f64>], sums[kMaxElements<f64>];
  const Slot* next = to + shape.m * shape.n * D::kBits / 8 / sizeof(typename D::Word) / kLanes;
  next = Read<Fragment, A>(warp, next, shape.m, shape.k, false, a);
  next = Read<Fragment, B>(warp, next, shape.n, shape.k, false, b);
  Read<Fragment, C>(warp, next, shape.m, shape.n, true, sums);
  {
    const RoundingScope<kMode> scope;
    MultiplyAdd<std::is_same_v<A, ElementF64>>(shape, a, b, sums);
  }
  Write<Fragment, D>(warp, to, shape.m, shape.n, sums);
}

// What becomes of a sum of products of integers and C. kDiffering: the products are of ElementSignOfB1, and what is
// added is in how many of `k` places they differ.
enum class Finish { kWrap, kClamp, kDiffering };

template <Finish kFinish>
inline u32 Finished(u32 sum, u32 c, u32 k) {
  if constexpr (kFinish == Finish::kWrap) return c + sum;
  if constexpr (kFinish == Finish::kDiffering) return c + (k - sum) / 2;
  constexpr s64 kHigh = 0x7fffffff, kLow = -kHigh - 1;
  const s64 total = s64{static_cast<s32>(c)} + static_cast<s32>(sum);
  return static_cast<u32>(total > kHigh ? kHigh : total < kLow ? kLow : total);
}

template <class Fragment, class A, class B, Finish kFinish>
void MultiplyIntegers(const Inst& inst, WarpContext& warp, u32) {
  const Shape shape(inst);
  const Slot* const to = warp.operands + inst.imm;
  alignas(64) u32 a[kMaxElements<u32>], b[kMaxElements<u32>], c[kMaxElements<u32>], sums[kMaxElements<u32>];
  const Slot* next = to + shape.m * shape.n / kLanes;
  next = Read<Fragment, A>(warp, next, shape.m, shape.k, false, a);
  next = Read<Fragment, B>(warp, next, shape.n, shape.k, false, b);
  Read<Fragment, ElementS32>(warp, next, shape.m, shape.n, true, c);
  const u32 count = shape.m * shape.n;
  for (u32 i = 0; i < count; ++i) sums[i] = 0;
  MultiplyAdd<false>(shape, a, b, sums);
  for (u32 i = 0; i < count; ++i) sums[i] = Finished<kFinish>(sums[i], c[i], shape.k);
  Write<Fragment, ElementS32>(warp, to, shape.m, shape.n, sums);
}

using Names = std::initializer_list<const char*>;
constexpr Names kShapes = {"m16n16k16", "m32n8k16", "m8n32k16"};  // of wmma

template <class Fragment>
inline constexpr const char* kBase = std::is_same_v<Fragment, IsaFragment> ? "mma." : "wmma.mma.";

template <class Fragment, class A, class B, class C, class D, Rounding kMode = Rounding::kNearest>
void AddFloats(FormTable& table, Names shapes, const char* rounding = ".") {
  for (const char* shape : shapes) {
    AddForm(table, {kBase<Fragment>, shape, rounding, D::kType, ".", A::kType, ".", B::kType, ".", C::kType}, "=",
            MultiplyFloats<Fragment, A, B, C, D, kMode>, Control::kSync);
  }
}
template <class Fragment, class A, class B, Finish kFinish>
void AddIntegers(FormTable& table, Names shapes, const char* finish) {
  for (const char* shape : shapes) {
    AddForm(table, {kBase<Fragment>, shape, ".s32.", A::kType, ".", B::kType, ".s32", finish}, "=",
            MultiplyIntegers<Fragment, A, B, kFinish>, Control::kSync);
  }
}
template <class Fragment, class A, class B>
void AddIntegers(FormTable& table, Names shapes) {
  AddIntegers<Fragment, A, B, Finish::kWrap>(table, shapes, "");
  AddIntegers<Fragment, A, B, Finish::kClamp>(table, shapes, ".satfinite");
}

template <class A, class B>
void AddEightBits(FormTable& table) {
  AddFloats<IsaFragment, A, B, ElementF32, ElementF32>(table, {"m16n8k16", "m16n8k32"});
  AddFloats<IsaFragment, A, B, ElementF16, ElementF16>(table, {"m16n8k16", "m16n8k32"});
}

void AddMma(FormTable& table) {
  using F = IsaFragment;
  AddFloats<F, ElementF16, ElementF16, ElementF32, ElementF32>(table, {"m16n8k8", "m16n8k16"});
  AddFloats<F, ElementF16, ElementF16, ElementF16, ElementF16>(table, {"m16n8k8", "m16n8k16"});
  AddFloats<F, ElementBF16, ElementBF16, ElementF32, ElementF32>(table, {"m16n8k8", "m16n8k16"});
  AddFloats<F, ElementTf32, ElementTf32, ElementF32, ElementF32>(table, {"m16n8k4", "m16n8k8"});
  AddFloats<F, ElementF64, ElementF64, ElementF64, ElementF64>(table, {"m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16"});
  AddEightBits<ElementE4m3, ElementE4m3>(table);
  AddEightBits<ElementE4m3, ElementE5m2>(table);
  AddEightBits<ElementE5m2, ElementE4m3>(table);
  AddEightBits<ElementE5m2, ElementE5m2>(table);
  AddIntegers<F, ElementS8, ElementS8>(table, {"m8n8k16", "m16n8k16", "m16n8k32"});
  AddIntegers<F, ElementS8, ElementU8>(table, {"m8n8k16", "m16n8k16", "m16n8k32"});
  AddIntegers<F, ElementU8, ElementS8>(table, {"m8n8k16", "m16n8k16", "m16n8k32"});
  AddIntegers<F, ElementU8, ElementU8>(table, {"m8n8k16", "m16n8k16", "m16n8k32"});
  AddIntegers<F, ElementS4, ElementS4>(table, {"m8n8k32", "m16n8k32", "m16n8k64"});
  AddIntegers<F, ElementS4, ElementU4>(table, {"m8n8k32", "m16n8k32", "m16n8k64"});
  AddIntegers<F, ElementU4, ElementS4>(table, {"m8n8k32", "m16n8k32", "m16n8k64"});
  AddIntegers<F, ElementU4, ElementU4>(table, {"m8n8k32", "m16n8k32", "m16n8k64"});
  AddIntegers<F, ElementB1, ElementB1, Finish::kWrap>(table, {"m8n8k128", "m16n8k128", "m16n8k256"}, ".and.popc");
  AddIntegers<F, ElementSignOfB1, ElementSignOfB1, Finish::kDiffering>(table, {"m8n8k128", "m16n8k128", "m16n8k256"},
                                                                       ".xor.popc");
}

void AddWmma(FormTable& table) {
  using F = OwnFragment;
  AddFloats<F, ElementF16, ElementF16, ElementF32, ElementF32>(table, kShapes);
  AddFloats<F, ElementF16, ElementF16, ElementF16, ElementF32>(table, kShapes);
  AddFloats<F, ElementF16, ElementF16, ElementF32, ElementF16>(table, kShapes);
  AddFloats<F, ElementF16, ElementF16, ElementF16, ElementF16>(table, kShapes);
  AddFloats<F, ElementBF16, ElementBF16, ElementF32, ElementF32>(table, kShapes);
  AddFloats<F, ElementTf32, ElementTf32, ElementF32, ElementF32>(table, {"m16n16k8"});
  AddFloats<F, ElementF64, ElementF64, ElementF64, ElementF64>(table, {"m8n8k4"});
  AddFloats<F, ElementF64, ElementF64, ElementF64, ElementF64, Rounding::kZero>(table, {"m8n8k4"}, ".rz.");
  AddFloats<F, ElementF64, ElementF64, ElementF64, ElementF64, Rounding::kDown>(table, {"m8n8k4"}, ".rm.");
  AddFloats<F, ElementF64, ElementF64, ElementF64, ElementF64, Rounding::kUp>(table, {"m8n8k4"}, ".rp.");
  AddIntegers<F, ElementS8, ElementS8>(table, kShapes);
  AddIntegers<F, ElementU8, ElementU8>(table, kShapes);
  AddIntegers<F, ElementS4, ElementS4>(table, {"m8n8k32"});
  AddIntegers<F, ElementU4, ElementU4>(table, {"m8n8k32"});
  AddIntegers<F, ElementB1, ElementB1, Finish::kWrap>(table, {"m8n8k128"}, ".and.popc");
  AddIntegers<F, ElementSignOfB1, ElementSignOfB1, Finish::kDiffering>(table, {"m8n8k128"}, ".xor.popc");
}

}  // namespace

template <>
void TensorLanes<OUTBOARD_CPU_LEVEL>::AddMatrix(FormTable& table) {
  AddMma(table);
  AddWmma(table);
}

}  // namespace outboard::softgpu
