#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "server/softgpu/api/driver.h"

namespace outboard::softgpu::api {

// Where an address that a copy was given leads to.
enum class MemoryKind { kDevice, kPinned, kPageable };

struct Place {
  MemoryKind kind;
  std::byte* bytes;          // in this process
  bool sync_memops = false;  // synchronous copies wait, whatever they would do otherwise
};

// Device memory; nullopt when [address, address + size) is not inside one allocation.
std::optional<std::byte*> FindDeviceBytes(const Driver& driver, uint64_t address, uint64_t size);

// Host memory; nullopt for an address in a device's arena.
std::optional<Place> FindHostPlace(Driver& driver, const void* address, uint64_t size);

// Either, by the address alone (unified addressing); nullopt for device memory that is not allocated.
std::optional<Place> FindPlace(Driver& driver, uint64_t address, uint64_t size);

}  // namespace outboard::softgpu::api
