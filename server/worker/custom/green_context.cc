#include <algorithm>
#include <vector>

#include "common/base/limits.h"
#include "server/worker/call.h"
#include "server/worker/custom.gen.h"
#include "server/worker/dev_resources.h"
#include "server/worker/session.h"

// Green contexts: their resources. How they begin and end is in context.cc.

namespace outboard::worker::custom {
namespace {

// Asks get(of, resource, type), if the driver has it.
template <class Get, class Of>
CUresult GetResource(Call& call, Get get, Of of, CUdevResource* resource, CUdevResourceType type) {
  if (get == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const CUresult result = get(of, resource, type);
  return result == CUDA_SUCCESS && resource != nullptr ? call.session().dev_resources().Hide(resource) : result;
}

}  // namespace

CUresult cuDeviceGetDevResource(Call& call, CUdevice device, CUdevResource* resource, CUdevResourceType type) {
  return GetResource(call, call.driver().cuDeviceGetDevResource, device, resource, type);
}

CUresult cuCtxGetDevResource(Call& call, CUcontext hCtx, CUdevResource* resource, CUdevResourceType type) {
  return GetResource(call, call.driver().cuCtxGetDevResource, hCtx, resource, type);
}

CUresult cuGreenCtxGetDevResource(Call& call, CUgreenCtx hCtx, CUdevResource* resource, CUdevResourceType type) {
  return GetResource(call, call.driver().cuGreenCtxGetDevResource, hCtx, resource, type);
}

CUresult outboardDevSmResourceSplit(Call& call, unsigned long long input, CUdevResource* groups, unsigned int count,
                                    unsigned int* made, CUdevResource* remaining, unsigned int flags,
                                    unsigned int minCount) {
  const auto split = call.driver().cuDevSmResourceSplitByCount;
  if (split == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  DevResources& resources = call.session().dev_resources();
  const auto whole = resources.Find(input);
  if (!whole || made == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *made = count;
  // Without groups it is a question, whose answer is a number.
  CUresult result = split(groups, made, &*whole, groups == nullptr ? nullptr : remaining, flags, minCount);
  if (groups == nullptr) return result;
  for (unsigned i = 0; result == CUDA_SUCCESS && i < std::min(*made, count); ++i) result = resources.Hide(&groups[i]);
  if (result == CUDA_SUCCESS && remaining != nullptr) result = resources.Hide(remaining);
  return result;
}

CUresult outboardDevResourceGenerateDesc(Call& call, CUdevResourceDesc* desc, const unsigned long long* resources,
                                         unsigned int count) {
  const auto generate = call.driver().cuDevResourceGenerateDesc;
  if (generate == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (resources == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (count > kMaxSmGroups) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
  std::vector<CUdevResource> of_driver;
  for (unsigned i = 0; i < count; ++i) {
    const auto found = call.session().dev_resources().Find(resources[i]);
    if (!found) return CUDA_ERROR_INVALID_VALUE;
    of_driver.push_back(*found);
  }
  return generate(desc, of_driver.data(), count);
}

}  // namespace outboard::worker::custom
