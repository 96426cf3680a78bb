#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "client/shim/memory_landings.h"
#include "client/shim/memory_pulls.h"
#include "client/shim/memory_reservations.h"
#include "client/shim/virtual_memory.h"
#include "common/base/range_map.h"
#include "common/wire/handle.h"

namespace outboard::shim {

class GraphMemory;  // graph_memory.h: what allocation nodes of graphs stand for
class Process;

// A range of device memory that the application knows.
struct DeviceMemory {
  CUcontext context;  // null for memory of a pool, which is no context's
  CUdevice device;
  uint64_t id;                            // unique in the process, as CU_POINTER_ATTRIBUTE_BUFFER_ID
  wire::HandleId module = 0;              // whose variable it is; 0 for an allocation of the application's
  std::optional<CUmemoryPool> pool = {};  // that gave it; null for the device's default pool
  bool sync_memops = false;               // synchronous calls on it wait (CU_POINTER_ATTRIBUTE_SYNC_MEMOPS)
  bool of_graph = false;                  // graph_memory, which may be over
  std::weak_ptr<GraphMemory> graph_memory = {};
  unsigned opened = 0;    // of another process, by cuIpcOpenMemHandle, so often; 0 for our own
  bool exported = false;  // others may have it open

  // Whether cuMemAlloc gave it, and cuMemFree takes it.
  bool IsPlain() const { return module == 0 && !pool && opened == 0 && !of_graph; }
};
using DeviceRange = Range<DeviceMemory>;

// A range of page-locked host memory: one of ours (cuMemHostAlloc), or the application's own (cuMemHostRegister).
struct HostMemory {
  CUcontext context;
  CUdevice device;
  uint64_t id;
  unsigned flags;            // as given to the call
  bool is_registered;        // the application's own
  bool sync_memops = false;  // as of DeviceMemory
};
using HostRange = Range<HostMemory>;

// What this process knows of addresses: which are device memory and which page-locked host memory, and which host
// memory copies under way still read or write (docs/architecture.md, "Host memory has times").
//
// Thread-safe. Lookups do not allocate.
class Memory {
 public:
  // `process` outlives this.
  explicit Memory(Process& process) : process_(process) {}

  // Where the worker is asked to place device memory: made once, for the hello. Empty when there is none.
  Arena MakeArena();
  // For tests whose worker lives in this process and so holds its device addresses itself.
  void DoNotReserveForTesting() { reservations_.DoNotMapForTesting(); }

