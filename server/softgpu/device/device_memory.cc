#include "server/softgpu/device/device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "server/softgpu/device/addresses.h"
#include "server/softgpu/device/allocation_log.h"
#include "server/softgpu/device/memory_object.h"
#include "server/softgpu/device/physical_memory.h"

namespace outboard::softgpu {
namespace {

Result<Mapping> ReserveAddresses(const Config& config, unsigned ordinal, std::mt19937_64& chaos, uint64_t bytes) {
  if (config.arena_base) {
    const uint64_t address = *config.arena_base + ordinal * kMaxSoftGpuMemory;
    Mapping mapping = ReserveAt(address, bytes);
    if (mapping.begin() != nullptr) return mapping;
    char text[32];
    std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(address));
    return Error{"Cannot reserve " + std::to_string(bytes) + " bytes of addresses at " + text + " for device " +
                 std::to_string(ordinal) + "; SOFTGPU_ARENA must name a free range."};
  }
  std::mt19937_64 chance(RandomSeed());
  Mapping mapping = ReserveByChance(config.chaos != 0 ? chaos : chance, bytes);
  if (mapping.begin() != nullptr) return mapping;
  return Error{"Cannot reserve " + std::to_string(bytes) + " bytes of addresses for device " + std::to_string(ordinal) +
               "."};
}

constexpr uint64_t kWaitingPart = 8;  // of a device's memory may wait after it was freed, when accesses are checked

uint64_t RoundUpToGranule(uint64_t bytes) { return (bytes + kGranule - 1) / kGranule * kGranule; }

}  // namespace

struct DeviceMemory::State {
  struct Allocation {
    uint64_t bytes;  // as asked for
    uint32_t block;
    bool is_shared = false;  // with other processes, which wait for its end
    unsigned times = 1;      // that it was opened; 1 for our own
  };

  bool InForkedChild() const { return getpid() != process; }

  // The allocation that contains `address`. The caller holds `mutex`.
  std::map<uint64_t, Allocation>::iterator FindEntry(uint64_t address) {
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return allocations.end();
    const auto entry = std::prev(after);
    return address - entry->first < entry->second.bytes ? entry : allocations.end();
  }

  const pid_t process = getpid();
  // Gives back what waits, oldest first, until no more than so many bytes do.
  void Recycle(uint64_t most) {
    std::vector<uint32_t> blocks;
    {
      const std::lock_guard lock(mutex);
      for (; waiting_bytes > most; waiting.pop_front()) {
        waiting_bytes -= waiting.front().bytes;
        blocks.push_back(waiting.front().block);
      }
    }
    for (const uint32_t each : blocks) object->Free(each);
  }

  std::unique_ptr<AllocationLog> log;  // null without Checks
  Mapping written;                     // a byte for each of memory; empty without Checks::uninitialised
  std::unique_ptr<MemoryObject> object;
  Mapping addresses;
  uint64_t base = 0;
  bool chaotic = false;

  std::mutex mutex;
  std::mt19937_64 chaos;                        // guarded by mutex, as is what follows
  std::map<uint64_t, Allocation> allocations;   // by device address
  std::shared_ptr<const ExtentTable> snapshot;  // null when out of date
  // With a log: what was freed and nobody has yet, so that a use of it shows.
  std::deque<Allocation> waiting;
  uint64_t waiting_bytes = 0;
};

DeviceMemory::DeviceMemory(std::unique_ptr<State> state) : state_(std::move(state)) {}
DeviceMemory::~DeviceMemory() = default;

