#pragma once

#include <cuda.h>

#include <mutex>
#include <unordered_map>

#include "server/driver/driver_table.h"

namespace outboard::worker {

// Texture and surface objects of one session. The client knows them by the driver's own values, which kernels need: so
// what is destroyed must be one that the client was given.
//
// Thread-safe. The functions work on the calling thread's current context, as the driver's do.
class TextureObjects {
 public:
  explicit TextureObjects(const driver::DriverTable& driver) : driver_(driver) {}  // which outlives this
  TextureObjects(const TextureObjects&) = delete;
  TextureObjects& operator=(const TextureObjects&) = delete;

  // cuTexObjectCreate, of the array or mipmapped array if `resource` says that it is of one.
  CUresult CreateTexture(CUtexObject* object, const CUDA_RESOURCE_DESC* resource, CUarray array,
                         CUmipmappedArray mipmapped, const CUDA_TEXTURE_DESC* texture,
                         const CUDA_RESOURCE_VIEW_DESC* view);
  CUresult CreateSurface(CUsurfObject* object, CUarray array);
  CUresult DestroyTexture(CUtexObject object);
  CUresult DestroySurface(CUsurfObject object);

  // The context was destroyed, and the objects of it.
  void ForgetContext(CUcontext context);

 private:
  // By the driver's values: the context that each belongs to.
  using Objects = std::unordered_map<unsigned long long, CUcontext>;
  CUresult Add(Objects* objects, unsigned long long object);
  CUresult End(Objects* objects, unsigned long long object, CUresult (*destroy)(unsigned long long));

  const driver::DriverTable& driver_;
  std::mutex mutex_;
  Objects textures_, surfaces_;
};

}  // namespace outboard::worker
