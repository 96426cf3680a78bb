#pragma once

#include <cuda.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "common/wire/private.h"
#include "server/driver/driver_table.h"
#include "server/slice/ledger.h"
#include "server/worker/aside_ranges.h"

namespace outboard::worker {

class Shares;
struct LeasedDevice;

// Memory pools of one session. What the driver keeps reserved for a pool is charged to the lease, also while nobody
// uses it: an allocation is charged before the driver is asked, and what the pool has come to is read afterwards. The
// driver gives memory back when the application synchronises, so the charges are corrected then (Settle), and whenever
// somebody wants to know what is left.
//
// Memory of another process's pool is charged to that process: with the rest of its pool, and beyond the end of the
// allocation there for as long as one of the others has it open.
//
// Thread-safe. No lock is held while the driver runs.
class MemoryPools {
 public:
  // All outlive this.
  // `clears`: see Session::Config.
  MemoryPools(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, AsideRanges* aside,
              Shares* shares, bool clears = true);
  ~MemoryPools();  // refunds what is left; the memory itself goes with the process
  MemoryPools(const MemoryPools&) = delete;
  MemoryPools& operator=(const MemoryPools&) = delete;

  // cuMemPoolCreate and cuDeviceGetDefaultMemPool, for a device as the driver counts them.
  CUresult Create(CUmemoryPool* pool, CUdevice ordinal, size_t max_bytes, CUmemAllocationHandleType types);
  CUresult GetDefault(CUmemoryPool* pool, CUdevice ordinal);
  // cuMemPoolDestroy. For the driver the pool lives on until all of its memory has been freed: it could not be asked
  // any more what it keeps.
  CUresult Destroy(CUmemoryPool pool);
  CUresult TrimTo(CUmemoryPool pool, size_t bytes);

  // cuMemPoolExportToShareableHandle, cuMemPoolImportFromShareableHandle, cuMemPoolExportPointer and
  // cuMemPoolImportPointer, by names within the lease. An imported pool allocates nothing; what is imported from one is
  // freed like what was allocated. CUDA_ERROR_INVALID_VALUE for a name that is none (any more), and for one of this
  // session.
  CUresult Export(OutboardShare* share, CUmemoryPool pool);
  CUresult Import(CUmemoryPool* pool, CUdevice* device, const OutboardShare& share);
  CUresult ExportPointer(OutboardShare* share, CUdeviceptr address);
  CUresult ImportPointer(CUdeviceptr* address, uint64_t* bytes, CUmemoryPool pool, const OutboardShare& share);

  // cuMemAllocFromPoolAsync and cuMemAllocAsync; zeroed in the order of the stream. CUDA_ERROR_OUT_OF_MEMORY past the
  // slice.
  CUresult Allocate(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream);
  CUresult AllocateFromCurrent(CUdeviceptr* address, size_t bytes, CUstream stream);

  // Whether a pool gave this memory: then it is freed here.
  bool Has(CUdeviceptr address) const;
  CUresult Free(CUdeviceptr address);
  CUresult FreeAsync(CUdeviceptr address, CUstream stream);
  // Frees what was allocated in this stream, and gives out no address of it again.
  CUresult SetAside(CUdeviceptr address, CUstream stream);

  // Corrects the charges by what the pools keep now. While one thread does that, others go on, and it does it again.
  void Settle();
  // Gives back what the pools keep and nobody uses. False when they have nothing.
  bool ReleaseUnused();
  // Frees everything; for the end of the session. The work that used it is done, and a context is current.
  void FreeAll();
  // The driver has destroyed it, when its work was done.
  void ForgetContext(CUcontext context);
  bool empty() const { return InUse().empty(); }  // they have nothing

 private:
  // Sizes in bytes.
  struct Pool {
    const LeasedDevice* device = nullptr;
    bool is_own = false;                      // the client made it, or imported it
    bool is_imported = false;                 // of another process: nothing is charged here
    std::optional<OutboardShare> share = {};  // by which others have it
    bool is_destroyed = false;                // for the client; goes when nothing of it is used
    uint64_t live = 0;                        // allocations that were not freed
    uint64_t charged = 0;                     // to the lease, without what allocations under way have charged
    uint64_t kept = 0;                        // by the driver, as it said last
    uint64_t reading = 0;                     // number of the reading that told
    uint64_t begun = 0;                       // allocations so far
    unsigned allocating = 0;                  // of them, those under way
    unsigned users = 0;                       // that will call the driver with it
  };
  struct Live {
    CUmemoryPool pool;
    uint64_t bytes;
    uint64_t number;                             // among all allocations, no other's
    std::optional<slice::ExportName> name = {};  // by which others have it, or we have it of another
  };
  // An imported allocation whose end a stream has still to reach: then the ledger hears of it.
  struct Closing {
    CUmemoryPool pool;
    slice::ExportName name;
    CUcontext context;
    CUevent event;  // null: what the stream does could not be seen; when the session ends
  };
  class User;

  const LeasedDevice* FindDevice(CUdevice ordinal) const;
  bool IsImported(CUmemoryPool pool) const;
  std::vector<CUmemoryPool> InUse() const;
  void Add(CUmemoryPool pool, const LeasedDevice* device, bool is_own);
  CUresult AllocateCharged(CUdeviceptr* address, size_t bytes, CUmemoryPool pool, CUstream stream);
  bool Correct(CUmemoryPool pool, uint64_t held, unsigned allocations_ended);
  void SettleAll();
  void EndIfUnused(CUmemoryPool pool);
  template <class End>
  CUresult FreeBy(CUdeviceptr address, End end, std::optional<CUstream> stream);
  bool MayEnd(const LeasedDevice& device, const Live& live);
  Closing RecordBehind(CUstream stream);
  void CloseImport(CUmemoryPool pool, const slice::ExportName& name);
  bool CloseEnded();

  const driver::DriverTable& driver_;
  const std::span<const LeasedDevice> devices_;
  AsideRanges& aside_;
  Shares& shares_;
  const bool clears_;
  std::atomic<int> settling_{0};  // calls of Settle that the thread which is at it has not seen done

  std::mutex closing_mutex_;  // held while the driver is asked for the ends of imported allocations
  std::mutex sharing_mutex_;  // held while a pool is exported for the first time
  mutable std::mutex mutex_;
  uint64_t readings_ = 0;  // guarded by mutex_, as is what follows
  uint64_t allocations_ = 0;
  std::map<CUmemoryPool, Pool> pools_;
  std::unordered_map<CUdeviceptr, Live> live_;
  std::vector<Closing> closing_;
};

}  // namespace outboard::worker
