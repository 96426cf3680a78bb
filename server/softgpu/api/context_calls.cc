#include "common/base/number_of.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/green_context.h"

// Context management.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

CUresult CreateContext(CUcontext* pctx, unsigned flags, CUdevice dev, unsigned api_version) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    if (!pctx || !ContextFlagsAreValid(flags)) return CUDA_ERROR_INVALID_VALUE;
    Device* device = driver.FindDevice(dev);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    auto& stack = ThisThread().contexts;
    stack.push_back({Context::Create(driver, *device, flags, api_version), nullptr});
    *pctx = stack.back().cu();
    return CUDA_SUCCESS;
  });
}

// The context of a handle, or the current one for a null handle. `body` takes (const CurrentContext&).
template <class Body>
CUresult NamedContextCall(CUcontext ctx, Body body) {
  return Call([&](Driver& driver) -> CUresult {
    if (!ctx) return InContext(driver, [&](Driver&, Context&) { return body(ThisThread().contexts.back()); });
    CurrentContext named;
    if (CUresult result = FindContext(driver, ctx, &named); result != CUDA_SUCCESS) return result;
    return body(named);
  });
}

CUresult Pop(CUcontext* pctx) {
  return Call([&](Driver&) -> CUresult {
    auto& stack = ThisThread().contexts;
    if (stack.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (pctx) *pctx = stack.back().cu();
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

CUresult Push(CUcontext ctx) {
  return Call([&](Driver& driver) -> CUresult {
    CurrentContext found;
    if (!LookUpContext(driver, ctx, &found)) return CUDA_ERROR_INVALID_CONTEXT;
    ThisThread().contexts.push_back(std::move(found));
    return CUDA_SUCCESS;
  });
}

CUresult DestroyContext(CUcontext ctx) {
  return Call([&](Driver& driver) -> CUresult {
    auto context = driver.handles.Find<Context>(ctx);
    if (!context || context->primary) return CUDA_ERROR_INVALID_CONTEXT;
    if (!context->Destroy()) return CUDA_ERROR_INVALID_CONTEXT;
    auto& stack = ThisThread().contexts;
    if (!stack.empty() && stack.back().context == context) stack.pop_back();
    return driver.fault();
  });
}

}  // namespace

CUresult cuCtxCreate(CUcontext* pctx, unsigned int flags, CUdevice dev) {
  return CreateContext(pctx, flags, dev, 3010);
}

CUresult cuCtxCreate_v2(CUcontext* pctx, unsigned int flags, CUdevice dev) {
  return CreateContext(pctx, flags, dev, 3020);
}

CUresult cuCtxCreate_v3(CUcontext* pctx, CUexecAffinityParam*, int numParams, unsigned int flags, CUdevice dev) {
  if (numParams != 0) return HealthyCall([](Driver&) { return CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY; });
  return CreateContext(pctx, flags, dev, 3020);
}

CUresult cuCtxCreate_v4(CUcontext* pctx, CUctxCreateParams* ctxCreateParams, unsigned int flags, CUdevice dev) {
  if (ctxCreateParams && (ctxCreateParams->numExecAffinityParams != 0 || ctxCreateParams->cigParams)) {
    return HealthyCall([](Driver&) { return CUDA_ERROR_NOT_SUPPORTED; });
  }
  return CreateContext(pctx, flags, dev, 3020);
}

CUresult cuCtxDestroy_v2(CUcontext ctx) { return DestroyContext(ctx); }
CUresult cuCtxDestroy(CUcontext ctx) { return DestroyContext(ctx); }

CUresult cuCtxPushCurrent_v2(CUcontext ctx) { return Push(ctx); }
CUresult cuCtxPushCurrent(CUcontext ctx) { return Push(ctx); }

CUresult cuCtxPopCurrent_v2(CUcontext* pctx) { return Pop(pctx); }
CUresult cuCtxPopCurrent(CUcontext* pctx) { return Pop(pctx); }

CUresult cuCtxAttach(CUcontext* pctx, unsigned int flags) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (!pctx || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    context.Retain();
    *pctx = context.cu();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxDetach(CUcontext ctx) {
  return ContextCall([&](Driver& driver, Context& current) -> CUresult {
    const bool is_current = ThisThread().contexts.back().cu() == ctx;
    if (!is_current || current.cu() != ctx || !current.Release()) return CUDA_ERROR_INVALID_CONTEXT;
    if (!current.active()) ThisThread().contexts.pop_back();
    return driver.fault();
  });
}

CUresult cuCtxSetCurrent(CUcontext ctx) {
  return Call([&](Driver& driver) -> CUresult {
    auto& stack = ThisThread().contexts;
    if (!ctx) {
      if (!stack.empty()) stack.pop_back();
      return CUDA_SUCCESS;
    }
    if (!stack.empty() && stack.back().cu() == ctx && stack.back().active()) return CUDA_SUCCESS;
    CurrentContext found;
    if (!LookUpContext(driver, ctx, &found)) return CUDA_ERROR_INVALID_CONTEXT;
    if (stack.empty()) {
      stack.push_back(std::move(found));
    } else {
      stack.back() = std::move(found);
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetCurrent(CUcontext* pctx) {
  return Call([&](Driver&) -> CUresult {
    if (!pctx) return CUDA_ERROR_INVALID_VALUE;
    const auto& stack = ThisThread().contexts;
    *pctx = stack.empty() ? nullptr : stack.back().cu();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetDevice(CUdevice* device) { return cuCtxGetDevice_v2(device, nullptr); }

CUresult cuCtxGetDevice_v2(CUdevice* device, CUcontext ctx) {
  return NamedContextCall(ctx, [&](const CurrentContext& named) -> CUresult {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    *device = named.context->device.ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxGetId(CUcontext ctx, unsigned long long* ctxId) {
  return NamedContextCall(ctx, [&](const CurrentContext& named) -> CUresult {
    if (!ctxId) return CUDA_ERROR_INVALID_VALUE;
    *ctxId = named.green ? named.green->id : named.context->id();
    return CUDA_SUCCESS;
  });
}

// A primary context that was reset still answers: the runtime asks again when a device is reset twice.
CUresult cuCtxGetApiVersion(CUcontext ctx, unsigned int* version) {
  return Call([&](Driver& driver) -> CUresult {
    if (!version) return CUDA_ERROR_INVALID_VALUE;
    const auto answer = [&](Context& context) {
      *version = context.api_version;
      return CUDA_SUCCESS;
    };
    if (!ctx) return InContext(driver, [&](Driver&, Context& context) { return answer(context); });
    CurrentContext named;
    return LookUpContext(driver, ctx, &named) ? answer(*named.context) : CUDA_ERROR_INVALID_CONTEXT;
  });
}

CUresult cuCtxGetFlags(unsigned int* flags) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (!flags) return CUDA_ERROR_INVALID_VALUE;
    *flags = context.flags();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetLimit(CUlimit limit, size_t value) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (NumberOf(limit) >= CU_LIMIT_MAX) return CUDA_ERROR_INVALID_VALUE;
    return context.SetLimit(limit, value);
  });
}

CUresult cuCtxGetLimit(size_t* pvalue, CUlimit limit) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (!pvalue || NumberOf(limit) >= CU_LIMIT_MAX) return CUDA_ERROR_INVALID_VALUE;
    return context.GetLimit(limit, pvalue);
  });
}

CUresult cuCtxGetCacheConfig(CUfunc_cache* pconfig) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (!pconfig) return CUDA_ERROR_INVALID_VALUE;
    *pconfig = context.cache_config();
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetCacheConfig(CUfunc_cache config) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (NumberOf(config) > CU_FUNC_CACHE_PREFER_EQUAL) return CUDA_ERROR_INVALID_VALUE;
    context.set_cache_config(config);
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetFlags(unsigned int flags) {
  return ContextCall([&](Driver&, Context& context) -> CUresult {
    if (!ContextFlagsAreValid(flags)) return CUDA_ERROR_INVALID_VALUE;
    context.set_flags(flags);
    return CUDA_SUCCESS;
  });
}

// CU_DEVICE_ATTRIBUTE_MAX_PERSISTING_L2_CACHE_SIZE is 0.
CUresult cuCtxResetPersistingL2Cache() {
  return ContextCall([](Driver&, Context&) { return CUDA_ERROR_NOT_SUPPORTED; });
}

// Banks have one width, as on all devices that CUDA 13 supports: wishes are checked and have no effect.
CUresult cuCtxGetSharedMemConfig(CUsharedconfig* pConfig) {
  return ContextCall([&](Driver&, Context&) -> CUresult {
    if (!pConfig) return CUDA_ERROR_INVALID_VALUE;
    *pConfig = CU_SHARED_MEM_CONFIG_FOUR_BYTE_BANK_SIZE;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSetSharedMemConfig(CUsharedconfig config) {
  return ContextCall([&](Driver&, Context&) {
    return NumberOf(config) <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

// No context can be made with one.
CUresult cuCtxGetExecAffinity(CUexecAffinityParam* pExecAffinity, CUexecAffinityType type) {
  return ContextCall([&](Driver&, Context&) {
    return pExecAffinity && NumberOf(type) < CU_EXEC_AFFINITY_TYPE_MAX ? CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY
                                                                       : CUDA_ERROR_INVALID_VALUE;
  });
}

// The device has no stream priorities, for which CUDA wants both bounds to be 0.
CUresult cuCtxGetStreamPriorityRange(int* leastPriority, int* greatestPriority) {
  return ContextCall([&](Driver&, Context&) -> CUresult {
    if (leastPriority) *leastPriority = 0;
    if (greatestPriority) *greatestPriority = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuCtxSynchronize() { return cuCtxSynchronize_v2(nullptr); }

CUresult cuCtxSynchronize_v2(CUcontext ctx) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    const auto synchronize = [&](const CurrentContext& named) -> CUresult {
      if (CUresult refused = driver.graphs.captures.RefuseIn(named.identity()); refused != CUDA_SUCCESS) return refused;
      return named.context->Synchronize(named.context->LastPoints(named.green.get()));
    };
    if (!ctx) return InContext(driver, [&](Driver&, Context&) { return synchronize(ThisThread().contexts.back()); });
    CurrentContext named;
    const CUresult found = FindContext(driver, ctx, &named);
    return found == CUDA_SUCCESS ? synchronize(named) : found;
  });
}
