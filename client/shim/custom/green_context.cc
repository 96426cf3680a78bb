#include <algorithm>
#include <mutex>
#include <span>
#include <vector>

#include "client/shim/call.h"
#include "client/shim/captures.h"
#include "client/shim/context_objects.h"
#include "client/shim/custom.gen.h"
#include "client/shim/primary_contexts.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"
#include "common/base/number_of.h"
#include "common/wire/dev_resource.h"

// Green contexts. The client knows which there are and whose their streams are; what they have of a GPU, the driver
// knows.

namespace outboard::custom {
namespace {

bool IsSm(const CUdevResource& resource) { return NumberOf(resource.type) == CU_DEV_RESOURCE_TYPE_SM; }

// Runs body(Process&, CUcontext) with what cuCtxFromGreenCtx gives of an active green context.
template <class Body>
CUresult GreenCall(CUgreenCtx green, Body body) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (!process.contexts().healthy()) return process.contexts().error();
    CUcontext context = nullptr;
    const CUresult found = process.contexts().FindGreen(green, &context);
    return found == CUDA_SUCCESS ? body(process, context) : found;
  });
}

bool IsShared(shim::Process& process, CUevent event) {
  return process.context_objects().IsShared(reinterpret_cast<wire::HandleId>(event));
}

}  // namespace

CUresult cuGreenCtxCreate(CUgreenCtx* phCtx, CUdevResourceDesc desc, CUdevice dev, unsigned int flags) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (phCtx == nullptr) return CUDA_ERROR_INVALID_VALUE;
    client::Ids& ids = process.session().ids();
    const wire::HandleId context = ids.New(wire::HandleKind::kContext);
    if (context == 0) return CUDA_ERROR_OUT_OF_MEMORY;
    std::lock_guard lock(process.contexts().primary_changes());
    CUgreenCtx green = nullptr;
    const CUresult result = remote::outboardGreenCtxCreate(&green, context, desc, dev, flags);
    if (result != CUDA_SUCCESS) {
      ids.Release(context);
      return result;
    }
    shim::SetPrimaryActive(process, dev);
    process.contexts().Add(reinterpret_cast<CUcontext>(context),
                           {.device = dev, .green = green, .home = shim::PrimaryContext(dev)});
    *phCtx = green;
    return CUDA_SUCCESS;
  });
}

CUresult cuGreenCtxDestroy(CUgreenCtx hCtx) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    client::Ids& ids = process.session().ids();
    CUcontext context = nullptr;
    CUresult result = process.contexts().FindGreen(hCtx, &context);
    if (result == CUDA_ERROR_INVALID_CONTEXT) return result;
    const auto id = reinterpret_cast<wire::HandleId>(hCtx);
    if (result == CUDA_SUCCESS) {
      const CUdevice device = process.contexts().Find(context)->device;
      result = shim::ReleasePrimary(process, device, [&] { return remote::cuGreenCtxDestroy(hCtx); });
      // The result may be that of an earlier call; and an error that a kernel left behind does not save the context.
      if (process.contexts().healthy() && ids.IsLive(wire::HandleKind::kGreenContext, id)) return result;
      process.ForgetGreenContext(hCtx, context);
    }
    ids.Release(id);
    ids.Release(reinterpret_cast<wire::HandleId>(context));
    process.contexts().Remove(context);
    return result;
  });
}

