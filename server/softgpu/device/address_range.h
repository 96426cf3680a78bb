#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "server/softgpu/device/memory_object.h"
#include "server/softgpu/device/physical_memory.h"

namespace outboard::softgpu {

// A range of device addresses into which memory is mapped piece by piece. As a device's memory it is there twice: the
// addresses that programs see are without access; what lies there is found at the same distance in a second range,
// the view, so that neighbouring pieces are one piece of memory for whoever works on them.
//
// Where nothing is mapped any more, the view holds memory that belongs to nobody: work that is still under way and has
// lost its memory, which is the program's mistake, harms nobody.
//
// Thread-compatible; ToHost is thread-safe.
class AddressRange {
 public:
  // At `wanted`, if that is not 0 and nothing lies there, else by chance, at a multiple of `alignment`, a power of two
  // and at least kPageBytes. Null when there is no such range.
  static std::shared_ptr<AddressRange> Reserve(uint64_t bytes, uint64_t alignment, uint64_t wanted);

  uint64_t begin() const { return begin_; }
  uint64_t bytes() const { return bytes_; }

  // Maps the first bytes of `memory`. All is multiples of kPageBytes and within the range. False when the operating
  // system refuses: it limits how many pieces a process has mapped.
  [[nodiscard]] bool Map(uint64_t address, uint64_t bytes, const PhysicalMemory& memory);
  void Unmap(uint64_t address, uint64_t bytes);

  // Where an address of the range is in this process; to be touched where something is, or was, mapped.
  std::byte* ToHost(uint64_t address) const { return view_.begin() + (address - begin_); }

 private:
  AddressRange(Mapping addresses, Mapping view, uint64_t begin, uint64_t bytes);

  const Mapping addresses_, view_;
  const uint64_t begin_, bytes_;
};

}  // namespace outboard::softgpu
