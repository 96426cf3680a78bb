#include <cstdlib>
#include <cstring>
#include <limits>

#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/images.h"
#include "server/softgpu/api/module.h"

// Module management.

using namespace outboard::softgpu::api;

namespace {

// Makes a module of an image; `find` is ImageAt or ImageInFile.
template <class Where>
CUresult LoadModule(CUmodule* module, Where where, Outcome (*find)(Where, Image*), const JitOptions& options) {
  return UnsafeCall([&](Driver&, Context& context) -> CUresult {
    if (!module || !where || !options.Valid()) return CUDA_ERROR_INVALID_VALUE;
    const Stopwatch watch;
    Image image;
    Program program;
    std::shared_ptr<outboard::softgpu::Module> linked;
    std::shared_ptr<Module> made;
    Outcome outcome = find(where, &image);
    if (outcome.ok()) {
      outcome = LoadProgram(image.images, context.device.cc_major * 10 + context.device.cc_minor, &program);
    }
    if (outcome.ok()) outcome = LinkProgram(program, &linked);
    if (outcome.ok()) outcome = Module::Create(context, std::move(linked), program.uses_heap, nullptr, &made);
    if (outcome.ok()) *module = static_cast<CUmodule>(made->handle());
    return Conclude(outcome, options, watch);
  });
}

// Runs `body` with the module of a handle: (Context&, Module&).
template <class Body>
CUresult ModuleCall(CUmodule handle, Body body) {
  return ContextCall([&](Driver& driver, Context& context) -> CUresult {
    const auto module = driver.handles.Find<Module>(handle);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    return body(context, *module);
  });
}

const JitOptions kNoOptions(0, nullptr, nullptr);

}  // namespace

CUresult cuModuleLoad(CUmodule* module, const char* fname) {
  return LoadModule<const char*>(module, fname, &ImageInFile, kNoOptions);
}

CUresult cuModuleLoadData(CUmodule* module, const void* image) {
  return LoadModule<const void*>(module, image, &ImageAt, kNoOptions);
}

CUresult cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned int numOptions, CUjit_option* options,
                            void** optionValues) {
  return LoadModule<const void*>(module, image, &ImageAt, JitOptions(numOptions, options, optionValues));
}

CUresult cuModuleLoadFatBinary(CUmodule* module, const void* fatCubin) { return cuModuleLoadData(module, fatCubin); }

CUresult cuModuleUnload(CUmodule hmod) {
  return UnsafeCall([&](Driver& driver, Context&) -> CUresult {
    const auto module = driver.handles.Find<Module>(hmod);
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    if (module->library) return CUDA_ERROR_NOT_PERMITTED;  // it is its library's to unload
    module->context.Wait();
    module->Release();
    return module->context.Settle();
  });
}

CUresult cuModuleGetLoadingMode(CUmoduleLoadingMode* mode) {
  return Call([&](Driver&) -> CUresult {
    if (!mode) return CUDA_ERROR_INVALID_VALUE;
    const char* asked = std::getenv("CUDA_MODULE_LOADING");
    *mode = asked && std::strcmp(asked, "EAGER") == 0 ? CU_MODULE_EAGER_LOADING : CU_MODULE_LAZY_LOADING;
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunction(CUfunction* hfunc, CUmodule hmod, const char* name) {
  return ModuleCall(hmod, [&](Context&, Module& module) -> CUresult {
    if (!hfunc || !name) return CUDA_ERROR_INVALID_VALUE;
    const auto function = module.FindFunction(name);
    if (!function) return CUDA_ERROR_NOT_FOUND;
    const outboard::softgpu::Kernel* kernel;
    if (CUresult result = function->Prepare(&kernel); result != CUDA_SUCCESS) return result;
    *hfunc = static_cast<CUfunction>(function->handle());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetFunctionCount(unsigned int* count, CUmodule mod) {
  return ModuleCall(mod, [&](Context&, Module& module) -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<unsigned>(module.linked->KernelNames().size());
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleEnumerateFunctions(CUfunction* functions, unsigned int numFunctions, CUmodule mod) {
  return ModuleCall(mod, [&](Context&, Module& module) -> CUresult {
    if (!functions) return CUDA_ERROR_INVALID_VALUE;
    for (const std::string& name : module.linked->KernelNames()) {
      if (numFunctions-- == 0) break;
      *functions++ = static_cast<CUfunction>(module.FindFunction(name)->handle());
    }
    return CUDA_SUCCESS;
  });
}

CUresult cuModuleGetGlobal_v2(CUdeviceptr* dptr, size_t* bytes, CUmodule hmod, const char* name) {
  return ModuleCall(hmod, [&](Context&, Module& module) -> CUresult {
    if (!name || (!dptr && !bytes)) return CUDA_ERROR_INVALID_VALUE;
    const auto global = module.linked->FindGlobal(name);
    if (!global) return CUDA_ERROR_NOT_FOUND;
    if (dptr) *dptr = global->address;
    if (bytes) *bytes = global->size;
    return CUDA_SUCCESS;
  });
}
