#pragma once

#include <cuda.h>

#include <cstddef>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

namespace outboard::shim {

// The CUDA arrays and mipmapped arrays of this process, and what they are. Thread-safe.
class Arrays {
 public:
  struct Info {
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    CUcontext context;
    CUmipmappedArray level_of = nullptr;  // the mipmapped array that it is a level of
  };

  void Add(CUarray array, const Info& info);
  std::optional<Info> Find(CUarray array) const;
  void Remove(CUarray array);

  void AddMipmapped(CUmipmappedArray mipmapped, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, CUcontext context,
                    unsigned levels);
  struct Mipmapped {
    CUDA_ARRAY3D_DESCRIPTOR descriptor;
    CUcontext context;
    std::vector<CUarray> levels;  // null for one that nobody has asked for
  };
  std::optional<Mipmapped> FindMipmapped(CUmipmappedArray mipmapped) const;
  // Adds the array that a level is. False when another thread did so before: then *level becomes that one's.
  [[nodiscard]] bool AddLevel(CUmipmappedArray mipmapped, unsigned number, CUarray* level);
  // Also removes its levels, and returns those that somebody had asked for.
  std::vector<CUarray> RemoveMipmapped(CUmipmappedArray mipmapped);

  // What a context had is gone.
  void ForgetContext(CUcontext context);

 private:
  mutable std::mutex mutex_;
  std::unordered_map<CUarray, Info> arrays_;
  std::unordered_map<CUmipmappedArray, Mipmapped> mipmapped_;
};

}  // namespace outboard::shim
