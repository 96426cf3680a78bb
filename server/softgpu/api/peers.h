#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

class Context;
class Device;

// Whose device memory kernels of one context may touch: its own device's, that of the contexts that it was given access
// to, pools of other devices that its own has access to, and what is mapped into address ranges for its device. Access
// to a context ends with that context. Memory that another process shares brings access to its device's.
//
// Thread-safe.
class Peers {
 public:
  // `owner` outlives this.
  explicit Peers(const Context& owner) : owner_(owner) {}

  // cuCtxEnablePeerAccess and cuCtxDisablePeerAccess, with their errors. `peer` is active.
  CUresult Enable(const Context& peer);
  CUresult Disable(const Context& peer);
  void DisableAll();
  // Memory of a device that another process shares, while it is open in the context.
  void Open(Device& device);
  void Close(const Device& device);

  // What a kernel may touch that starts now.
  std::shared_ptr<const ExtentTable> Memory() const;

 private:
  struct Peer {
    void* handle;         // of the context
    uint64_t activation;  // Context::id() then
    Device* device;
  };
  bool IsActive(const Peer& peer) const;

  const Context& owner_;
  mutable std::mutex mutex_;
  std::vector<Peer> peers_;
  std::vector<Device*> opened_;  // other devices, one for each piece of memory
};

// Whether a device reaches the other's memory: all software GPUs lie in one machine.
inline bool CanAccess(const Device& device, const Device& peer) { return &device != &peer; }

}  // namespace outboard::softgpu::api
