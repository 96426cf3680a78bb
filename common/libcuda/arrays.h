#pragma once

#include <cuda.h>

#include <cstdint>
#include <cstring>

#include "common/base/box.h"

// What a descriptor says of a CUDA array: the sizes of its elements and rows, and of the levels of a mipmapped one.

namespace outboard {

// Bytes of one channel; 0 for a format of another kind than channels of 8, 16 or 32 bits each (compressed, of several
// planes, normalised).
unsigned ChannelBytes(const CUarray_format& format);

// Bytes of an element. 0 as above, and unless there are 1, 2 or 4 channels.
unsigned ElementBytes(const CUarray_format& format, unsigned channels);
inline unsigned ElementBytes(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  return ElementBytes(array.Format, array.NumChannels);
}

// How copies see an array: as bytes of a row, rows of a slice and slices, none of them 0. Layers are slices. The width
// is 0 where the size of an element is not known.
BoxExtent ExtentOf(const CUDA_ARRAY3D_DESCRIPTOR& array);

// Whether the box lies in the array, and begins and ends with an element. The extent is not empty.
bool FitsInto(const CUDA_ARRAY3D_DESCRIPTOR& array, const ArrayPlace& place, const BoxExtent& extent);

// Device memory that an array is counted as: tiles of 64 bytes in 8 rows, which is how hardware keeps them. Of elements
// whose size is not known the largest, 16 bytes. UINT64_MAX when it is beyond 64 bits.
uint64_t ArrayBytes(const CUDA_ARRAY3D_DESCRIPTOR& array);

// Bytes from one row to the next, and rows from one slice to the next, in such tiles. For sizes that a device takes.
uint64_t ArrayPitch(const CUDA_ARRAY3D_DESCRIPTOR& array);
uint64_t ArraySliceRows(const CUDA_ARRAY3D_DESCRIPTOR& array);

// The levels of a mipmapped array of this size for which `wanted` are asked: at least one, and none below one element.
unsigned MipmapLevels(const CUDA_ARRAY3D_DESCRIPTOR& array, unsigned wanted);

// The array that a level is; level 0 is the largest.
CUDA_ARRAY3D_DESCRIPTOR LevelOf(const CUDA_ARRAY3D_DESCRIPTOR& mipmapped, unsigned level);

// As ArrayBytes, of all levels.
uint64_t MipmappedArrayBytes(const CUDA_ARRAY3D_DESCRIPTOR& mipmapped, unsigned levels);

// A descriptor of the time of 32-bit sizes, and one of the calls that know no depth, as one of today; and back, as far
// as sizes fit.
template <class Other>
CUDA_ARRAY3D_DESCRIPTOR ToArray3D(const Other& from) {
  CUDA_ARRAY3D_DESCRIPTOR to{};
  to.Width = from.Width;
  to.Height = from.Height;
  std::memcpy(&to.Format, &from.Format, sizeof to.Format);  // which may be none of the enumeration's values
  to.NumChannels = from.NumChannels;
  if constexpr (requires { from.Depth; }) {
    to.Depth = from.Depth;
    to.Flags = from.Flags;
  }
  return to;
}
template <class Other>
Other FromArray3D(const CUDA_ARRAY3D_DESCRIPTOR& from) {
  Other to{};
  to.Width = static_cast<decltype(to.Width)>(from.Width);
  to.Height = static_cast<decltype(to.Height)>(from.Height);
  std::memcpy(&to.Format, &from.Format, sizeof to.Format);  // which may be none of the enumeration's values
  to.NumChannels = from.NumChannels;
  if constexpr (requires { to.Depth; }) {
    to.Depth = static_cast<decltype(to.Depth)>(from.Depth);
    to.Flags = from.Flags;
  }
  return to;
}

}  // namespace outboard
