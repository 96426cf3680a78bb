#include "checks.h"

// Wrong uses of arrays, textures and surfaces.

namespace wrong_uses {

void Checks::Arrays() {
  CUDA_ARRAY3D_DESCRIPTOR shape{16, 8, 0, CU_AD_FORMAT_FLOAT, 1, 0};
  CUDA_ARRAY_DESCRIPTOR flat;
  CUDA_ARRAY_MEMORY_REQUIREMENTS needs;
  CUarray made, array, stale, level;
  CUmipmappedArray mipmapped, stale_mipmapped;
  Do(cuArray3DCreate_v2(&array, &shape));
  Do(cuArray3DCreate_v2(&stale, &shape));
  Do(cuArrayDestroy(stale));
  Do(cuMipmappedArrayCreate(&mipmapped, &shape, 2));
  Do(cuMipmappedArrayGetLevel(&level, mipmapped, 1));
  Do(cuMipmappedArrayCreate(&stale_mipmapped, &shape, 2));
  Do(cuMipmappedArrayDestroy(stale_mipmapped));
  const auto wrong_kind = reinterpret_cast<CUarray>(stream_);
  const auto create = [&](const std::function<void(CUDA_ARRAY3D_DESCRIPTOR&)>& change) {
    return [&, change] {
      auto descriptor = shape;
      change(descriptor);
      return cuArray3DCreate_v2(&made, &descriptor);
    };
  };
  const auto copy = [&](const std::function<void(CUDA_MEMCPY2D&)>& change) {
    return [&, change] {
      CUDA_MEMCPY2D parameters{};
      parameters.srcMemoryType = CU_MEMORYTYPE_HOST;
      parameters.srcHost = host_;
      parameters.srcPitch = 64;
      parameters.dstMemoryType = CU_MEMORYTYPE_ARRAY;
      parameters.dstArray = array;
      parameters.WidthInBytes = 64;
      parameters.Height = 8;
      change(parameters);
      return cuMemcpy2D_v2(&parameters);
    };
  };
  using Shape = CUDA_ARRAY3D_DESCRIPTOR;
  using Given = CUDA_MEMCPY2D;
  constexpr char kSizes[] = "cuArray3DCreate: Width, Height and Depth must meet certain size requirements.";
  constexpr char kElement[] =
      "cuMemcpy2D: for CUDA arrays, srcXInBytes and dstXInBytes must be evenly divisible by the array element size.";
  Check(
      "Arrays",
      {
          {"create: null", [&] { return cuArray3DCreate_v2(&made, nullptr); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: nowhere", [&] { return cuArray3DCreate_v2(nullptr, &shape); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: no width", create([](Shape& s) { s.Width = 0; }), CUDA_ERROR_INVALID_VALUE, kSizes},
          {"create: too wide", create([](Shape& s) { s.Width = 140000; }), CUDA_ERROR_INVALID_VALUE, kSizes},
          {"create: depth without height", create([](Shape& s) { s.Height = 0, s.Depth = 4; }),
           CUDA_ERROR_INVALID_VALUE, kSizes},
          {"create: layers of no number", create([](Shape& s) { s.Flags = CUDA_ARRAY3D_LAYERED; }),
           CUDA_ERROR_INVALID_VALUE, kSizes},
          {"create: a cube of five faces",
           create([](Shape& s) { s.Width = 8, s.Depth = 5, s.Flags = CUDA_ARRAY3D_CUBEMAP; }), CUDA_ERROR_INVALID_VALUE,
           "CUDA_ARRAY3D_CUBEMAP: Width must be equal to Height, and Depth must be six."},
          {"create: three channels", create([](Shape& s) { s.NumChannels = 3; }), CUDA_ERROR_INVALID_VALUE,
           "NumChannels specifies the number of packed components per CUDA array element; it may be 1, 2, or 4."},
          {"create: format", create([](Shape& s) { s.Format = CUarray_format(5); }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: flags", create([](Shape& s) { s.Flags = 0x8000; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: sparse", create([](Shape& s) { s.Flags = CUDA_ARRAY3D_SPARSE; }), CUDA_ERROR_NOT_SUPPORTED,
           "CU_DEVICE_ATTRIBUTE_SPARSE_CUDA_ARRAY_SUPPORTED is 0."},
          {"create: mapped later", create([](Shape& s) { s.Flags = CUDA_ARRAY3D_DEFERRED_MAPPING; }),
           CUDA_ERROR_NOT_SUPPORTED, "CU_DEVICE_ATTRIBUTE_DEFERRED_MAPPING_CUDA_ARRAY_SUPPORTED is 0."},
          {"descriptor: null", [&] { return cuArray3DGetDescriptor_v2(nullptr, array); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"descriptor: stale", [&] { return cuArrayGetDescriptor_v2(&flat, stale); }, CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"descriptor: wrong kind", [&] { return cuArrayGetDescriptor_v2(&flat, wrong_kind); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"destroy: null", [] { return cuArrayDestroy(nullptr); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"destroy: stale", [&] { return cuArrayDestroy(stale); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"destroy: bogus", [] { return cuArrayDestroy(Bogus<CUarray>(0x1234)); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"destroy: level", [&] { return cuArrayDestroy(level); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"mipmapped: null", [&] { return cuMipmappedArrayCreate(nullptr, &shape, 1); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"mipmapped: no such level", [&] { return cuMipmappedArrayGetLevel(&made, mipmapped, 2); },
           CUDA_ERROR_INVALID_VALUE,
           "cuMipmappedArrayGetLevel: if level is greater than the maximum number of levels in this mipmapped array, "
           "CUDA_ERROR_INVALID_VALUE is returned."},
          {"mipmapped: level of a stale one", [&] { return cuMipmappedArrayGetLevel(&made, stale_mipmapped, 0); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"mipmapped: destroy stale", [&] { return cuMipmappedArrayDestroy(stale_mipmapped); },
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"requirements", [&] { return cuArrayGetMemoryRequirements(&needs, array, 0); }, CUDA_ERROR_INVALID_VALUE,
           "cuArrayGetMemoryRequirements: if the CUDA array is not allocated with flag CUDA_ARRAY3D_DEFERRED_MAPPING "
           "CUDA_ERROR_INVALID_VALUE will be returned."},
          {"requirements: device", [&] { return cuArrayGetMemoryRequirements(&needs, array, count_); },
           CUDA_ERROR_INVALID_DEVICE, kDevice},
          {"plane", [&] { return cuArrayGetPlane(&made, array, 0); }, CUDA_ERROR_INVALID_VALUE,
           "cuArrayGetPlane: if the array does not have a multi-planar format, then CUDA_ERROR_INVALID_VALUE is "
           "returned."},
          {"copy: as it should be", copy([](Given&) {}), CUDA_SUCCESS, ""},
          {"copy: no array", copy([](Given& g) { g.dstArray = nullptr; }), CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"copy: stale", copy([&](Given& g) { g.dstArray = stale; }), CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"copy: too high", copy([](Given& g) { g.Height = 9; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"copy: too low", copy([](Given& g) { g.dstY = 1; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"copy: too far right", copy([](Given& g) { g.dstXInBytes = 4; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"copy: half an element", copy([](Given& g) { g.WidthInBytes = 6; }), CUDA_ERROR_INVALID_VALUE, kElement},
          {"copy: between elements", copy([](Given& g) { g.dstXInBytes = 2, g.WidthInBytes = 4; }),
           CUDA_ERROR_INVALID_VALUE, kElement},
          {"copy: y wraps", copy([](Given& g) { g.dstY = ~size_t{0}; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"copy: null host", copy([](Given& g) { g.srcHost = nullptr; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"row: past the end", [&] { return cuMemcpyHtoA_v2(array, 60, host_, 8); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"row: stale", [&] { return cuMemcpyAtoH_v2(host_, stale, 0, 4); }, CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"row: host memory as a device's",
           [&] { return cuMemcpyDtoA_v2(array, 0, reinterpret_cast<CUdeviceptr>(host_), 4); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
      });
  Do(cuStreamSynchronize(stream_));
  Do(cuMipmappedArrayDestroy(mipmapped));
  Do(cuArrayDestroy(array));
}

void Checks::TexturesAndSurfaces() {
  CUDA_ARRAY3D_DESCRIPTOR shape{16, 8, 0, CU_AD_FORMAT_FLOAT, 1, 0};
  CUDA_RESOURCE_DESC resource{}, found;
  CUDA_TEXTURE_DESC texture{}, found_texture;
  CUDA_RESOURCE_VIEW_DESC found_view;
  CUarray array, stale;
  CUtexObject object, plain, stale_texture;
  CUsurfObject surface, stale_surface;
  CUdeviceptr memory;
  Do(cuMemAlloc_v2(&memory, 4096));
  Do(cuArray3DCreate_v2(&stale, &shape));
  Do(cuArrayDestroy(stale));
  Do(cuArray3DCreate_v2(&array, &shape));
  resource.resType = CU_RESOURCE_TYPE_ARRAY;
  resource.res.array.hArray = array;
  Do(cuTexObjectCreate(&plain, &resource, &texture, nullptr));
  Do(cuTexObjectCreate(&stale_texture, &resource, &texture, nullptr));
  Do(cuTexObjectDestroy(stale_texture));
  shape.Flags = CUDA_ARRAY3D_SURFACE_LDST;
  CUarray stored;
  Do(cuArray3DCreate_v2(&stored, &shape));
  CUDA_RESOURCE_DESC of_stored = resource;
  of_stored.res.array.hArray = stored;
  Do(cuSurfObjectCreate(&stale_surface, &of_stored));
  Do(cuSurfObjectDestroy(stale_surface));

  using Resource = CUDA_RESOURCE_DESC;
  using Texture = CUDA_TEXTURE_DESC;
  const auto create = [&](const std::function<void(Resource&, Texture&)>& change) {
    return [&, change] {
      auto changed = resource;
      auto how = texture;
      change(changed, how);
      return cuTexObjectCreate(&object, &changed, &how, nullptr);
    };
  };
  const auto linear = [&](const std::function<void(Resource&)>& change) {
    return create([&, change](Resource& r, Texture&) {
      r = {};
      r.resType = CU_RESOURCE_TYPE_LINEAR;
      r.res.linear = {memory, CU_AD_FORMAT_FLOAT, 1, 4096};
      change(r);
    });
  };
  const auto pitched = [&](const std::function<void(Resource&)>& change) {
    return create([&, change](Resource& r, Texture&) {
      r = {};
      r.resType = CU_RESOURCE_TYPE_PITCH2D;
      r.res.pitch2D = {memory, CU_AD_FORMAT_FLOAT, 1, 32, 32, 128};
      change(r);
    });
  };
  const auto store = [&](const std::function<void(Resource&)>& change) {
    return [&, change] {
      auto changed = of_stored;
      change(changed);
      return cuSurfObjectCreate(&surface, &changed);
    };
  };
  constexpr char kResource[] = "cuTexObjectCreate: CUDA_RESOURCE_DESC::flags must be set to zero.";
  Check(
      "TexturesAndSurfaces",
      {
          {"create: nowhere", [&] { return cuTexObjectCreate(nullptr, &resource, &texture, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: of nothing", [&] { return cuTexObjectCreate(&object, nullptr, &texture, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: in no way", [&] { return cuTexObjectCreate(&object, &resource, nullptr, nullptr); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: resource flags", create([](Resource& r, Texture&) { r.flags = 1; }), CUDA_ERROR_INVALID_VALUE,
           kResource},
          {"create: no such resource", create([](Resource& r, Texture&) { r.resType = CUresourcetype(7); }),
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: stale array", create([&](Resource& r, Texture&) { r.res.array.hArray = stale; }),
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"create: an array as a mipmapped one",
           create([](Resource& r, Texture&) { r.resType = CU_RESOURCE_TYPE_MIPMAPPED_ARRAY; }),
           CUDA_ERROR_INVALID_HANDLE, kHandle},
          {"create: flags", create([](Resource&, Texture& t) { t.flags = 0x100; }), CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: address mode", create([](Resource&, Texture& t) { t.addressMode[0] = CUaddress_mode(4); }),
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: filter", create([](Resource&, Texture& t) { t.filterMode = CUfilter_mode(2); }),
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: sRGB of floats", create([](Resource&, Texture& t) { t.flags = CU_TRSF_SRGB; }),
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: linear memory misaligned", linear([](Resource& r) { r.res.linear.devPtr += 16; }),
           CUDA_ERROR_INVALID_VALUE,
           "CUDA_RESOURCE_DESC: devPtr must be aligned to CU_DEVICE_ATTRIBUTE_TEXTURE_ALIGNMENT."},
          {"create: linear host memory",
           linear([&](Resource& r) { r.res.linear.devPtr = reinterpret_cast<CUdeviceptr>(host_); }),
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: three channels", linear([](Resource& r) { r.res.linear.numChannels = 3; }),
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: pitch misaligned", pitched([](Resource& r) { r.res.pitch2D.pitchInBytes = 132; }),
           CUDA_ERROR_INVALID_VALUE,
           "CUDA_RESOURCE_DESC: pitchInBytes has to be aligned to CU_DEVICE_ATTRIBUTE_TEXTURE_PITCH_ALIGNMENT."},
          {"create: pitch too small", pitched([](Resource& r) { r.res.pitch2D.pitchInBytes = 96; }),
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"create: too many rows", pitched([](Resource& r) { r.res.pitch2D.height = 33; }), CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"destroy: stale", [&] { return cuTexObjectDestroy(stale_texture); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"destroy: bogus", [] { return cuTexObjectDestroy(0x12345678); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"resource: null", [&] { return cuTexObjectGetResourceDesc(nullptr, plain); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"resource: stale", [&] { return cuTexObjectGetResourceDesc(&found, stale_texture); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"description: stale", [&] { return cuTexObjectGetTextureDesc(&found_texture, stale_texture); },
           CUDA_ERROR_INVALID_VALUE, kNull},
          {"view: none", [&] { return cuTexObjectGetResourceViewDesc(&found_view, plain); }, CUDA_ERROR_INVALID_VALUE,
           "cuTexObjectGetResourceViewDesc: if no resource view was set for texObject, CUDA_ERROR_INVALID_VALUE is "
           "returned."},
          {"surface: nowhere", [&] { return cuSurfObjectCreate(nullptr, &of_stored); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"surface: of nothing", [&] { return cuSurfObjectCreate(&surface, nullptr); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"surface: stale array", store([&](Resource& r) { r.res.array.hArray = stale; }), CUDA_ERROR_INVALID_HANDLE,
           kHandle},
          {"surface: of memory", store([](Resource& r) { r.resType = CU_RESOURCE_TYPE_LINEAR; }),
           CUDA_ERROR_INVALID_VALUE, "cuSurfObjectCreate: CUDA_RESOURCE_DESC::resType must be CU_RESOURCE_TYPE_ARRAY."},
          {"surface: destroy stale", [&] { return cuSurfObjectDestroy(stale_surface); }, CUDA_ERROR_INVALID_VALUE,
           kNull},
          {"surface: destroy a texture", [&] { return cuSurfObjectDestroy(plain); }, CUDA_ERROR_INVALID_VALUE, kNull},
          {"surface: resource of a stale one", [&] { return cuSurfObjectGetResourceDesc(&found, stale_surface); },
           CUDA_ERROR_INVALID_VALUE, kNull},
      });
  Do(cuTexObjectDestroy(plain));
  Do(cuArrayDestroy(stored));
  Do(cuArrayDestroy(array));
  Do(cuMemFree_v2(memory));
}

}  // namespace wrong_uses
