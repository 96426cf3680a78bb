#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "server/softgpu/exec/texture.h"

namespace outboard::softgpu::api {

class Context;

// A CUtexObject, and what it was made of.
struct TextureObject {
  const Context* context;  // compared, never dereferenced
  CUDA_RESOURCE_DESC resource;
  CUDA_TEXTURE_DESC texture;
  std::optional<CUDA_RESOURCE_VIEW_DESC> view;
  Texture code;  // what kernels read by it
};

// A CUsurfObject.
struct SurfaceObject {
  const Context* context;  // compared, never dereferenced
  CUDA_RESOURCE_DESC resource;
  Surface code;
};

// The texture and surface objects of the process. Their handles, which programs pass to kernels, are never used again.
// Thread-safe.
class Textures {
 public:
  CUtexObject Add(TextureObject object);
  CUsurfObject Add(SurfaceObject object);
  std::optional<TextureObject> FindTexture(CUtexObject handle) const;
  std::optional<SurfaceObject> FindSurface(CUsurfObject handle) const;
  // False when there is none.
  bool RemoveTexture(CUtexObject handle);
  bool RemoveSurface(CUsurfObject handle);
  void RemoveOwnedBy(const Context* context);

  // What a kernel may use that is launched now; null for nothing. The arrays behind it live as long.
  std::shared_ptr<const TextureTable> Table() const;

 private:
  mutable std::mutex mutex_;
  uint64_t last_ = 0;
  std::map<CUtexObject, TextureObject> textures_;
  std::map<CUsurfObject, SurfaceObject> surfaces_;
  mutable std::shared_ptr<const TextureTable> table_;  // null when it has to be made anew
};

}  // namespace outboard::softgpu::api
