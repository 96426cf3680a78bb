#include "common/libcuda/arrays.h"

#include <algorithm>
#include <bit>

#include "common/base/number_of.h"

namespace outboard {
namespace {

constexpr uint64_t kTileBytes = 64, kTileRows = 8;
constexpr uint64_t kLevelAlignment = 512;  // bytes
constexpr unsigned kLargestElement = 16;   // bytes

// UINT64_MAX when it does not fit.
uint64_t RoundUp(uint64_t value, uint64_t to) {
  const uint64_t last = value + (to - 1);
  return last < value ? UINT64_MAX : last / to * to;
}

uint64_t Product(uint64_t a, uint64_t b) {
  uint64_t product;
  return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

bool HasLayers(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  return (array.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
}

// Whether [begin, begin + size) lies in [0, end).
bool IsWithin(uint64_t begin, uint64_t size, uint64_t end) { return size <= end && begin <= end - size; }

}  // namespace

unsigned ChannelBytes(const CUarray_format& format) {
  switch (NumberOf(format)) {
    case CU_AD_FORMAT_UNSIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT8:
      return 1;
    case CU_AD_FORMAT_UNSIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_HALF:
      return 2;
    case CU_AD_FORMAT_UNSIGNED_INT32:
    case CU_AD_FORMAT_SIGNED_INT32:
    case CU_AD_FORMAT_FLOAT:
      return 4;
    default:
      return 0;
  }
}

unsigned ElementBytes(const CUarray_format& format, unsigned channels) {
  return channels == 1 || channels == 2 || channels == 4 ? ChannelBytes(format) * channels : 0;
}

BoxExtent ExtentOf(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  return {Product(array.Width, ElementBytes(array)), std::max<uint64_t>(array.Height, 1),
          std::max<uint64_t>(array.Depth, 1)};
}

bool FitsInto(const CUDA_ARRAY3D_DESCRIPTOR& array, const ArrayPlace& place, const BoxExtent& extent) {
  const unsigned element = ElementBytes(array);
  const BoxExtent all = ExtentOf(array);
  return element != 0 && place.x % element == 0 && extent.width % element == 0 &&
         IsWithin(place.x, extent.width, all.width) && IsWithin(place.y, extent.height, all.height) &&
         IsWithin(place.z, extent.depth, all.depth);
}

uint64_t ArrayPitch(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  const unsigned element = ElementBytes(array);
  return RoundUp(Product(array.Width, element != 0 ? element : kLargestElement), kTileBytes);
}

uint64_t ArraySliceRows(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  return array.Height == 0 ? 1 : RoundUp(array.Height, kTileRows);
}

uint64_t ArrayBytes(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  return Product(Product(ArrayPitch(array), ArraySliceRows(array)), std::max<uint64_t>(array.Depth, 1));
}

unsigned MipmapLevels(const CUDA_ARRAY3D_DESCRIPTOR& array, unsigned wanted) {
  uint64_t largest = std::max<uint64_t>(array.Width, array.Height);
  if (!HasLayers(array)) largest = std::max<uint64_t>(largest, array.Depth);
  return std::clamp(wanted, 1u, std::max(static_cast<unsigned>(std::bit_width(largest)), 1u));
}

CUDA_ARRAY3D_DESCRIPTOR LevelOf(const CUDA_ARRAY3D_DESCRIPTOR& mipmapped, unsigned level) {
  CUDA_ARRAY3D_DESCRIPTOR array = mipmapped;
  const auto halve = [&](size_t* size) {
    if (*size != 0) *size = std::max<size_t>(*size >> level, 1);
  };
  halve(&array.Width);
  halve(&array.Height);
  if (!HasLayers(mipmapped)) halve(&array.Depth);
  return array;
}

uint64_t MipmappedArrayBytes(const CUDA_ARRAY3D_DESCRIPTOR& mipmapped, unsigned levels) {
  uint64_t all = 0;
  for (unsigned level = 0; level < levels; ++level) {
    const uint64_t bytes = RoundUp(ArrayBytes(LevelOf(mipmapped, level)), kLevelAlignment);
    if (__builtin_add_overflow(all, bytes, &all)) return UINT64_MAX;
  }
  return all;
}

}  // namespace outboard
