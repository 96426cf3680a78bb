#include "common/libcuda/virtual_ranges.h"

#include <iterator>

namespace outboard {
namespace {

// Whether [begin, begin + size) touches nothing of `ranges`, whose sizes size_of(element) tells.
template <class Ranges, class SizeOf>
bool IsClear(const Ranges& ranges, uint64_t begin, uint64_t size, SizeOf size_of) {
  const auto next = ranges.lower_bound(begin);
  if (next != ranges.end() && next->first - begin < size) return false;
  if (next == ranges.begin()) return true;
  const auto before = std::prev(next);
  return begin - before->first >= size_of(*before);
}

bool IsWithin(uint64_t begin, uint64_t size, const VirtualRanges::Reserved& range) {
  const uint64_t from = begin - range.begin;
  return begin >= range.begin && from <= range.size && size <= range.size - from;
}

uint64_t BitOf(CUdevice device) { return uint64_t{1} << device; }

}  // namespace

CUmemAccess_flags VirtualMapping::AccessOf(CUdevice device) const {
  if ((writers & BitOf(device)) != 0) return CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  return (readers & BitOf(device)) != 0 ? CU_MEM_ACCESS_FLAGS_PROT_READ : CU_MEM_ACCESS_FLAGS_PROT_NONE;
}

bool VirtualRanges::Reserve(uint64_t begin, uint64_t size) {
  if (!IsClear(reserved_, begin, size, [](const auto& range) { return range.second; })) return false;
  reserved_.emplace(begin, size);
  return true;
}

bool VirtualRanges::Free(uint64_t begin, uint64_t size) {
  const auto found = reserved_.find(begin);
  if (found == reserved_.end() || found->second != size) return false;
  const auto first = mappings_.lower_bound(begin);
  if (first != mappings_.end() && first->first - begin < size) return false;
  reserved_.erase(found);
  return true;
}

bool VirtualRanges::IsRoom(uint64_t begin, uint64_t size) const {
  const auto range = FindReserved(begin);
  return range && IsWithin(begin, size, *range) &&
         IsClear(mappings_, begin, size, [](const auto& mapping) { return mapping.second.size; });
}

void VirtualRanges::Map(const VirtualMapping& mapping) { mappings_.emplace(mapping.begin, mapping); }

std::vector<VirtualMapping> VirtualRanges::Filling(uint64_t begin, uint64_t size) const {
  std::vector<VirtualMapping> filling;
  uint64_t filled = 0;
  for (auto it = mappings_.find(begin); filled < size; ++it) {
    if (it == mappings_.end() || it->first != begin + filled || it->second.size > size - filled) return {};
    filling.push_back(it->second);
    filled += it->second.size;
  }
  return filling;
}

void VirtualRanges::Unmap(uint64_t begin) { mappings_.erase(begin); }

void VirtualRanges::SetAccess(uint64_t begin, uint64_t size, CUdevice device, CUmemAccess_flags access) {
  for (auto it = mappings_.find(begin); it != mappings_.end() && it->first - begin < size; ++it) {
    VirtualMapping& mapping = it->second;
    mapping.readers &= ~BitOf(device);
    mapping.writers &= ~BitOf(device);
    if (access != CU_MEM_ACCESS_FLAGS_PROT_NONE) mapping.readers |= BitOf(device);
    if (access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE) mapping.writers |= BitOf(device);
  }
}

bool VirtualRanges::SetSyncMemops(uint64_t address, bool sync_memops) {
  const VirtualMapping* const mapping = Look(address);
  if (mapping == nullptr) return false;
  mappings_.at(mapping->begin).sync_memops = sync_memops;
  return true;
}

std::optional<VirtualRanges::Reserved> VirtualRanges::FindReserved(uint64_t address) const {
  const auto next = reserved_.upper_bound(address);
  if (next == reserved_.begin()) return std::nullopt;
  const auto& [begin, size] = *std::prev(next);
  if (address - begin >= size) return std::nullopt;
  return Reserved{begin, size};
}

const VirtualMapping* VirtualRanges::Look(uint64_t address) const {
  const auto next = mappings_.upper_bound(address);
  if (next == mappings_.begin()) return nullptr;
  const VirtualMapping& mapping = std::prev(next)->second;
  return address - mapping.begin < mapping.size ? &mapping : nullptr;
}

std::optional<VirtualMapping> VirtualRanges::Find(uint64_t address) const {
  const VirtualMapping* const mapping = Look(address);
  return mapping == nullptr ? std::nullopt : std::optional(*mapping);
}

bool VirtualRanges::Allows(CUdevice device, uint64_t begin, uint64_t size, bool writes) const {
  const auto range = FindReserved(begin);
  if (device < 0 || !range || !IsWithin(begin, size, *range)) return false;
  uint64_t at = begin;
  const uint64_t end = begin + size;
  do {
    const VirtualMapping* const mapping = Look(at);
    if (mapping == nullptr) return false;
    if (((writes ? mapping->writers : mapping->readers) & BitOf(device)) == 0) return false;
    at = mapping->begin + mapping->size;
  } while (at < end);
  return true;
}

}  // namespace outboard
