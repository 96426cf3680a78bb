#include <type_traits>

#include "common/base/number_of.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/images.h"
#include "server/softgpu/api/library.h"

// Library management.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

// The options of cuLibraryLoadData. False for one that does not exist.
bool ReadLibraryOptions(unsigned count, const CUlibraryOption* options, void* const* values, bool* image_is_preserved) {
  *image_is_preserved = false;
  if (count == 0) return true;
  if (!options) return false;
  for (unsigned i = 0; i < count; ++i) {
    if (NumberOf(options[i]) >= CU_LIBRARY_NUM_OPTIONS) return false;
    if (options[i] == CU_LIBRARY_BINARY_IS_PRESERVED) *image_is_preserved = values && values[i];
  }
  return true;
}

template <class Where>
CUresult LoadLibrary(CUlibrary* library, Where where, Outcome (*find)(Where, Image*), const JitOptions& jit,
                     unsigned option_count, const CUlibraryOption* options, void* const* values) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    bool preserved = false;
    if (!library || !where || !jit.Valid() || !ReadLibraryOptions(option_count, options, values, &preserved)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    // A file is read here, so nobody else could preserve it.
    if (preserved && std::is_same_v<Where, const char*>) return CUDA_ERROR_INVALID_VALUE;
    const Stopwatch watch;
    // All devices have one compute capability.
    const Device& device = *driver.devices().front();
    const int capability = device.cc_major * 10 + device.cc_minor;
    Image image;
    std::shared_ptr<Library> made;
    Outcome outcome = find(where, &image);
    if (outcome.ok()) {
      CUmoduleLoadingMode mode;
      cuModuleGetLoadingMode(&mode);
      if (preserved && mode == CU_MODULE_LAZY_LOADING) {
        made = std::make_shared<Library>(driver, std::move(image.images), capability);
      } else {
        Program program;
        outcome = LoadProgram(image.images, capability, &program);
        if (outcome.ok()) made = std::make_shared<Library>(driver, std::move(program), capability);
      }
    }
    if (outcome.ok()) {
      driver.handles.Add(made);
      *library = static_cast<CUlibrary>(made->handle());
    }
    return Conclude(outcome, jit, watch);
  });
}

// Runs `body` with the library of a handle, loaded: (Driver&, Library&).
template <class Body>
CUresult LibraryCall(CUlibrary handle, Body body) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    const auto library = driver.handles.Find<Library>(handle);
    if (!library) return CUDA_ERROR_INVALID_HANDLE;
    if (CUresult result = library->Load(); result != CUDA_SUCCESS) return result;
    return body(driver, *library);
  });
}

// Runs `body` with the kernel of a handle: (Driver&, Kernel&).
template <class Body>
CUresult KernelCall(CUkernel handle, Body body) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    const auto kernel = driver.handles.Find<Kernel>(handle);
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    return body(driver, *kernel);
  });
}

}  // namespace

CUresult cuLibraryLoadData(CUlibrary* library, const void* code, CUjit_option* jitOptions, void** jitOptionsValues,
                           unsigned int numJitOptions, CUlibraryOption* libraryOptions, void** libraryOptionValues,
                           unsigned int numLibraryOptions) {
  return LoadLibrary<const void*>(library, code, &ImageAt, JitOptions(numJitOptions, jitOptions, jitOptionsValues),
                                  numLibraryOptions, libraryOptions, libraryOptionValues);
}

CUresult cuLibraryLoadFromFile(CUlibrary* library, const char* fileName, CUjit_option* jitOptions,
                               void** jitOptionsValues, unsigned int numJitOptions, CUlibraryOption* libraryOptions,
                               void** libraryOptionValues, unsigned int numLibraryOptions) {
  return LoadLibrary<const char*>(library, fileName, &ImageInFile,
                                  JitOptions(numJitOptions, jitOptions, jitOptionsValues), numLibraryOptions,
                                  libraryOptions, libraryOptionValues);
}

CUresult cuLibraryUnload(CUlibrary library) {
  return HealthyCall([&](Driver& driver) -> CUresult {
    const auto found = driver.handles.Find<Library>(library);
    if (!found) return CUDA_ERROR_INVALID_HANDLE;
    found->Unload();
    return driver.fault();
  });
}

