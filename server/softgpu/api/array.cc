#include "server/softgpu/api/array.h"

#include "common/base/number_of.h"
#include "server/softgpu/api/texture_limits.h"

namespace outboard::softgpu::api {
namespace {

// From here on a format's number says more than channels of one size.
constexpr unsigned kFirstOtherFormat = CU_AD_FORMAT_UNORM_INT_101010_2;

constexpr unsigned kFlags = CUDA_ARRAY3D_LAYERED | CUDA_ARRAY3D_SURFACE_LDST | CUDA_ARRAY3D_CUBEMAP |
                            CUDA_ARRAY3D_TEXTURE_GATHER | CUDA_ARRAY3D_COLOR_ATTACHMENT;
constexpr unsigned kOtherFlags =
    CUDA_ARRAY3D_DEPTH_TEXTURE | CUDA_ARRAY3D_SPARSE | CUDA_ARRAY3D_DEFERRED_MAPPING | CUDA_ARRAY3D_VIDEO_ENCODE_DECODE;

// The greatest sizes of a kind of array, by the attributes of devices that tell them; 0 where it has no such size.
struct Limits {
  unsigned width, height, depth;
};

bool IsWithin(size_t size, unsigned limit) {
  return limit == 0 ? size == 0 : size >= 1 && size <= static_cast<size_t>(TextureLimit(limit));
}
bool IsWithin(const CUDA_ARRAY3D_DESCRIPTOR& array, const Limits& limits) {
  return IsWithin(array.Width, limits.width) && IsWithin(array.Height, limits.height) &&
         IsWithin(array.Depth, limits.depth);
}

constexpr Limits k1D = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_WIDTH, 0, 0};
constexpr Limits k1DMipmapped = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_MIPMAPPED_WIDTH, 0, 0};
constexpr Limits k1DLayered = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LAYERED_WIDTH, 0,
                               CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LAYERED_LAYERS};
constexpr Limits k2D = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_WIDTH, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_HEIGHT, 0};
constexpr Limits k2DMipmapped = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_MIPMAPPED_WIDTH,
                                 CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_MIPMAPPED_HEIGHT, 0};
constexpr Limits k2DGather = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_GATHER_WIDTH,
                              CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_GATHER_HEIGHT, 0};
constexpr Limits k2DLayered = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LAYERED_WIDTH,
                               CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LAYERED_HEIGHT,
                               CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE2D_LAYERED_LAYERS};
constexpr Limits kCubemap = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_WIDTH,
                             CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_WIDTH,
                             CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURECUBEMAP_LAYERED_LAYERS};
constexpr Limits k3D = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH, CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_HEIGHT,
                        CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH};
constexpr Limits k3DAlternate = {CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_WIDTH_ALTERNATE,
                                 CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_HEIGHT_ALTERNATE,
                                 CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE3D_DEPTH_ALTERNATE};
// Of surfaces, where a device has smaller ones than textures.
constexpr Limits k1DSurface = {CU_DEVICE_ATTRIBUTE_MAXIMUM_SURFACE1D_WIDTH, 0, 0};

bool IsCubemap(const CUDA_ARRAY3D_DESCRIPTOR& array) {
  if (array.Width != array.Height || !IsWithin(array, kCubemap)) return false;
  return (array.Flags & CUDA_ARRAY3D_LAYERED) != 0 ? array.Depth % 6 == 0 : array.Depth == 6;
}

bool SizesAreGood(const CUDA_ARRAY3D_DESCRIPTOR& array, bool is_mipmapped) {
  const bool gathers = (array.Flags & CUDA_ARRAY3D_TEXTURE_GATHER) != 0;
  const bool is_surface = (array.Flags & CUDA_ARRAY3D_SURFACE_LDST) != 0;
  if ((array.Flags & CUDA_ARRAY3D_CUBEMAP) != 0) return !gathers && IsCubemap(array);
  if ((array.Flags & CUDA_ARRAY3D_LAYERED) != 0) return IsWithin(array, array.Height == 0 ? k1DLayered : k2DLayered);
  if (array.Height == 0 && array.Depth == 0) {
    return !gathers && IsWithin(array, is_mipmapped ? k1DMipmapped : k1D) &&
           (!is_surface || IsWithin(array, k1DSurface));
  }
  if (array.Depth == 0) return IsWithin(array, gathers ? k2DGather : is_mipmapped ? k2DMipmapped : k2D);
  return !gathers && (IsWithin(array, k3D) || (!is_surface && IsWithin(array, k3DAlternate)));
}

}  // namespace

std::shared_ptr<ArrayMemory> ArrayMemory::Allocate(Context& context, uint64_t bytes) {
  Device& device = context.device;
  auto address = device.memory->Allocate(bytes);
  if (!address && context.driver.pools.ReleaseUnused(device)) address = device.memory->Allocate(bytes);
  return address ? std::shared_ptr<ArrayMemory>(new ArrayMemory(device, *address)) : nullptr;
}

Array::Array(const Context& context, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, std::shared_ptr<ArrayMemory> memory,
             uint64_t offset, bool is_level)
    : context(context),
      descriptor(descriptor),
      memory(std::move(memory)),
      box{reinterpret_cast<uint64_t>(this->memory->device.memory->ToHost(this->memory->address)) + offset,
          ArrayPitch(descriptor), ArraySliceRows(descriptor)},
      is_level(is_level) {}

CUresult CheckArray(const CUDA_ARRAY3D_DESCRIPTOR& descriptor, bool is_mipmapped) {
  if (ElementBytes(descriptor) == 0) {
    return NumberOf(descriptor.Format) >= kFirstOtherFormat ? CUDA_ERROR_NOT_SUPPORTED : CUDA_ERROR_INVALID_VALUE;
  }
  if ((descriptor.Flags & ~(kFlags | kOtherFlags)) != 0) return CUDA_ERROR_INVALID_VALUE;
  if ((descriptor.Flags & kOtherFlags) != 0) return CUDA_ERROR_NOT_SUPPORTED;
  return SizesAreGood(descriptor, is_mipmapped) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

}  // namespace outboard::softgpu::api
