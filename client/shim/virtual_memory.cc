#include "client/shim/virtual_memory.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "common/base/number_of.h"
#include "common/libcuda/virtual_memory.h"

namespace outboard::shim {

void VirtualMemory::AddRange(CUdeviceptr begin, size_t size) {
  std::unique_lock lock(mutex_);
  [[maybe_unused]] const bool is_new = ranges_.Reserve(begin, size);
}

bool VirtualMemory::TakeRange(CUdeviceptr begin, size_t size) {
  std::unique_lock lock(mutex_);
  return ranges_.Free(begin, size);
}

void VirtualMemory::AddMemory(Handle handle, size_t bytes, const CUmemAllocationProp& props, uint64_t id,
                              const std::optional<OutboardShare>& share) {
  std::unique_lock lock(mutex_);
  memories_.emplace(handle, Memory{bytes, props, id, share});
}

std::optional<CUmemAllocationProp> VirtualMemory::PropsOf(Handle handle) const {
  std::shared_lock lock(mutex_);
  const auto found = memories_.find(handle);
  if (found == memories_.end() || found->second.users == 0) return std::nullopt;
  return found->second.props;
}

std::optional<OutboardShare> VirtualMemory::ShareOf(Handle handle) const {
  std::shared_lock lock(mutex_);
  const auto found = memories_.find(handle);
  return found == memories_.end() ? std::nullopt : found->second.share;
}

void VirtualMemory::SetShare(Handle handle, const OutboardShare& share) {
  std::unique_lock lock(mutex_);
  if (const auto found = memories_.find(handle); found != memories_.end()) found->second.share = share;
}

std::optional<VirtualMemory::Handle> VirtualMemory::Import(const OutboardShare& share) {
  std::unique_lock lock(mutex_);
  for (auto& [handle, memory] : memories_) {
    if (!memory.share || std::memcmp(&*memory.share, &share, sizeof share) != 0) continue;
    ++memory.users;
    return handle;
  }
  return std::nullopt;
}

std::optional<VirtualMemory::Handle> VirtualMemory::Retain(CUdeviceptr address) {
  std::unique_lock lock(mutex_);
  const auto mapping = ranges_.Find(address);
  if (!mapping) return std::nullopt;
  ++memories_.at(mapping->memory).users;
  return mapping->memory;
}

VirtualMemory::Left VirtualMemory::Release(Handle handle) {
  std::unique_lock lock(mutex_);
  const auto found = memories_.find(handle);
  if (found == memories_.end() || found->second.users == 0) return Left::kUnknown;
  if (--found->second.users != 0 || found->second.mappings != 0) return Left::kMemory;
  memories_.erase(found);
  return Left::kNothing;
}

VirtualMemory::Answer VirtualMemory::MayMap(CUdeviceptr begin, size_t size, Handle handle) const {
  std::shared_lock lock(mutex_);
  const auto found = memories_.find(handle);
  if (found == memories_.end() || found->second.users == 0 || size == 0 || !ranges_.IsRoom(begin, size)) {
    return Answer::kNo;
  }
  // The driver has found the memory's size to be a multiple of what mappings are made of.
  const bool is_whole = size == found->second.bytes;
  return is_whole && begin % kVirtualGranularity == 0 ? Answer::kCertain : Answer::kPerhaps;
}

void VirtualMemory::Map(CUdeviceptr begin, size_t size, Handle handle, uint64_t id) {
  std::unique_lock lock(mutex_);
  const auto found = memories_.find(handle);
  if (found == memories_.end() || !ranges_.IsRoom(begin, size)) return;  // another thread was quicker
  ++found->second.mappings;
  ranges_.Map({begin, size, handle, found->second.props.location.id, id, found->second.id,
               NumberOf(found->second.props.requestedHandleTypes)});
}

std::vector<VirtualMapping> VirtualMemory::TakeMappings(CUdeviceptr begin, size_t size) {
  std::unique_lock lock(mutex_);
  const auto mappings = ranges_.Filling(begin, size);
  for (const VirtualMapping& mapping : mappings) ranges_.Unmap(mapping.begin);
  return mappings;
}

void VirtualMemory::PutBack(const std::vector<VirtualMapping>& mappings) {
  std::unique_lock lock(mutex_);
  for (const VirtualMapping& mapping : mappings) ranges_.Map(mapping);
}

std::vector<VirtualMemory::Handle> VirtualMemory::Forget(const std::vector<VirtualMapping>& mappings) {
  std::vector<Handle> unused;
  std::unique_lock lock(mutex_);
  for (const VirtualMapping& mapping : mappings) {
    const auto found = memories_.find(mapping.memory);
    if (--found->second.mappings != 0 || found->second.users != 0) continue;
    unused.push_back(mapping.memory);
    memories_.erase(found);
  }
  return unused;
}

// A device reaches its own memory for sure.
VirtualMemory::Answer VirtualMemory::MaySetAccess(CUdeviceptr begin, size_t size, const CUmemAccessDesc* accesses,
                                                  size_t count) const {
  std::shared_lock lock(mutex_);
  const auto mappings = ranges_.Filling(begin, size);
  if (mappings.empty()) return Answer::kNo;
  const bool is_certain = std::all_of(accesses, accesses + count, [&](const CUmemAccessDesc& access) {
    return NumberOf(access.flags) == CU_MEM_ACCESS_FLAGS_PROT_READWRITE &&
           std::all_of(mappings.begin(), mappings.end(),
                       [&](const VirtualMapping& mapping) { return mapping.device == access.location.id; });
  });
  return is_certain ? Answer::kCertain : Answer::kPerhaps;
}

void VirtualMemory::SetAccess(CUdeviceptr begin, size_t size, const CUmemAccessDesc* accesses, size_t count) {
  std::unique_lock lock(mutex_);
  for (size_t i = 0; i < count; ++i) ranges_.SetAccess(begin, size, accesses[i].location.id, accesses[i].flags);
}

std::optional<VirtualMapping> VirtualMemory::Find(CUdeviceptr address) const {
  std::shared_lock lock(mutex_);
  return ranges_.Find(address);
}

PointerFacts VirtualMemory::FactsOf(CUdeviceptr address, CUdevice device) const {
  std::shared_lock lock(mutex_);
  return FactsOfVirtual(ranges_, address, device);
}

bool VirtualMemory::SetSyncMemops(CUdeviceptr address, bool sync_memops) {
  std::unique_lock lock(mutex_);
  return ranges_.SetSyncMemops(address, sync_memops);
}

bool VirtualMemory::Allows(CUdevice device, CUdeviceptr address, uint64_t bytes, bool writes) const {
  std::shared_lock lock(mutex_);
  return ranges_.Allows(device, address, bytes, writes);
}

}  // namespace outboard::shim
