#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>

#include "common/wire/private.h"
#include "server/driver/driver_table.h"

namespace outboard::worker {

class Contexts;
class Shares;
struct LeasedDevice;

// Virtual memory management of one session: the memory of cuMemCreate is charged to the lease before the driver is
// asked for it, and zeroed before the client has a handle of it. What is mapped where is kept as well, since memory
// that is mapped is not free: the client releases it when its last mapping is gone, which is held here.
//
// Memory of another process of the lease is charged to that one, also when it has ended (Shares).
//
// None of it is a context's. Thread-safe. No lock is held while the driver runs, but that one export waits for another.
class VirtualMemory {
 public:
  // All outlive this.
  // `clears`: see Session::Config.
  VirtualMemory(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, Contexts* contexts,
                Shares* shares, bool clears = true);
  ~VirtualMemory();  // refunds what is left; the memory itself goes with the process
  VirtualMemory(const VirtualMemory&) = delete;
  VirtualMemory& operator=(const VirtualMemory&) = delete;

  // cuMemCreate; the device is as the driver counts them. CUDA_ERROR_OUT_OF_MEMORY past the slice.
  CUresult Create(CUmemGenericAllocationHandle* handle, size_t bytes, const CUmemAllocationProp& props,
                  unsigned long long flags);
  // cuMemRelease; CUDA_ERROR_INVALID_VALUE while the memory is mapped. Refunds.
  CUresult Release(CUmemGenericAllocationHandle handle);

  // cuMemExportToShareableHandle and cuMemImportFromShareableHandle, by a name within the lease. What is imported is
  // released like any other. CUDA_ERROR_INVALID_VALUE for a name that is none (any more), and for one of this session.
  CUresult Export(OutboardShare* share, CUmemGenericAllocationHandle handle);
  CUresult Import(CUmemGenericAllocationHandle* handle, uint64_t* bytes, CUdevice* device, const OutboardShare& share);

  // The driver's calls, noted.
  CUresult Reserve(CUdeviceptr* address, size_t bytes, size_t alignment, CUdeviceptr wanted, unsigned long long flags);
  CUresult FreeRange(CUdeviceptr address, size_t bytes);
  CUresult Map(CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
               unsigned long long flags);
  CUresult Unmap(CUdeviceptr address, size_t bytes);

  // Unmaps, releases and frees everything; for the end of the session. The work that used it is done.
  void FreeAll();

 private:
  struct Memory {
    const LeasedDevice* device;
    uint64_t bytes;                      // charged, unless it is another process's
    uint64_t mappings = 0;               // with those that are being made
    std::optional<OutboardShare> share;  // by which others have it, or we have it of another
    unsigned imports = 0;                // times that the driver has given this handle for another process's memory
  };
  struct Mapping {
    uint64_t bytes;
    CUmemGenericAllocationHandle memory;
  };
  using Mappings = std::map<CUdeviceptr, Mapping>;

  CUresult CreateZeroed(CUmemGenericAllocationHandle* handle, size_t bytes, const CUmemAllocationProp& props,
                        unsigned long long flags);
  CUresult ZeroOn(CUdevice ordinal, CUmemGenericAllocationHandle handle, size_t bytes);
  CUresult Zero(CUdevice ordinal, CUmemGenericAllocationHandle handle, size_t bytes);
  CUresult ZeroAt(CUdeviceptr address, CUdevice ordinal, size_t bytes);
  void Refund(const Memory& memory);

  const driver::DriverTable& driver_;
  const std::span<const LeasedDevice> devices_;
  Contexts& contexts_;
  Shares& shares_;
  const bool clears_;

  std::mutex sharing_mutex_;  // held while memory is exported: of two exports the ledger would have the bytes twice
  mutable std::mutex mutex_;
  std::map<CUmemGenericAllocationHandle, Memory> memories_;  // guarded by mutex_, as is what follows
  Mappings mappings_;                                        // by where they begin
  std::map<CUdeviceptr, size_t> ranges_;                     // bytes by where they begin
};

}  // namespace outboard::worker
