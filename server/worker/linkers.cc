#include "server/worker/linkers.h"

#include <utility>

#include "common/base/limits.h"

namespace outboard::worker {

Linkers::~Linkers() {
  for (auto& [number, linker] : linkers_) DestroyState(*linker);
}

CUresult Linkers::Add(uint64_t number, std::shared_ptr<Linker> linker) {
  std::lock_guard lock(mutex_);
  if (linkers_.size() >= kMaxLinkers) return CUDA_ERROR_OUT_OF_MEMORY;
  return linkers_.emplace(number, std::move(linker)).second ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

std::shared_ptr<Linker> Linkers::Find(uint64_t number) const {
  std::lock_guard lock(mutex_);
  const auto found = linkers_.find(number);
  return found == linkers_.end() ? nullptr : found->second;
}

void Linkers::Forget(uint64_t number) {
  std::lock_guard lock(mutex_);
  linkers_.erase(number);
}

CUresult Linkers::Destroy(uint64_t number) {
  std::shared_ptr<Linker> linker;
  {
    std::lock_guard lock(mutex_);
    const auto found = linkers_.find(number);
    if (found == linkers_.end()) return CUDA_ERROR_INVALID_HANDLE;
    linker = std::move(found->second);
    linkers_.erase(found);
  }
  std::lock_guard lock(linker->mutex);
  return DestroyState(*linker);
}

CUresult Linkers::DestroyState(Linker& linker) {
  const CUlinkState state = std::exchange(linker.state, nullptr);
  linker.image = nullptr;
  return state == nullptr || driver_.cuLinkDestroy == nullptr ? CUDA_SUCCESS : driver_.cuLinkDestroy(state);
}

}  // namespace outboard::worker
