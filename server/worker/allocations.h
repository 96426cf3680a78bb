#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "server/driver/driver_table.h"
#include "server/slice/ledger.h"

namespace outboard::worker {

struct LeasedDevice;

// Device memory of one session: every byte is charged to the lease before the driver is asked for it, and zeroed before
// the client hears of it, so that nobody reads what a predecessor left.
//
// Thread-safe. The functions work on the calling thread's current context, as the driver's do.
class Allocations {
 public:
  // `driver` and `devices` outlive this.
  Allocations(const driver::DriverTable& driver, std::span<const LeasedDevice> devices);
  ~Allocations();  // refunds what is left; the memory itself goes with the process
  Allocations(const Allocations&) = delete;
  Allocations& operator=(const Allocations&) = delete;

  // cuMemAlloc. CUDA_ERROR_OUT_OF_MEMORY past the slice.
  CUresult Allocate(CUdeviceptr* address, size_t bytes);
  CUresult Free(CUdeviceptr address);
  // Frees, and gives out no address of this range again.
  CUresult SetAside(CUdeviceptr address);
  // cuMemGetInfo: what the slice and what the device has, the smaller of the two.
  CUresult Info(size_t* free, size_t* total);

  // The context was destroyed, and the memory of it with it.
  void ForgetContext(CUcontext context);

 private:
  struct Block {
    uint64_t charged = 0;  // bytes
    CUcontext context = nullptr;
    const LeasedDevice* device = nullptr;
  };
  struct Range {
    CUdeviceptr begin, end;
  };

  CUresult FindCurrent(CUcontext* context, const LeasedDevice** device) const;
  CUresult AllocateUsable(CUdeviceptr* address, size_t bytes);
  CUresult Zero(CUcontext context, CUdeviceptr address, size_t bytes);
  CUresult ZeroingStream(CUcontext context, CUstream* stream);
  // Of the range set aside in which one at `address` would lie, how many bytes follow from there; 0 if in none.
  size_t AsideBytes(CUdeviceptr address, size_t bytes) const;
  static void Refund(const Block& block);

  const driver::DriverTable& driver_;
  const std::span<const LeasedDevice> devices_;

  mutable std::mutex mutex_;
  std::map<CUdeviceptr, Block> blocks_;
  std::vector<Range> aside_;
  std::unordered_map<CUcontext, CUstream> zeroing_;  // by context: what its memory is cleared on
};

}  // namespace outboard::worker
