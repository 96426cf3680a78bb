#pragma once

#include "server/softgpu/exec/lanes/half.h"

// Matrices that a warp holds (PTX ISA, section 9.7.15): formats of elements, and which lane and register has which one.
//
// Handlers see a matrix as packed bytes, row after row, as memory would hold it: A as m x k, B as n x k, so that the
// elements of one register are neighbours, C and D as m x n.

namespace outboard::softgpu {
namespace {

// Inst::extra of a matrix instruction.
struct Shape {
  explicit Shape(const Inst& inst) : m(inst.extra & 0xff), n((inst.extra >> 8) & 0xff), k(inst.extra >> 16) {}
  u32 m, n, k;
};

// Elements of matrices: Number is what they are computed in, Word what registers hold them in. At gives an element of
// packed bytes, Put sets one.
template <class F>
struct FloatElement {
  using Number = f64;
  using Word = u32;
  using Bits = std::conditional_t<F::kBits == 8, u8, u16>;
  static constexpr u32 kBits = F::kBits;
  static Number At(const std::byte* packed, u32 i) {
    Bits bits;
    __builtin_memcpy(&bits, packed + i * sizeof bits, sizeof bits);
    return Widened<F>(bits);
  }
  static void Put(std::byte* packed, u32 i, Number value) {
    const Bits bits = static_cast<Bits>(Narrowed<F>(value));
    __builtin_memcpy(packed + i * sizeof bits, &bits, sizeof bits);
  }
};
struct ElementF16 : FloatElement<f16::Format> {
  static constexpr const char* kType = "f16";
};
struct ElementBF16 : FloatElement<bf16::Format> {
  static constexpr const char* kType = "bf16";
};
struct ElementE4m3 : FloatElement<E4m3> {
  static constexpr const char* kType = "e4m3";
};
struct ElementE5m2 : FloatElement<E5m2> {
  static constexpr const char* kType = "e5m2";
};

struct ElementF32 {
  using Number = f64;
  using Word = u32;
  static constexpr const char* kType = "f32";
  static constexpr u32 kBits = 32;
  static Number At(const std::byte* packed, u32 i) {
    f32 value;
    __builtin_memcpy(&value, packed + i * sizeof value, sizeof value);
    return value;
  }
  static void Put(std::byte* packed, u32 i, Number value) {
    const f32 rounded = Canonical(static_cast<f32>(value));
    __builtin_memcpy(packed + i * sizeof rounded, &rounded, sizeof rounded);
  }
};
// Its low 13 bits count for nothing.
struct ElementTf32 : ElementF32 {
  static constexpr const char* kType = "tf32";
  static Number At(const std::byte* packed, u32 i) {
    u32 bits;
    __builtin_memcpy(&bits, packed + i * sizeof bits, sizeof bits);
    return __builtin_bit_cast(f32, bits & ~u32{0x1fff});
  }
};
struct ElementF64 {
  using Number = f64;
  using Word = u64;
  static constexpr const char* kType = "f64";
  static constexpr u32 kBits = 64;
  static Number At(const std::byte* packed, u32 i) {
    f64 value;
    __builtin_memcpy(&value, packed + i * sizeof value, sizeof value);
    return value;
  }
  static void Put(std::byte* packed, u32 i, Number value) {
    value = Canonical(value);
    __builtin_memcpy(packed + i * sizeof value, &value, sizeof value);
  }
};

// Integers wrap, so their sums have no sign.
template <u32 kSize, bool kSigned>
struct IntegerElement {
  using Number = u32;
  using Word = u32;
  static constexpr u32 kBits = kSize;
  static Number At(const std::byte* packed, u32 i) {
    const u32 byte = static_cast<u32>(packed[i * kBits / 8]) >> (i * kBits % 8);
    const u32 top = byte << (32 - kBits);
    return kSigned ? static_cast<u32>(static_cast<s32>(top) >> (32 - kBits)) : top >> (32 - kBits);
  }
};
struct ElementS8 : IntegerElement<8, true> {
  static constexpr const char* kType = "s8";
};
struct ElementU8 : IntegerElement<8, false> {
  static constexpr const char* kType = "u8";
};
struct ElementS4 : IntegerElement<4, true> {
  static constexpr const char* kType = "s4";
};
struct ElementU4 : IntegerElement<4, false> {
  static constexpr const char* kType = "u4";
};
struct ElementB1 : IntegerElement<1, false> {
  static constexpr const char* kType = "b1";
};
// A bit as 1 or -1, of which the product says whether two are the same.
struct ElementSignOfB1 : ElementB1 {
  static Number At(const std::byte* packed, u32 i) { return 1 - 2 * ElementB1::At(packed, i); }
};
struct ElementS32 {
  using Number = u32;
  using Word = u32;
  static constexpr const char* kType = "s32";
  static constexpr u32 kBits = 32;
  static Number At(const std::byte* packed, u32 i) {
    Number value;
    __builtin_memcpy(&value, packed + i * sizeof value, sizeof value);
    return value;
  }
  static void Put(std::byte* packed, u32 i, Number value) {
    __builtin_memcpy(packed + i * sizeof value, &value, sizeof value);
  }
};

// Of a matrix: that of m16n8k256 of bits, and of m32n8k16 of numbers.
template <class Number>
inline constexpr u32 kMaxElements = std::is_same_v<Number, f64> ? 512 : 4096;
inline constexpr u32 kMaxPackedBytes = 2048;

// mma.sync: in a register each group of four lanes has 4 words of one row; the registers go down the rows, eight at a
// time, and then along them. C and D of whole words have two registers for that, of even and of odd columns.
struct IsaFragment {
  // Calls move(place in the packed bytes, place in a row of registers, bytes) for every piece. Returns the slot behind
  // the fragment's.
  template <class E, class Move>
  static const Slot* ForPieces(WarpContext& warp, const Slot* slots, u32 rows, u32 columns, bool is_result, Move move) {
    constexpr u32 kWord = sizeof(typename E::Word), kPiece = 4 * kWord;
    const u32 row_bytes = columns * E::kBits / 8;
    if (is_result && E::kBits >= 32) {
      for (u32 r = 0; r < rows / 4; ++r) {
        std::byte* row = Row<std::byte>(warp, *slots++);
        for (u32 lane = 0; lane < kLanes; ++lane) {
          move((8 * (r / 2) + lane / 4) * row_bytes + (lane % 4 * 2 + r % 2) * kWord, row + lane * kWord, kWord);
        }
      }
      return slots;
    }
    for (u32 along = 0; along < row_bytes; along += kPiece) {
      for (u32 down = 0; down < rows; down += 8) {
        std::byte* row = Row<std::byte>(warp, *slots++);
        for (u32 group = 0; group < 8; ++group) {
          move((down + group) * row_bytes + along, row + group * kPiece, kPiece);
        }
      }
    }
    return slots;
  }
};

// wmma: PTX leaves it open; the registers one after the other hold the packed bytes.
struct OwnFragment {
  template <class E, class Move>
  static const Slot* ForPieces(WarpContext& warp, const Slot* slots, u32 rows, u32 columns, bool, Move move) {
    constexpr u32 kRow = kLanes * sizeof(typename E::Word);
    for (u32 done = 0; done < rows * columns * E::kBits / 8; done += kRow) {
      move(done, Row<std::byte>(warp, *slots++), kRow);
    }
    return slots;
  }
};

}  // namespace
}  // namespace outboard::softgpu