  // Notes device memory that the worker gave, and reserves its addresses. False when something of this process lies
  // there. What overlapped it was freed without our hearing of it.
  [[nodiscard]] bool AddDevice(uint64_t begin, uint64_t size, CUcontext context, CUdevice device,
                               wire::HandleId module = 0);
  // The same for memory that a pool gave. The worker may give the addresses again at any time after they were freed, so
  // they stay reserved for the life of the process; address space is all that costs.
  [[nodiscard]] bool AddPooled(uint64_t begin, uint64_t size, CUdevice device, CUmemoryPool pool);
  std::optional<DeviceRange> FindDevice(uint64_t address) const { return device_.Find(address); }
  // Whether the range lies in one piece of device memory of this context, which is one of `device`, or of a pool of
  // that device, or in what is mapped for that device to read and write, so that the driver lets work in the context
  // use it.
  bool Has(CUcontext context, CUdevice device, uint64_t address, uint64_t bytes) const;
  // Takes out the application's allocation that begins at `begin`, before the worker frees it. Its addresses stay
  // reserved until Release or PutBack, and those of a pool beyond that.
  std::optional<DeviceRange> TakeDevice(uint64_t begin);
  void Release(const DeviceRange& range) { reservations_.Release(range.begin, range.size); }
  void PutBack(const DeviceRange& range);
  // What was allocated at `begin` is memory of a graph: TakeDevice leaves it alone, and FindOfGraph finds it.
  void BecomesOfGraph(uint64_t begin, const std::shared_ptr<GraphMemory>& memory);
  std::shared_ptr<GraphMemory> FindOfGraph(uint64_t begin) const;  // null for what is none
  // Takes out such a range whose object is over.
  std::optional<DeviceRange> TakeOfGraph(uint64_t begin);
  // Memory of another process: counts how often it is open, and reserves its addresses while it is. False when
  // something of this process lies there.
  [[nodiscard]] bool AddOpened(uint64_t begin, uint64_t size, CUcontext context, CUdevice device);
  // Counts down. The range as it was; nullopt when there is none that begins there.
  std::optional<DeviceRange> CloseOpened(uint64_t begin);
  void NoteExported(uint64_t address) {
    device_.Update(address, [](DeviceMemory* info) { info->exported = true; });
  }
  // Sets sync_memops of the range that the address is in. False when it is in none that is known.
  [[nodiscard]] bool SetSyncMemops(uint64_t address, bool sync_memops);
  // Also true of memory that other processes have: when a synchronous call has returned, they may be told.
  bool SyncsMemops(uint64_t address) const;
  // Reserves addresses that the worker has reserved (cuMemAddressReserve), for what will be mapped there. False when
  // something of this process lies there.
  [[nodiscard]] bool ReserveRange(uint64_t begin, uint64_t size) { return reservations_.Reserve(begin, size); }
  void ReleaseRange(uint64_t begin, uint64_t size) { reservations_.Release(begin, size); }
  VirtualMemory& virtual_memory() { return virtual_memory_; }
  const VirtualMemory& virtual_memory() const { return virtual_memory_; }
  // Whether device memory is there, allocated or mapped.
  bool IsDeviceMemory(uint64_t address) const { return device_.Find(address) || virtual_memory_.Find(address); }

  // What a module or library, or a context, had in device memory is gone.
  void ForgetModule(wire::HandleId module);
  void ForgetContext(CUcontext context);

  // Whether the address can only be a device's: known, or kept for the worker.
  bool IsDeviceAddress(uint64_t address) const { return device_.Find(address) || reservations_.Holds(address); }

  // False when a part of the range is page-locked already.
  [[nodiscard]] bool AddHost(uint64_t begin, uint64_t size, HostMemory info);
  std::optional<HostRange> FindHost(uint64_t address) const { return host_.Find(address); }
  // Takes out the range that begins at `begin`, of the wanted kind, with the id that FindHost told.
  std::optional<HostRange> TakeHost(const HostRange& range);
  bool IsPinned(uint64_t address, uint64_t bytes) const;

  // Streams may wait for a value that the application itself has still to write, so host memory that work in them
  // reads may change until then, and a thread that waits for one may wait for another thread. Never unset: when such a
  // wait is over is not known here.
  void NoteStreamWait() { streams_may_wait_.store(true, std::memory_order_release); }
  bool streams_may_wait() const { return streams_may_wait_.load(std::memory_order_acquire); }

  // Copies that nobody waits for.
  Landings& landings() { return landings_; }
  Pulls& pulls() { return pulls_; }
  // Waits until no copy reads or writes the range of host memory. CUDA_SUCCESS at once when none is outstanding.
  CUresult DrainHost(uint64_t begin, uint64_t size);

  // client::SessionEvents, passed on by Process.
  bool Land(uint64_t host_address, std::span<const std::byte> bytes) { return landings_.Land(host_address, bytes); }
  void Pull(uint64_t pull, uint64_t offset, uint64_t bytes);

  uint64_t NextId() { return last_id_.fetch_add(1, std::memory_order_relaxed) + 1; }

 private:
  void Add(uint64_t begin, uint64_t size, const DeviceMemory& info);
  template <class Predicate>
  void Forget(Predicate wanted);

  Process& process_;
  std::atomic<uint64_t> last_id_{0};
  std::atomic<bool> streams_may_wait_{false};
  RangeMap<DeviceMemory> device_;
  RangeMap<HostMemory> host_;
  VirtualMemory virtual_memory_;
  Reservations reservations_;
  std::mutex opened_mutex_;  // held while DeviceMemory::opened changes
  Landings landings_;
  Pulls pulls_;
};

}  // namespace outboard::shim
