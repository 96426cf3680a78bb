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

namespace outboard::worker {

class Allocations;
struct LeasedDevice;

// What this session shares with others of its lease: memory and events. The driver shares between the workers; its own
// handles stay in the lease's ledgers, and the clients pass on names of places there. So a client opens only what a
// process of its lease has exported, and no handle of another lease, nor one of its own making, reaches the driver.
//
// Thread-safe. The functions work on the calling thread's current context, as the driver's do, and have its errors;
// CUDA_ERROR_INVALID_HANDLE for names that are none (any more), CUDA_ERROR_INVALID_CONTEXT for the session's own.
class Exports {
 public:
  // All outlive this.
  Exports(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, Allocations* allocations);
  ~Exports();  // closes in the ledger what is left; the driver's part goes with the process
  Exports(const Exports&) = delete;
  Exports& operator=(const Exports&) = delete;

  CUresult GetMemory(CUipcMemHandle* handle, CUdeviceptr address);
  // Also says how large the whole allocation is, and of which device of the driver's. Each one is to be closed.
  CUresult OpenMemory(CUdeviceptr* address, size_t* bytes, CUdevice* device, const CUipcMemHandle& handle,
                      unsigned flags);
  CUresult CloseMemory(CUdeviceptr address);
  // Whether memory of another process begins there.
  bool HasOpen(CUdeviceptr address) const;

  CUresult GetEvent(CUipcEventHandle* handle, CUevent event);
  CUresult OpenEvent(CUevent* event, const CUipcEventHandle& handle);

  // The driver has destroyed it, and with a context what was open in it.
  void ForgetEvent(CUevent event);
  void ForgetContext(CUcontext context);

 private:
  struct Opened {
    const LeasedDevice* device;
    slice::ExportName name;
    slice::Export what;
    CUcontext context;
    CUdeviceptr address = 0;  // 0 until the driver has told it
    unsigned times = 1;       // that the driver has opened it, or is about to
  };
  struct ExportedEvent {
    slice::ExportName name;
    CUcontext context;
  };

  CUresult Find(const void* handle, const LeasedDevice** device, slice::ExportName* name) const;
  CUresult CountUp(const LeasedDevice& device, const slice::ExportName& name, CUcontext context, slice::Export* what);
  template <class Wanted>
  bool CountDown(Wanted wanted);
  void Close(const Opened& opened);

  const driver::DriverTable& driver_;
  const std::span<const LeasedDevice> devices_;
  Allocations& allocations_;

  mutable std::mutex mutex_;
  std::vector<Opened> opened_;
  std::unordered_map<CUevent, ExportedEvent> events_;
};

}  // namespace outboard::worker
