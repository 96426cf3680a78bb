#include "server/worker/virtual_memory.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "server/worker/contexts.h"
#include "server/worker/session.h"
#include "server/worker/shares.h"

namespace outboard::worker {

VirtualMemory::VirtualMemory(const driver::DriverTable& driver, std::span<const LeasedDevice> devices,
                             Contexts* contexts, Shares* shares, bool clears)
    : driver_(driver), devices_(devices), contexts_(*contexts), shares_(*shares), clears_(clears) {}

VirtualMemory::~VirtualMemory() {
  for (const auto& [handle, memory] : memories_) Refund(memory);
}

void VirtualMemory::Refund(const Memory& memory) {
  if (memory.imports != 0) return shares_.Close(*memory.share);
  if (memory.share) return shares_.End(*memory.share);
  memory.device->ledger->Refund(memory.device->account, memory.bytes);
}

CUresult VirtualMemory::Create(CUmemGenericAllocationHandle* handle, size_t bytes, const CUmemAllocationProp& props,
                               unsigned long long flags) {
  const auto found = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const LeasedDevice& leased) { return leased.ordinal == props.location.id; });
  if (found == devices_.end()) return CUDA_ERROR_INVALID_DEVICE;
  const Memory memory{.device = &*found, .bytes = bytes, .share = {}};
  if (!memory.device->ledger->Charge(memory.device->account, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
  const CUresult result = CreateZeroed(handle, bytes, props, flags);
  if (result != CUDA_SUCCESS) {
    Refund(memory);
    return result;
  }
  std::lock_guard lock(mutex_);
  memories_.insert_or_assign(*handle, memory);
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::CreateZeroed(CUmemGenericAllocationHandle* handle, size_t bytes,
                                     const CUmemAllocationProp& props, unsigned long long flags) {
  CUresult result = driver_.cuMemCreate(handle, bytes, &props, flags);
  if (result != CUDA_SUCCESS) return result;
  result = ZeroOn(props.location.id, *handle, bytes);
  if (result != CUDA_SUCCESS) driver_.cuMemRelease(*handle);
  return result;
}

// To write memory takes a context of its device, which the client need not have.
CUresult VirtualMemory::ZeroOn(CUdevice ordinal, CUmemGenericAllocationHandle handle, size_t bytes) {
  if (!clears_) return CUDA_SUCCESS;
  CUdevice current;
  if (driver_.cuCtxGetDevice(&current) == CUDA_SUCCESS && current == ordinal) return Zero(ordinal, handle, bytes);
  CUcontext context;
  if (const CUresult result = contexts_.RetainPrimary(&context, ordinal); result != CUDA_SUCCESS) return result;
  CUresult result = driver_.cuCtxPushCurrent_v2(context);
  if (result == CUDA_SUCCESS) {
    result = Zero(ordinal, handle, bytes);
    driver_.cuCtxPopCurrent_v2(&context);
  }
  contexts_.ReleasePrimary(ordinal);
  return result;
}

// At addresses that nobody else hears of.
CUresult VirtualMemory::Zero(CUdevice ordinal, CUmemGenericAllocationHandle handle, size_t bytes) {
  CUdeviceptr address;
  CUresult result = driver_.cuMemAddressReserve(&address, bytes, 0, 0, 0);
  if (result != CUDA_SUCCESS) return result;
  result = driver_.cuMemMap(address, bytes, 0, handle, 0);
  if (result == CUDA_SUCCESS) {
    result = ZeroAt(address, ordinal, bytes);
    driver_.cuMemUnmap(address, bytes);
  }
  driver_.cuMemAddressFree(address, bytes);
  return result;
}

// On a stream of its own, that the application's streams neither wait for nor delay.
CUresult VirtualMemory::ZeroAt(CUdeviceptr address, CUdevice ordinal, size_t bytes) {
  CUmemAccessDesc access{};
  access.location = {CU_MEM_LOCATION_TYPE_DEVICE, ordinal};
  access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
  CUresult result = driver_.cuMemSetAccess(address, bytes, &access, 1);
  if (result != CUDA_SUCCESS) return result;
  CUstream stream;
  result = driver_.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
  if (result != CUDA_SUCCESS) return result;
  result = driver_.cuMemsetD8Async(address, 0, bytes, stream);
  if (result == CUDA_SUCCESS) result = driver_.cuStreamSynchronize(stream);
  driver_.cuStreamDestroy_v2(stream);
  return result;
}

CUresult VirtualMemory::Release(CUmemGenericAllocationHandle handle) {
  std::map<CUmemGenericAllocationHandle, Memory>::node_type taken;
  {
    // Out of the table first: once the driver has released it, another thread may be given the same handle.
    std::lock_guard lock(mutex_);
    const auto found = memories_.find(handle);
    if (found == memories_.end()) return CUDA_ERROR_INVALID_VALUE;
    if (found->second.imports > 1) {
      --found->second.imports;  // others stay
    } else {
      if (found->second.mappings != 0) return CUDA_ERROR_INVALID_VALUE;
      taken = memories_.extract(found);
    }
  }
  const CUresult result = driver_.cuMemRelease(handle);
  if (result == CUDA_SUCCESS) {
    if (taken) Refund(taken.mapped());
    return result;
  }
  std::lock_guard lock(mutex_);
  if (taken) {
    memories_.insert(std::move(taken));
  } else if (const auto found = memories_.find(handle); found != memories_.end()) {
    ++found->second.imports;
  }
  return result;
}

CUresult VirtualMemory::Export(OutboardShare* share, CUmemGenericAllocationHandle handle) {
  if (share == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuMemExportToShareableHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  std::lock_guard sharing(sharing_mutex_);
  const LeasedDevice* device;
  uint64_t bytes;
  {
    std::lock_guard lock(mutex_);
    const auto found = memories_.find(handle);
    if (found == memories_.end()) return CUDA_ERROR_INVALID_VALUE;
    Memory& memory = found->second;
    if (memory.share) {
      *share = *memory.share;
      return CUDA_SUCCESS;
    }
    ++memory.mappings;  // it must not be released meanwhile
    device = memory.device;
    bytes = memory.bytes;
  }
  int descriptor = -1;
  CUresult result =
      driver_.cuMemExportToShareableHandle(&descriptor, handle, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
  std::optional<OutboardShare> added;
  if (result == CUDA_SUCCESS) {
    added = shares_.Add(*device, slice::ExportKind::kPhysical, UniqueFd(descriptor), bytes, bytes);
    if (!added) result = CUDA_ERROR_OUT_OF_MEMORY;
  }
  std::lock_guard lock(mutex_);
  Memory& memory = memories_.at(handle);
  --memory.mappings;
  if (result == CUDA_SUCCESS) *share = *(memory.share = added);
  return result;
}

CUresult VirtualMemory::Import(CUmemGenericAllocationHandle* handle, uint64_t* bytes, CUdevice* device,
                               const OutboardShare& share) {
  if (bytes == nullptr || device == nullptr) return CUDA_ERROR_INVALID_VALUE;
  if (driver_.cuMemImportFromShareableHandle == nullptr) return CUDA_ERROR_NOT_SUPPORTED;
  const auto opened = shares_.Open(share, slice::ExportKind::kPhysical);
  if (!opened) return CUDA_ERROR_INVALID_VALUE;
  void* const descriptor = reinterpret_cast<void*>(static_cast<uintptr_t>(opened->descriptor.get()));
  const CUresult result =
      driver_.cuMemImportFromShareableHandle(handle, descriptor, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
  if (result != CUDA_SUCCESS) {
    shares_.Close(share);
    return result;
  }
  *bytes = opened->bytes;
  *device = opened->device->ordinal;
  std::lock_guard lock(mutex_);
  Memory& memory =
      memories_.try_emplace(*handle, Memory{.device = opened->device, .bytes = opened->bytes, .share = share})
          .first->second;
  if (++memory.imports > 1) shares_.Close(share);
  return CUDA_SUCCESS;
}

CUresult VirtualMemory::Reserve(CUdeviceptr* address, size_t bytes, size_t alignment, CUdeviceptr wanted,
                                unsigned long long flags) {
  const CUresult result = driver_.cuMemAddressReserve(address, bytes, alignment, wanted, flags);
  if (result != CUDA_SUCCESS) return result;
  std::lock_guard lock(mutex_);
  ranges_[*address] = bytes;
  return result;
}

CUresult VirtualMemory::FreeRange(CUdeviceptr address, size_t bytes) {
  {
    std::lock_guard lock(mutex_);
    const auto found = ranges_.find(address);
    if (found == ranges_.end() || found->second != bytes) return CUDA_ERROR_INVALID_VALUE;
    ranges_.erase(found);
  }
  const CUresult result = driver_.cuMemAddressFree(address, bytes);
  if (result == CUDA_SUCCESS) return result;
  std::lock_guard lock(mutex_);
  ranges_[address] = bytes;
  return result;
}

CUresult VirtualMemory::Map(CUdeviceptr address, size_t bytes, size_t offset, CUmemGenericAllocationHandle handle,
                            unsigned long long flags) {
  {
    // Before the driver maps it: it must not be released meanwhile.
    std::lock_guard lock(mutex_);
    const auto found = memories_.find(handle);
    if (found == memories_.end()) return CUDA_ERROR_INVALID_VALUE;
    ++found->second.mappings;
  }
  const CUresult result = driver_.cuMemMap(address, bytes, offset, handle, flags);
  std::lock_guard lock(mutex_);
  if (result == CUDA_SUCCESS) {
    mappings_[address] = {bytes, handle};
  } else {
    --memories_.at(handle).mappings;
  }
  return result;
}

CUresult VirtualMemory::Unmap(CUdeviceptr address, size_t bytes) {
  Mappings taken;
  {
    // Out of the table first: once the driver has unmapped them, another thread may map there.
    std::lock_guard lock(mutex_);
    for (auto it = mappings_.lower_bound(address); it != mappings_.end() && it->first - address < bytes;) {
      taken.insert(mappings_.extract(it++));
    }
  }
  const CUresult result = driver_.cuMemUnmap(address, bytes);
  std::lock_guard lock(mutex_);
  if (result != CUDA_SUCCESS) {
    mappings_.merge(taken);
  } else {
    for (const auto& [begin, mapping] : taken) --memories_.at(mapping.memory).mappings;
  }
  return result;
}

void VirtualMemory::FreeAll() {
  Mappings mappings;
  std::vector<CUmemGenericAllocationHandle> handles;
  std::map<CUdeviceptr, size_t> ranges;
  {
    std::lock_guard lock(mutex_);
    mappings = mappings_;
    for (const auto& [handle, memory] : memories_) handles.push_back(handle);
    ranges = ranges_;
  }
  for (const auto& [address, mapping] : mappings) Unmap(address, mapping.bytes);
  for (const CUmemGenericAllocationHandle handle : handles) {
    while (Release(handle) == CUDA_SUCCESS) {
    }
  }
  for (const auto& [address, bytes] : ranges) FreeRange(address, bytes);
}

}  // namespace outboard::worker
