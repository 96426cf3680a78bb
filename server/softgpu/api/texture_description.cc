#include "server/softgpu/api/texture_description.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <vector>

#include "common/base/number_of.h"
#include "common/libcuda/arrays.h"
#include "server/softgpu/api/array.h"
#include "server/softgpu/api/memory.h"
#include "server/softgpu/api/texture_limits.h"

namespace outboard::softgpu::api {
namespace {

constexpr unsigned kFlags = CU_TRSF_READ_AS_INTEGER | CU_TRSF_NORMALIZED_COORDINATES | CU_TRSF_SRGB |
                            CU_TRSF_DISABLE_TRILINEAR_OPTIMIZATION | CU_TRSF_SEAMLESS_CUBEMAP;

// False for formats of another kind.
bool ReadFormat(const CUarray_format& format, unsigned channels, TexelFormat* read) {
  if (ElementBytes(format, channels) == 0) return false;
  read->channels = channels;
  read->channel_bytes = ChannelBytes(format);
  switch (NumberOf(format)) {
    case CU_AD_FORMAT_HALF:
    case CU_AD_FORMAT_FLOAT:
      read->kind = TexelKind::kFloat;
      break;
    case CU_AD_FORMAT_SIGNED_INT8:
    case CU_AD_FORMAT_SIGNED_INT16:
    case CU_AD_FORMAT_SIGNED_INT32:
      read->kind = TexelKind::kSigned;
      break;
    default:
      read->kind = TexelKind::kUnsigned;
      break;
  }
  return true;
}

// The formats of views are one to four channels of each kind, in this order.
bool ReadViewFormat(unsigned number, TexelFormat* read) {
  struct Kind {
    TexelKind kind;
    uint32_t channel_bytes;
  };
  constexpr Kind kKinds[] = {{TexelKind::kUnsigned, 1}, {TexelKind::kSigned, 1},   {TexelKind::kUnsigned, 2},
                             {TexelKind::kSigned, 2},   {TexelKind::kUnsigned, 4}, {TexelKind::kSigned, 4},
                             {TexelKind::kFloat, 2},    {TexelKind::kFloat, 4}};
  constexpr uint32_t kChannels[] = {1, 2, 4};
  const unsigned index = number - CU_RES_VIEW_FORMAT_UINT_1X8;
  if (number == CU_RES_VIEW_FORMAT_NONE || index >= std::size(kKinds) * std::size(kChannels)) return false;
  *read = {kKinds[index / 3].kind, kKinds[index / 3].channel_bytes, kChannels[index % 3]};
  return true;
}

TexelArray ToTexels(const Array& array) {
  const auto& descriptor = array.descriptor;
  TexelArray texels;
  texels.host = reinterpret_cast<std::byte*>(array.box.address);
  texels.pitch = array.box.pitch;
  texels.slice_pitch = array.box.pitch * array.box.slice_rows;
  texels.width = static_cast<uint32_t>(descriptor.Width);
  texels.height = static_cast<uint32_t>(std::max<size_t>(descriptor.Height, 1));
  texels.depth = static_cast<uint32_t>(std::max<size_t>(descriptor.Depth, 1));
  return texels;
}

bool IsWithin(size_t size, CUdevice_attribute limit) {
  return size >= 1 && size <= static_cast<size_t>(TextureLimit(limit));
}

// Elements in memory of the program's own. `bytes` from the first to the last of them.
CUresult ReadMemory(const Context& context, CUdeviceptr address, size_t bytes, TexelArray* texels) {
  constexpr size_t kAlignment = 512;  // CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT
  if (address % kAlignment != 0 || !FindDeviceBytes(context, address, bytes, false)) return CUDA_ERROR_INVALID_VALUE;
  texels->device_address = address;
  return CUDA_SUCCESS;
}

CUresult ReadLinear(const Context& context, const CUDA_RESOURCE_DESC& resource, Texture* described) {
  const auto& linear = resource.res.linear;
  if (!ReadFormat(linear.format, linear.numChannels, &described->format)) return CUDA_ERROR_INVALID_VALUE;
  const size_t count = linear.sizeInBytes / described->format.bytes();
  if (!IsWithin(count, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LINEAR_WIDTH)) return CUDA_ERROR_INVALID_VALUE;
  TexelArray texels;
  texels.width = static_cast<uint32_t>(count);
  // Memory that ends earlier, as in NVIDIA's sample convolutionFFT2D, ends the texture when that is read.
  const CUresult result = ReadMemory(context, linear.devPtr, described->format.bytes(), &texels);
  described->is_linear = true;
  described->levels = {texels};
  return result;
}

CUresult ReadPitched(const Context& context, const CUDA_RESOURCE_DESC& resource, Texture* described) {
  constexpr size_t kPitchAlignment = 32;  // CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT
  const auto& pitched = resource.res.pitch2D;
  if (!ReadFormat(pitched.format, pitched.numChannels, &described->format)) return CUDA_ERROR_INVALID_VALUE;
  const size_t row = pitched.width * described->format.bytes();
  if (!IsWithin(pitched.width, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LINEAR_WIDTH) ||
      !IsWithin(pitched.height, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LINEAR_HEIGHT) ||
      !IsWithin(pitched.pitchInBytes, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LINEAR_PITCH) ||
      pitched.pitchInBytes % kPitchAlignment != 0 || pitched.pitchInBytes < row) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  TexelArray texels;
  texels.width = static_cast<uint32_t>(pitched.width);
  texels.height = static_cast<uint32_t>(pitched.height);
  texels.pitch = pitched.pitchInBytes;
  const CUresult result =
      ReadMemory(context, pitched.devPtr, (pitched.height - 1) * pitched.pitchInBytes + row, &texels);
  described->levels = {texels};
  return result;
}

// An array, or the levels of a mipmapped one, as a view of it if there is one.
CUresult ReadArrays(const std::vector<std::shared_ptr<Array>>& levels, const CUDA_RESOURCE_VIEW_DESC* view,
                    Texture* described) {
  const CUDA_ARRAY3D_DESCRIPTOR& largest = levels.front()->descriptor;
  if (!ReadFormat(largest.Format, largest.NumChannels, &described->format)) return CUDA_ERROR_INVALID_VALUE;
  for (const auto& level : levels) described->levels.push_back(ToTexels(*level));
  described->kept = levels.front()->memory;
  if (view == nullptr) return CUDA_SUCCESS;

  const unsigned format = NumberOf(view->format);
  if (format >= CU_RES_VIEW_FORMAT_UNSIGNED_BC1) return CUDA_ERROR_NOT_SUPPORTED;
  if (format != CU_RES_VIEW_FORMAT_NONE) {
    TexelFormat other;
    if (!ReadViewFormat(format, &other) || other.bytes() != described->format.bytes()) return CUDA_ERROR_INVALID_VALUE;
    described->format = other;
  }
  const bool is_whole = view->width == largest.Width && view->height == largest.Height && view->depth == largest.Depth;
  if (!is_whole || view->firstMipmapLevel > view->lastMipmapLevel || view->lastMipmapLevel >= levels.size()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const bool has_layers = (largest.Flags & (CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_CUBEMAP)) != 0;
  const size_t layers = has_layers ? largest.Depth : 1;
  if (view->firstLayer > view->lastLayer || view->lastLayer >= layers) return CUDA_ERROR_INVALID_VALUE;
  auto& seen = described->levels;
  seen.erase(seen.begin() + view->lastMipmapLevel + 1, seen.end());
  seen.erase(seen.begin(), seen.begin() + view->firstMipmapLevel);
  for (TexelArray& texels : seen) {
    if (!has_layers) break;
    texels.host += view->firstLayer * texels.slice_pitch;
    texels.depth = view->lastLayer - view->firstLayer + 1;
  }
  return CUDA_SUCCESS;
}

CUresult ReadResource(const Context& context, const CUDA_RESOURCE_DESC& resource, const CUDA_RESOURCE_VIEW_DESC* view,
                      Texture* described, unsigned* array_flags) {
  if (resource.flags != 0) return CUDA_ERROR_INVALID_VALUE;
  switch (NumberOf(resource.resType)) {
    case CU_RESOURCE_TYPE_ARRAY: {
      const auto array = context.driver.handles.Find<Array>(resource.res.array.hArray);
      if (!array) return CUDA_ERROR_INVALID_HANDLE;
      *array_flags = array->descriptor.Flags;
      return ReadArrays({array}, view, described);
    }
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY: {
      const auto mipmapped = context.driver.handles.Find<MipmappedArray>(resource.res.mipmap.hMipmappedArray);
      if (!mipmapped) return CUDA_ERROR_INVALID_HANDLE;
      *array_flags = mipmapped->descriptor.Flags;
      return ReadArrays(mipmapped->levels, view, described);
    }
    case CU_RESOURCE_TYPE_LINEAR:
      return view != nullptr ? CUDA_ERROR_INVALID_VALUE : ReadLinear(context, resource, described);
    case CU_RESOURCE_TYPE_PITCH2D:
      return view != nullptr ? CUDA_ERROR_INVALID_VALUE : ReadPitched(context, resource, described);
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

}  // namespace

CUresult Describe(const Context& context, const CUDA_RESOURCE_DESC& resource, const CUDA_TEXTURE_DESC& texture,
                  const CUDA_RESOURCE_VIEW_DESC* view, Texture* described) {
  unsigned array_flags = 0;
  const CUresult result = ReadResource(context, resource, view, described, &array_flags);
  if (result != CUDA_SUCCESS) return result;

  const unsigned filter = NumberOf(texture.filterMode), level_filter = NumberOf(texture.mipmapFilterMode);
  if ((texture.flags & ~kFlags) != 0 || filter > CU_TR_FILTER_MODE_LINEAR || level_filter > CU_TR_FILTER_MODE_LINEAR) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  for (int d = 0; d < 3; ++d) {
    switch (NumberOf(texture.addressMode[d])) {
      case CU_TR_ADDRESS_MODE_WRAP:
        described->address[d] = AddressMode::kWrap;
        break;
      case CU_TR_ADDRESS_MODE_CLAMP:
        described->address[d] = AddressMode::kClamp;
        break;
      case CU_TR_ADDRESS_MODE_MIRROR:
        described->address[d] = AddressMode::kMirror;
        break;
      case CU_TR_ADDRESS_MODE_BORDER:
        described->address[d] = AddressMode::kBorder;
        break;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  }
  const bool is_mipmapped = NumberOf(resource.resType) == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY;
  const TexelFormat& format = described->format;
  described->is_normalized = (texture.flags & CU_TRSF_NORMALIZED_COORDINATES) != 0;
  described->reads_integers = (texture.flags & CU_TRSF_READ_AS_INTEGER) != 0;
  described->is_srgb = (texture.flags & CU_TRSF_SRGB) != 0;
  described->filters = filter == CU_TR_FILTER_MODE_LINEAR && !described->is_linear;
  described->filters_levels = level_filter == CU_TR_FILTER_MODE_LINEAR && is_mipmapped;
  described->level_bias = texture.mipmapLevelBias;
  described->min_level = texture.minMipmapLevelClamp;
  described->max_level = texture.maxMipmapLevelClamp;
  std::copy(std::begin(texture.borderColor), std::end(texture.borderColor), described->border);

  if (is_mipmapped && !described->is_normalized) return CUDA_ERROR_INVALID_VALUE;
  const bool gives_integers =
      format.kind != TexelKind::kFloat && (described->reads_integers || format.channel_bytes == 4);
  if (gives_integers && (described->filters || described->filters_levels)) return CUDA_ERROR_INVALID_VALUE;
  const bool is_bytes = format.kind == TexelKind::kUnsigned && format.channel_bytes == 1 && !gives_integers;
  if (described->is_srgb && !is_bytes) return CUDA_ERROR_INVALID_VALUE;
  if ((texture.flags & CU_TRSF_SEAMLESS_CUBEMAP) != 0) {
    if ((array_flags & CUDA_ARRAY3D_CUBEMAP) == 0) return CUDA_ERROR_INVALID_VALUE;
    if (described->filters) return CUDA_ERROR_NOT_SUPPORTED;
    std::fill(std::begin(described->address), std::end(described->address), AddressMode::kClamp);
  }
  return CUDA_SUCCESS;
}

CUresult Describe(const Context& context, const CUDA_RESOURCE_DESC& resource, Surface* described) {
  if (resource.flags != 0 || NumberOf(resource.resType) != CU_RESOURCE_TYPE_ARRAY) return CUDA_ERROR_INVALID_VALUE;
  const auto array = context.driver.handles.Find<Array>(resource.res.array.hArray);
  if (!array) return CUDA_ERROR_INVALID_HANDLE;
  // Without CUDA_ARRAY3D_SURFACE_LDST, too: NVIDIA's sample bindlessTexture has surfaces of such arrays.
  if (!ReadFormat(array->descriptor.Format, array->descriptor.NumChannels, &described->format)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  described->array = ToTexels(*array);
  described->kept = array->memory;
  return CUDA_SUCCESS;
}

}  // namespace outboard::softgpu::api