Result<std::unique_ptr<DeviceMemory>> DeviceMemory::Attach(const Config& config, unsigned ordinal) {
  if (ordinal >= kMaxDevices) {
    return Error{"There is no device " + std::to_string(ordinal) + "; the last possible one is " +
                 std::to_string(kMaxDevices - 1) + "."};
  }
  Result<std::unique_ptr<MemoryObject>> object =
      MemoryObject::Open(config.directory, ordinal, config.memory_bytes, config.sm_count);
  if (!object) return object.error();
  auto state = std::make_unique<State>();
  state->object = std::move(*object);
  state->chaotic = config.chaos != 0;
  if (config.checks.any()) state->log = std::make_unique<AllocationLog>();
  if (config.checks.uninitialised) {
    const uint64_t bytes = state->object->facts().memory_bytes;
    void* mapping = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED)
      return Error{"SOFTGPU_CHECK: cannot map " + std::to_string(bytes) + " bytes to note in what was written."};
    state->written = Mapping(mapping, bytes);
  }
  state->chaos.seed(config.chaos * kMaxDevices + ordinal);
  Result<Mapping> addresses = ReserveAddresses(config, ordinal, state->chaos, state->object->facts().memory_bytes);
  if (!addresses) return addresses.error();
  state->addresses = std::move(*addresses);
  state->base = reinterpret_cast<uint64_t>(state->addresses.begin());
  return std::unique_ptr<DeviceMemory>(new DeviceMemory(std::move(state)));
}

const DeviceFacts& DeviceMemory::facts() const { return state_->object->facts(); }

uint64_t DeviceMemory::base() const { return state_->base; }

uint64_t DeviceMemory::FreeBytes() {
  if (state_->InForkedChild()) return 0;
  const uint64_t bytes = state_->object->FreeBytes();
  const std::lock_guard lock(state_->mutex);
  return bytes + state_->waiting_bytes;
}

uint64_t DeviceMemory::NextChaos() {
  if (!state_->chaotic) return 0;
  const std::lock_guard lock(state_->mutex);
  return state_->chaos();
}

std::unique_ptr<PhysicalMemory> DeviceMemory::AllocatePhysical(uint64_t bytes) {
  if (state_->InForkedChild()) return nullptr;
  auto memory = PhysicalMemory::Allocate(*state_->object, bytes, NextChaos());
  if (memory != nullptr || state_->log == nullptr) return memory;
  state_->Recycle(0);
  return PhysicalMemory::Allocate(*state_->object, bytes, NextChaos());
}

std::unique_ptr<PhysicalMemory> DeviceMemory::OpenPhysical(const SharedAllocation& shared) {
  return state_->InForkedChild() ? nullptr : PhysicalMemory::Open(*state_->object, shared);
}

std::optional<uint64_t> DeviceMemory::Allocate(uint64_t bytes) {
  if (state_->InForkedChild()) return std::nullopt;
  const uint64_t chaos = NextChaos();
  // Not under the mutex: reserving gigabytes takes long, and Find and Extents must not wait for it.
  std::optional<MemoryObject::Piece> piece;
  if (state_->log != nullptr) {
    // While there is room, something that is nobody's lies behind every allocation.
    piece = state_->object->Allocate(RoundUpToGranule(bytes) + kGranule, chaos);
    if (!piece) state_->Recycle(0);
  }
  if (!piece) piece = state_->object->Allocate(bytes, chaos);
  if (!piece) return std::nullopt;
  const uint64_t address = state_->base + piece->offset;
  // Kernels reach the rest of the last granule, and calls do not: nobody else could clear it.
  std::memset(ToHost(address) + bytes, 0, RoundUpToGranule(bytes) - bytes);
  if (state_->log != nullptr) state_->log->Add(address, bytes);
  if (uint8_t* const written = Written(ToHost(address))) std::memset(written, 0, bytes);
  const std::lock_guard lock(state_->mutex);
  state_->allocations.emplace(address, State::Allocation{bytes, piece->block});
  state_->snapshot.reset();
  return address;
}

bool DeviceMemory::Free(uint64_t address) {
  if (state_->InForkedChild()) return false;
  State::Allocation freed;
  bool waits = false;
  {
    const std::lock_guard lock(state_->mutex);
    const auto entry = state_->allocations.find(address);
    if (entry == state_->allocations.end()) return false;
    if (--entry->second.times != 0) return true;
    freed = entry->second;
    state_->allocations.erase(entry);
    state_->snapshot.reset();
    if (state_->log != nullptr) state_->log->Remove(address);
    waits = state_->log != nullptr && !freed.is_shared;
    if (waits) {
      state_->waiting.push_back({RoundUpToGranule(freed.bytes), freed.block});
      state_->waiting_bytes += state_->waiting.back().bytes;
    }
  }
  if (waits) {
    state_->Recycle(facts().memory_bytes / kWaitingPart);
  } else {
    state_->object->Free(freed.block);
  }
  return true;
}

