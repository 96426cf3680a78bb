#include <algorithm>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/green_context.h"
#include "server/softgpu/api/sm_resource.h"
#include "server/softgpu/api/stream.h"

// Green contexts. Their events are in event.cc.

using namespace outboard::softgpu::api;

namespace {

// Runs `body` with the green context of a handle, which is active: (GreenContext&).
template <class Body>
CUresult GreenCall(CUgreenCtx handle, Body body) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    const auto green = driver.handles.Find<GreenContext>(handle);
    if (!green) return CUDA_ERROR_INVALID_CONTEXT;
    if (!green->active()) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
    return body(*green);
  });
}

// There are multiprocessors, and nothing else.
CUresult Give(Device& device, const SmSet& sms, CUdevResource* resource, CUdevResourceType type) {
  if (!resource) return CUDA_ERROR_INVALID_VALUE;
  if (type != CU_DEV_RESOURCE_TYPE_SM) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
  *resource = Pack({&device, sms, 0}, GranularityOf(device));
  return CUDA_SUCCESS;
}

// A device without clusters has the largest possible ones in any group.
constexpr unsigned kSplitFlags =
    CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING | CU_DEV_SM_RESOURCE_SPLIT_MAX_POTENTIAL_CLUSTER_SIZE;

bool MaySplit(const SmResource& input, unsigned flags, unsigned min_count) {
  if ((flags & ~kSplitFlags) != 0 || min_count > input.sms.count()) return false;
  return (flags & CU_DEV_SM_RESOURCE_SPLIT_MAX_POTENTIAL_CLUSTER_SIZE) == 0 || input.device->cc_major >= 9;
}

}  // namespace

CUresult cuDeviceGetDevResource(CUdevice ordinal, CUdevResource* resource, CUdevResourceType type) {
  return Call([&](Driver& driver) -> CUresult {
    Device* device = driver.FindDevice(ordinal);
    return device ? Give(*device, AllSms(*device), resource, type) : CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuCtxGetDevResource(CUcontext hCtx, CUdevResource* resource, CUdevResourceType type) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    CurrentContext named;
    if (CUresult result = FindContext(driver, hCtx, &named); result != CUDA_SUCCESS) return result;
    Device& device = named.context->device;
    return Give(device, named.green ? named.green->sms : AllSms(device), resource, type);
  });
}

CUresult cuGreenCtxGetDevResource(CUgreenCtx hCtx, CUdevResource* resource, CUdevResourceType type) {
  return GreenCall(hCtx, [&](GreenContext& green) { return Give(green.context.device, green.sms, resource, type); });
}

CUresult cuDevSmResourceSplitByCount(CUdevResource* result, unsigned int* nbGroups, const CUdevResource* input,
                                     CUdevResource* remaining, unsigned int useFlags, unsigned int minCount) {
  return Call([&](Driver& driver) -> CUresult {
    if (!nbGroups || !input || (result && *nbGroups == 0)) return CUDA_ERROR_INVALID_VALUE;
    SmResource whole;
    if (CUresult unpacked = Unpack(driver, *input, &whole); unpacked != CUDA_SUCCESS) return unpacked;
    if (!MaySplit(whole, useFlags, minCount)) return CUDA_ERROR_INVALID_VALUE;
    if (whole.split != 0) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    const auto granularity =
        GranularityOf(*whole.device, (useFlags & CU_DEV_SM_RESOURCE_SPLIT_IGNORE_SM_COSCHEDULING) != 0);
    SmResource rest{whole.device, whole.sms, driver.NextId()};
    const auto groups = TakeGroups(&rest.sms, granularity, minCount, result ? *nbGroups : UINT64_MAX);
    if (groups.empty()) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    *nbGroups = static_cast<unsigned>(groups.size());
    if (!result) return CUDA_SUCCESS;
    std::ranges::transform(groups, result, [&](const SmSet& group) {
      return Pack({rest.device, group, rest.split}, granularity);
    });
    if (remaining) *remaining = Pack(rest, granularity);
    return CUDA_SUCCESS;
  });
}

CUresult cuDevResourceGenerateDesc(CUdevResourceDesc* phDesc, CUdevResource* resources, unsigned int nbResources) {
  return Call([&](Driver& driver) -> CUresult {
    if (!phDesc || !resources || nbResources == 0) return CUDA_ERROR_INVALID_VALUE;
    SmResource first;
    SmSet sms;
    for (unsigned i = 0; i < nbResources; ++i) {
      SmResource each;
      if (CUresult result = Unpack(driver, resources[i], &each); result != CUDA_SUCCESS) return result;
      if (i == 0) first = each;
      const bool fits = i == 0 || (each.device == first.device && each.split != 0 && each.split == first.split);
      if (!fits || (sms & each.sms).any()) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
      sms |= each.sms;
    }
    const auto desc = std::make_shared<ResourceDesc>(*first.device, sms);
    driver.handles.Add(desc);
    *phDesc = static_cast<CUdevResourceDesc>(desc->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGreenCtxCreate(CUgreenCtx* phCtx, CUdevResourceDesc desc, CUdevice dev, unsigned int flags) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!phCtx || flags != CU_GREEN_CTX_DEFAULT_STREAM) return CUDA_ERROR_INVALID_VALUE;
    Device* device = driver.FindDevice(dev);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    const auto resources = driver.handles.Find<ResourceDesc>(desc);
    if (!resources) return CUDA_ERROR_INVALID_VALUE;
    if (&resources->device != device) return CUDA_ERROR_INVALID_DEVICE;
    *phCtx = GreenContext::Create(*resources)->green_cu();
    return CUDA_SUCCESS;
  });
}

CUresult cuGreenCtxDestroy(CUgreenCtx hCtx) {
  return Call([&](Driver& driver) -> CUresult {
    const auto green = driver.handles.Find<GreenContext>(hCtx);
    return green ? green->Destroy() : CUDA_ERROR_INVALID_CONTEXT;
  });
}

CUresult cuCtxFromGreenCtx(CUcontext* pContext, CUgreenCtx hCtx) {
  return GreenCall(hCtx, [&](GreenContext& green) -> CUresult {
    if (!pContext) return CUDA_ERROR_INVALID_VALUE;
    *pContext = green.cu();
    return CUDA_SUCCESS;
  });
}

CUresult cuGreenCtxStreamCreate(CUstream* phStream, CUgreenCtx greenCtx, unsigned int flags, int) {
  return GreenCall(greenCtx, [&](GreenContext& green) -> CUresult {
    if (!phStream || flags != CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    *phStream = static_cast<CUstream>(green.context.CreateStream(flags, green.shared_from_this())->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuGreenCtxGetId(CUgreenCtx greenCtx, unsigned long long* greenCtxId) {
  const auto answer = [&](const GreenContext& green) -> CUresult {
    if (!greenCtxId) return CUDA_ERROR_INVALID_VALUE;
    *greenCtxId = green.id;
    return CUDA_SUCCESS;
  };
  if (greenCtx) return GreenCall(greenCtx, answer);
  return ContextCall([&](Driver&, Context&) {
    const auto& green = ThisThread().contexts.back().green;
    return green ? answer(*green) : CUDA_ERROR_INVALID_CONTEXT;
  });
}
