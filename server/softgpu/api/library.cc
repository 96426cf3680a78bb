#include "server/softgpu/api/library.h"

#include <algorithm>

#include "common/base/log.h"

namespace outboard::softgpu::api {

std::shared_ptr<FunctionSettings> Kernel::SettingsFor(const Device& device) {
  std::lock_guard lock(mutex_);
  auto& settings = settings_[device.ordinal];
  if (!settings) settings = std::make_shared<FunctionSettings>();
  return settings;
}

CUresult Kernel::FunctionIn(Context& context, std::shared_ptr<Function>* function) {
  const uint64_t activation = context.id();
  {
    std::lock_guard lock(mutex_);
    for (auto& entry : functions_) {
      if (entry.first != activation) continue;
      *function = entry.second;
      std::swap(entry, functions_.front());
      return CUDA_SUCCESS;
    }
  }
  std::shared_ptr<Module> module;
  if (CUresult result = library->ModuleIn(context, &module); result != CUDA_SUCCESS) return result;
  *function = module->FindFunction(info.name, SettingsFor(context.device));
  if (!*function) return CUDA_ERROR_NOT_FOUND;
  std::lock_guard lock(mutex_);
  functions_.emplace_back(activation, *function);
  return CUDA_SUCCESS;
}

Library::Library(Driver& driver, std::vector<image::Extent> images, int compute_capability)
    : driver_(driver), images_(std::move(images)), compute_capability_(compute_capability) {}

Library::Library(Driver& driver, Program program, int compute_capability)
    : driver_(driver), compute_capability_(compute_capability), program_(std::move(program)) {}

CUresult Library::Load() {
  std::lock_guard lock(mutex_);
  if (loaded_) return *loaded_;
  Outcome outcome;
  if (!program_) {
    Program program;
    outcome = LoadProgram(images_, compute_capability_, &program);
    if (outcome.ok()) program_ = std::move(program);
  }
  if (outcome.ok()) outcome = LinkProgram(*program_, &linked_);
  if (!outcome.ok()) Log(LogLevel::kError, "%s", outcome.message.c_str());
  loaded_ = outcome.code;
  return outcome.code;
}

std::shared_ptr<Kernel> Library::FindKernel(std::string_view name) {
  std::lock_guard lock(mutex_);
  const auto found = kernels_.find(name);
  if (found != kernels_.end()) return found->second;
  auto info = linked_->Describe(name);
  if (!info) return nullptr;
  auto kernel = std::make_shared<Kernel>(shared_from_this(), std::move(*info));
  driver_.handles.Add(kernel);
  kernels_.emplace(name, kernel);
  return kernel;
}

std::vector<std::string> Library::KernelNames() const {
  std::lock_guard lock(mutex_);
  return linked_->KernelNames();
}

CUresult Library::ModuleIn(Context& context, std::shared_ptr<Module>* module) {
  std::lock_guard lock(mutex_);
  const uint64_t activation = context.id();
  for (const Instance& instance : instances_) {
    if (instance.activation != activation) continue;
    *module = instance.module;
    return CUDA_SUCCESS;
  }
  std::shared_ptr<softgpu::Module> linked = linked_;
  Outcome outcome;
  if (linked_is_placed_) outcome = LinkProgram(*program_, &linked);
  if (outcome.ok()) outcome = Module::Create(context, std::move(linked), program_->uses_heap, this, module);
  if (!outcome.ok()) {
    Log(LogLevel::kError, "%s", outcome.message.c_str());
    return outcome.code;
  }
  linked_is_placed_ = true;
  auto owner = driver_.handles.Find<Context>(context.handle());
  if (!owner) return CUDA_ERROR_CONTEXT_IS_DESTROYED;
  instances_.push_back({activation, std::move(owner), *module});
  return CUDA_SUCCESS;
}

void Library::Unload() {
  std::vector<Instance> instances;
  decltype(kernels_) kernels;
  {
    std::lock_guard lock(mutex_);
    instances.swap(instances_);
    kernels.swap(kernels_);
  }
  for (const auto& [name, kernel] : kernels) driver_.handles.Remove<Kernel>(kernel->handle());
  for (const Instance& instance : instances) {
    if (!instance.context->active() || instance.context->id() != instance.activation) continue;
    instance.context->Wait();
    instance.module->Release();
  }
  driver_.handles.Remove<Library>(handle());
}

}  // namespace outboard::softgpu::api
