#include "server/softgpu/api/textures.h"

#include <utility>

namespace outboard::softgpu::api {
namespace {

// No canonical addresses, so that following one faults, and none of HandleTable's values, which have bit 62.
constexpr uint64_t kTextureMark = uint64_t{0x10} << 56, kSurfaceMark = uint64_t{0x20} << 56;

template <class Map>
auto FindIn(const Map& map, typename Map::key_type handle) {
  const auto found = map.find(handle);
  return found == map.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

CUtexObject Textures::Add(TextureObject object) {
  std::lock_guard lock(mutex_);
  const CUtexObject handle = kTextureMark | ++last_;
  object.code.handle = handle;
  textures_.emplace(handle, std::move(object));
  table_ = nullptr;
  return handle;
}

CUsurfObject Textures::Add(SurfaceObject object) {
  std::lock_guard lock(mutex_);
  const CUsurfObject handle = kSurfaceMark | ++last_;
  object.code.handle = handle;
  surfaces_.emplace(handle, std::move(object));
  table_ = nullptr;
  return handle;
}

std::optional<TextureObject> Textures::FindTexture(CUtexObject handle) const {
  std::lock_guard lock(mutex_);
  return FindIn(textures_, handle);
}

std::optional<SurfaceObject> Textures::FindSurface(CUsurfObject handle) const {
  std::lock_guard lock(mutex_);
  return FindIn(surfaces_, handle);
}

bool Textures::RemoveTexture(CUtexObject handle) {
  std::shared_ptr<const TextureTable> former;  // ends when the lock is not held
  std::lock_guard lock(mutex_);
  former.swap(table_);
  return textures_.erase(handle) == 1;
}

bool Textures::RemoveSurface(CUsurfObject handle) {
  std::shared_ptr<const TextureTable> former;
  std::lock_guard lock(mutex_);
  former.swap(table_);
  return surfaces_.erase(handle) == 1;
}

void Textures::RemoveOwnedBy(const Context* context) {
  std::shared_ptr<const TextureTable> former;
  std::lock_guard lock(mutex_);
  former.swap(table_);
  const auto is_its = [&](const auto& entry) { return entry.second.context == context; };
  std::erase_if(textures_, is_its);
  std::erase_if(surfaces_, is_its);
}

std::shared_ptr<const TextureTable> Textures::Table() const {
  std::lock_guard lock(mutex_);
  if (textures_.empty() && surfaces_.empty()) return nullptr;
  if (!table_) {
    auto table = std::make_shared<TextureTable>();
    for (const auto& [handle, object] : textures_) table->textures.push_back(object.code);
    for (const auto& [handle, object] : surfaces_) table->surfaces.push_back(object.code);
    table_ = std::move(table);
  }
  return table_;
}

}  // namespace outboard::softgpu::api
