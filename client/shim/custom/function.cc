#include "client/shim/custom.gen.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/modules_params.h"
#include "client/shim/remote.gen.h"

// Execution control: what can be asked of a function and set.

namespace outboard::custom {

using namespace shim;

namespace {

// Runs `body` with the shadow of a function, or of a kernel that stands for its function in the current context.
template <class Body>
CUresult FunctionCall(CUfunction handle, Body body) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  const auto function = process.modules().FindToLaunch(handle);
  return function ? body(process, current, *function) : CUDA_ERROR_INVALID_HANDLE;
}

}  // namespace

CUresult cuFuncGetModule(CUmodule* hmod, CUfunction hfunc) {
  return FunctionCall(hfunc, [&](Process& process, const Current& current, const Function& function) {
    if (hmod == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Function::Identity& identity = function.identity();
    if (identity.context != nullptr && identity.kernel == 0) {
      *hmod = reinterpret_cast<CUmodule>(identity.owner);
      return CUDA_SUCCESS;
    }
    return process.modules().GetModuleOf(current, reinterpret_cast<CUlibrary>(identity.owner), hmod);
  });
}

CUresult cuFuncGetName(const char** name, CUfunction hfunc) {
  return FunctionCall(hfunc, [&](Process&, const Current&, const Function& function) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *name = function.identity().name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuFuncGetParamInfo(CUfunction func, size_t paramIndex, size_t* paramOffset, size_t* paramSize) {
  return FunctionCall(func, [&](Process&, const Current&, const Function& function) {
    return ParamInfo(function, paramIndex, paramOffset, paramSize);
  });
}

CUresult cuFuncSetAttribute(CUfunction hfunc, CUfunction_attribute attrib, int value) {
  bool is_so = false;
  const CUresult found = FunctionCall(hfunc, [&](Process&, const Current&, const Function& function) {
    is_so = HasAlready(*function.attributes(), attrib, value);
    return CUDA_SUCCESS;
  });
  if (found == CUDA_SUCCESS && is_so) return CUDA_SUCCESS;
  const CUresult result = remote::cuFuncSetAttribute(hfunc, attrib, value);
  if (result != CUDA_SUCCESS) return result;
  if (const auto function = Process::Get().modules().Find(hfunc)) function->attributes()->Set(attrib, value);
  return result;
}

}  // namespace outboard::custom
