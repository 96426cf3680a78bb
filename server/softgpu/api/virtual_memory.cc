#include "server/softgpu/api/virtual_memory.h"

#include <bit>
#include <iterator>
#include <mutex>
#include <utility>

#include "common/base/number_of.h"
#include "common/libcuda/virtual_memory.h"

namespace outboard::softgpu::api {
namespace {

bool IsGranular(uint64_t value) { return value % kVirtualGranularity == 0; }

void* ToHandle(CUmemGenericAllocationHandle handle) { return reinterpret_cast<void*>(handle); }

}  // namespace

CUresult VirtualMemory::Reserve(CUdeviceptr* address, size_t bytes, size_t alignment, CUdeviceptr wanted) {
  if (bytes == 0 || bytes % kPageBytes != 0 || wanted % kPageBytes != 0) return CUDA_ERROR_INVALID_VALUE;
  if (alignment != 0 && !std::has_single_bit(alignment)) return CUDA_ERROR_INVALID_VALUE;
  if (alignment < kVirtualGranularity) alignment = kVirtualGranularity;
  auto range = AddressRange::Reserve(bytes, alignment, wanted);
  if (range == nullptr) return CUDA_ERROR_OUT_OF_MEMORY;
  std::unique_lock lock(mutex_);
  if (!ranges_.Reserve(range->begin(), bytes)) return CUDA_ERROR_UNKNOWN;
  *address = range->begin();
  address_ranges_.emplace(*address, std::move(range));
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::FreeRange(CUdeviceptr address, size_t bytes) {
  std::shared_ptr<AddressRange> range;  // ends, if nobody else has it, when the lock is gone
  std::unique_lock lock(mutex_);
  if (!ranges_.Free(address, bytes)) return CUDA_ERROR_INVALID_VALUE;
  const auto found = address_ranges_.find(address);
  range = std::move(found->second);
  address_ranges_.erase(found);
  return CUDA_SUCCESS;
}

void VirtualMemory::Create(CUmemGenericAllocationHandle* handle, const CUmemAllocationProp& props, Device& device,
                           std::unique_ptr<PhysicalMemory> memory) {
  const auto made = std::make_shared<PhysicalAllocation>(props, device, std::move(memory), next_id_());
  handles_.Add(made);
  *handle = made->cu();
}

// The memory of a handle that has users. The caller holds mutex_.
std::shared_ptr<PhysicalAllocation> VirtualMemory::FindUsable(CUmemGenericAllocationHandle handle) const {
  auto found = handles_.Find<PhysicalAllocation>(ToHandle(handle));
  return found != nullptr && found->users != 0 ? found : nullptr;
}

// Ends the memory when nobody needs it any more, under the lock: who imports it again must find that this process has
// it, or has it no more. The caller holds mutex_.
void VirtualMemory::EndIfUnused(const PhysicalAllocation& allocation) {
  if (allocation.users != 0 || allocation.mappings != 0) return;
  if (allocation.share != 0) shared_.erase({&allocation.device, allocation.share});
  handles_.Remove<PhysicalAllocation>(allocation.handle());
}

CUresult VirtualMemory::Release(CUmemGenericAllocationHandle handle) {
  std::unique_lock lock(mutex_);
  const auto allocation = FindUsable(handle);
  if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
  --allocation->users;
  EndIfUnused(*allocation);
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::Retain(CUmemGenericAllocationHandle* handle, CUdeviceptr address) {
  std::unique_lock lock(mutex_);
  const auto mapping = ranges_.Find(address);
  if (!mapping) return CUDA_ERROR_INVALID_VALUE;
  ++handles_.Find<PhysicalAllocation>(ToHandle(mapping->memory))->users;
  *handle = mapping->memory;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::Export(ShareableMemory* shared, CUmemGenericAllocationHandle handle) {
  std::unique_lock lock(mutex_);
  const auto allocation = FindUsable(handle);
  if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if ((NumberOf(allocation->props.requestedHandleTypes) & CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR) == 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  const auto memory = allocation->memory->Share();
  if (!memory) return CUDA_ERROR_UNKNOWN;
  allocation->share = memory->share;
  shared_.emplace(std::pair(&allocation->device, allocation->share), handle);
  shared->device = allocation->device.uuid();
  shared->memory = *memory;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::Import(CUmemGenericAllocationHandle* handle, const ShareableMemory& shared, Device& device) {
  std::unique_lock lock(mutex_);
  if (const auto known = shared_.find({&device, shared.memory.share}); known != shared_.end()) {
    ++handles_.Find<PhysicalAllocation>(ToHandle(known->second))->users;
    *handle = known->second;
    return CUDA_SUCCESS;
  }
  auto memory = device.memory->OpenPhysical(shared.memory);
  if (memory == nullptr || !IsGranular(memory->bytes())) return CUDA_ERROR_INVALID_VALUE;
  CUmemAllocationProp props{};
  props.type = CU_MEM_ALLOCATION_TYPE_PINNED;
  props.requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR;
  props.location = {CU_MEM_LOCATION_TYPE_DEVICE, device.ordinal};
  const auto made = std::make_shared<PhysicalAllocation>(props, device, std::move(memory), next_id_());
  made->share = shared.memory.share;
  handles_.Add(made);
  shared_.emplace(std::pair(&device, made->share), made->cu());
  *handle = made->cu();
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::PropsOf(CUmemAllocationProp* props, CUmemGenericAllocationHandle handle) const {
  std::shared_lock lock(mutex_);
  const auto allocation = FindUsable(handle);
  if (allocation == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *props = allocation->props;
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::Map(CUdeviceptr address, size_t bytes, CUmemGenericAllocationHandle handle) {
  if (bytes == 0 || !IsGranular(address) || !IsGranular(bytes)) return CUDA_ERROR_INVALID_VALUE;
  std::unique_lock lock(mutex_);
  const auto allocation = FindUsable(handle);
  if (allocation == nullptr || bytes > allocation->memory->bytes() || !ranges_.IsRoom(address, bytes)) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (!RangeOf(address)->Map(address, bytes, *allocation->memory)) return CUDA_ERROR_OUT_OF_MEMORY;
  ++allocation->mappings;
  ranges_.Map({address, bytes, handle, allocation->device.ordinal, next_id_(), allocation->id,
               NumberOf(allocation->props.requestedHandleTypes)});
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::Unmap(CUdeviceptr address, size_t bytes) {
  std::unique_lock lock(mutex_);
  const auto mappings = ranges_.Filling(address, bytes);
  if (mappings.empty()) return CUDA_ERROR_INVALID_VALUE;
  for (const VirtualMapping& mapping : mappings) {
    RangeOf(mapping.begin)->Unmap(mapping.begin, mapping.size);
    ranges_.Unmap(mapping.begin);
    const auto allocation = handles_.Find<PhysicalAllocation>(ToHandle(mapping.memory));
    --allocation->mappings;
    EndIfUnused(*allocation);
  }
  ForgetExtents();
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::SetAccess(CUdeviceptr address, size_t bytes, const CUmemAccessDesc* accesses, size_t count) {
  std::unique_lock lock(mutex_);
  if (ranges_.Filling(address, bytes).empty()) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < count; ++i) ranges_.SetAccess(address, bytes, accesses[i].location.id, accesses[i].flags);
  ForgetExtents();
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::GetAccess(unsigned long long* flags, CUdevice device, CUdeviceptr address) const {
  const auto mapping = Find(address);
  if (!mapping) return CUDA_ERROR_INVALID_VALUE;
  *flags = mapping->AccessOf(device);
  return CUDA_SUCCESS;
}

bool VirtualMemory::IsReserved(CUdeviceptr address) const {
  std::shared_lock lock(mutex_);
  return ranges_.FindReserved(address).has_value();
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

std::optional<DeviceBytes> VirtualMemory::FindBytes(CUdevice device, CUdeviceptr address, uint64_t bytes,
                                                    bool writes) const {
  std::shared_lock lock(mutex_);
  if (!ranges_.Allows(device, address, bytes, writes)) return std::nullopt;
  const auto& range = RangeOf(address);
  return DeviceBytes{range->ToHost(address), range};
}

// Of an address in a reserved range. The caller holds mutex_.
const std::shared_ptr<AddressRange>& VirtualMemory::RangeOf(CUdeviceptr address) const {
  return std::prev(address_ranges_.upper_bound(address))->second;
}

void VirtualMemory::ForgetExtents() {
  for (auto& extents : extents_) extents.reset();
}

std::shared_ptr<const ExtentTable> VirtualMemory::Extents(CUdevice device) const {
  {
    std::shared_lock lock(mutex_);
    if (ranges_.mappings().empty()) return nullptr;
    if (extents_[device] != nullptr) return extents_[device];
  }
  std::unique_lock lock(mutex_);
  if (extents_[device] == nullptr) extents_[device] = MakeExtents(device);
  return extents_[device];
}

// Neighbours are one extent, since copies and kernels run over both. The caller holds mutex_.
std::shared_ptr<const ExtentTable> VirtualMemory::MakeExtents(CUdevice device) const {
  struct Snapshot {
    ExtentTable extents;
    std::vector<std::shared_ptr<AddressRange>> keepers;
  };
  const auto snapshot = std::make_shared<Snapshot>();
  ExtentTable& extents = snapshot->extents;
  for (const auto& [begin, mapping] : ranges_.mappings()) {
    const CUmemAccess_flags access = mapping.AccessOf(device);
    if (access == CU_MEM_ACCESS_FLAGS_PROT_NONE) continue;
    const auto& range = RangeOf(begin);
    const Extent extent{begin, begin + mapping.size, range->ToHost(begin),
                        access == CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    const bool is_of_last = !snapshot->keepers.empty() && snapshot->keepers.back() == range;
    if (!is_of_last) snapshot->keepers.push_back(range);
    if (is_of_last && extents.back().end == begin && extents.back().writable == extent.writable) {
      extents.back().end = extent.end;
    } else {
      extents.push_back(extent);
    }
  }
  return {snapshot, &extents};
}

}  // namespace outboard::softgpu::api
