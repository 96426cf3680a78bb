#include "server/worker/texture_objects.h"

#include "common/base/number_of.h"
#include "server/worker/home_context.h"

namespace outboard::worker {

CUresult TextureObjects::Add(Objects* objects, unsigned long long object) {
  const InHomeContext home(driver_);
  CUcontext context = nullptr;
  driver_.cuCtxGetCurrent(&context);
  std::lock_guard lock(mutex_);
  (*objects)[object] = context;
  return CUDA_SUCCESS;
}

CUresult TextureObjects::CreateTexture(CUtexObject* object, const CUDA_RESOURCE_DESC* resource, CUarray array,
                                       CUmipmappedArray mipmapped, const CUDA_TEXTURE_DESC* texture,
                                       const CUDA_RESOURCE_VIEW_DESC* view) {
  if (driver_.cuTexObjectCreate == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (object == nullptr || resource == nullptr || texture == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUDA_RESOURCE_DESC own = *resource;
  if (NumberOf(own.resType) == CU_RESOURCE_TYPE_ARRAY) {
    if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    own.res.array.hArray = array;
  } else if (NumberOf(own.resType) == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY) {
    if (mipmapped == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    own.res.mipmap.hMipmappedArray = mipmapped;
  } else if (NumberOf(own.resType) > CU_RESOURCE_TYPE_PITCH2D) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const CUresult result = driver_.cuTexObjectCreate(object, &own, texture, view);
  return result == CUDA_SUCCESS ? Add(&textures_, *object) : result;
}

CUresult TextureObjects::CreateSurface(CUsurfObject* object, CUarray array) {
  if (driver_.cuSurfObjectCreate == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (object == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (array == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  CUDA_RESOURCE_DESC own{};
  own.resType = CU_RESOURCE_TYPE_ARRAY;
  own.res.array.hArray = array;
  const CUresult result = driver_.cuSurfObjectCreate(object, &own);
  return result == CUDA_SUCCESS ? Add(&surfaces_, *object) : result;
}

CUresult TextureObjects::End(Objects* objects, unsigned long long object, CUresult (*destroy)(unsigned long long)) {
  CUcontext context;
  {
    // Out of the table before the driver destroys it: then another thread may be given the same value.
    std::lock_guard lock(mutex_);
    const auto found = objects->find(object);
    if (found == objects->end()) return CUDA_ERROR_INVALID_VALUE;
    context = found->second;
    objects->erase(found);
  }
  const CUresult result = destroy(object);
  if (result == CUDA_SUCCESS) return result;
  std::lock_guard lock(mutex_);
  objects->emplace(object, context);
  return result;
}

CUresult TextureObjects::DestroyTexture(CUtexObject object) {
  return End(&textures_, object, driver_.cuTexObjectDestroy);
}

CUresult TextureObjects::DestroySurface(CUsurfObject object) {
  return End(&surfaces_, object, driver_.cuSurfObjectDestroy);
}

void TextureObjects::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  const auto is_its = [&](const auto& entry) { return entry.second == context; };
  std::erase_if(textures_, is_its);
  std::erase_if(surfaces_, is_its);
}

}  // namespace outboard::worker
