#pragma once

#include <cuda.h>

#include <mutex>
#include <optional>
#include <unordered_map>

namespace outboard::shim {

// The texture and surface objects of this process, by the values that the worker's driver gave them, and what they were
// made of. Thread-safe.
class Textures {
 public:
  struct Texture {
    CUcontext context;
    CUDA_RESOURCE_DESC resource;
    CUDA_TEXTURE_DESC texture;
    std::optional<CUDA_RESOURCE_VIEW_DESC> view;
  };
  struct Surface {
    CUcontext context;
    CUDA_RESOURCE_DESC resource;
  };

  void AddTexture(CUtexObject object, const Texture& texture);
  void AddSurface(CUsurfObject object, const Surface& surface);
  std::optional<Texture> FindTexture(CUtexObject object) const;
  std::optional<Surface> FindSurface(CUsurfObject object) const;
  // False when it was not there.
  bool RemoveTexture(CUtexObject object);
  bool RemoveSurface(CUsurfObject object);

  // What a context had is gone.
  void ForgetContext(CUcontext context);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<CUtexObject, Texture> textures_;
  std::unordered_map<CUsurfObject, Surface> surfaces_;
};

}  // namespace outboard::shim
