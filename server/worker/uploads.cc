#include "server/worker/uploads.h"

#include <utility>

#include "common/base/limits.h"

namespace outboard::worker {
namespace {

constexpr uint64_t kUploadOverhead = 4096;  // charged per upload, so that tiny ones cannot add up to much

}  // namespace

CUresult Uploads::Append(uint64_t upload, size_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return offset == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(mutex_);
  const auto found = uploads_.find(upload);
  const size_t size = found == uploads_.end() ? 0 : found->second.size();
  if (offset != size) return CUDA_ERROR_INVALID_VALUE;
  const uint64_t charge = bytes.size() + (found == uploads_.end() ? kUploadOverhead : 0);
  if (charge > kMaxUploadBytes - charged_) return CUDA_ERROR_OUT_OF_MEMORY;
  auto& to = found == uploads_.end() ? uploads_[upload] : found->second;
  to.insert(to.end(), bytes.begin(), bytes.end());
  charged_ += charge;
  return CUDA_SUCCESS;
}

std::vector<std::byte> Uploads::Take(uint64_t upload) {
  std::lock_guard lock(mutex_);
  const auto found = uploads_.find(upload);
  if (found == uploads_.end()) return {};
  std::vector<std::byte> bytes = std::move(found->second);
  uploads_.erase(found);
  charged_ -= bytes.size() + kUploadOverhead;
  return bytes;
}

void Uploads::SetLog(uint32_t lane, LoadLog log) {
  std::lock_guard lock(mutex_);
  logs_[lane] = std::move(log);
}

LoadLog Uploads::Log(uint32_t lane) const {
  std::lock_guard lock(mutex_);
  const auto found = logs_.find(lane);
  return found == logs_.end() ? LoadLog{} : found->second;
}

void Uploads::NoteChild(void* parent, void* child) {
  std::lock_guard lock(mutex_);
  if (const auto above = parents_.find(parent); above != parents_.end()) parent = above->second;
  children_[parent].insert(child);
  parents_[child] = parent;
}

void Uploads::Forget(std::span<void* const> objects) {
  std::lock_guard lock(mutex_);
  for (void* const object : objects) {
    if (const auto above = parents_.find(object); above != parents_.end()) {
      children_[above->second].erase(object);
      parents_.erase(above);
    }
    const auto below = children_.find(object);
    if (below == children_.end()) continue;
    for (void* const child : below->second) parents_.erase(child);
    children_.erase(below);
  }
}

std::unordered_set<void*> Uploads::TakeChildren(void* parent) {
  std::lock_guard lock(mutex_);
  const auto found = children_.find(parent);
  if (found == children_.end()) return {};
  std::unordered_set<void*> children = std::move(found->second);
  children_.erase(found);
  for (void* const child : children) parents_.erase(child);
  return children;
}

}  // namespace outboard::worker
