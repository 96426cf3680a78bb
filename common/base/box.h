#pragma once

#include <cstdint>
#include <optional>

namespace outboard {

// Boxes of bytes: what pitched, two- and three-dimensional copies move. These structures travel as they lie in memory
// (common/wire/private.h).

// The size of a box.
struct BoxExtent {
  uint64_t width;   // bytes of a row
  uint64_t height;  // rows of a slice
  uint64_t depth;   // slices

  bool operator==(const BoxExtent&) const = default;
  bool IsEmpty() const { return width == 0 || height == 0 || depth == 0; }
  bool IsOneRow() const { return height == 1 && depth == 1; }
};

// Where a box lies in memory.
struct Box {
  uint64_t address;     // of its first byte
  uint64_t pitch;       // bytes from one row to the next; means nothing where there is one row
  uint64_t slice_rows;  // rows from one slice to the next; means nothing where there is one slice

  bool operator==(const Box&) const = default;
  // The box that begins at byte x of row y of slice z.
  Box From(uint64_t x, uint64_t y, uint64_t z) const {
    return {address + (z * slice_rows + y) * pitch + x, pitch, slice_rows};
  }
};

// Where in a CUDA array a box begins.
struct ArrayPlace {
  uint64_t x;  // bytes
  uint64_t y;  // rows
  uint64_t z;  // slices

  bool operator==(const ArrayPlace&) const = default;
  ArrayPlace From(uint64_t dx, uint64_t dy, uint64_t dz) const { return {x + dx, y + dy, z + dz}; }
};

// What other copies move: so many bytes at one address.
inline Box RowAt(uint64_t address) { return {address, 0, 0}; }
inline BoxExtent RowOf(uint64_t bytes) { return {bytes, 1, 1}; }

// A box without gaps at this address.
inline Box PackedAt(const void* address, const BoxExtent& extent) {
  return {reinterpret_cast<uint64_t>(address), extent.width, extent.height};
}

// The pieces that a box is cut into so that none has more than `bytes` bytes: all of them have this size, but those at
// the ends, which may be smaller. Whole slices if one fits, else whole rows, else parts of one row. `bytes` > 0, and
// the extent is not empty.
BoxExtent PieceOf(const BoxExtent& extent, uint64_t bytes);

// The bytes in a box, without gaps. Nullopt when there are more than 2^64.
std::optional<uint64_t> PackedBytes(const BoxExtent& extent);

// The bytes from the first to the last of a box, with gaps; 0 when it is empty. Nullopt when it does not end within 64
// bits of address.
std::optional<uint64_t> SpanOf(const Box& box, const BoxExtent& extent);

// Whether there is no gap between rows or slices. The extent is not empty.
bool IsPacked(const Box& box, const BoxExtent& extent);

// Copies memory of this process. Rows may overlap themselves, but no other row.
void CopyBox(const Box& to, const Box& from, const BoxExtent& extent);

}  // namespace outboard
