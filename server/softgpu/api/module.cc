#include "server/softgpu/api/module.h"

#include <algorithm>
#include <utility>

#include "common/base/log.h"
#include "server/softgpu/device/allocation_log.h"

namespace outboard::softgpu::api {

Function::Function(Module& module, KernelInfo info, std::shared_ptr<FunctionSettings> settings)
    : module(module),
      info(std::move(info)),
      settings(settings ? std::move(settings) : std::make_shared<FunctionSettings>()) {}

const void* Function::owner() const { return &module.context; }

CUresult Function::Prepare(const softgpu::Kernel** kernel) {
  *kernel = kernel_.load(std::memory_order_acquire);
  if (*kernel) return CUDA_SUCCESS;
  std::lock_guard lock(mutex_);
  if (refused_) return CUDA_ERROR_NOT_SUPPORTED;
  const auto prepared = module.linked->Prepare(info.name, module.context.driver.engine());
  if (!prepared) {
    refused_ = true;
    Log(LogLevel::kError, "%s", prepared.error().message.c_str());
    return CUDA_ERROR_NOT_SUPPORTED;
  }
  *kernel = *prepared;
  kernel_.store(*prepared, std::memory_order_release);
  return CUDA_SUCCESS;
}

Outcome Module::Create(Context& context, std::shared_ptr<softgpu::Module> linked, bool uses_heap, Library* library,
                       std::shared_ptr<Module>* module) {
  uint64_t variables = 0;
  if (const uint64_t bytes = linked->variable_bytes(); bytes > 0) {
    const auto address = context.Allocate(bytes, true);
    if (!address)
      return {CUDA_ERROR_OUT_OF_MEMORY,
              "The device has no " + std::to_string(bytes) + " bytes left for the variables of a module."};
    variables = *address;
  }
  linked->Place(variables, variables != 0 ? context.device.memory->ToHost(variables) : nullptr);
  AllocationLog* const log = context.device.memory->log();
  if (log != nullptr && variables != 0) {
    log->Divide(variables);
    for (const softgpu::Module::Variable& each : linked->Variables())
      log->AddPart(each.address, each.size, (each.is_constant ? "constant " : "variable ") + each.name,
                   !each.is_constant);
  }
  *module = std::make_shared<Module>(context, std::move(linked), uses_heap, library, variables);
  context.driver.handles.Add(*module);
  return {};
}

Module::Module(Context& context, std::shared_ptr<softgpu::Module> linked, bool uses_heap, Library* library,
               uint64_t variables)
    : context(context), linked(std::move(linked)), uses_heap(uses_heap), library(library), variables_(variables) {}

std::shared_ptr<Function> Module::FindFunction(std::string_view name, std::shared_ptr<FunctionSettings> settings) {
  std::lock_guard lock(mutex_);
  const auto found = functions_.find(std::string(name));
  if (found != functions_.end()) return found->second;
  auto info = linked->Describe(name);
  if (!info) return nullptr;
  auto function = std::make_shared<Function>(*this, std::move(*info), std::move(settings));
  context.driver.handles.Add(function);
  functions_.emplace(name, function);
  return function;
}

void Module::Release() {
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, function] : functions_) context.driver.handles.Remove<Function>(function->handle());
  }
  context.driver.handles.Remove<Module>(handle());
  if (variables_ != 0) context.FreeModuleMemory(variables_);
}

unsigned MaxThreads(const KernelInfo& info, const LaunchLimits& limits) {
  return info.max_threads_per_block > 0 ? std::min(info.max_threads_per_block, limits.threads_per_block)
                                        : limits.threads_per_block;
}

unsigned Registers(const KernelInfo& info, const LaunchLimits& limits) {
  constexpr unsigned kLeast = 16, kMost = 255;
  return std::clamp(info.registers, kLeast, std::min(kMost, limits.registers / MaxThreads(info, limits)));
}

unsigned MaxDynamicShared(const KernelInfo& info, const FunctionSettings& settings, const LaunchLimits& limits) {
  const int chosen = settings.max_dynamic_shared.load(std::memory_order_relaxed);
  if (chosen >= 0) return static_cast<unsigned>(chosen);
  return limits.shared_per_block - std::min(limits.shared_per_block, info.static_shared_bytes);
}

std::optional<int> FunctionAttribute(unsigned attribute, const KernelInfo& info, const FunctionSettings& settings,
                                     const LaunchLimits& limits) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      return static_cast<int>(MaxThreads(info, limits));
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
      return static_cast<int>(info.static_shared_bytes);
    case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
      return static_cast<int>(info.const_bytes);
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      return static_cast<int>(info.local_bytes);
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      return static_cast<int>(Registers(info, limits));
    case CU_FUNC_ATTRIBUTE_PTX_VERSION:
      return static_cast<int>(info.ptx_version);
    case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      return static_cast<int>(info.ptx_version);
    case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
      return 0;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      return static_cast<int>(MaxDynamicShared(info, settings, limits));
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      return settings.carveout.load(std::memory_order_relaxed);
    case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return 0;
    default:
      return std::nullopt;
  }
}

CUresult SetFunctionAttribute(unsigned attribute, int value, const KernelInfo& info, FunctionSettings* settings,
                              const LaunchLimits& limits) {
  switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      if (value < 0 ||
          uint64_t{info.static_shared_bytes} + static_cast<unsigned>(value) > limits.shared_per_block_optin) {
        return CUDA_ERROR_INVALID_VALUE;
      }
      settings->max_dynamic_shared.store(value, std::memory_order_relaxed);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
      if (value < -1 || value > 100) return CUDA_ERROR_INVALID_VALUE;
      settings->carveout.store(value, std::memory_order_relaxed);
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
    case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      return value == 0 || value == 1 ? CUDA_SUCCESS : CUDA_ERROR_NOT_SUPPORTED;
    case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
      return CUDA_SUCCESS;  // permissions and hints that nothing here depends on
    default:
      return CUDA_ERROR_INVALID_VALUE;
  }
}

CUresult FunctionParamInfo(const KernelInfo& info, size_t index, size_t* offset, size_t* size) {
  if (!offset || index >= info.params.size()) return CUDA_ERROR_INVALID_VALUE;
  *offset = info.params[index].offset;
  if (size) *size = info.params[index].size;
  return CUDA_SUCCESS;
}

}  // namespace outboard::softgpu::api
