#include "client/shim/arrays.h"

#include <utility>

#include "common/libcuda/arrays.h"

namespace outboard::shim {

void Arrays::Add(CUarray array, const Info& info) {
  std::lock_guard lock(mutex_);
  arrays_[array] = info;
}

std::optional<Arrays::Info> Arrays::Find(CUarray array) const {
  std::lock_guard lock(mutex_);
  const auto found = arrays_.find(array);
  return found == arrays_.end() ? std::nullopt : std::optional(found->second);
}

void Arrays::Remove(CUarray array) {
  std::lock_guard lock(mutex_);
  arrays_.erase(array);
}

void Arrays::AddMipmapped(CUmipmappedArray mipmapped, const CUDA_ARRAY3D_DESCRIPTOR& descriptor, CUcontext context,
                          unsigned levels) {
  std::lock_guard lock(mutex_);
  mipmapped_[mipmapped] = {descriptor, context, std::vector<CUarray>(levels)};
}

std::optional<Arrays::Mipmapped> Arrays::FindMipmapped(CUmipmappedArray mipmapped) const {
  std::lock_guard lock(mutex_);
  const auto found = mipmapped_.find(mipmapped);
  return found == mipmapped_.end() ? std::nullopt : std::optional(found->second);
}

bool Arrays::AddLevel(CUmipmappedArray mipmapped, unsigned number, CUarray* level) {
  std::lock_guard lock(mutex_);
  const auto found = mipmapped_.find(mipmapped);
  if (found == mipmapped_.end() || number >= found->second.levels.size()) return false;
  auto& [descriptor, context, levels] = found->second;
  if (levels[number] != nullptr) {
    *level = levels[number];
    return false;
  }
  levels[number] = *level;
  arrays_[*level] = {LevelOf(descriptor, number), context, mipmapped};
  return true;
}

std::vector<CUarray> Arrays::RemoveMipmapped(CUmipmappedArray mipmapped) {
  std::vector<CUarray> levels;
  std::lock_guard lock(mutex_);
  const auto found = mipmapped_.find(mipmapped);
  if (found == mipmapped_.end()) return levels;
  levels = std::move(found->second.levels);
  mipmapped_.erase(found);
  std::erase(levels, nullptr);
  for (const CUarray level : levels) arrays_.erase(level);
  return levels;
}

void Arrays::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  std::erase_if(arrays_, [&](const auto& entry) { return entry.second.context == context; });
  std::erase_if(mipmapped_, [&](const auto& entry) { return entry.second.context == context; });
}

}  // namespace outboard::shim
