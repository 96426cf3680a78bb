#include "client/shim/textures.h"

namespace outboard::shim {
namespace {

template <class Map>
auto FindIn(const Map& map, typename Map::key_type object) {
  const auto found = map.find(object);
  return found == map.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

void Textures::AddTexture(CUtexObject object, const Texture& texture) {
  std::lock_guard lock(mutex_);
  textures_.insert_or_assign(object, texture);
}

void Textures::AddSurface(CUsurfObject object, const Surface& surface) {
  std::lock_guard lock(mutex_);
  surfaces_.insert_or_assign(object, surface);
}

std::optional<Textures::Texture> Textures::FindTexture(CUtexObject object) const {
  std::lock_guard lock(mutex_);
  return FindIn(textures_, object);
}

std::optional<Textures::Surface> Textures::FindSurface(CUsurfObject object) const {
  std::lock_guard lock(mutex_);
  return FindIn(surfaces_, object);
}

bool Textures::RemoveTexture(CUtexObject object) {
  std::lock_guard lock(mutex_);
  return textures_.erase(object) == 1;
}

bool Textures::RemoveSurface(CUsurfObject object) {
  std::lock_guard lock(mutex_);
  return surfaces_.erase(object) == 1;
}

void Textures::ForgetContext(CUcontext context) {
  std::lock_guard lock(mutex_);
  const auto is_its = [&](const auto& entry) { return entry.second.context == context; };
  std::erase_if(textures_, is_its);
  std::erase_if(surfaces_, is_its);
}

}  // namespace outboard::shim
