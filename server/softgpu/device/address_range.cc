#include "server/softgpu/device/address_range.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <utility>

#include "common/base/round_up.h"
#include "server/softgpu/device/addresses.h"

namespace outboard::softgpu {
namespace {

bool IsAligned(const Mapping& mapping, uint64_t alignment) {
  return reinterpret_cast<uint64_t>(mapping.begin()) % alignment == 0;
}

}  // namespace

AddressRange::AddressRange(Mapping addresses, Mapping view, uint64_t begin, uint64_t bytes)
    : addresses_(std::move(addresses)), view_(std::move(view)), begin_(begin), bytes_(bytes) {}

std::shared_ptr<AddressRange> AddressRange::Reserve(uint64_t bytes, uint64_t alignment, uint64_t wanted) {
  Mapping addresses;
  if (wanted != 0 && wanted % alignment == 0) addresses = ReserveAt(wanted, bytes);
  if (addresses.begin() == nullptr) {
    std::mt19937_64 chance(RandomSeed());
    addresses = ReserveByChance(chance, bytes, std::max(alignment, kAddressStep));
  }
  if (addresses.begin() != nullptr && !IsAligned(addresses, alignment)) {
    if (bytes > UINT64_MAX - alignment) return nullptr;
    addresses = ReserveAnywhere(bytes + alignment);
  }
  if (addresses.begin() == nullptr) return nullptr;
  Mapping view = ReserveAnywhere(bytes);
  if (view.begin() == nullptr) return nullptr;
  const uint64_t begin = RoundUp(reinterpret_cast<uint64_t>(addresses.begin()), alignment);
  return std::shared_ptr<AddressRange>(new AddressRange(std::move(addresses), std::move(view), begin, bytes));
}

bool AddressRange::Map(uint64_t address, uint64_t bytes, const PhysicalMemory& memory) {
  return memory.MapAt(ToHost(address), bytes);
}

void AddressRange::Unmap(uint64_t address, uint64_t bytes) {
  // Where this fails the memory stays mapped here, which nobody looks at.
  mmap(ToHost(address), bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

}  // namespace outboard::softgpu
