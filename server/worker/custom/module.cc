#include <algorithm>
#include <cstring>
#include <span>
#include <unordered_set>
#include <vector>

#include "server/worker/call.h"
#include "server/worker/code_image.h"
#include "server/worker/custom.gen.h"
#include "server/worker/function_info.h"
#include "server/worker/jit_options.h"
#include "server/worker/session.h"
#include "server/worker/uploads.h"

// Module management and library management.

namespace outboard::worker::custom {
namespace {

// Takes the upload, and has load(code, options) give it to the driver. What went wrong is the lane's log.
template <class Load>
CUresult LoadUpload(Call& call, uint64_t upload, std::span<const size_t> sizes, int form, JitOptions* options,
                    Load load) {
  Uploads& uploads = call.session().uploads();
  const uint32_t lane = call.command().header.lane;
  const std::vector<std::byte> bytes = uploads.Take(upload);
  const auto image = CodeImage::Make(bytes, sizes, form);
  if (!image) {
    uploads.SetLog(lane, {{}, image.error().message});
    return CUDA_ERROR_INVALID_IMAGE;
  }
  const CUresult result = load(image->code());
  call.session().LookForUnseenMemory();
  uploads.SetLog(lane, options->Log());
  return result;
}

// Options of libraries; none of them travels on to the driver.
CUresult TakeLibraryOptions(const CUlibraryOption* options, unsigned count) {
  if (count != 0 && options == nullptr) return CUDA_ERROR_INVALID_VALUE;
  for (unsigned i = 0; i < count; ++i) {
    // That the client keeps the image means nothing here: this worker's copy goes with the load.
    if (options[i] == CU_LIBRARY_BINARY_IS_PRESERVED) continue;
    return options[i] == CU_LIBRARY_HOST_UNIVERSAL_FUNCTION_AND_DATA_TABLE ? CUDA_ERROR_NOT_SUPPORTED
                                                                           : CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

// The handles of everything that went with `parent`.
void RemoveChildren(Call& call, void* parent) {
  const std::unordered_set<void*> children = call.session().uploads().TakeChildren(parent);
  if (children.empty()) return;
  HandleTable& handles = call.session().handles();
  std::vector<wire::HandleId> gone;
  for (const auto kind : {wire::HandleKind::kFunction, wire::HandleKind::kKernel, wire::HandleKind::kModule}) {
    handles.ForEach(kind, [&](wire::HandleId id, void* object) {
      if (children.contains(object)) gone.push_back(id);
    });
  }
  for (const wire::HandleId id : gone) handles.Remove(id);
}

// The current device, or the session's first when there is none: a kernel belongs to no context.
CUdevice DeviceFor(Call& call) {
  CUdevice device;
  if (call.driver().cuCtxGetDevice(&device) == CUDA_SUCCESS) return device;
  const LeasedDevice* const first = call.session().FindDevice(0);
  return first == nullptr ? 0 : first->ordinal;
}

// Function number `index` of a module.
CUresult FunctionNumber(const driver::DriverTable& driver, CUmodule module, unsigned index, CUfunction* function) {
  if (driver.cuModuleGetFunctionCount == nullptr || driver.cuModuleEnumerateFunctions == nullptr) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  unsigned count = 0;
  if (const CUresult result = driver.cuModuleGetFunctionCount(&count, module); result != CUDA_SUCCESS) return result;
  if (index >= count) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUfunction> functions(count);
  const CUresult result = driver.cuModuleEnumerateFunctions(functions.data(), count, module);
  *function = functions[index];
  return result;
}

CUresult CopyText(const char* text, char* to, size_t size) {
  if (to == nullptr || size == 0) return CUDA_ERROR_INVALID_VALUE;
  const size_t length = std::min(std::strlen(text), size - 1);
  std::memcpy(to, text, length);
  to[length] = 0;
  return CUDA_SUCCESS;
}

}  // namespace

CUresult outboardUpload(Call& call, unsigned long long upload, size_t offset, const void* bytes, size_t count) {
  if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return call.session().uploads().Append(upload, offset, {static_cast<const std::byte*>(bytes), count});
}

CUresult outboardModuleLoad(Call& call, CUmodule* module, unsigned long long upload, const size_t* sizes,
                            unsigned int images, int form, const CUjit_option* options,
                            const unsigned long long* values, unsigned int numOptions) {
  if (sizes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  JitOptions jit;
  if (const CUresult result = jit.Set(options, values, numOptions); result != CUDA_SUCCESS) return result;
  return LoadUpload(call, upload, {sizes, images}, form, &jit, [&](const void* code) {
    return call.driver().cuModuleLoadDataEx(module, code, jit.count(), jit.options(), jit.values());
  });
}

CUresult outboardLibraryLoad(Call& call, CUlibrary* library, unsigned long long upload, const size_t* sizes,
                             unsigned int images, int form, const CUjit_option* options,
                             const unsigned long long* values, unsigned int numOptions,
                             const CUlibraryOption* libraryOptions, const unsigned long long*,
                             unsigned int numLibraryOptions) {
  if (sizes == nullptr) return CUDA_ERROR_INVALID_VALUE;
  JitOptions jit;
  if (const CUresult result = jit.Set(options, values, numOptions); result != CUDA_SUCCESS) return result;
  if (const CUresult result = TakeLibraryOptions(libraryOptions, numLibraryOptions); result != CUDA_SUCCESS) {
    return result;
  }
  const auto load = call.driver().cuLibraryLoadData;
  if (load == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  return LoadUpload(call, upload, {sizes, images}, form, &jit, [&](const void* code) {
    return load(library, code, jit.options(), jit.values(), jit.count(), nullptr, nullptr, 0);
  });
}

CUresult outboardLoadLog(Call& call, CUjit_option which, char* log, size_t size) {
  const LoadLog said = call.session().uploads().Log(call.command().header.lane);
  if (which == CU_JIT_INFO_LOG_BUFFER) return CopyText(said.info.c_str(), log, size);
  if (which == CU_JIT_ERROR_LOG_BUFFER) return CopyText(said.error.c_str(), log, size);
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult cuModuleUnload(Call& call, CUmodule hmod) {
  const CUresult result = call.driver().cuModuleUnload(hmod);
  call.session().LookForUnseenMemory();
  if (result == CUDA_SUCCESS) RemoveChildren(call, hmod);
  return result;
}

CUresult cuLibraryUnload(Call& call, CUlibrary library) {
  const auto unload = call.driver().cuLibraryUnload;
  const CUresult result = unload == nullptr ? CUDA_ERROR_NOT_SUPPORTED : unload(library);
  call.session().LookForUnseenMemory();
  if (result == CUDA_SUCCESS) RemoveChildren(call, library);
  return result;
}

CUresult outboardModuleGetFunction(Call& call, CUfunction* function, CUmodule module, const char* name,
                                   OutboardFunctionInfo* info) {
  if (name == nullptr || info == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = call.driver().cuModuleGetFunction(function, module, name);
  if (result != CUDA_SUCCESS) return result;
  call.session().uploads().NoteChild(module, *function);
  *info = Describe(call.driver(), *function);
  return CUDA_SUCCESS;
}

CUresult outboardModuleFunctionName(Call& call, CUmodule module, unsigned int index, char* name, size_t size) {
  CUfunction function = nullptr;
  const CUresult found = FunctionNumber(call.driver(), module, index, &function);
  if (found != CUDA_SUCCESS) return found;
  const auto get = call.driver().cuFuncGetName;
  const char* text = nullptr;
  const CUresult result = get == nullptr ? CUDA_ERROR_NOT_SUPPORTED : get(&text, function);
  return result == CUDA_SUCCESS ? CopyText(text, name, size) : result;
}

CUresult outboardModuleFunction(Call& call, CUfunction* function, CUmodule module, unsigned int index,
                                OutboardFunctionInfo* info) {
  if (info == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = FunctionNumber(call.driver(), module, index, function);
  if (result != CUDA_SUCCESS) return result;
  call.session().uploads().NoteChild(module, *function);
  *info = Describe(call.driver(), *function);
  return CUDA_SUCCESS;
}

CUresult outboardLibraryGetKernel(Call& call, CUkernel* kernel, CUlibrary library, const char* name,
                                  OutboardFunctionInfo* info) {
  const auto get = call.driver().cuLibraryGetKernel;
  if (get == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (name == nullptr || info == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = get(kernel, library, name);
  if (result != CUDA_SUCCESS) return result;
  call.session().uploads().NoteChild(library, *kernel);
  *info = Describe(call.driver(), *kernel, DeviceFor(call));
  return CUDA_SUCCESS;
}

CUresult cuLibraryGetModule(Call& call, CUmodule* pMod, CUlibrary library) {
  const auto get = call.driver().cuLibraryGetModule;
  const CUresult result = get == nullptr ? CUDA_ERROR_NOT_SUPPORTED : get(pMod, library);
  if (result == CUDA_SUCCESS) call.session().uploads().NoteChild(library, *pMod);
  return result;
}

CUresult outboardKernelGetFunction(Call& call, CUfunction* function, CUkernel kernel, OutboardFunctionInfo* info) {
  const auto get = call.driver().cuKernelGetFunction;
  if (get == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  if (info == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = get(function, kernel);
  if (result != CUDA_SUCCESS) return result;
  call.session().uploads().NoteChild(kernel, *function);
  *info = Describe(call.driver(), *function);
  return CUDA_SUCCESS;
}

CUresult outboardFunctionParams(Call& call, CUfunction function, unsigned int first, unsigned int count,
                                OutboardParam* params) {
  if (params == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // A kernel's handle stands for a function too; the driver has a call for each.
  const bool is_kernel = call.session().handles().HandleOf(wire::HandleKind::kKernel, function) != 0;
  return is_kernel ? DescribeParams(call.driver(), reinterpret_cast<CUkernel>(function), first, {params, count})
                   : DescribeParams(call.driver(), function, first, {params, count});
}

CUresult outboardLibraryKernelName(Call& call, CUlibrary library, unsigned int index, char* name, size_t size) {
  const driver::DriverTable& driver = call.driver();
  if (driver.cuLibraryGetKernelCount == nullptr || driver.cuLibraryEnumerateKernels == nullptr ||
      driver.cuKernelGetName == nullptr) {
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  unsigned count = 0;
  if (const CUresult result = driver.cuLibraryGetKernelCount(&count, library); result != CUDA_SUCCESS) return result;
  if (index >= count) return CUDA_ERROR_INVALID_VALUE;
  std::vector<CUkernel> kernels(count);
  CUresult result = driver.cuLibraryEnumerateKernels(kernels.data(), count, library);
  if (result != CUDA_SUCCESS) return result;
  const char* text = nullptr;
  result = driver.cuKernelGetName(&text, kernels[index]);
  return result == CUDA_SUCCESS ? CopyText(text, name, size) : result;
}

}  // namespace outboard::worker::custom
