#include "server/softgpu/api/graph_memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/number_of.h"
#include "common/libcuda/memory_pools.h"
#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/entry.h"

namespace outboard::softgpu::api {

void GraphMemoryUse::Level::Add(uint64_t bytes) {
  now += bytes;
  high = std::max(high, now);
}

void GraphMemoryUse::Reserve(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  reserved_.Add(bytes);
}

void GraphMemoryUse::Unreserve(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  reserved_.now -= bytes;
}

void GraphMemoryUse::Use(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  used_.Add(bytes);
}

void GraphMemoryUse::Unuse(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  used_.now -= bytes;
}

CUresult GraphMemoryUse::Get(unsigned attribute, void* value) const {
  std::lock_guard lock(mutex_);
  const uint64_t values[] = {used_.now, used_.high, reserved_.now, reserved_.high};  // as the attributes are numbered
  if (attribute >= std::size(values)) return CUDA_ERROR_INVALID_VALUE;
  std::memcpy(value, &values[attribute], sizeof *values);
  return CUDA_SUCCESS;
}

CUresult GraphMemoryUse::Set(unsigned attribute, const void* value) {
  uint64_t wanted;
  std::memcpy(&wanted, value, sizeof wanted);
  const bool is_used = attribute == CU_GRAPH_MEM_ATTR_USED_MEM_HIGH;
  if ((!is_used && attribute != CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH) || wanted != 0) return CUDA_ERROR_INVALID_VALUE;
  std::lock_guard lock(mutex_);
  Level& level = is_used ? used_ : reserved_;
  level.high = level.now;
  return CUDA_SUCCESS;
}

CUresult GraphMemory::Create(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS& params,
                             std::shared_ptr<GraphMemory>* memory) {
  if (CUresult refused = outboard::CheckPoolProps(params.poolProps); refused != CUDA_SUCCESS) return refused;
  Device* device = driver.FindDevice(params.poolProps.location.id);
  if (!device) return CUDA_ERROR_INVALID_DEVICE;
  if (params.bytesize == 0 || params.accessDescCount > driver.devices().size()) return CUDA_ERROR_INVALID_VALUE;
  if (!params.accessDescs && params.accessDescCount > 0) return CUDA_ERROR_INVALID_VALUE;
  for (size_t i = 0; i < params.accessDescCount; ++i) {
    // A device's own kernels may do anything with its memory, those of other devices nothing.
    const CUmemAccessDesc& access = params.accessDescs[i];
    if (NumberOf(access.location.type) != CU_MEM_LOCATION_TYPE_DEVICE) return CUDA_ERROR_INVALID_VALUE;
    if (driver.FindDevice(access.location.id) != device) return CUDA_ERROR_INVALID_DEVICE;
    if (NumberOf(access.flags) != CU_MEM_ACCESS_FLAGS_PROT_READWRITE) return CUDA_ERROR_INVALID_VALUE;
  }
  auto address = device->memory->Allocate(params.bytesize);
  if (!address && driver.pools.ReleaseUnused(*device)) address = device->memory->Allocate(params.bytesize);
  if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
  CUDA_MEM_ALLOC_NODE_PARAMS placed = params;
  placed.dptr = *address;
  *memory = std::shared_ptr<GraphMemory>(new GraphMemory(driver, *device, placed));
  driver.allocations.Add(*address, params.bytesize,
                         Allocation{device, nullptr, nullptr, driver.NextId(), false, nullptr, false, *memory});
  device->graph_memory.Reserve(params.bytesize);
  return CUDA_SUCCESS;
}

GraphMemory::GraphMemory(Driver& driver, Device& device, const CUDA_MEM_ALLOC_NODE_PARAMS& params)
    : driver_(driver),
      device_(device),
      access_(params.accessDescs, params.accessDescs + params.accessDescCount),
      params_(params) {
  params_.accessDescs = access_.data();
}

GraphMemory::~GraphMemory() {
  driver_.allocations.Take(params_.dptr, [](const auto&) { return true; });
  device_.memory->Free(params_.dptr);
  device_.graph_memory.Unreserve(params_.bytesize);
}

bool GraphMemory::MayBeFreedIn(const graphs::Graph& graph) const {
  return &graph == home_ ? freer_ == Freer::kNone : freer_ != Freer::kHome;
}

void GraphMemory::Allocate() {
  held_ = shared_from_this();
  device_.graph_memory.Use(params_.bytesize);
}

std::shared_ptr<GraphMemory> GraphMemory::Free() {
  device_.graph_memory.Unuse(params_.bytesize);
  return std::exchange(held_, nullptr);
}

}  // namespace outboard::softgpu::api

// Graph management: the memory that a device keeps for graphs.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

template <class Body>
CUresult DeviceCall(CUdevice ordinal, Body body) {
  return Call([&](Driver& driver) -> CUresult {
    Device* device = driver.FindDevice(ordinal);
    return device ? body(*device) : CUDA_ERROR_INVALID_DEVICE;
  });
}

}  // namespace

// All that there is belongs to graphs that may be launched.
CUresult cuDeviceGraphMemTrim(CUdevice device) {
  return DeviceCall(device, [](Device&) { return CUDA_SUCCESS; });
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void* value) {
  return DeviceCall(device, [&](Device& found) {
    return value ? found.graph_memory.Get(NumberOf(attr), value) : CUDA_ERROR_INVALID_VALUE;
  });
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void* value) {
  return DeviceCall(device, [&](Device& found) {
    return value ? found.graph_memory.Set(NumberOf(attr), value) : CUDA_ERROR_INVALID_VALUE;
  });
}