std::optional<SharedAllocation> DeviceMemory::Share(uint64_t address) {
  if (state_->InForkedChild()) return std::nullopt;
  const std::lock_guard lock(state_->mutex);
  const auto entry = state_->FindEntry(address);
  if (entry == state_->allocations.end()) return std::nullopt;
  entry->second.is_shared = true;
  const uint64_t bytes = entry->second.bytes;
  const uint32_t block = entry->second.block;
  const uint64_t share = state_->object->Share(block);
  if (share == 0) return std::nullopt;
  MarkWritten(entry->first, bytes);  // others may write it unseen
  return SharedAllocation{state_->object->process(), block, 0, share, bytes};
}

bool DeviceMemory::IsOwn(const SharedAllocation& shared) const { return shared.maker == state_->object->process(); }

std::optional<uint64_t> DeviceMemory::Open(const SharedAllocation& shared) {
  if (state_->InForkedChild()) return std::nullopt;
  const std::lock_guard lock(state_->mutex);
  const auto offset = state_->object->FindShared(shared.block, shared.share, shared.bytes);
  if (!offset) return std::nullopt;
  const uint64_t address = state_->base + *offset;
  if (const auto known = state_->allocations.find(address); known != state_->allocations.end()) {
    ++known->second.times;
    return address;
  }
  if (!state_->object->Hold(shared.block, shared.share)) return std::nullopt;
  state_->allocations.emplace(address, State::Allocation{shared.bytes, shared.block, true});
  state_->snapshot.reset();
  if (state_->log != nullptr) state_->log->Add(address, shared.bytes);
  MarkWritten(address, shared.bytes);
  return address;
}

std::optional<Extent> DeviceMemory::Find(uint64_t address) const {
  if (state_->InForkedChild()) return std::nullopt;
  const std::lock_guard lock(state_->mutex);
  const auto entry = state_->FindEntry(address);
  if (entry == state_->allocations.end()) return std::nullopt;
  return Extent{entry->first, entry->first + entry->second.bytes, ToHost(entry->first)};
}

std::shared_ptr<const ExtentTable> DeviceMemory::Extents() const {
  if (state_->InForkedChild()) return std::make_shared<const ExtentTable>();
  if (state_->log != nullptr) return state_->log->Extents([this](uint64_t address) { return ToHost(address); });
  const std::lock_guard lock(state_->mutex);
  if (state_->snapshot == nullptr) {
    auto table = std::make_shared<ExtentTable>();
    table->reserve(state_->allocations.size());
    for (const auto& [address, allocation] : state_->allocations) {
      table->push_back(Extent{address, address + RoundUpToGranule(allocation.bytes), ToHost(address)});
    }
    state_->snapshot = std::move(table);
  }
  return state_->snapshot;
}

AllocationLog* DeviceMemory::log() const { return state_->log.get(); }

uint8_t* DeviceMemory::Written(const std::byte* place) const {
  if (state_->written.begin() == nullptr) return nullptr;
  const auto offset = static_cast<uint64_t>(place - state_->object->memory());
  return offset < facts().memory_bytes ? reinterpret_cast<uint8_t*>(state_->written.begin()) + offset : nullptr;
}

void DeviceMemory::MarkWritten(uint64_t address, uint64_t bytes) const {
  if (state_->written.begin() == nullptr) return;
  if (uint8_t* const written = Written(ToHost(address))) std::memset(written, 1, bytes);
}

std::byte* DeviceMemory::ToHost(uint64_t address) const {
  const uint64_t offset = address - state_->base;
  return offset < facts().memory_bytes ? state_->object->memory() + offset : nullptr;
}

}  // namespace outboard::softgpu
