#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

namespace outboard {

// Memory that is mapped to device addresses.
struct VirtualMapping {
  uint64_t begin, size;                 // bytes
  CUmemGenericAllocationHandle memory;  // that lies there
  CUdevice device;                      // that the memory is of
  uint64_t id;                          // of the mapping, unique in the process (CU_POINTER_ATTRIBUTE_BUFFER_ID)
  uint64_t memory_id;                   // of the memory, however often it is mapped (..._MEMORY_BLOCK_ID)
  unsigned handle_types = 0;            // by which the memory can be shared (..._ALLOWED_HANDLE_TYPES)
  uint64_t readers = 0, writers = 0;    // one bit per device; who writes reads too
  bool sync_memops = false;             // synchronous calls on it wait (..._SYNC_MEMOPS)

  // What kernels of the device may do.
  CUmemAccess_flags AccessOf(CUdevice device) const;
};

// The address ranges that a process has reserved for virtual memory management (cuMemAddressReserve), and what is
// mapped in them, with the rules of the manual: a mapping lies in one reserved range, where nothing else is; access is
// set, and mappings are taken out, by whole mappings, of which a call may name several that lie side by side.
//
// Thread-compatible. Lookups take logarithmic time and do not allocate.
class VirtualRanges {
 public:
  struct Reserved {
    uint64_t begin, size;
  };

  // False when the range overlaps another.
  [[nodiscard]] bool Reserve(uint64_t begin, uint64_t size);
  // False when it is not exactly a reserved range, or something is mapped in it.
  [[nodiscard]] bool Free(uint64_t begin, uint64_t size);

  // Whether a mapping may lie there. `size` > 0.
  bool IsRoom(uint64_t begin, uint64_t size) const;
  // Where IsRoom. It begins without access.
  void Map(const VirtualMapping& mapping);

  // The mappings that fill the range, in order of address; empty when there is a gap, or one reaches beyond it.
  std::vector<VirtualMapping> Filling(uint64_t begin, uint64_t size) const;
  // Takes out a mapping that begins there.
  void Unmap(uint64_t begin);
  // What the device may do from now on with the mappings that fill the range. `device` is 0 to 63.
  void SetAccess(uint64_t begin, uint64_t size, CUdevice device, CUmemAccess_flags access);

  // False when nothing is mapped there.
  bool SetSyncMemops(uint64_t address, bool sync_memops);

  std::optional<Reserved> FindReserved(uint64_t address) const;
  std::optional<VirtualMapping> Find(uint64_t address) const;
  // Whether kernels of the device may read, or write, all of the range, which one or several mappings fill. False for
  // what is no device's number.
  bool Allows(CUdevice device, uint64_t begin, uint64_t size, bool writes) const;

  const std::map<uint64_t, VirtualMapping>& mappings() const { return mappings_; }  // by where they begin
  bool empty() const { return reserved_.empty(); }

 private:
  const VirtualMapping* Look(uint64_t address) const;

  std::map<uint64_t, uint64_t> reserved_;  // size by where they begin
  std::map<uint64_t, VirtualMapping> mappings_;
};

}  // namespace outboard
