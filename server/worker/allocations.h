#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "server/driver/driver_table.h"
#include "server/slice/ledger.h"
#include "server/worker/aside_ranges.h"

namespace outboard::worker {

struct LeasedDevice;

// What the drivers hand out memory in: smaller pieces cost as much, and are charged as much.
inline constexpr size_t kGranule = 512;
inline constexpr uint64_t WholeGranules(size_t bytes) { return (bytes + kGranule - 1) / kGranule * kGranule; }

// The calling thread's current context and its device.
CUresult FindCurrent(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, CUcontext* context,
                     const LeasedDevice** device);

// Device memory of one session: every byte is charged to the lease before the driver is asked for it, and zeroed before
// the client hears of it, so that nobody reads what a predecessor left.
//
// Thread-safe. The functions work on the calling thread's current context, as the driver's do.
class Allocations {
 public:
  // All outlive this.
  // `clears`: see Session::Config.
  Allocations(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, AsideRanges* aside,
              bool clears = true);
  ~Allocations();  // refunds what is left; the memory itself goes with the process
  Allocations(const Allocations&) = delete;
  Allocations& operator=(const Allocations&) = delete;

  // cuMemAlloc. CUDA_ERROR_OUT_OF_MEMORY past the slice.
  CUresult Allocate(CUdeviceptr* address, size_t bytes);
  CUresult Free(CUdeviceptr address);
  // cuMemFreeAsync. Refunded by RefundFreed, once the stream has got there.
  CUresult FreeAsync(CUdeviceptr address, CUstream stream);
  // False when there was nothing to refund.
  bool RefundFreed();
  // Frees, and gives out no address of this range again.
  CUresult SetAside(CUdeviceptr address);
  // cuIpcGetMemHandle for the allocation that contains `address`: its name in the ledger of `device`, the same each
  // time.
  CUresult Export(CUdeviceptr address, slice::ExportName* name, const LeasedDevice** device);
  // cuMemGetInfo: what the slice and what the device has, the smaller of the two. Either may be null, which NVIDIA's
  // driver does not refuse.
  CUresult Info(size_t* free, size_t* total);

  // The stream of its own that memory of this context, the current one, is cleared on: the application's streams
  // neither wait for it nor delay it.
  CUresult ClearingStream(CUcontext context, CUstream* stream);

  // The context was destroyed, and the memory of it with it.
  void ForgetContext(CUcontext context);

 private:
  struct Block {
    uint64_t charged = 0;  // bytes
    CUcontext context = nullptr;
    const LeasedDevice* device = nullptr;
    size_t bytes = 0;  // as asked for
    std::optional<slice::ExportName> exported = {};
  };
  // A block that a stream is to free, with an event of the stream's context behind that. Without one it stays charged
  // until its own context ends.
  struct Freed {
    CUevent event = nullptr;
    CUcontext context = nullptr;
    Block block = {};
  };

  CUresult AllocateCharged(CUdeviceptr* address, size_t bytes, const LeasedDevice& device);
  void FreeCharged(CUdeviceptr address, size_t bytes, const LeasedDevice& device);
  Block Take(CUdeviceptr address);
  std::map<CUdeviceptr, Block>::iterator FindBlock(CUdeviceptr address);
  Freed RecordBehind(CUstream stream);
  CUresult Zero(CUcontext context, CUdeviceptr address, size_t bytes);
  static void Refund(const Block& block);

  const driver::DriverTable& driver_;
  const std::span<const LeasedDevice> devices_;
  AsideRanges& aside_;
  const bool clears_;

  mutable std::mutex mutex_;
  std::map<CUdeviceptr, Block> blocks_;
  std::vector<Freed> freed_;
  std::unordered_map<CUcontext, CUstream> zeroing_;  // by context: what its memory is cleared on
};

}  // namespace outboard::worker
