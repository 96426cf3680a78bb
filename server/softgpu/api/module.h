#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/program.h"

namespace outboard::softgpu::api {

class Library;
class Module;

// What cuFuncSetAttribute and cuKernelSetAttribute set. Thread-safe.
struct FunctionSettings {
  std::atomic<int> max_dynamic_shared{-1};  // bytes; -1: as much as needs no opting in
  std::atomic<int> carveout{-1};            // percent
};

// A CUfunction: a kernel of a module, in a context. Thread-safe.
class Function : public Object {
 public:
  static constexpr Kind kKind = Kind::kFunction;

  Function(Module& module, KernelInfo info, std::shared_ptr<FunctionSettings> settings);

  Module& module;  // outlives the function
  const KernelInfo info;
  const std::shared_ptr<FunctionSettings> settings;

  const void* owner() const override;

  // The decoded kernel; made at the first call. What the engine lacks is logged, once, and is CUDA_ERROR_NOT_SUPPORTED.
  CUresult Prepare(const softgpu::Kernel** kernel);
  bool prepared() const { return kernel_.load(std::memory_order_acquire) != nullptr; }

 private:
  std::mutex mutex_;
  std::atomic<const softgpu::Kernel*> kernel_{nullptr};
  bool refused_ = false;
};

// A CUmodule: a linked program with its variables in the memory of a context. Thread-safe.
class Module : public Object {
 public:
  static constexpr Kind kKind = Kind::kModule;

  // Gives `linked`, which nobody else may have placed, device memory for its variables. `library` is null for modules
  // of the application's own.
  static Outcome Create(Context& context, std::shared_ptr<softgpu::Module> linked, bool uses_heap, Library* library,
                        std::shared_ptr<Module>* module);

  Module(Context& context, std::shared_ptr<softgpu::Module> linked, bool uses_heap, Library* library,
         uint64_t variables);

  Context& context;  // outlives the module
  const std::shared_ptr<softgpu::Module> linked;
  const bool uses_heap;
  Library* const library;

  const void* owner() const override { return &context; }

  // Null when the module has no such kernel. `settings` is used when the function is made now; null makes some.
  std::shared_ptr<Function> FindFunction(std::string_view name, std::shared_ptr<FunctionSettings> settings = nullptr);

  // Frees the variables' memory and makes the handles of module and functions invalid. No work may use it any more.
  void Release();

 private:
  const uint64_t variables_;  // device address; 0 for none

  std::mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Function>> functions_;
};

// What cuFuncGetAttribute and cuKernelGetAttribute say of the attribute with this number; nullopt when there is none.
std::optional<int> FunctionAttribute(unsigned attribute, const KernelInfo& info, const FunctionSettings& settings,
                                     const LaunchLimits& limits);

// cuFuncSetAttribute and cuKernelSetAttribute.
CUresult SetFunctionAttribute(unsigned attribute, int value, const KernelInfo& info, FunctionSettings* settings,
                              const LaunchLimits& limits);

// cuFuncGetParamInfo and cuKernelGetParamInfo.
CUresult FunctionParamInfo(const KernelInfo& info, size_t index, size_t* offset, size_t* size);

// Threads of a block and registers of a thread that a launch has to count with. The engine has no registers to run out
// of; so this stands for a compiler that makes every kernel fit into a block as large as its bounds allow.
unsigned MaxThreads(const KernelInfo& info, const LaunchLimits& limits);
unsigned Registers(const KernelInfo& info, const LaunchLimits& limits);

// The most dynamic shared memory that a launch may ask for now, in bytes.
unsigned MaxDynamicShared(const KernelInfo& info, const FunctionSettings& settings, const LaunchLimits& limits);

}  // namespace outboard::softgpu::api
