#pragma once

#include <cuda.h>

#include <mutex>
#include <optional>
#include <unordered_map>

namespace outboard::shim {

// The memory pools of this process: which device each one is of, and which of them a device allocates from. A device's
// default pool has one handle for the life of the process. Thread-safe.
class MemoryPools {
 public:
  // Asks the worker at the first call for a device.
  CUresult GetDefault(CUdevice device, CUmemoryPool* pool);
  // The pool that cuMemAllocAsync allocates from.
  CUresult GetCurrent(CUdevice device, CUmemoryPool* pool);
  // The same, null for the default one; asks nobody.
  CUmemoryPool CurrentOrNull(CUdevice device) const;
  void SetCurrent(CUdevice device, CUmemoryPool pool);

  // Of the application's own making. Where a removed one was current, the default one is from now on.
  enum class Sharing { kPrivate, kShareable, kImported };
  void Add(CUmemoryPool pool, CUdevice device, Sharing sharing);
  void Remove(CUmemoryPool pool);

  // Nullopt for what is no pool.
  std::optional<CUdevice> DeviceOf(CUmemoryPool pool) const;
  bool IsOwn(CUmemoryPool pool) const;  // made by the application, so that it can be destroyed
  // Whether processes share it: may have it, or have it from another one, where it allocates nothing. kPrivate for what
  // is no pool.
  Sharing SharingOf(CUmemoryPool pool) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<CUdevice, CUmemoryPool> defaults_;  // guarded by mutex_, as is what follows
  std::unordered_map<CUdevice, CUmemoryPool> currents_;  // where it is not the default one
  struct Own {
    CUdevice device;
    Sharing sharing;
  };
  std::unordered_map<CUmemoryPool, Own> own_;
};

}  // namespace outboard::shim
