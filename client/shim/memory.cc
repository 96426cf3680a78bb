#include "client/shim/memory.h"

#include <vector>

#include "client/shim/call.h"
#include "client/shim/memory_call.h"
#include "client/shim/remote.gen.h"
#include "common/base/limits.h"

namespace outboard::shim {
namespace {

// Enough for the memory of any GPU there is, and nothing next to the 128 TiB of a process.
constexpr uint64_t kArenaBytes = uint64_t{1} << 36;

}  // namespace

Arena Memory::MakeArena() { return reservations_.MakeArena(kArenaBytes); }

bool Memory::AddDevice(uint64_t begin, uint64_t size, CUcontext context, CUdevice device, wire::HandleId module) {
  const auto known = device_.Find(begin);
  if (known && known->begin == begin && known->size == size && known->info.context == context &&
      known->info.module == module && module != 0) {
    return true;  // a variable that was asked for before
  }
  if (!reservations_.Reserve(begin, size)) return false;
  Add(begin, size, {context, device, NextId(), module});
  return true;
}

bool Memory::AddPooled(uint64_t begin, uint64_t size, CUdevice device, CUmemoryPool pool) {
  if (!reservations_.ReserveForGood(begin, size)) return false;
  Add(begin, size, {.context = nullptr, .device = device, .id = NextId(), .pool = pool});
  return true;
}

void Memory::Add(uint64_t begin, uint64_t size, const DeviceMemory& info) {
  while (!device_.Add(begin, size, info)) {
    Forget([&](const DeviceRange& range) { return range.begin < begin + size && begin < range.begin + range.size; });
  }
}

bool Memory::Has(CUcontext context, CUdevice device, uint64_t address, uint64_t bytes) const {
  const auto range = device_.Find(address);
  if (!range) return virtual_memory_.Allows(device, address, bytes, true);
  if (!range->Contains(address, bytes)) return false;
  return range->info.pool ? range->info.device == device : range->info.context == context;
}

std::optional<DeviceRange> Memory::TakeDevice(uint64_t begin) {
  return device_.Take(begin, [](const DeviceRange& range) {
    return range.info.module == 0 && range.info.opened == 0 && !range.info.of_graph;
  });
}

void Memory::BecomesOfGraph(uint64_t begin, const std::shared_ptr<GraphMemory>& memory) {
  device_.Update(begin, [&](DeviceMemory* info) {
    info->of_graph = true;
    info->graph_memory = memory;
  });
}

std::shared_ptr<GraphMemory> Memory::FindOfGraph(uint64_t begin) const {
  const auto range = device_.Find(begin);
  return range && range->begin == begin ? range->info.graph_memory.lock() : nullptr;
}

std::optional<DeviceRange> Memory::TakeOfGraph(uint64_t begin) {
  return device_.Take(
      begin, [](const DeviceRange& range) { return range.info.of_graph && range.info.graph_memory.expired(); });
}

bool Memory::SetSyncMemops(uint64_t address, bool sync_memops) {
  const auto set = [&](auto* info) { info->sync_memops = sync_memops; };
  return device_.Update(address, set) || host_.Update(address, set) ||
         virtual_memory_.SetSyncMemops(address, sync_memops);
}

bool Memory::SyncsMemops(uint64_t address) const {
  if (const auto range = device_.Find(address)) {
    return range->info.sync_memops || range->info.exported || range->info.opened != 0;
  }
  if (const auto mapping = virtual_memory_.Find(address)) {
    return mapping->sync_memops || virtual_memory_.IsShared(mapping->memory);
  }
  const auto range = host_.Find(address);
  return range && range->info.sync_memops;
}

void Memory::PutBack(const DeviceRange& range) {
  if (!device_.Add(range.begin, range.size, range.info)) Release(range);
}

bool Memory::AddOpened(uint64_t begin, uint64_t size, CUcontext context, CUdevice device) {
  std::lock_guard lock(opened_mutex_);
  const auto known = device_.Find(begin);
  if (known && known->begin == begin && known->size == size && known->info.opened != 0) {
    return device_.Update(begin, [](DeviceMemory* info) { ++info->opened; });
  }
  if (!reservations_.Reserve(begin, size)) return false;
  Add(begin, size, {.context = context, .device = device, .id = NextId(), .opened = 1});
  return true;
}

std::optional<DeviceRange> Memory::CloseOpened(uint64_t begin) {
  std::lock_guard lock(opened_mutex_);
  const auto last = device_.Take(begin, [](const DeviceRange& range) { return range.info.opened == 1; });
  if (last) {
    Release(*last);
    return last;
  }
  const auto range = device_.Find(begin);
  if (!range || range->begin != begin || range->info.opened == 0) return std::nullopt;
  device_.Update(begin, [](DeviceMemory* info) { --info->opened; });
  return range;
}

void Memory::ForgetModule(wire::HandleId module) {
  Forget([&](const DeviceRange& range) { return range.info.module == module; });
}

void Memory::ForgetContext(CUcontext context) {
  Forget([&](const DeviceRange& range) { return range.info.context == context; });
}

template <class Predicate>
void Memory::Forget(Predicate wanted) {
  for (const DeviceRange& range : device_.TakeAll(wanted)) Release(range);
}

bool Memory::AddHost(uint64_t begin, uint64_t size, HostMemory info) { return host_.Add(begin, size, info); }

std::optional<HostRange> Memory::TakeHost(const HostRange& range) {
  return host_.Take(range.begin, [&](const HostRange& found) { return found.info.id == range.info.id; });
}

bool Memory::IsPinned(uint64_t address, uint64_t bytes) const {
  const auto range = host_.Find(address);
  return range && range->Contains(address, bytes);
}

CUresult Memory::DrainHost(uint64_t begin, uint64_t size) {
  if (!landings_.MayWrite(begin, size) && !pulls_.MayRead(begin, size)) return CUDA_SUCCESS;
  const CUresult result = remote::outboardDrainHost(begin, size);
  if (NotCarriedOut(result)) return result;
  // What is left was refused by the driver, or the session is lost.
  landings_.Forget(begin, size);
  pulls_.Forget(begin, size);
  return result;
}

void Memory::Pull(uint64_t pull, uint64_t offset, uint64_t bytes) {
  std::vector<std::byte> gathered;
  const auto asked = pulls_.Find(pull, offset, bytes, &gathered);
  if (!asked) return;
  process_.session().SendPulled(pull, offset, *asked);
  pulls_.Sent(pull, bytes);
}

}  // namespace outboard::shim