CUresult cuLibraryGetKernel(CUkernel* pKernel, CUlibrary library, const char* name) {
  return LibraryCall(library, [&](Driver&, Library& found) -> CUresult {
    if (!pKernel || !name) return CUDA_ERROR_INVALID_VALUE;
    const auto kernel = found.FindKernel(name);
    if (!kernel) return CUDA_ERROR_NOT_FOUND;
    *pKernel = static_cast<CUkernel>(kernel->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetKernelCount(unsigned int* count, CUlibrary lib) {
  return LibraryCall(lib, [&](Driver&, Library& library) -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<unsigned>(library.KernelNames().size());
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryEnumerateKernels(CUkernel* kernels, unsigned int numKernels, CUlibrary lib) {
  return LibraryCall(lib, [&](Driver&, Library& library) -> CUresult {
    if (!kernels) return CUDA_ERROR_INVALID_VALUE;
    for (const std::string& name : library.KernelNames()) {
      if (numKernels-- == 0) break;
      *kernels++ = static_cast<CUkernel>(library.FindKernel(name)->handle());
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuLibraryGetModule(CUmodule* pMod, CUlibrary library) {
  return LibraryCall(library, [&](Driver& driver, Library& found) -> CUresult {
    if (!pMod) return CUDA_ERROR_INVALID_VALUE;
    return InContext(driver, [&](Driver&, Context& context) -> CUresult {
      std::shared_ptr<Module> module;
      if (CUresult result = found.ModuleIn(context, &module); result != CUDA_SUCCESS) return result;
      *pMod = static_cast<CUmodule>(module->handle());
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuLibraryGetGlobal(CUdeviceptr* dptr, size_t* bytes, CUlibrary library, const char* name) {
  return LibraryCall(library, [&](Driver& driver, Library& found) -> CUresult {
    if (!name || (!dptr && !bytes)) return CUDA_ERROR_INVALID_VALUE;
    return InContext(driver, [&](Driver&, Context& context) -> CUresult {
      std::shared_ptr<Module> module;
      if (CUresult result = found.ModuleIn(context, &module); result != CUDA_SUCCESS) return result;
      const auto global = module->linked->FindGlobal(name);
      if (!global) return CUDA_ERROR_NOT_FOUND;
      if (dptr) *dptr = global->address;
      if (bytes) *bytes = global->size;
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuKernelGetFunction(CUfunction* pFunc, CUkernel kernel) {
  return KernelCall(kernel, [&](Driver& driver, Kernel& found) -> CUresult {
    if (!pFunc) return CUDA_ERROR_INVALID_VALUE;
    return InContext(driver, [&](Driver&, Context& context) -> CUresult {
      std::shared_ptr<Function> function;
      if (CUresult result = found.FunctionIn(context, &function); result != CUDA_SUCCESS) return result;
      const outboard::softgpu::Kernel* prepared;
      if (CUresult result = function->Prepare(&prepared); result != CUDA_SUCCESS) return result;
      *pFunc = static_cast<CUfunction>(function->handle());
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuKernelGetLibrary(CUlibrary* pLib, CUkernel kernel) {
  return KernelCall(kernel, [&](Driver&, Kernel& found) -> CUresult {
    if (!pLib) return CUDA_ERROR_INVALID_VALUE;
    *pLib = static_cast<CUlibrary>(found.library->handle());
    return CUDA_SUCCESS;
  });
}

// CU_DEVICE_ATTRIBUTE_UNIFIED_FUNCTION_POINTERS is 0: no function has an address that host and device share.
CUresult cuLibraryGetUnifiedFunction(void** fptr, CUlibrary library, const char* symbol) {
  return LibraryCall(
      library, [&](Driver&, Library&) { return fptr && symbol ? CUDA_ERROR_NOT_FOUND : CUDA_ERROR_INVALID_VALUE; });
}

CUresult cuKernelGetAttribute(int* pi, CUfunction_attribute attrib, CUkernel kernel, CUdevice dev) {
  return KernelCall(kernel, [&](Driver& driver, Kernel& found) -> CUresult {
    const Device* device = driver.FindDevice(dev);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    const auto value = FunctionAttribute(NumberOf(attrib), found.info, *found.SettingsFor(*device), device->limits);
    if (!pi || !value) return CUDA_ERROR_INVALID_VALUE;
    *pi = *value;
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelSetAttribute(CUfunction_attribute attrib, int val, CUkernel kernel, CUdevice dev) {
  return KernelCall(kernel, [&](Driver& driver, Kernel& found) -> CUresult {
    const Device* device = driver.FindDevice(dev);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    return SetFunctionAttribute(NumberOf(attrib), val, found.info, found.SettingsFor(*device).get(), device->limits);
  });
}

// As with cuFuncSetCacheConfig.
CUresult cuKernelSetCacheConfig(CUkernel kernel, CUfunc_cache config, CUdevice dev) {
  return KernelCall(kernel, [&](Driver& driver, Kernel&) -> CUresult {
    if (!driver.FindDevice(dev)) return CUDA_ERROR_INVALID_DEVICE;
    return NumberOf(config) <= CU_FUNC_CACHE_PREFER_EQUAL ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuKernelGetName(const char** name, CUkernel hfunc) {
  return KernelCall(hfunc, [&](Driver&, Kernel& kernel) -> CUresult {
    if (!name) return CUDA_ERROR_INVALID_VALUE;
    *name = kernel.info.name.c_str();
    return CUDA_SUCCESS;
  });
}

CUresult cuKernelGetParamInfo(CUkernel kernel, size_t paramIndex, size_t* paramOffset, size_t* paramSize) {
  return KernelCall(kernel, [&](Driver& driver, Kernel& found) {
    // As NVIDIA's driver, which wants a context for it.
    return InContext(driver, [&](Driver&, Context&) {
      return FunctionParamInfo(found.info, paramIndex, paramOffset, paramSize);
    });
  });
}
