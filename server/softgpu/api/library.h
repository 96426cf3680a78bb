#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/image/image.h"
#include "server/softgpu/api/module.h"

namespace outboard::softgpu::api {

// A CUkernel: a kernel of a library, in no context of its own. Thread-safe.
class Kernel : public Object {
 public:
  static constexpr Kind kKind = Kind::kKernel;

  Kernel(std::shared_ptr<Library> library, KernelInfo info) : library(std::move(library)), info(std::move(info)) {}

  const std::shared_ptr<Library> library;
  const KernelInfo info;

  // The settings that its functions on that device share.
  std::shared_ptr<FunctionSettings> SettingsFor(const Device& device);

  // Its function in a context, whose module is made at the first call. The context is active.
  CUresult FunctionIn(Context& context, std::shared_ptr<Function>* function);

 private:
  std::mutex mutex_;
  std::map<CUdevice, std::shared_ptr<FunctionSettings>> settings_;
  std::vector<std::pair<uint64_t, std::shared_ptr<Function>>>
      functions_;  // by activation of a context, the last used one first
};

// A CUlibrary: code that is loaded into each context that uses it. Thread-safe.
class Library : public Object, public std::enable_shared_from_this<Library> {
 public:
  static constexpr Kind kKind = Kind::kLibrary;

  // The images are read when something of them is asked for, and must stay as they are until the library is unloaded.
  Library(Driver& driver, std::vector<image::Extent> images, int compute_capability);
  // A library whose program is loaded already.
  Library(Driver& driver, Program program, int compute_capability);

  // Reads and links the code if that has not happened. Failures are logged and repeated.
  CUresult Load();

  // For a loaded library.
  std::shared_ptr<Kernel> FindKernel(std::string_view name);  // null when there is none
  std::vector<std::string> KernelNames() const;
  CUresult ModuleIn(Context& context, std::shared_ptr<Module>* module);

  // Frees what the library has in the contexts that still live, and makes all handles invalid.
  void Unload();

 private:
  struct Instance {
    uint64_t activation;
    std::shared_ptr<Context> context;
    std::shared_ptr<Module> module;
  };

  Driver& driver_;
  const std::vector<image::Extent> images_;
  const int compute_capability_;

  mutable std::mutex mutex_;
  std::optional<Program> program_;
  std::optional<CUresult> loaded_;
  std::shared_ptr<softgpu::Module> linked_;  // the first instance is made of it
  bool linked_is_placed_ = false;
  std::map<std::string, std::shared_ptr<Kernel>, std::less<>> kernels_;
  std::vector<Instance> instances_;
};

}  // namespace outboard::softgpu::api
