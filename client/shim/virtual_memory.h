#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "common/libcuda/pointer_attributes.h"
#include "common/libcuda/virtual_ranges.h"
#include "common/wire/private.h"

namespace outboard::shim {

// Virtual memory management as the client knows it: the ranges that the program reserved, what is mapped in them, who
// may touch it, and how often each handle was given out. The worker releases memory when its last user and its last
// mapping are gone, and not before, so that a handle which the program has released can be had again from an address
// (cuMemRetainAllocationHandle).
//
// Thread-safe. Lookups do not allocate.
class VirtualMemory {
 public:
  using Handle = CUmemGenericAllocationHandle;

  // Ranges, as the worker gave them.
  void AddRange(CUdeviceptr begin, size_t size);
  // Takes out a range that is exactly this one and has no mapping; false for any other.
  [[nodiscard]] bool TakeRange(CUdeviceptr begin, size_t size);

  // Memory, with one user. `id`: of the memory, unique in the process. `share`: by which another process shares it.
  void AddMemory(Handle handle, size_t bytes, const CUmemAllocationProp& props, uint64_t id,
                 const std::optional<OutboardShare>& share = {});
  // Nullopt for a handle without users.
  std::optional<CUmemAllocationProp> PropsOf(Handle handle) const;
  // The name by which processes of the lease have it: nullopt before SetShare, for memory of this process.
  std::optional<OutboardShare> ShareOf(Handle handle) const;
  void SetShare(Handle handle, const OutboardShare& share);
  bool IsShared(Handle handle) const { return ShareOf(handle).has_value(); }
  // One user more of what has this name; nullopt when the process has it not.
  std::optional<Handle> Import(const OutboardShare& share);
  // Held over an import, from the question whether the process has it: one handle is enough.
  std::mutex& import_mutex() { return import_mutex_; }
  // One user more of what is mapped there; nullopt where nothing is.
  std::optional<Handle> Retain(CUdeviceptr address);
  enum class Left { kNothing, kMemory, kUnknown };
  // One user less. kNothing: the memory is to be released, and known no more. kUnknown: it had none.
  Left Release(Handle handle);

  // Whether the first bytes of the memory may be mapped there: kNo for what no driver accepts, kCertain for what each
  // does.
  enum class Answer { kNo, kPerhaps, kCertain };
  Answer MayMap(CUdeviceptr begin, size_t size, Handle handle) const;
  // Where MayMap was not kNo. `id`: of the mapping.
  void Map(CUdeviceptr begin, size_t size, Handle handle, uint64_t id);
  // Takes out the mappings that fill the range; empty when none do.
  std::vector<VirtualMapping> TakeMappings(CUdeviceptr begin, size_t size);
  void PutBack(const std::vector<VirtualMapping>& mappings);
  // The memory of mappings that were taken out for good: handles whose last user is gone too are to be released.
  std::vector<Handle> Forget(const std::vector<VirtualMapping>& mappings);

  // The same of setting access, which `accesses` describe; they are checked.
  Answer MaySetAccess(CUdeviceptr begin, size_t size, const CUmemAccessDesc* accesses, size_t count) const;
  void SetAccess(CUdeviceptr begin, size_t size, const CUmemAccessDesc* accesses, size_t count);

  std::optional<VirtualMapping> Find(CUdeviceptr address) const;
  PointerFacts FactsOf(CUdeviceptr address, CUdevice device) const;
  bool SetSyncMemops(CUdeviceptr address, bool sync_memops);
  // Whether the driver lets the device read, or write, all of that.
  bool Allows(CUdevice device, CUdeviceptr address, uint64_t bytes, bool writes) const;

 private:
  struct Memory {
    size_t bytes;
    CUmemAllocationProp props;
    uint64_t id;
    std::optional<OutboardShare> share;
    uint64_t users = 1, mappings = 0;
  };

  std::mutex import_mutex_;
  mutable std::shared_mutex mutex_;
  VirtualRanges ranges_;                         // guarded by mutex_, as is what follows
  std::unordered_map<Handle, Memory> memories_;  // with users or mappings
};

}  // namespace outboard::shim
