#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "common/base/process_mark.h"
#include "common/base/range_map.h"
#include "common/base/result.h"
#include "common/graphs/graphs.h"
#include "common/libcuda/handles.h"
#include "server/softgpu/api/check_reports.h"
#include "server/softgpu/api/device.h"
#include "server/softgpu/api/graph_condition.h"
#include "server/softgpu/api/graph_host.h"
#include "server/softgpu/api/graph_memory.h"
#include "server/softgpu/api/host_thread.h"
#include "server/softgpu/api/memory_pools.h"
#include "server/softgpu/api/own_memory.h"
#include "server/softgpu/api/textures.h"
#include "server/softgpu/api/virtual_memory.h"
#include "server/softgpu/device/config.h"
#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

// Device memory that the driver gave out.
struct Allocation {
  Device* device;
  const Context* context;  // compared, never dereferenced
  void* context_handle;
  uint64_t id;                                // CU_POINTER_ATTRIBUTE_BUFFER_ID
  bool of_module;                             // variables: not to be freed by cuMemFree
  std::shared_ptr<MemoryPool> pool;           // it comes from; then it is no context's. Null for others
  bool sync_memops = false;                   // synchronous calls on it wait (CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
  std::weak_ptr<GraphMemory> graph_memory{};  // it is; then it is no context's. Null for others
  unsigned opened = 0;                        // by cuIpcOpenMemHandle, so often; 0 for memory of this process

  // Whether cuMemAlloc gave it, and cuMemFree takes it.
  bool IsPlain() const { return !of_module && pool == nullptr && graph_memory.expired() && opened == 0; }
};

// Page-locked host memory.
struct Pinned {
  const Context* context;  // compared, never dereferenced
  void* context_handle;
  Device* device;
  uint64_t id;
  unsigned flags;            // as given to cuMemHostAlloc or cuMemHostRegister
  bool registered;           // the application's own memory
  bool sync_memops = false;  // as of Allocation
};

// The driver of this process. Thread-safe.
class Driver {
 public:
  // Made at the first use and never destroyed, since the runtime's exit handlers call after static destructors. A child
  // forked before cuInit gets a driver of its own; one forked after it keeps its parent's, whose lost() is true.
  static Driver& Get();

  // cuInit. Logs why it fails.
  CUresult Init();
  bool initialised() const { return initialised_.load(std::memory_order_acquire); }

  // This process was forked from one that had called cuInit. Nothing of this object may be used then.
  bool lost() const { return !mark_.InMaker(); }

  // The devices that this process may see; attached at the first call, which may come before cuInit. Empty when that
  // failed.
  const std::vector<std::unique_ptr<Device>>& devices();
  const std::vector<std::unique_ptr<Device>>& attached() const { return devices_; }  // only after Init
  // Null when there is no such device.
  Device* FindDevice(CUdevice ordinal);
  Device* FindDevice(const CUuuid& uuid);  // as other processes name it

  const Config& config() const { return config_; }
  Engine& engine() { return *engine_; }  // only after Init

  // The error that a kernel left behind; it stays for the life of the process. CUDA_SUCCESS while there is none.
  CUresult fault() const { return fault_.load(std::memory_order_acquire); }
  // Makes a kernel's fault sticky and logs it, or with Checks reports it; later ones are dropped.
  void Report(const Fault& fault);

  CheckReports check_reports{*this};

  // A number that no other object of this process has.
  uint64_t NextId() { return next_id_.fetch_add(1, std::memory_order_relaxed) + 1; }

  // Seed for the next thing that chaos shuffles; 0 while chaos is off.
  uint64_t NextChaos();

  // Whether the memory at the address has sync_memops.
  bool SyncsMemops(uint64_t address) const {
    if (const auto range = allocations.Find(address)) return range->info.sync_memops;
    if (const auto mapping = virtual_memory.Find(address)) return mapping->sync_memops;
    const auto range = pinned.Find(address);
    return range && range->info.sync_memops;
  }

  HandleTable handles;
  MemoryPools pools{handles};
  OwnMemory own_memory;
  VirtualMemory virtual_memory{handles, [this] { return NextId(); }};
  RangeMap<Allocation> allocations;
  RangeMap<Pinned> pinned;
  std::mutex ipc_mutex;  // held while memory of other processes is opened or closed
  Textures textures;
  HostThread host_thread;

  Conditions conditions;
  GraphHost graph_host{*this};
  outboard::graphs::Graphs graphs{handles, graph_host};

 private:
  Driver();
  void AttachDevices();
  void Tell(const Fault& fault);

  const ProcessMark mark_;
  Config config_;
  std::string config_error_;  // empty when the environment is well-formed

  std::once_flag attach_once_;
  std::string attach_error_;
  std::vector<std::unique_ptr<Device>> devices_;

  std::mutex init_mutex_;
  std::atomic<bool> initialised_{false};
  std::unique_ptr<Engine> engine_;

  std::mutex fault_mutex_;  // held while fault_ is set
  std::atomic<CUresult> fault_{CUDA_SUCCESS};
  std::atomic<uint64_t> next_id_{0};
};

}  // namespace outboard::softgpu::api
