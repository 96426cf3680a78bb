#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "server/softgpu/api/context.h"
#include "server/softgpu/api/driver.h"

namespace outboard::softgpu::api {

// Where an address that a copy was given leads to.
enum class MemoryKind { kDevice, kPinned, kPageable };

struct Place {
  MemoryKind kind;
  std::byte* bytes;                    // in this process
  bool sync_memops = false;            // synchronous copies wait, whatever they would do otherwise
  std::shared_ptr<const void> keeper;  // work that touches the bytes has this; null where nothing needs to keep them
};

// Device memory; nullopt when [address, address + size) is not inside one allocation, or, of an address range, in what
// is mapped there and the context's device may read, or write.
std::optional<DeviceBytes> FindDeviceBytes(const Context& context, uint64_t address, uint64_t size, bool writes);

// Host memory; nullopt for an address in a device's arena, or in an address range.
std::optional<Place> FindHostPlace(Driver& driver, const void* address, uint64_t size);

// Either, by the address alone (unified addressing); nullopt for device memory that is not there.
std::optional<Place> FindPlace(const Context& context, uint64_t address, uint64_t size, bool writes);

}  // namespace outboard::softgpu::api
