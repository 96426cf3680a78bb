#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "common/libcuda/handles.h"
#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

class Device;
class MemoryPool;

// The memory pools of this process: each device's default one, made when it is first asked for, and the application's.
// Thread-safe.
class MemoryPools {
 public:
  // `handles` outlives this.
  explicit MemoryPools(HandleTable& handles) : handles_(handles) {}

  std::shared_ptr<MemoryPool> Create(Device& device, uint64_t max_bytes, bool shareable);
  // A pool of another process, which shares it; it allocates nothing here. Null for a pool of this process.
  std::shared_ptr<MemoryPool> Import(Device& device, uint64_t number);
  // No default pool. Its handle is invalid from now on; the pool lives on for the allocations that it has.
  void Destroy(const std::shared_ptr<MemoryPool>& pool);

  std::shared_ptr<MemoryPool> Default(Device& device);
  // What cuMemAllocAsync allocates from; the default pool until another one is set, and when that one is destroyed.
  std::shared_ptr<MemoryPool> Current(Device& device);
  void SetCurrent(const std::shared_ptr<MemoryPool>& pool);

  // Whether kernels of `device`, which is another than the pool's, may touch the pool's memory.
  void SetAccess(const std::shared_ptr<MemoryPool>& pool, const Device& device, bool may);
  // What `device` may touch of the pools of other devices than `left_out`.
  void AppendShared(const Device& device, std::span<const Device* const> left_out, ExtentTable* extents) const;

  // The application has waited for a stream, an event or a context.
  void Synchronized();
  // Gives back what pools of the device keep and nobody uses. Whether anything was given back.
  bool ReleaseUnused(const Device& device);

 private:
  std::shared_ptr<MemoryPool> Add(std::shared_ptr<MemoryPool> pool);
  std::vector<std::shared_ptr<MemoryPool>> All() const;

  HandleTable& handles_;

  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<MemoryPool>> pools_;  // guarded by mutex_, as is what follows; not destroyed ones
  std::map<const Device*, std::shared_ptr<MemoryPool>> defaults_;
  std::map<const Device*, std::shared_ptr<MemoryPool>> currents_;  // where it is not the default one
  std::vector<std::weak_ptr<MemoryPool>> shared_;                  // with other devices, now or formerly
};

}  // namespace outboard::softgpu::api
