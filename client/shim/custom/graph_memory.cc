#include "client/shim/call.h"
#include "client/shim/custom.gen.h"
#include "client/shim/graph_model.h"

// Graph management: the memory that a device keeps for graphs.

namespace outboard::custom {

using namespace shim;

namespace {

// Runs body(graphs::MemoryUse&) for a device that exists.
template <class Body>
CUresult DeviceCall(CUdevice device, Body body) {
  return Local([&](Process& process) -> CUresult {
    const bool exists = device >= 0 && static_cast<size_t>(device) < process.worker().devices.size();
    return exists ? body(process.graph_model().memory_use(device)) : CUDA_ERROR_INVALID_DEVICE;
  });
}

}  // namespace

// All that there is belongs to graphs that may be launched.
CUresult cuDeviceGraphMemTrim(CUdevice device) {
  return DeviceCall(device, [](graphs::MemoryUse&) { return CUDA_SUCCESS; });
}

CUresult cuDeviceGetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void* value) {
  return DeviceCall(device, [&](graphs::MemoryUse& use) { return use.Get(attr, value); });
}

CUresult cuDeviceSetGraphMemAttribute(CUdevice device, CUgraphMem_attribute attr, void* value) {
  return DeviceCall(device, [&](graphs::MemoryUse& use) { return use.Set(attr, value); });
}

}  // namespace outboard::custom
