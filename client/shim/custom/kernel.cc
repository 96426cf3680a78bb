#include "client/shim/custom.gen.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/modules_params.h"
#include "client/shim/remote.gen.h"

// Library management: kernels.

namespace outboard::custom {

using namespace shim;

namespace {

// Runs `body` with the shadow of a kernel.
template <class Body>
CUresult KernelCall(CUkernel kernel, Body body) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  if (const CUresult error = process.contexts().error(); error != CUDA_SUCCESS) return error;
  const auto function = process.modules().Find(kernel);
  if (!function || function->identity().context != nullptr) return CUDA_ERROR_INVALID_HANDLE;
  return body(*function);
}

}  // namespace

CUresult cuKernelGetFunction(CUfunction* pFunc, CUkernel kernel) {
  return KernelCall(kernel, [&](const Function&) {
    Process& process = Process::Get();
    if (pFunc == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Current current;
    if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
    return process.modules().GetFunctionOf(current, kernel, pFunc);
  });
}

CUresult cuKernelGetLibrary(CUlibrary* pLib, CUkernel kernel) {
  return KernelCall(kernel, [&](const Function& found) {
    if (pLib == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *pLib = reinterpret_cast<CUlibrary>(found.identity().owner);
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetName(const char** name, CUkernel hfunc) {
  return KernelCall(hfunc, [&](const Function& kernel) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *name = kernel.identity().name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t paramIndex, size_t* paramOffset, size_t* paramSize) {
  return KernelCall(kernel, [&](const Function&) {
    Process& process = Process::Get();
    Current current;
    if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
    const auto found = process.modules().FindToLaunch(reinterpret_cast<CUfunction>(kernel));
    return found ? ParamInfo(*found, paramIndex, paramOffset, paramSize) : CUDA_ERROR_INVALID_HANDLE;
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attrib, int val, CUkernel kernel, CUdevice dev) {
  bool is_so = false;
  const CUresult found = KernelCall(kernel, [&](const Function& function) {
    is_so = function.identity().device == dev && HasAlready(*function.attributes(), attrib, val);
    return CUDA_SUCCESS;
  });
  if (found == CUDA_SUCCESS && is_so) return CUDA_SUCCESS;
  const CUresult result = remote::cuKernelSetAttribute(attrib, val, kernel, dev);
  if (result != CUDA_SUCCESS) return result;
  const auto function = Process::Get().modules().Find(kernel);
  if (function && function->identity().device == dev) function->attributes()->Set(attrib, val);
  return result;
}

}  // namespace outboard::custom
