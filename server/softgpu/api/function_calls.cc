#include "common/base/number_of.h"
#include "server/softgpu/api/find_function.h"

// Execution control: what can be asked of a function and set.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

CUresult cuFuncGetAttribute(int* pi, CUfunction_attribute attrib, CUfunction hfunc) {
  return FunctionCall(hfunc, [&](Function& function) -> CUresult {
    const auto value =
        FunctionAttribute(NumberOf(attrib), function.info, *function.settings, function.module.context.device.limits);
    if (!pi || !value) return CUDA_ERROR_INVALID_VALUE;
    *pi = *value;
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncSetAttribute(CUfunction hfunc, CUfunction_attribute attrib, int value) {
  return FunctionCall(hfunc, [&](Function& function) {
    return SetFunctionAttribute(NumberOf(attrib), value, function.info, function.settings.get(),
                                function.module.context.device.limits);
  });
}

// A preference that the device has no use for.
CUresult cuFuncSetCacheConfig(CUfunction hfunc, CUfunc_cache config) {
  return FunctionCall(hfunc, [&](Function&) {
    return NumberOf(config) <= CU_FUNC_CACHE_PREFER_EQUAL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

// As with cuCtxSetSharedMemConfig.
CUresult cuFuncSetSharedMemConfig(CUfunction hfunc, CUsharedconfig config) {
  return FunctionCall(hfunc, [&](Function&) {
    return NumberOf(config) <= CU_SHARED_MEM_CONFIG_EIGHT_BYTE_BANK_SIZE ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuFuncGetModule(CUmodule* hmod, CUfunction hfunc) {
  return FunctionCall(hfunc, [&](Function& function) -> CUresult {
    if (!hmod) return CUDA_ERROR_INVALID_VALUE;
    *hmod = static_cast<CUmodule>(function.module.handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetName(const char** name, CUfunction hfunc) {
  return FunctionCall(hfunc, [&](Function& function) -> CUresult {
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = function.info.name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetParamInfo(CUfunction func, size_t paramIndex, size_t* paramOffset, size_t* paramSize) {
  return FunctionCall(
      func, [&](Function& function) { return FunctionParamInfo(function.info, paramIndex, paramOffset, paramSize); });
}

CUresult cuFuncLoad(CUfunction function) {
  return FunctionCall(function, [](Function& found) {
    const outboard::softgpu::Kernel* kernel;
    return found.Prepare(&kernel);
  });
}

CUresult cuFuncIsLoaded(CUfunctionLoadingState* state, CUfunction function) {
  return FunctionCall(function, [&](Function& found) -> CUresult {
    if (!state) return CUDA_ERROR_INVALID_VALUE;
    *state = found.prepared() ? CU_FUNCTION_LOADING_STATE_LOADED : CU_FUNCTION_LOADING_STATE_UNLOADED;
    return CUDA_SUCCESS;
  });
}
