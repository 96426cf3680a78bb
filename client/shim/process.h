#pragma once

#include <cuda.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "client/session/session.h"
#include "common/base/process_mark.h"
#include "common/interop/interop.h"

namespace outboard::shim {

class Arrays;          // arrays.h: CUDA arrays and what they are
class ContextObjects;  // context_objects.h: which context streams, events and arrays belong to
class Contexts;        // contexts.h: contexts of this process and their health
class GraphModel;      // graph_model.h: graphs and captures
class HostCalls;       // host_calls.h: host functions and stream callbacks, and the one thread that runs them
class Memory;          // memory.h: device and host ranges by address; landing and pulling
class MemoryPools;     // memory_pools.h: memory pools and the devices that they are of
class Modules;         // modules.h: modules, libraries, kernels, functions
class Textures;        // textures.h: texture and surface objects and what they are made of

// Everything that this library keeps for the process: its one global. Made by the first call, never destroyed, because
// NVIDIA's runtime calls from exit handlers that run after static destructors.
//
// Thread-safe.
class Process final : public client::SessionEvents, public interop::Host {
 public:
  // A child forked before cuInit gets an object of its own; one forked after it keeps its parent's, of which nothing
  // works any more.
  static Process& Get();

  // cuInit: opens the session, once; later calls return what the first did. In a forked child of a process that had
  // called it: CUDA_ERROR_NOT_INITIALIZED.
  CUresult Init();

  // What a call begins with: CUDA_ERROR_NOT_INITIALIZED before Init and in a forked child, CUDA_ERROR_NOT_PERMITTED in
  // a host function, CUDA_ERROR_DEINITIALIZED when the process is exiting, the session's own error when it is lost,
  // else CUDA_SUCCESS.
  CUresult Enter() const;

  // Whether this is a child forked after Init.
  bool IsForkedChild() const { return state_.load(std::memory_order_acquire) != State::kNew && !mark_.InMaker(); }

  // After a successful Init.
  client::Session& session() { return *session_; }
  const wire::WorkerHello& worker() const { return session_->worker(); }
  Arrays& arrays() { return *arrays_; }
  ContextObjects& context_objects() { return *context_objects_; }
  Contexts& contexts() { return *contexts_; }
  GraphModel& graph_model() { return *graph_model_; }
  HostCalls& host_calls() { return *host_calls_; }
  Memory& memory() { return *memory_; }
  MemoryPools& memory_pools() { return *memory_pools_; }
  Modules& modules() { return *modules_; }
  Textures& textures() { return *textures_; }

  // Everything that the client kept of a context which is gone, or of a primary context that was reset: its objects,
  // its memory, and what runtimes stored in it, whose destructors run.
  void ForgetContext(CUcontext context);
  // The same of a green context and its context. What its streams have done so far is known of, and their handles stay:
  // the driver has an answer for who uses them.
  void ForgetGreenContext(CUgreenCtx green, CUcontext context);

  // True at the first call with this name.
  bool FirstMention(const char* name);

  // The orderly end of the session, when the process exits. Calls that come later return cleanly.
  void Exit();

  // client::SessionEvents, passed on to the members.
  bool Land(uint64_t host_address, std::span<const std::byte> bytes) override;
  bool LandBox(const Box& to, const BoxExtent& extent, std::span<const std::byte> bytes) override;
  void HostFunction(uint64_t call, CUresult status) override;
  void Pull(uint64_t pull, uint64_t offset, uint64_t bytes) override;
  void Output(std::string_view text) override;
  void ErrorOutput(std::string_view text) override;

  // interop::Host (process_interop.cc).
  CUresult CurrentContext(CUcontext* context) override;
  CUresult PrimaryContext(CUdevice device, CUcontext* context) override;
  CUresult ContextId(CUcontext context, unsigned long long* id) override;
  CUresult StreamId(CUcontext context, CUstream stream, unsigned long long* id) override;
  CUresult ModuleFunctions(CUmodule module, std::vector<CUfunction>* functions) override;
  int DriverVersion() override;
  std::vector<interop::DeviceIdentity> Devices() override;

 private:
  enum class State { kNew, kReady, kExiting };

  Process();
  ~Process();
  CUresult Open();
  CUresult WhyNotReady() const;
  // In a forked child: lets go of the parent's connection, so that its end is seen.
  void AbandonSession();

  const ProcessMark mark_;
  std::once_flag init_once_;
  CUresult init_result_ = CUDA_ERROR_NOT_INITIALIZED;
  std::atomic<State> state_{State::kNew};
  std::atomic<bool> abandoned_{false};
  std::unique_ptr<client::Session> session_;
  const std::unique_ptr<Arrays> arrays_;
  const std::unique_ptr<ContextObjects> context_objects_;
  const std::unique_ptr<Contexts> contexts_;
  const std::unique_ptr<GraphModel> graph_model_;
  const std::unique_ptr<HostCalls> host_calls_;
  const std::unique_ptr<Memory> memory_;
  const std::unique_ptr<MemoryPools> memory_pools_;
  const std::unique_ptr<Modules> modules_;
  const std::unique_ptr<Textures> textures_;
  std::mutex mentioned_mutex_;
  std::set<std::string_view> mentioned_;
};

}  // namespace outboard::shim
