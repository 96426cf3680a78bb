#include "server/worker/dev_resources.h"

#include "common/base/limits.h"
#include "common/base/number_of.h"
#include "common/wire/dev_resource.h"

namespace outboard::worker {

CUresult DevResources::Hide(CUdevResource* resource) {
  uint64_t number = 0;
  if (NumberOf(resource->type) != CU_DEV_RESOURCE_TYPE_INVALID) {
    std::lock_guard lock(mutex_);
    std::string bytes(reinterpret_cast<const char*>(resource), sizeof *resource);
    const auto known = numbers_.find(bytes);
    if (known != numbers_.end()) {
      number = known->second;
    } else {
      if (resources_.size() >= kMaxDevResources) return CUDA_ERROR_OUT_OF_MEMORY;
      resources_.push_back(*resource);
      number = resources_.size();
      numbers_.emplace(std::move(bytes), number);
    }
  }
  *resource = wire::NumberedResource(*resource, number);
  return CUDA_SUCCESS;
}

std::optional<CUdevResource> DevResources::Find(uint64_t number) const {
  std::lock_guard lock(mutex_);
  if (number == 0 || number > resources_.size()) return std::nullopt;
  return resources_[number - 1];
}

}  // namespace outboard::worker
