#include "common/graphs/memory.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "common/base/number_of.h"
#include "common/libcuda/memory_pools.h"

namespace outboard::graphs {

void MemoryUse::Level::Add(uint64_t bytes) {
  now += bytes;
  high = std::max(high, now);
}

void MemoryUse::Reserve(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  reserved_.Add(bytes);
}

void MemoryUse::Unreserve(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  reserved_.now -= bytes;
}

void MemoryUse::Use(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  used_.Add(bytes);
}

void MemoryUse::Unuse(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  used_.now -= bytes;
}

CUresult MemoryUse::Get(CUgraphMem_attribute attribute, void* value) const {
  std::lock_guard lock(mutex_);
  const uint64_t values[] = {used_.now, used_.high, reserved_.now, reserved_.high};  // as the attributes are numbered
  if (!value || NumberOf(attribute) >= std::size(values)) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(value, &values[NumberOf(attribute)], sizeof *values);
  return CUDA_SUCCESS;
}

CUresult MemoryUse::Set(CUgraphMem_attribute attribute, const void* value) {
  if (!value) return CUDA_ERROR_INVALID_VALUE;
  uint64_t wanted;
  std::memcpy(&wanted, value, sizeof wanted);
  const bool is_used = NumberOf(attribute) == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH;
  if ((!is_used && NumberOf(attribute) != CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH) || wanted != 0)
    return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(mutex_);
  Level& level = is_used ? used_ : reserved_;
  level.high = level.now;
  return CUDA_SUCCESS;
}

Memory::Memory(const CUDA_MEM_ALLOC_NODE_PARAMS& params, MemoryUse& use)
    : use_(use), access_(params.accessDescs, params.accessDescs + params.accessDescCount), params_(params) {
  params_.accessDescs = access_.data();
  use_.Reserve(params_.bytesize);
}

Memory::~Memory() { use_.Unreserve(params_.bytesize); }

bool Memory::MayBeFreedIn(const Graph& graph) const {
  return &graph == home_ ? freer_ == Freer::kNone : freer_ != Freer::kHome;
}

void Memory::Allocate() {
  held_ = shared_from_this();
  use_.Use(params_.bytesize);
}

std::shared_ptr<Memory> Memory::Free() {
  use_.Unuse(params_.bytesize);
  return std::exchange(held_, nullptr);
}

CUresult CheckAllocation(const CUDA_MEM_ALLOC_NODE_PARAMS& params, CUdevice devices) {
  const auto exists = [&](CUdevice device) { return device >= 0 && device < devices; };
  if (CUresult refused = CheckPoolProps(params.poolProps); refused != CUDA_SUCCESS) return refused;
  if (NumberOf(params.poolProps.handleTypes) != CU_MEM_HANDLE_TYPE_NONE) return CUDA_ERROR_NOT_SUPPORTED;
  const CUdevice device = params.poolProps.location.id;
  if (!exists(device)) return CUDA_ERROR_INVALID_DEVICE;
  if (params.bytesize == 0 || params.accessDescCount > static_cast<size_t>(devices)) return CUDA_ERROR_INVALID_VALUE;
  if (!params.accessDescs && params.accessDescCount > 0) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < params.accessDescCount; ++i) {
    const CUmemAccessDesc& access = params.accessDescs[i];
    if (NumberOf(access.location.type) != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    if (access.location.id != device) return CUDA_ERROR_INVALID_DEVICE;
    if (NumberOf(access.flags) != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) return CUDA_ERROR_INVALID_VALUE;
  }
  return CUDA_SUCCESS;
}

void MemoryChanges::TakeBack() {
  for (const auto& [memory, was_allocated] : before) {
    if (memory->allocated() == was_allocated) continue;
    if (was_allocated) {
      memory->Allocate();
    } else {
      memory->Free();
    }
  }
}

}  // namespace outboard::graphs
