#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "server/softgpu/device/device_memory.h"
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
  // Memory that another process shares, which stays as long as one of them has it. Null when it is gone, or none of
  // this kind, and when this process has it already.
  static std::unique_ptr<PhysicalMemory> Open(MemoryObject& object, const SharedAllocation& shared) {
    const auto offset = object.FindShared(shared.block, shared.share, shared.bytes);
    if (!offset || *offset % kPageBytes != 0 || shared.bytes % kPageBytes != 0 || shared.bytes == 0) return nullptr;
    if (!object.Hold(shared.block, shared.share)) return nullptr;
    return std::unique_ptr<PhysicalMemory>(new PhysicalMemory(object, {shared.block, *offset}, shared.bytes));
  }
  ~PhysicalMemory() { object_.Free(piece_.block); }
  PhysicalMemory(const PhysicalMemory&) = delete;
  PhysicalMemory& operator=(const PhysicalMemory&) = delete;

  uint64_t bytes() const { return bytes_; }
  // Lets other processes open it; nullopt when the device's file is damaged.
  std::optional<SharedAllocation> Share() const {
    const uint64_t share = object_.Share(piece_.block);
    if (share == 0) return std::nullopt;
    return SharedAllocation{object_.process(), piece_.block, 0, share, bytes_};
  }
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
