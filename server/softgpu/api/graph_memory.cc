#include "server/softgpu/api/graph_memory.h"

#include "server/softgpu/api/driver.h"
#include "server/softgpu/api/entry.h"

namespace outboard::softgpu::api {

CUresult GraphMemory::Create(Driver& driver, const CUDA_MEM_ALLOC_NODE_PARAMS& params,
                             std::shared_ptr<GraphMemory>* memory) {
  const auto devices = static_cast<CUdevice>(driver.devices().size());
  if (CUresult refused = graphs::CheckAllocation(params, devices); refused != CUDA_SUCCESS) return refused;
  Device* device = driver.FindDevice(params.poolProps.location.id);
  auto address = device->memory->Allocate(params.bytesize);
  if (!address && driver.pools.ReleaseUnused(*device)) address = device->memory->Allocate(params.bytesize);
  if (!address) return CUDA_ERROR_OUT_OF_MEMORY;
  CUDA_MEM_ALLOC_NODE_PARAMS placed = params;
  placed.dptr = *address;
  *memory = std::shared_ptr<GraphMemory>(new GraphMemory(driver, *device, placed));
  driver.allocations.Add(*address, params.bytesize,
                         Allocation{device, nullptr, nullptr, driver.NextId(), false, nullptr, false, *memory});
  return CUDA_SUCCESS;
}

GraphMemory::GraphMemory(Driver& driver, Device& device, const CUDA_MEM_ALLOC_NODE_PARAMS& params)
    : Memory(params, device.graph_memory), driver_(driver), device_(device) {}

GraphMemory::~GraphMemory() {
  driver_.allocations.Take(params().dptr, [](const auto&) { return true; });
  device_.memory->Free(params().dptr);
}

}  // namespace outboard::softgpu::api

// Graph management: the memory that a device keeps for graphs.

using namespace outboard::softgpu::api;

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
  return DeviceCall(device, [&](Device& found) { return found.graph_memory.Get(attr, value); });
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void* value) {
  return DeviceCall(device, [&](Device& found) { return found.graph_memory.Set(attr, value); });
}
