#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "client/shim/captures.h"
#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/modules_global.h"
#include "client/shim/modules_load.h"
#include "client/shim/remote.gen.h"

// Module management.

namespace outboard::custom {

using namespace shim;

namespace {

// Makes a module of an image; `find` is FindImage or ReadImage.
template <class Where>
CUresult LoadModule(CUmodule* module, Where where, CodeResult (*find)(Where, CodeImage*), const JitOptions& options) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  if (module == nullptr || where == nullptr) return CUDA_ERROR_INVALID_VALUE;
  CUmodule made = nullptr;
  const CUresult result = LoadCode(
      process.modules(), where, find, options, [&](const UploadedImage& image, const JitOptions::Inputs& inputs) {
        return remote::outboardModuleLoad(&made, image.upload, image.sizes.data(),
                                          static_cast<unsigned>(image.sizes.size()), image.form, inputs.options.data(),
                                          inputs.values.data(), inputs.count());
      });
  if (result != CUDA_SUCCESS) return result;
  process.modules().AddModule(made, current.context);
  *module = made;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuModuleLoad(CUmodule* module, const char* fname) {
  return LoadModule<const char*>(module, fname, &ReadImage, JitOptions(0, nullptr, nullptr));
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return LoadModule<const void*>(module, image, &FindImage, JitOptions(0, nullptr, nullptr));
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int numOptions, CUjit_option* options,
                            void** optionValues) {
  return LoadModule<const void*>(module, image, &FindImage, JitOptions(numOptions, options, optionValues));
}

CUresult cuModuleLoadFatBinary(CUmodule* module, const void* fatCubin) {
  return custom::cuModuleLoadData(module, fatCubin);
}

CUresult cuModuleUnload(CUmodule hmod) {
  Process& process = Process::Get();
  if (process.Enter() == CUDA_SUCCESS) {
    if (const CUresult refused = RefuseUnsafe(process); refused != CUDA_SUCCESS) return refused;
  }
  const CUresult result = remote::cuModuleUnload(hmod);
  if (hmod == nullptr || process.Enter() != CUDA_SUCCESS) return result;
  // The result may be that of earlier work; the handle tells whether the module is gone.
  const auto handle = reinterpret_cast<wire::HandleId>(hmod);
  if (process.session().ids().IsLive(wire::HandleKind::kModule, handle)) return result;
  process.modules().RemoveModule(hmod);
  process.memory().ForgetModule(handle);
  return result;
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  if (const CUresult entered = Process::Get().Enter(); entered != CUDA_SUCCESS) return entered;
  if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const char* const asked = std::getenv("CUDA_MODULE_LOADING");
  *mode = asked != nullptr && std::strcmp(asked, "EAGER") == 0 ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
  return CUDA_SUCCESS;
}

CUresult cuModuleGetFunction(CUfunction* hfunc, CUmodule hmod, const char* name) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (hfunc == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return process.modules().GetFunction(current, hmod, name, hfunc);
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned int numFunctions, CUmodule mod) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (functions == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUfunction> found;
  const CUresult result = process.modules().GetFunctions(current, mod, numFunctions, &found);
  std::copy(found.begin(), found.end(), functions);
  return result;
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* dptr, size_t* bytes, CUmodule hmod, const char* name) {
  return FindGlobal(reinterpret_cast<wire::HandleId>(hmod), dptr, bytes, [&](CUdeviceptr* address, size_t* size) {
    return remote::cuModuleGetGlobal_v2(address, size, hmod, name);
  });
}

}  // namespace outboard::custom
