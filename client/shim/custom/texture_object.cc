#include "client/shim/arrays.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "client/shim/textures.h"
#include "common/base/number_of.h"

// Texture object management and surface object management. The program gets the values that the worker's driver gave
// the objects, since it hands them to kernels.

namespace outboard::custom {

using namespace shim;

namespace {

// body(Process&, const Current&).
template <class Body>
CUresult InCurrent(Body body) {
  Process& process = Process::Get();
  Current current;
  const CUresult result = FindCurrent(process, &current);
  return result == CUDA_SUCCESS ? body(process, current) : result;
}

// What an object is made of, as it travels: handles are parameters of their own.
struct Resource {
  CUDA_RESOURCE_DESC description;
  CUarray array = nullptr;
  CUmipmappedArray mipmapped = nullptr;
};

CUresult ReadResource(Process& process, const CUDA_RESOURCE_DESC& given, Resource* resource) {
  resource->description = given;
  if (NumberOf(given.resType) == CU_RESOURCE_TYPE_ARRAY) {
    resource->array = given.res.array.hArray;
    resource->description.res.array.hArray = nullptr;
    return process.arrays().Find(resource->array) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  }
  if (NumberOf(given.resType) == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY) {
    resource->mipmapped = given.res.mipmap.hMipmappedArray;
    resource->description.res.mipmap.hMipmappedArray = nullptr;
    return process.arrays().FindMipmapped(resource->mipmapped) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
  }
  return CUDA_SUCCESS;
}

// For calls that tell something of an object: tell(object) is the result.
template <class Out, class Tell>
CUresult OfTexture(Out* out, CUtexObject object, Tell tell) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    const auto texture = process.textures().FindTexture(object);
    return out != nullptr && texture ? tell(*texture) : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace

CUresult cuTexObjectCreate(CUtexObject* pTexObject, const CUDA_RESOURCE_DESC* pResDesc,
                           const CUDA_TEXTURE_DESC* pTexDesc, const CUDA_RESOURCE_VIEW_DESC* pResViewDesc) {
  return InCurrent([&](Process& process, const Current& current) -> CUresult {
    if (pTexObject == nullptr || pResDesc == nullptr || pTexDesc == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (pResDesc->flags != 0) return CUDA_ERROR_INVALID_VALUE;
    Resource resource;
    CUresult result = ReadResource(process, *pResDesc, &resource);
    if (result != CUDA_SUCCESS) return result;
    result = remote::outboardTexObjectCreate(pTexObject, &resource.description, resource.array, resource.mipmapped,
                                             pTexDesc, pResViewDesc);
    if (result != CUDA_SUCCESS) return result;
    Textures::Texture texture{current.context, *pResDesc, *pTexDesc, {}};
    if (pResViewDesc != nullptr) texture.view = *pResViewDesc;
    process.textures().AddTexture(*pTexObject, texture);
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectDestroy(CUtexObject texObject) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    if (texObject == 0) return CUDA_SUCCESS;
    const bool was_known = process.textures().RemoveTexture(texObject);
    return was_known ? remote::cuTexObjectDestroy(texObject) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* pResDesc, CUtexObject texObject) {
  return OfTexture(pResDesc, texObject, [&](const Textures::Texture& texture) {
    *pResDesc = texture.resource;
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* pTexDesc, CUtexObject texObject) {
  return OfTexture(pTexDesc, texObject, [&](const Textures::Texture& texture) {
    *pTexDesc = texture.texture;
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* pResViewDesc, CUtexObject texObject) {
  return OfTexture(pResViewDesc, texObject, [&](const Textures::Texture& texture) {
    if (!texture.view) return CUDA_ERROR_INVALID_VALUE;
    *pResViewDesc = *texture.view;
    return CUDA_SUCCESS;
  });
}

CUresult cuSurfObjectCreate(CUsurfObject* pSurfObject, const CUDA_RESOURCE_DESC* pResDesc) {
  return InCurrent([&](Process& process, const Current& current) -> CUresult {
    if (pSurfObject == nullptr || pResDesc == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (pResDesc->flags != 0 || NumberOf(pResDesc->resType) != CU_RESOURCE_TYPE_ARRAY) return CUDA_ERROR_INVALID_VALUE;
    Resource resource;
    CUresult result = ReadResource(process, *pResDesc, &resource);
    if (result != CUDA_SUCCESS) return result;
    result = remote::outboardSurfObjectCreate(pSurfObject, resource.array);
    if (result == CUDA_SUCCESS) process.textures().AddSurface(*pSurfObject, {current.context, *pResDesc});
    return result;
  });
}

CUresult cuSurfObjectDestroy(CUsurfObject surfObject) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    if (surfObject == 0) return CUDA_SUCCESS;
    const bool was_known = process.textures().RemoveSurface(surfObject);
    return was_known ? remote::cuSurfObjectDestroy(surfObject) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* pResDesc, CUsurfObject surfObject) {
  return InCurrent([&](Process& process, const Current&) -> CUresult {
    const auto surface = process.textures().FindSurface(surfObject);
    if (pResDesc == nullptr || !surface) return CUDA_ERROR_INVALID_VALUE;
    *pResDesc = surface->resource;
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::custom
