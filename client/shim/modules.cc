#include "client/shim/modules.h"

#include <algorithm>
#include <mutex>

#include "client/shim/modules_names.h"
#include "client/shim/process.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"

namespace outboard::shim {
namespace {

template <class T>
wire::HandleId IdOf(T handle) {
  return reinterpret_cast<wire::HandleId>(handle);
}

// Whether the parameters fit into what any kernel can have: the worker's word is not taken for it.
bool Fit(const std::vector<OutboardParam>& params) {
  return std::all_of(params.begin(), params.end(), [](const OutboardParam& param) {
    return uint64_t{param.offset} + param.size <= kMaxKernelParameterBytes;
  });
}

}  // namespace

void Modules::AddModule(CUmodule module, CUcontext context) {
  std::unique_lock lock(mutex_);
  modules_[IdOf(module)] = {context, {}};
}

void Modules::AddLibrary(CUlibrary library) {
  std::unique_lock lock(mutex_);
  libraries_[IdOf(library)] = {};
}

template <class Predicate>
void Modules::EraseFunctions(Predicate wanted) {
  for (auto it = functions_.begin(); it != functions_.end();) {
    const Function::Identity& identity = it->second->identity();
    if (!wanted(identity)) {
      ++it;
      continue;
    }
    process_.session().ids().Release(identity.handle);
    if (identity.kernel != 0) functions_of_kernels_.erase({identity.kernel, identity.context});
    it = functions_.erase(it);
  }
}

void Modules::RemoveModule(CUmodule module) {
  std::unique_lock lock(mutex_);
  EraseFunctions([&](const Function::Identity& identity) { return identity.owner == IdOf(module); });
  modules_.erase(IdOf(module));
}

void Modules::RemoveLibrary(CUlibrary library) {
  std::unique_lock lock(mutex_);
  EraseFunctions([&](const Function::Identity& identity) { return identity.owner == IdOf(library); });
  const auto found = libraries_.find(IdOf(library));
  if (found == libraries_.end()) return;
  for (const auto& [context, module] : found->second.modules) {
    const wire::HandleId id = IdOf(module);
    EraseFunctions([id](const Function::Identity& identity) { return identity.owner == id; });
    modules_.erase(id);
    process_.session().ids().Release(id);
  }
  libraries_.erase(found);
}

void Modules::ForgetContext(CUcontext context) {
  std::unique_lock lock(mutex_);
  client::Ids& ids = process_.session().ids();
  EraseFunctions([&](const Function::Identity& identity) { return identity.context == context; });
  for (auto it = modules_.begin(); it != modules_.end();) {
    if (it->second.context != context) {
      ++it;
      continue;
    }
    ids.Release(it->first);
    it = modules_.erase(it);
  }
  for (auto& [id, library] : libraries_) {
    const auto found = library.modules.find(context);
    if (found == library.modules.end()) continue;
    ids.Release(IdOf(found->second));
    library.modules.erase(found);
  }
}

template <class Ask>
CUresult Modules::FindFunction(const Current& current, CUmodule module, const char* name, Ask ask,
                               CUfunction* function) {
  {
    std::shared_lock lock(mutex_);
    const auto found = modules_.find(IdOf(module));
    if (found != modules_.end()) {
      const auto known = found->second.functions.find(std::string_view(name));
      if (known != found->second.functions.end()) {
        *function = reinterpret_cast<CUfunction>(known->second);
        return CUDA_SUCCESS;
      }
    }
  }
  CUfunction made = nullptr;
  OutboardFunctionInfo info{};
  CUresult result = ask(&made, &info);
  if (result != CUDA_SUCCESS) return result;
  std::shared_ptr<Function> shadow;
  result = Describe({IdOf(made), IdOf(module), 0, current.context, current.device, name}, info,
                    std::make_shared<FunctionAttributes>(info), &shadow);
  if (result != CUDA_SUCCESS) return result;
  std::unique_lock lock(mutex_);
  const auto found = modules_.find(IdOf(module));
  if (found == modules_.end()) return CUDA_ERROR_INVALID_HANDLE;  // unloaded meanwhile
  const auto [entry, is_new] = found->second.functions.emplace(name, IdOf(made));
  if (is_new) functions_.emplace(IdOf(made), std::move(shadow));
  *function = reinterpret_cast<CUfunction>(entry->second);
  return CUDA_SUCCESS;
}

CUresult Modules::GetFunction(const Current& current, CUmodule module, const char* name, CUfunction* function) {
  return FindFunction(
      current, module, name,
      [&](CUfunction* made, OutboardFunctionInfo* info) {
        return remote::outboardModuleGetFunction(made, module, name, info);
      },
      function);
}

CUresult Modules::GetFunctions(const Current& current, CUmodule module, unsigned most,
                               std::vector<CUfunction>* functions) {
  functions->clear();
  unsigned count = 0;
  if (const CUresult result = remote::cuModuleGetFunctionCount(&count, module); result != CUDA_SUCCESS) return result;
  for (unsigned i = 0; i < std::min(most, count); ++i) {
    std::string name;
    CUresult result = AskName(
        &name, [&](char* text, size_t room) { return remote::outboardModuleFunctionName(module, i, text, room); });
    CUfunction function = nullptr;
    if (result == CUDA_SUCCESS) {
      result = FindFunction(
          current, module, name.c_str(),
          [&](CUfunction* made, OutboardFunctionInfo* info) {
            return remote::outboardModuleFunction(made, module, i, info);
          },
          &function);
    }
    if (result != CUDA_SUCCESS) return result;
    functions->push_back(function);
  }
  return CUDA_SUCCESS;
}

CUresult Modules::GetKernel(CUlibrary library, const char* name, CUkernel* kernel) {
  {
    std::shared_lock lock(mutex_);
    const auto found = libraries_.find(IdOf(library));
    if (found != libraries_.end()) {
      const auto known = found->second.kernels.find(std::string_view(name));
      if (known != found->second.kernels.end()) {
        *kernel = reinterpret_cast<CUkernel>(known->second);
        return CUDA_SUCCESS;
      }
    }
  }
  CUkernel made = nullptr;
  OutboardFunctionInfo info{};
  CUresult result = remote::outboardLibraryGetKernel(&made, library, name, &info);
  if (result != CUDA_SUCCESS) return result;
  std::shared_ptr<Function> shadow;
  result = Describe({IdOf(made), IdOf(library), 0, nullptr, DeviceOfThread(), name}, info,
                    std::make_shared<FunctionAttributes>(info), &shadow);
  if (result != CUDA_SUCCESS) return result;
  std::unique_lock lock(mutex_);
  const auto found = libraries_.find(IdOf(library));
  if (found == libraries_.end()) return CUDA_ERROR_INVALID_HANDLE;  // unloaded meanwhile
  const auto [entry, is_new] = found->second.kernels.emplace(name, IdOf(made));
  if (is_new) functions_.emplace(IdOf(made), std::move(shadow));
  *kernel = reinterpret_cast<CUkernel>(entry->second);
  return CUDA_SUCCESS;
}

CUresult Modules::GetFunctionOf(const Current& current, CUkernel kernel, CUfunction* function) {
  const std::pair key(IdOf(kernel), current.context);
  {
    std::shared_lock lock(mutex_);
    const auto known = functions_of_kernels_.find(key);
    if (known != functions_of_kernels_.end()) {
      *function = reinterpret_cast<CUfunction>(known->second);
      return CUDA_SUCCESS;
    }
  }
  CUfunction made = nullptr;
  OutboardFunctionInfo info{};
  CUresult result = remote::outboardKernelGetFunction(&made, kernel, &info);
  if (result != CUDA_SUCCESS) return result;
  const auto parent = Find(kernel);
  if (!parent) return CUDA_ERROR_INVALID_HANDLE;  // unloaded meanwhile
  // A kernel and its functions on one device have their attributes in common, which a driver may not have told as long as
  // no context was current.
  if (parent->identity().device == current.device && !parent->knows_params()) parent->attributes()->Assign(info);
  auto attributes =
      parent->identity().device == current.device ? parent->attributes() : std::make_shared<FunctionAttributes>(info);
  std::shared_ptr<Function> shadow;
  result = Describe(
      {IdOf(made), parent->identity().owner, IdOf(kernel), current.context, current.device, parent->identity().name},
      info, std::move(attributes), &shadow);
  if (result != CUDA_SUCCESS) return result;
  std::unique_lock lock(mutex_);
  const auto [entry, is_new] = functions_of_kernels_.emplace(key, IdOf(made));
  if (is_new) functions_.emplace(IdOf(made), std::move(shadow));
  *function = reinterpret_cast<CUfunction>(entry->second);
  return CUDA_SUCCESS;
}

CUresult Modules::GetModuleOf(const Current& current, CUlibrary library, CUmodule* module) {
  {
    std::shared_lock lock(mutex_);
    const auto found = libraries_.find(IdOf(library));
    if (found != libraries_.end()) {
      const auto known = found->second.modules.find(current.context);
      if (known != found->second.modules.end()) {
        *module = known->second;
        return CUDA_SUCCESS;
      }
    }
  }
  CUmodule made = nullptr;
  const CUresult result = remote::cuLibraryGetModule(&made, library);
  if (result != CUDA_SUCCESS) return result;
  std::unique_lock lock(mutex_);
  const auto found = libraries_.find(IdOf(library));
  if (found == libraries_.end()) return CUDA_ERROR_INVALID_HANDLE;  // unloaded meanwhile
  *module = found->second.modules.emplace(current.context, made).first->second;
  modules_.try_emplace(IdOf(*module), Module{current.context, {}});
  return CUDA_SUCCESS;
}

std::shared_ptr<Function> Modules::Find(CUfunction function) const {
  std::shared_lock lock(mutex_);
  const auto found = functions_.find(IdOf(function));
  return found == functions_.end() ? nullptr : found->second;
}

std::shared_ptr<Function> Modules::FindToLaunch(CUfunction function) {
  auto found = Find(function);
  if (!found || found->knows_params() || found->identity().context != nullptr) return found;
  Current current;
  CUfunction made = nullptr;
  const auto kernel = reinterpret_cast<CUkernel>(function);
  if (FindCurrent(process_, &current) != CUDA_SUCCESS) return found;
  return GetFunctionOf(current, kernel, &made) == CUDA_SUCCESS ? Find(made) : found;
}

CUdevice Modules::DeviceOfThread() const {
  Current current;
  return FindCurrent(process_, &current) == CUDA_SUCCESS ? current.device : 0;
}

CUresult Modules::Describe(Function::Identity identity, const OutboardFunctionInfo& info,
                           std::shared_ptr<FunctionAttributes> attributes, std::shared_ptr<Function>* function) {
  const auto& devices = process_.worker().devices;
  const auto device = static_cast<size_t>(identity.device);
  if (device >= devices.size()) return CUDA_ERROR_INVALID_DEVICE;
  const auto handle = reinterpret_cast<CUfunction>(identity.handle);
  *function = std::make_shared<Function>(std::move(identity), LaunchLimits(devices[device]), std::move(attributes));
  constexpr uint32_t kMostParams = kMaxKernelParameterBytes;  // of one byte each
  if (info.param_count > kMostParams) return CUDA_SUCCESS;    // the driver cannot say
  std::vector<OutboardParam> params(info.param_count);
  const uint32_t told = std::min<uint32_t>(info.param_count, kOutboardInlineParams);
  std::copy_n(info.params, told, params.begin());
  if (told < info.param_count) {
    const CUresult result = remote::outboardFunctionParams(handle, told, info.param_count - told, params.data() + told);
    if (result != CUDA_SUCCESS) return result;
  }
  if (Fit(params)) (*function)->SetParams(std::move(params));
  return CUDA_SUCCESS;
}

}  // namespace outboard::shim
