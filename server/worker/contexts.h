#pragma once

#include <cuda.h>

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "server/driver/driver_table.h"

namespace outboard::worker {

struct LeasedDevice;

// Makes and ends the contexts of one session. What ends with a context is forgotten before any thread of the session
// can have that context again: a driver gives the same one out again, a device's primary context always. Otherwise what
// another thread has allocated in the new one would be refunded with the old one.
//
// Thread-safe. Devices are as the driver counts them. A primary context's lock is held while the driver runs: as in the
// drivers, who retains a context that is being reset waits for that. Other contexts have none, so that no thread waits
// for the end of a context that is not its own.
class Contexts {
 public:
  // What is done about a context that ends, by the thread that ends it.
  struct Ending {
    std::function<void(CUcontext)> before;  // it lives, and its work goes to its end
    std::function<void(CUcontext)> after;   // it is gone; calls no driver and waits for nobody
    // Nobody is to find this green context from here on, nor what it is as a context. If it lives, it is about to end,
    // and its work goes to its end; else it is gone.
    std::function<void(CUgreenCtx, CUcontext, bool lives)> green;
  };
  // Room in the slice for what the driver takes for a context.
  struct Room {
    std::function<bool(CUdevice)> make;               // before one is made; false: there is none
    std::function<void(CUdevice, bool is_made)> end;  // one was made, or was not
  };
  // `driver` outlives this. A context for which there is no room is not made: CUDA_ERROR_OUT_OF_MEMORY.
  Contexts(const driver::DriverTable& driver, std::span<const LeasedDevice> devices, Ending ending, Room room);

  // cuCtxCreate; the context is not left current.
  CUresult Create(CUcontext* context, unsigned flags, CUdevice device);
  // cuCtxDestroy. CUDA_ERROR_INVALID_CONTEXT while another thread is at it.
  CUresult Destroy(CUcontext context);

  // cuDevicePrimaryCtxRetain, -Release and -Reset. CUDA_ERROR_INVALID_DEVICE for devices that are not of the lease.
  // With the context its green contexts end.
  CUresult RetainPrimary(CUcontext* context, CUdevice device);
  CUresult ReleasePrimary(CUdevice device);
  CUresult ResetPrimary(CUdevice device);

  // cuGreenCtxCreate, and the context that the green one is (cuCtxFromGreenCtx). It uses the device's primary context,
  // which comes along.
  CUresult CreateGreen(CUgreenCtx* green, CUcontext* converted, CUcontext* primary, CUdevResourceDesc desc,
                       CUdevice device, unsigned flags);
  // cuGreenCtxDestroy; CUDA_ERROR_INVALID_CONTEXT for one that is not there. It is gone whatever the driver says, which
  // may be the failure of a kernel.
  CUresult DestroyGreen(CUgreenCtx green);

 private:
  struct Primary {
    std::mutex mutex;
    CUcontext context = nullptr;  // guarded by mutex, as is what follows; stays once it is known
    unsigned users = 0;           // who retained it, green contexts among them
  };

  struct Green {
    CUdevice device;
    CUcontext converted;
  };

  template <class Make>
  CUresult InRoom(CUdevice device, Make make);
  // By end(primary).
  template <class End>
  CUresult EndPrimary(CUdevice device, bool ends_all, End end);
  std::vector<CUgreenCtx> GreensOf(CUdevice device);
  // False when it is not there any more. The caller holds the mutex of its primary context.
  bool TakeGreen(CUgreenCtx green, bool lives);

  const driver::DriverTable& driver_;
  const Ending ending_;
  const Room room_;
  std::map<CUdevice, Primary> primaries_;  // of all devices of the lease; the map itself is constant

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<CUcontext> being_destroyed_;  // until what ends with it is forgotten
  std::map<CUgreenCtx, Green> greens_;   // changed under the primary context's mutex as well
};

}  // namespace outboard::worker
