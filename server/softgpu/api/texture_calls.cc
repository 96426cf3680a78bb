#include <utility>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/texture_description.h"
#include "server/softgpu/api/textures.h"

// Texture object management and surface object management.

using namespace outboard::softgpu::api;

namespace {

// For calls that tell something of a texture object: tell(object) is the result.
template <class Out, class Tell>
CUresult OfTexture(Out* out, CUtexObject handle, Tell tell) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto object = driver.textures.FindTexture(handle);
    return out && object ? tell(*object) : CUDA_ERROR_INVALID_VALUE;
  });
}

}  // namespace

CUresult cuTexObjectCreate(CUtexObject* pTexObject, const CUDA_RESOURCE_DESC* pResDesc,
                           const CUDA_TEXTURE_DESC* pTexDesc, const CUDA_RESOURCE_VIEW_DESC* pResViewDesc) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    if (!pTexObject || !pResDesc || !pTexDesc) return CUDA_ERROR_INVALID_VALUE;
    TextureObject object{&context, *pResDesc, *pTexDesc, {}, {}};
    if (pResViewDesc) object.view = *pResViewDesc;
    const CUresult result = Describe(context, *pResDesc, *pTexDesc, pResViewDesc, &object.code);
    if (result == CUDA_SUCCESS) *pTexObject = driver.textures.Add(std::move(object));
    return result;
  });
}

// That 0 is accepted here NVIDIA's sample volumeFiltering relies on.
CUresult cuTexObjectDestroy(CUtexObject texObject) {
  return ContextCall([&](Driver& driver, Context&) {
    return texObject == 0 || driver.textures.RemoveTexture(texObject) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC* pResDesc, CUtexObject texObject) {
  return OfTexture(pResDesc, texObject, [&](const TextureObject& object) {
    *pResDesc = object.resource;
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC* pTexDesc, CUtexObject texObject) {
  return OfTexture(pTexDesc, texObject, [&](const TextureObject& object) {
    *pTexDesc = object.texture;
    return CUDA_SUCCESS;
  });
}

CUresult cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC* pResViewDesc, CUtexObject texObject) {
  return OfTexture(pResViewDesc, texObject, [&](const TextureObject& object) {
    if (!object.view) return CUDA_ERROR_INVALID_VALUE;
    *pResViewDesc = *object.view;
    return CUDA_SUCCESS;
  });
}

CUresult cuSurfObjectCreate(CUsurfObject* pSurfObject, const CUDA_RESOURCE_DESC* pResDesc) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    if (!pSurfObject || !pResDesc) return CUDA_ERROR_INVALID_VALUE;
    SurfaceObject object{&context, *pResDesc, {}};
    const CUresult result = Describe(context, *pResDesc, &object.code);
    if (result == CUDA_SUCCESS) *pSurfObject = driver.textures.Add(std::move(object));
    return result;
  });
}

CUresult cuSurfObjectDestroy(CUsurfObject surfObject) {
  return ContextCall([&](Driver& driver, Context&) {
    return surfObject == 0 || driver.textures.RemoveSurface(surfObject) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC* pResDesc, CUsurfObject surfObject) {
  return ContextCall([&](Driver& driver, Context&) -> CUresult {
    const auto object = driver.textures.FindSurface(surfObject);
    if (!pResDesc || !object) return CUDA_ERROR_INVALID_VALUE;
    *pResDesc = object->resource;
    return CUDA_SUCCESS;
  });
}
