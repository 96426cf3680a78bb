#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "common/base/result.h"
#include "server/softgpu/device/config.h"
#include "server/softgpu/device/process_identity.h"
#include "server/softgpu/exec/engine.h"

namespace outboard::softgpu {

class AllocationLog;
class PhysicalMemory;

// How another process finds an allocation. A plain value.
struct SharedAllocation {
  ProcessIdentity maker;
  uint32_t block;
  uint32_t padding;
  uint64_t share;
  uint64_t bytes;
};

// Facts of a device that all processes see alike. They are fixed when the device's object is made, by the first
// process.
struct DeviceFacts {
  uint64_t memory_bytes;
  uint32_t sm_count;
  std::array<uint8_t, 16> uuid;
};

// One software GPU's memory: a file that outlives processes and is never cleared, as on hardware, with an allocator in
// its head that all processes of the machine share. Freed memory keeps its contents and its space in the filesystem,
// which is first taken when memory is first allocated; a full filesystem is out of memory. What a process leaves behind
// when it dies is taken back by whoever attaches, asks for the free bytes or runs out of memory next (owner = pid and
// start time). A process that is killed in the middle of any call leaves the device usable.
//
// The memory is mapped twice: the device addresses that programs see are reserved without access, so that touching one
// on the host faults as it should; the engine works on the second mapping.
//
// Allocate and Free take constant time with any number of allocations, apart from reserving space. Find takes
// logarithmic time. Extents takes time in proportion to the allocations after a change, constant time without one.
//
// Thread-safe; process-safe through a robust mutex in the file. In a forked child an object of the parent has no
// memory: every call answers so, and the destructor leaves the parent's allocations alone.
class DeviceMemory {
 public:
  // Makes the folder and the object when they are not there. `ordinal` < kMaxDevices. A difference between the object's
  // facts and the configuration is logged once; the object wins.
  static Result<std::unique_ptr<DeviceMemory>> Attach(const Config& config, unsigned ordinal);
  ~DeviceMemory();

  const DeviceFacts& facts() const;
  uint64_t base() const;  // first device address

  // Bytes free for this device at this moment, over all processes. The filesystem may hold less.
  uint64_t FreeBytes();

  // A device address aligned to 512 bytes; nullopt when no piece is large enough. `bytes` > 0. With chaos, addresses
  // vary by the seed.
  std::optional<uint64_t> Allocate(uint64_t bytes);

  // Memory without an address of its own, for address ranges; null when no piece is large enough. `bytes` > 0, a
  // multiple of kPageBytes.
  std::unique_ptr<PhysicalMemory> AllocatePhysical(uint64_t bytes);

  // The same memory as another process has; null when it is gone, or this process has it already.
  std::unique_ptr<PhysicalMemory> OpenPhysical(const SharedAllocation& shared);

  // False when `address` is not the start of an allocation of this object. Memory that other processes have opened
  // stays theirs; it is free when the last of them has freed it, or has ended.
  bool Free(uint64_t address);

  // Lets other processes open the allocation that contains `address`; nullopt when there is none. It is to be one that
  // this object allocated.
  std::optional<SharedAllocation> Share(uint64_t address);
  // Whether this process has shared it.
  bool IsOwn(const SharedAllocation& shared) const;
  // Makes an allocation that another process has shared one of this object's, until it is freed as often as it was
  // opened, and gives its address here. nullopt when the memory is gone, or too many are open.
  std::optional<uint64_t> Open(const SharedAllocation& shared);

  // The allocation of this object that contains `address`: exact size, not rounded.
  std::optional<Extent> Find(uint64_t address) const;

  // All allocations of this object now, rounded up to the allocation granularity of 512 bytes. An immutable snapshot.
  std::shared_ptr<const ExtentTable> Extents() const;

  // With Config::checks, else null. Extents are then to the byte, and allocations have some unused bytes between.
  AllocationLog* log() const;
  // For each byte of memory from this place on, whether it was ever written: not 0. Null unless
  // Config::checks.uninitialised, and for a place outside of the device's memory.
  uint8_t* Written(const std::byte* place) const;
  // [address, address + bytes) has been written.
  void MarkWritten(uint64_t address, uint64_t bytes) const;

  // Where a device address lies in this process; null for an address outside this device. The bytes may be touched
  // while they are allocated.
  std::byte* ToHost(uint64_t address) const;

 private:
  struct State;
  explicit DeviceMemory(std::unique_ptr<State> state);
  uint64_t NextChaos();
  std::unique_ptr<State> state_;
};

}  // namespace outboard::softgpu
