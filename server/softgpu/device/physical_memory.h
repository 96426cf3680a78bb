#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "server/softgpu/device/memory_object.h"

namespace outboard::softgpu {

// Memory of a device that has no device address of its own, to be mapped into address ranges. It begins with a page of
// the host, so that it can be. Freed with its owner, also where it is still mapped: whoever maps it keeps it.
//
// Thread-safe. Does not outlive the object.
class PhysicalMemory {
 public:
  // Null when no piece is large enough. `bytes` > 0, a multiple of kPageBytes.
  static std::unique_ptr<PhysicalMemory> Allocate(MemoryObject& object, uint64_t bytes, uint64_t chaos) {
    const auto piece = object.Allocate(bytes, chaos, kPageBytes);
    return piece ? std::unique_ptr<PhysicalMemory>(new PhysicalMemory(object, *piece, bytes)) : nullptr;
  }
  ~PhysicalMemory() { object_.Free(piece_.block); }
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  uint64_t bytes() const { return bytes_; }
  // Makes its first bytes appear at `at`, in place of what is there. False when the operating system refuses.
  [[nodiscard]] bool MapAt(std::byte* at, uint64_t bytes) const { return object_.MapAt(at, piece_.offset, bytes); }

 private:
  PhysicalMemory(MemoryObject& object, const MemoryObject::Piece& piece, uint64_t bytes)
      : object_(object), piece_(piece), bytes_(bytes) {}

  MemoryObject& object_;
  const MemoryObject::Piece piece_;
  const uint64_t bytes_;
};

}  // namespace outboard::softgpu
