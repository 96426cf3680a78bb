#include "common/base/box.h"

#include <algorithm>
#include <cstring>

namespace outboard {

BoxExtent PieceOf(const BoxExtent& extent, uint64_t bytes) {
  if (extent.width > bytes) return {bytes, 1, 1};
  const uint64_t rows = bytes / extent.width;
  if (extent.height > rows) return {extent.width, rows, 1};
  return {extent.width, extent.height, std::min(rows / extent.height, extent.depth)};
}

std::optional<uint64_t> PackedBytes(const BoxExtent& extent) {
  uint64_t bytes;
  if (__builtin_mul_overflow(extent.width, extent.height, &bytes)) return std::nullopt;
  if (__builtin_mul_overflow(bytes, extent.depth, &bytes)) return std::nullopt;
  return bytes;
}

std::optional<uint64_t> SpanOf(const Box& box, const BoxExtent& extent) {
  if (extent.IsEmpty()) return 0;
  uint64_t row = 0, span = 0, end;
  if (__builtin_mul_overflow(extent.depth - 1, box.slice_rows, &row)) return std::nullopt;
  if (__builtin_add_overflow(row, extent.height - 1, &row)) return std::nullopt;
  if (__builtin_mul_overflow(row, box.pitch, &span)) return std::nullopt;
  if (__builtin_add_overflow(span, extent.width, &span)) return std::nullopt;
  if (__builtin_add_overflow(box.address, span, &end)) return std::nullopt;
  return span;
}

bool IsPacked(const Box& box, const BoxExtent& extent) {
  const bool rows = extent.height == 1 || box.pitch == extent.width;
  return rows && (extent.depth == 1 || box.slice_rows * box.pitch == extent.width * extent.height);
}

void CopyBox(const Box& to, const Box& from, const BoxExtent& extent) {
  if (extent.IsEmpty()) return;
  const auto copy = [](uint64_t to, uint64_t from, uint64_t bytes) {
    std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
  };
  if (IsPacked(to, extent) && IsPacked(from, extent)) {
    return copy(to.address, from.address, extent.width * extent.height * extent.depth);
  }
  for (uint64_t z = 0; z < extent.depth; ++z) {
    for (uint64_t y = 0; y < extent.height; ++y) {
      copy(to.From(0, y, z).address, from.From(0, y, z).address, extent.width);
    }
  }
}

}  // namespace outboard
