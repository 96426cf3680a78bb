#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "client/shim/custom.gen.h"
#include "client/shim/memory.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/modules_global.h"
#include "client/shim/modules_load.h"
#include "client/shim/modules_names.h"
#include "client/shim/remote.gen.h"
#include "common/base/number_of.h"

// Library management: libraries. Kernels are in kernel.cc.

namespace outboard::custom {

using namespace shim;

namespace {

// The options of a load as they travel.
struct LibraryInputs {
  std::vector<CUlibraryOption> options;
  std::vector<unsigned long long> values;
};

CUresult TakeLibraryOptions(unsigned count, const CUlibraryOption* options, void* const* values, bool is_file,
                            LibraryInputs* inputs) {
  if (count == 0) return CUDA_SUCCESS;
  if (options == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    if (NumberOf(options[i]) >= CU_LIBRARY_NUM_OPTIONS) return CUDA_ERROR_INVALID_VALUE;
    // Leads into memory of this process.
    if (options[i] == CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE) return CUDA_ERROR_NOT_SUPPORTED;
    const auto value = values == nullptr ? 0 : reinterpret_cast<uintptr_t>(values[i]);
    // A file is read here, so nobody else could preserve it.
    if (options[i] == CU_LIBRARY_BINARY_IS_PRESERVED && value != 0 && is_file) return CUDA_ERROR_INVALID_VALUE;
    inputs->options.push_back(options[i]);
    inputs->values.push_back(value);
  }
  return CUDA_SUCCESS;
}

// Makes a library of an image; `find` is FindImage or ReadImage.
template <class Where>
CUresult LoadLibrary(CUlibrary* library, Where where, CodeResult (*find)(Where, CodeImage*), const JitOptions& jit,
                     unsigned option_count, const CUlibraryOption* options, void* const* values) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  if (const CUresult error = process.contexts().error(); error != CUDA_SUCCESS) return error;
  if (library == nullptr || where == nullptr) return CUDA_ERROR_INVALID_VALUE;
  LibraryInputs library_inputs;
  const CUresult checked =
      TakeLibraryOptions(option_count, options, values, std::is_same_v<Where, const char*>, &library_inputs);
  if (checked != CUDA_SUCCESS) return checked;
  CUlibrary made = nullptr;
  const CUresult result =
      LoadCode(process.modules(), where, find, jit, [&](const UploadedImage& image, const JitOptions::Inputs& inputs) {
        return remote::outboardLibraryLoad(
            &made, image.upload, image.sizes.data(), static_cast<unsigned>(image.sizes.size()), image.form,
            inputs.options.data(), inputs.values.data(), inputs.count(), library_inputs.options.data(),
            library_inputs.values.data(), static_cast<unsigned>(library_inputs.options.size()));
      });
  if (result != CUDA_SUCCESS) return result;
  process.modules().AddLibrary(made);
  *library = made;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* jitOptions, void** jitOptionsValues,
                           unsigned int numJitOptions, CUlibraryOption* libraryOptions, void** libraryOptionValues,
                           unsigned int numLibraryOptions) {
  return LoadLibrary<const void*>(library, code, &FindImage, JitOptions(numJitOptions, jitOptions, jitOptionsValues),
                                  numLibraryOptions, libraryOptions, libraryOptionValues);
}

CUresult cuLibraryLoadFromFile(CUlibrary* library, const char* fileName, CUjit_option* jitOptions,
                               void** jitOptionsValues, unsigned int numJitOptions, CUlibraryOption* libraryOptions,
                               void** libraryOptionValues, unsigned int numLibraryOptions) {
  return LoadLibrary<const char*>(library, fileName, &ReadImage,
                                  JitOptions(numJitOptions, jitOptions, jitOptionsValues), numLibraryOptions,
                                  libraryOptions, libraryOptionValues);
}

CUresult cuLibraryUnload(CUlibrary library) {
  const CUresult result = remote::cuLibraryUnload(library);
  Process& process = Process::Get();
  if (library == nullptr || process.Enter() != CUDA_SUCCESS) return result;
  // The result may be that of earlier work; the handle tells whether the library is gone.
  const auto handle = reinterpret_cast<wire::HandleId>(library);
  if (process.session().ids().IsLive(wire::HandleKind::kLibrary, handle)) return result;
  process.modules().RemoveLibrary(library);
  process.memory().ForgetModule(handle);
  return result;
}

CUresult cuLibraryGetKernel(CUkernel* pKernel, CUlibrary library, const char* name) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  if (const CUresult error = process.contexts().error(); error != CUDA_SUCCESS) return error;
  if (pKernel == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return process.modules().GetKernel(library, name, pKernel);
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int numKernels, CUlibrary lib) {
  if (const CUresult entered = Process::Get().Enter(); entered != CUDA_SUCCESS) return entered;
  if (kernels == nullptr) return CUDA_ERROR_INVALID_VALUE;
  unsigned count = 0;
  if (const CUresult result = remote::cuLibraryGetKernelCount(&count, lib); result != CUDA_SUCCESS) return result;
  for (unsigned i = 0; i < std::min(numKernels, count); ++i) {
    std::string name;
    CUresult result =
        AskName(&name, [&](char* text, size_t room) { return remote::outboardLibraryKernelName(lib, i, text, room); });
    if (result == CUDA_SUCCESS) result = custom::cuLibraryGetKernel(&kernels[i], lib, name.c_str());
    if (result != CUDA_SUCCESS) return result;
  }
  return CUDA_SUCCESS;
}

CUresult cuLibraryGetModule(CUmodule* pMod, CUlibrary library) {
  Process& process = Process::Get();
  Current current;
  if (const CUresult result = FindCurrent(process, &current); result != CUDA_SUCCESS) return result;
  if (pMod == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return process.modules().GetModuleOf(current, library, pMod);
}

// No function has an address that host and device share; the devices' attributes say so.
CUresult cuLibraryGetUnifiedFunction(void** fptr, CUlibrary library, const char* symbol) {
  Process& process = Process::Get();
  if (const CUresult entered = process.Enter(); entered != CUDA_SUCCESS) return entered;
  if (const CUresult error = process.contexts().error(); error != CUDA_SUCCESS) return error;
  const auto handle = reinterpret_cast<wire::HandleId>(library);
  if (!process.session().ids().IsLive(wire::HandleKind::kLibrary, handle)) return CUDA_ERROR_INVALID_HANDLE;
  return fptr == nullptr || symbol == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_ERROR_NOT_FOUND;
}

CUresult cuLibraryGetGlobal(CUdeviceptr* dptr, size_t* bytes, CUlibrary library, const char* name) {
  return FindGlobal(reinterpret_cast<wire::HandleId>(library), dptr, bytes, [&](CUdeviceptr* address, size_t* size) {
    return remote::cuLibraryGetGlobal(address, size, library, name);
  });
}

}  // namespace outboard::custom
