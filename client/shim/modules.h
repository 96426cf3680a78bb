#pragma once

#include <cuda.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "client/shim/memory_call.h"
#include "client/shim/modules_function.h"
#include "client/shim/modules_linkers.h"
#include "common/wire/handle.h"
#include "common/wire/private.h"

namespace outboard::shim {

class Process;

// The code of this process: modules, libraries, kernels and functions, each known by its handle and asked of the worker
// once.
//
// Thread-safe. No lock is held while the worker is asked. Find, which every launch begins with, does not allocate.
class Modules {
 public:
  // `process` outlives this.
  explicit Modules(Process& process) : process_(process) {}

  Linkers& linkers() { return linkers_; }

  // A number for the next code image on its way to the worker.
  uint64_t NextUpload() { return last_upload_.fetch_add(1, std::memory_order_relaxed) + 1; }

  // What the worker has loaded.
  void AddModule(CUmodule module, CUcontext context);
  void AddLibrary(CUlibrary library);
  // It is unloaded, and all that was in it is gone.
  void RemoveModule(CUmodule module);
  void RemoveLibrary(CUlibrary library);
  // The context is destroyed or reset: its modules and functions are gone, kernels and libraries are not.
  void ForgetContext(CUcontext context);

  // The same object for the same name, library or kernel, as long as it lives.
  CUresult GetFunction(const Current& current, CUmodule module, const char* name, CUfunction* function);
  // The first functions of a module, `most` or as many as it has, by their numbers; a driver may give them out without
  // loading them. On an error, those before it.
  CUresult GetFunctions(const Current& current, CUmodule module, unsigned most, std::vector<CUfunction>* functions);
  CUresult GetKernel(CUlibrary library, const char* name, CUkernel* kernel);
  CUresult GetFunctionOf(const Current& current, CUkernel kernel, CUfunction* function);
  CUresult GetModuleOf(const Current& current, CUlibrary library, CUmodule* module);

  // A function, or a kernel by its handle. Null for what is neither.
  std::shared_ptr<Function> Find(CUfunction function) const;
  // ... whose parameters are known, if the driver tells any: of a kernel that was named while no context was current they
  // are those of its function in the current one.
  std::shared_ptr<Function> FindToLaunch(CUfunction function);
  std::shared_ptr<Function> Find(CUkernel kernel) const { return Find(reinterpret_cast<CUfunction>(kernel)); }

 private:
  using Names = std::map<std::string, wire::HandleId, std::less<>>;
  struct Module {
    CUcontext context;
    Names functions;
  };
  struct Library {
    Names kernels;
    std::map<CUcontext, CUmodule> modules;
  };

  // The function of this name, which ask(&function, &info), a remote call, makes if it is not known yet.
  template <class Ask>
  CUresult FindFunction(const Current& current, CUmodule module, const char* name, Ask ask, CUfunction* function);
  // The shadow of what the worker has just made, with all its parameters.
  CUresult Describe(Function::Identity identity, const OutboardFunctionInfo& info,
                    std::shared_ptr<FunctionAttributes> attributes, std::shared_ptr<Function>* function);
  // The device whose attributes the worker tells: the current context's, or the first.
  CUdevice DeviceOfThread() const;
  // Takes out every function for which `wanted` holds. The caller holds mutex_.
  template <class Predicate>
  void EraseFunctions(Predicate wanted);

  Process& process_;
  Linkers linkers_;
  std::atomic<uint64_t> last_upload_{0};
  mutable std::shared_mutex mutex_;
  std::unordered_map<wire::HandleId, std::shared_ptr<Function>> functions_;  // guarded by mutex_, as is what follows
  std::unordered_map<wire::HandleId, Module> modules_;
  std::unordered_map<wire::HandleId, Library> libraries_;
  std::map<std::pair<wire::HandleId, CUcontext>, wire::HandleId> functions_of_kernels_;
};

}  // namespace outboard::shim
