#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <shared_mutex>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/libcuda/handles.h"
#include "common/libcuda/pointer_attributes.h"
#include "common/libcuda/virtual_ranges.h"
#include "server/softgpu/api/device.h"
#include "server/softgpu/device/address_range.h"
#include "server/softgpu/device/device_memory.h"
#include "server/softgpu/device/physical_memory.h"
#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu::api {

// What a descriptor holds that stands for memory in other processes. A plain value.
struct ShareableMemory {
  char magic[16] = "softgpu memory";
  CUuuid device;
  SharedAllocation memory;
};

// A CUmemGenericAllocationHandle: memory of one device, to be mapped into address ranges.
class PhysicalAllocation : public Object {
 public:
  static constexpr Kind kKind = Kind::kAllocation;

  PhysicalAllocation(const CUmemAllocationProp& props, Device& device, std::unique_ptr<PhysicalMemory> memory,
                     uint64_t id)
      : props(props), device(device), memory(std::move(memory)), id(id) {}

  const CUmemAllocationProp props;
  Device& device;
  const std::unique_ptr<PhysicalMemory> memory;
  const uint64_t id;

  CUmemGenericAllocationHandle cu() const { return reinterpret_cast<uint64_t>(handle()); }

 private:
  friend class VirtualMemory;
  uint64_t share = 0;     // by which other processes have it, 0 if they do not; guarded by VirtualMemory's mutex, as is
                          // what follows
  uint64_t users = 1;     // who made, retained or imported the handle
  uint64_t mappings = 0;  // of it, and those to come
};

// Device bytes in this process, and who keeps them there.
struct DeviceBytes {
  std::byte* bytes;
  std::shared_ptr<const void> keeper;  // null where nothing needs to
};

// Virtual memory management: address ranges of this process, memory, and what is mapped where. A handle is valid as
// long as it has users; the memory lives while the handle does or it is mapped.
//
// Nobody waits for work that is under way: from the moment of an unmapping kernels that begin do not find the memory,
// and what runs on finds memory that is nobody's.
//
// Thread-safe.
class VirtualMemory {
 public:
  // `handles` outlives this; next_id() gives numbers that nothing else in the process has.
  VirtualMemory(HandleTable& handles, std::function<uint64_t()> next_id)
      : handles_(handles), next_id_(std::move(next_id)) {}

  // The calls of these names, with their errors; what a pointer leads to is there.
  CUresult Reserve(CUdeviceptr* address, size_t bytes, size_t alignment, CUdeviceptr wanted);
  CUresult FreeRange(CUdeviceptr address, size_t bytes);
  void Create(CUmemGenericAllocationHandle* handle, const CUmemAllocationProp& props, Device& device,
              std::unique_ptr<PhysicalMemory> memory);
  CUresult Release(CUmemGenericAllocationHandle handle);
  CUresult Retain(CUmemGenericAllocationHandle* handle, CUdeviceptr address);
  // What other processes import it by. CUDA_ERROR_INVALID_VALUE for memory that was not made for that.
  CUresult Export(ShareableMemory* shared, CUmemGenericAllocationHandle handle);
  // One user more of what this process has already. CUDA_ERROR_INVALID_VALUE for what is gone.
  CUresult Import(CUmemGenericAllocationHandle* handle, const ShareableMemory& shared, Device& device);
  CUresult PropsOf(CUmemAllocationProp* props, CUmemGenericAllocationHandle handle) const;
  CUresult Map(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle handle);
  CUresult Unmap(CUdeviceptr address, size_t bytes);
  // `accesses` are checked, and their devices exist.
  CUresult SetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* accesses, size_t count);
  CUresult GetAccess(unsigned long long* flags, CUdevice device, CUdeviceptr address) const;

  bool IsReserved(CUdeviceptr address) const;
  std::optional<VirtualMapping> Find(CUdeviceptr address) const;
  PointerFacts FactsOf(CUdeviceptr address, CUdevice device) const;
  bool SetSyncMemops(CUdeviceptr address, bool sync_memops);
  // Nullopt where the device may not do that with all of the bytes.
  std::optional<DeviceBytes> FindBytes(CUdevice device, CUdeviceptr address, uint64_t bytes, bool writes) const;
  // What kernels of the device may touch. An immutable snapshot, null for nothing; what it names stays in place as long
  // as it lives.
  std::shared_ptr<const ExtentTable> Extents(CUdevice device) const;

 private:
  std::shared_ptr<PhysicalAllocation> FindUsable(CUmemGenericAllocationHandle handle) const;
  void EndIfUnused(const PhysicalAllocation& allocation);
  const std::shared_ptr<AddressRange>& RangeOf(CUdeviceptr address) const;
  std::shared_ptr<const ExtentTable> MakeExtents(CUdevice device) const;
  void ForgetExtents();

  HandleTable& handles_;
  const std::function<uint64_t()> next_id_;

  mutable std::shared_mutex mutex_;
  VirtualRanges ranges_;                                                 // guarded by mutex_, as is what follows
  std::map<CUdeviceptr, std::shared_ptr<AddressRange>> address_ranges_;  // by where they begin
  std::map<std::pair<const Device*, uint64_t>, CUmemGenericAllocationHandle> shared_;  // by PhysicalAllocation::share
  mutable std::array<std::shared_ptr<const ExtentTable>, kMaxDevices> extents_;        // null when out of date
};

}  // namespace outboard::softgpu::api
