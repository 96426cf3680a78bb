#pragma once

#include <cuda.h>

#include <cstdint>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "server/driver/driver_table.h"

namespace outboard::worker {

class Allocations;
struct LeasedDevice;

// CUDA arrays and mipmapped arrays of one session: charged to the lease as what they take in tiles (ArrayBytes) before
// the driver is asked for them, and cleared before the client hears of them.
//
// Thread-safe. The functions work on the calling thread's current context, as the driver's do.
class Arrays {
 public:
  // All outlive this.
  // `clears`: see Session::Config.
  Arrays(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, Allocations* allocations,
         bool clears = true);
  ~Arrays();  // refunds what is left; the memory itself goes with the process
  Arrays(const Arrays&) = delete;
  Arrays& operator=(const Arrays&) = delete;

  // cuArray3DCreate. CUDA_ERROR_OUT_OF_MEMORY past the slice; CUDA_ERROR_NOT_SUPPORTED for arrays whose memory is
  // mapped later, and for formats that cannot be cleared.
  CUresult Create(CUarray* array, const CUDA_ARRAY3D_DESCRIPTOR* descriptor);
  CUresult Destroy(CUarray array);

  // The same for cuMipmappedArrayCreate.
  CUresult CreateMipmapped(CUmipmappedArray* mipmapped, const CUDA_ARRAY3D_DESCRIPTOR* descriptor, unsigned levels);
  CUresult DestroyMipmapped(CUmipmappedArray mipmapped);
  // The arrays of its levels: they end with it.
  std::vector<CUarray> LevelsOf(CUmipmappedArray mipmapped) const;

  // The context was destroyed, and the arrays of it.
  void ForgetContext(CUcontext context);

 private:
  struct Entry {
    uint64_t charged = 0;  // bytes
    CUcontext context = nullptr;
    const LeasedDevice* device = nullptr;
    std::vector<CUarray> levels;  // of a mipmapped array
  };

  template <class Handle, class CreateIt, class ClearIt>
  CUresult Charged(Handle* handle, uint64_t bytes, CreateIt create, ClearIt clear);
  template <class Handle>
  CUresult End(Handle handle, CUresult (*destroy)(Handle));
  CUresult Clear(CUcontext context, CUarray array, const CUDA_ARRAY3D_DESCRIPTOR& descriptor);

  const driver::DriverTable& driver_;
  const std::span<const LeasedDevice> devices_;
  Allocations& allocations_;
  const bool clears_;

  mutable std::mutex mutex_;
  std::unordered_map<void*, Entry> entries_;  // by CUarray or CUmipmappedArray
};

}  // namespace outboard::worker