CUresult cuCtxFromGreenCtx(CUcontext* pContext, CUgreenCtx hCtx) {
  return GreenCall(hCtx, [&](shim::Process&, CUcontext context) -> CUresult {
    if (pContext == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pContext = context;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevResource(CUcontext hCtx, CUdevResource* resource, CUdevResourceType type) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    const auto info = process.contexts().Find(hCtx);
    if (!info) return CUDA_ERROR_INVALID_CONTEXT;
    return info->is_active ? remote::cuCtxGetDevResource(hCtx, resource, type) : CUDA_ERROR_CONTEXT_IS_DESTROYED;
  });
}

CUresult cuGreenCtxGetDevResource(CUgreenCtx hCtx, CUdevResource* resource, CUdevResourceType type) {
  return GreenCall(hCtx,
                   [&](shim::Process&, CUcontext) { return remote::cuGreenCtxGetDevResource(hCtx, resource, type); });
}

CUresult cuDevSmResourceSplitByCount(CUdevResource* result, unsigned int* nbGroups, const CUdevResource* input,
                                     CUdevResource* remaining, unsigned int useFlags, unsigned int minCount) {
  return shim::Local([&](shim::Process&) -> CUresult {
    if (nbGroups == nullptr || input == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (result != nullptr && *nbGroups == 0) return CUDA_ERROR_INVALID_VALUE;
    if (!IsSm(*input)) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
    // As many as there is room for; only those that are made are written.
    std::vector<CUdevResource> groups(result == nullptr ? 0 : std::min(*nbGroups, kMaxSmGroups));
    unsigned made = 0;
    const CUresult split =
        remote::outboardDevSmResourceSplit(wire::NumberOfResource(*input), result == nullptr ? nullptr : groups.data(),
                                           static_cast<unsigned>(groups.size()), &made, remaining, useFlags, minCount);
    if (split != CUDA_SUCCESS) return split;
    if (result != nullptr) std::copy_n(groups.begin(), std::min<size_t>(made, groups.size()), result);
    *nbGroups = made;
    return CUDA_SUCCESS;
  });
}

CUresult cuDevResourceGenerateDesc(CUdevResourceDesc* phDesc, CUdevResource* resources, unsigned int nbResources) {
  return shim::Local([&](shim::Process&) -> CUresult {
    if (phDesc == nullptr || resources == nullptr || nbResources == 0) return CUDA_ERROR_INVALID_VALUE;
    if (nbResources > kMaxSmGroups) return CUDA_ERROR_INVALID_RESOURCE_CONFIGURATION;
    std::vector<unsigned long long> numbers;
    for (const CUdevResource& resource : std::span(resources, nbResources)) {
      if (!IsSm(resource)) return CUDA_ERROR_INVALID_RESOURCE_TYPE;
      numbers.push_back(wire::NumberOfResource(resource));
    }
    return remote::outboardDevResourceGenerateDesc(phDesc, numbers.data(), nbResources);
  });
}

// In the green context, as the stream is to end with what it is of.
CUresult cuGreenCtxStreamCreate(CUstream* phStream, CUgreenCtx greenCtx, unsigned int flags, int priority) {
  return GreenCall(greenCtx, [&](shim::Process& process, CUcontext context) -> CUresult {
    const shim::InContext in_context(context);
    const CUresult result =
        remote::cuGreenCtxStreamCreate(phStream, greenCtx, flags, priority, flags == CU_STREAM_NON_BLOCKING);
    if (result == CUDA_SUCCESS) {
      const auto id = reinterpret_cast<wire::HandleId>(*phStream);
      process.context_objects().Add(id, process.contexts().HomeOf(context), greenCtx);
    }
    return result;
  });
}

CUresult cuGreenCtxRecordEvent(CUgreenCtx hCtx, CUevent hEvent) {
  return GreenCall(hCtx, [&](shim::Process& process, CUcontext context) -> CUresult {
    if (const CUresult refused = shim::RefuseIn(process, context); refused != CUDA_SUCCESS) return refused;
    process.graph_model().events.Recorded(hEvent);
    const auto event = reinterpret_cast<wire::HandleId>(hEvent);
    const bool is_at_home = process.context_objects().ContextOf(event) == process.contexts().HomeOf(context);
    return remote::cuGreenCtxRecordEvent(hCtx, hEvent, is_at_home && !IsShared(process, hEvent));
  });
}

CUresult cuGreenCtxWaitEvent(CUgreenCtx hCtx, CUevent hEvent) {
  return GreenCall(hCtx, [&](shim::Process& process, CUcontext context) -> CUresult {
    if (const CUresult refused = shim::RefuseIn(process, context); refused != CUDA_SUCCESS) return refused;
    if (shim::RefuseEvent(process, hEvent) != CUDA_SUCCESS) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return remote::cuGreenCtxWaitEvent(hCtx, hEvent, !IsShared(process, hEvent));
  });
}

// Null means the one that is current.
CUresult cuGreenCtxGetId(CUgreenCtx greenCtx, unsigned long long* greenCtxId) {
  if (greenCtx != nullptr) {
    return GreenCall(greenCtx,
                     [&](shim::Process&, CUcontext) { return remote::cuGreenCtxGetId(greenCtx, greenCtxId); });
  }
  return shim::LocalInContext([&](shim::Process& process, CUcontext) {
    const CUgreenCtx current = shim::CurrentGreen(process);
    return current == nullptr ? CUDA_ERROR_INVALID_CONTEXT : remote::cuGreenCtxGetId(current, greenCtxId);
  });
}

}  // namespace outboard::custom
