// Matrices between memory and the registers of a warp (PTX ISA, sections 9.7.15.3 wmma.load and wmma.store and 9.7.15.5
// ldmatrix, stmatrix and movmatrix).

#include "server/softgpu/exec/lanes/access.h"
#include "server/softgpu/exec/lanes/tensor_levels.h"

namespace outboard::softgpu {
namespace {

// --- ldmatrix, stmatrix, movmatrix: 8 x 8 elements of 16 bits. A lane has two neighbours of the row lane / 4. ---

constexpr u32 kSide = 8;

struct Matrix {
  u16 rows[kSide][kSide];

  void Transpose() {
    for (u32 i = 0; i < kSide; ++i) {
      for (u32 k = 0; k < i; ++k) std::swap(rows[i][k], rows[k][i]);
    }
  }
};
static_assert(sizeof(Matrix) == kLanes * sizeof(u32));

// The address of row r of matrix i is that of lane 8 * i + r.
template <u32 kCount, bool kTransposed, bool kWrites>
void MoveMatrices(const Inst& inst, WarpContext& warp, u32) {
  const Slot slots[] = {inst.dst, inst.dst2, inst.b, inst.c};
  std::byte* places[kCount * kSide];
  for (u32 lane = 0; lane < kCount * kSide; ++lane) {
    places[lane] = ResolveLane(warp, inst.space, AddressOf(inst, warp, lane), sizeof(u16[kSide]), lane,
                               kWrites ? AccessKind::kWrite : AccessKind::kRead);
    if (places[lane] == nullptr) return;
  }
  for (u32 i = 0; i < kCount; ++i) {
    if (slots[i] == kNoSlot) continue;
    u32* const registers = Row<u32>(warp, slots[i]);
    Matrix matrix;
    if (kWrites) __builtin_memcpy(&matrix, registers, sizeof matrix);
    if (kWrites && kTransposed) matrix.Transpose();
    for (u32 r = 0; r < kSide; ++r) {
      std::byte* const place = places[i * kSide + r];
      if (kWrites) {
        __builtin_memcpy(place, matrix.rows[r], sizeof matrix.rows[r]);
      } else {
        __builtin_memcpy(matrix.rows[r], place, sizeof matrix.rows[r]);
      }
    }
    if (!kWrites && kTransposed) matrix.Transpose();
    if (!kWrites) __builtin_memcpy(registers, &matrix, sizeof matrix);
  }
}

void TransposeRegisters(const Inst& inst, WarpContext& warp, u32) {
  Matrix matrix;
  __builtin_memcpy(&matrix, Row<u32>(warp, inst.a), sizeof matrix);
  matrix.Transpose();
  __builtin_memcpy(Row<u32>(warp, inst.dst), &matrix, sizeof matrix);
}

template <bool kWrites>
void AddMatrices(FormTable& table) {
  const char* base = kWrites ? "stmatrix." : "ldmatrix.";
  AddForm(table, {base, "x1.b16"}, "=", MoveMatrices<1, false, kWrites>, Control::kSync);
  AddForm(table, {base, "x2.b16"}, "=", MoveMatrices<2, false, kWrites>, Control::kSync);
  AddForm(table, {base, "x4.b16"}, "=", MoveMatrices<4, false, kWrites>, Control::kSync);
  AddForm(table, {base, "x1.trans.b16"}, "=", MoveMatrices<1, true, kWrites>, Control::kSync);
  AddForm(table, {base, "x2.trans.b16"}, "=", MoveMatrices<2, true, kWrites>, Control::kSync);
  AddForm(table, {base, "x4.trans.b16"}, "=", MoveMatrices<4, true, kWrites>, Control::kSync);
}

// --- wmma.load, wmma.store. ---

constexpr u32 kMaxBytes = 2048;

// `a`: the address, `b`: elements from one line of memory to the next, both as the first lane has them; `extra`: rows |
// columns << 16. The list of slots at WarpContext::operands + imm begins with the number of registers; they hold the
// matrix row after row, and when there are more of them than that takes, over and over.
//
// T: what moves at once, which is kElements of them. kTransposed: lines of memory are columns.
template <class T, u32 kElements, bool kTransposed, bool kWrites>
void MoveTile(const Inst& inst, WarpContext& warp, u32 mask) {
  constexpr u32 kRow = kLanes * (sizeof(T) == 8 ? 8 : 4), kSize = sizeof(T);
  const u32 rows = inst.extra & 0xffff, columns = (inst.extra >> 16) / kElements, bytes = rows * columns * kSize;
  const u32 lines = kTransposed ? columns : rows, line_bytes = kSize * (kTransposed ? rows : columns);
  const u32 piece = line_bytes < 16 ? line_bytes : 16;
  const Slot* const slots = warp.operands + inst.imm + 1;
  const u32 count = slots[-1], lane = static_cast<u32>(__builtin_ctz(mask));
  alignas(64) std::byte packed[kMaxBytes];
  if (kWrites) {
    for (u32 i = 0; i < bytes / kRow; ++i) __builtin_memcpy(packed + i * kRow, Row<std::byte>(warp, slots[i]), kRow);
  }
  const u64 begin = Row<u64>(warp, inst.a)[lane];
  const u64 stride = u64{Row<u32>(warp, inst.b)[lane]} / kElements * kSize;
  for (u32 line = 0; line < lines; ++line) {
    for (u32 at = 0; at < line_bytes; at += piece) {
      std::byte* const place = ResolveLane(warp, inst.space, begin + line * stride + at, piece, lane,
                                           kWrites ? AccessKind::kWrite : AccessKind::kRead);
      if (place == nullptr) return;
      for (u32 i = 0; i < piece / kSize; ++i) {
        const u32 along = at / kSize + i;
        std::byte* const element = packed + (kTransposed ? along * columns + line : line * columns + along) * kSize;
        std::byte* const there = place + i * kSize;
        __builtin_memcpy(kWrites ? there : element, kWrites ? element : there, kSize);
      }
    }
  }
  if (kWrites) return;
  for (u32 i = 0; i < count; ++i) {
    if (slots[i] != kNoSlot) __builtin_memcpy(Row<std::byte>(warp, slots[i]), packed + i * kRow % bytes, kRow);
  }
}

using Names = std::initializer_list<const char*>;
constexpr Names kShapes = {"m16n16k16", "m32n8k16", "m8n32k16"};

// Rows of B are columns of what registers hold.
template <class T, bool kWrites = false>
void AddTile(FormTable& table, const char* fragment, Names shapes, const char* type) {
  const bool is_b = fragment[0] == 'b';
  for (const char* shape : shapes) {
    AddForm(table, {kWrites ? "wmma.store." : "wmma.load.", fragment, ".row.", shape, ".", type}, "=",
            is_b ? MoveTile<T, 1, true, kWrites> : MoveTile<T, 1, false, kWrites>, Control::kSync);
    AddForm(table, {kWrites ? "wmma.store." : "wmma.load.", fragment, ".col.", shape, ".", type}, "=",
            is_b ? MoveTile<T, 1, false, kWrites> : MoveTile<T, 1, true, kWrites>, Control::kSync);
  }
}
template <class T>
void AddFactors(FormTable& table, Names shapes, const char* type) {
  AddTile<T>(table, "a", shapes, type);
  AddTile<T>(table, "b", shapes, type);
}
template <class T>
void AddSums(FormTable& table, Names shapes, const char* type) {
  AddTile<T>(table, "c", shapes, type);
  AddTile<T, true>(table, "d", shapes, type);
}
// Elements of less than a byte, which PTX has along k only.
template <u32 kElements>
void AddSmallFactors(FormTable& table, const char* shape, const char* type) {
  AddForm(table, {"wmma.load.a.row.", shape, ".", type}, "=", MoveTile<u8, kElements, false, false>, Control::kSync);
  AddForm(table, {"wmma.load.b.col.", shape, ".", type}, "=", MoveTile<u8, kElements, false, false>, Control::kSync);
}

}  // namespace

template <>
void TensorLanes<OUTBOARD_CPU_LEVEL>::AddMatrixMove(FormTable& table) {
  AddMatrices<false>(table);
  AddMatrices<true>(table);
  AddForm(table, {"movmatrix.trans.b16"}, "w=w", TransposeRegisters, Control::kSync);
  AddFactors<u16>(table, kShapes, "f16");
  AddFactors<u16>(table, kShapes, "bf16");
  AddFactors<u8>(table, kShapes, "s8");
  AddFactors<u8>(table, kShapes, "u8");
  AddFactors<u32>(table, {"m16n16k8"}, "tf32");
  AddFactors<u64>(table, {"m8n8k4"}, "f64");
  AddSmallFactors<2>(table, "m8n8k32", "s4");
  AddSmallFactors<2>(table, "m8n8k32", "u4");
  AddSmallFactors<8>(table, "m8n8k128", "b1");
  AddSums<u16>(table, kShapes, "f16");
  AddSums<u32>(table, {"m16n16k16", "m32n8k16", "m8n32k16", "m16n16k8"}, "f32");
  AddSums<u32>(table, {"m16n16k16", "m32n8k16", "m8n32k16", "m8n8k32", "m8n8k128"}, "s32");
  AddSums<u64>(table, {"m8n8k4"}, "f64");
}

}  // namespace outboard::softgpu
