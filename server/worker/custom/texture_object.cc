#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/session.h"
#include "server/worker/texture_objects.h"

// Texture object management and surface object management.

namespace outboard::worker::custom {

CUresult outboardTexObjectCreate(Call& call, unsigned long long* object, const CUDA_RESOURCE_DESC* resource,
                                 CUarray array, CUmipmappedArray mipmapped, const CUDA_TEXTURE_DESC* texture,
                                 const CUDA_RESOURCE_VIEW_DESC* view) {
  return call.session().texture_objects().CreateTexture(object, resource, array, mipmapped, texture, view);
}

CUresult outboardSurfObjectCreate(Call& call, unsigned long long* object, CUarray array) {
  return call.session().texture_objects().CreateSurface(object, array);
}

CUresult cuTexObjectDestroy(Call& call, CUtexObject texObject) {
  return call.session().texture_objects().DestroyTexture(texObject);
}

CUresult cuSurfObjectDestroy(Call& call, CUsurfObject surfObject) {
  return call.session().texture_objects().DestroySurface(surfObject);
}

}  // namespace outboard::worker::custom
