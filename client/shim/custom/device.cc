#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>

#include "client/shim/call.h"
#include "client/shim/claims.h"
#include "client/shim/custom.gen.h"
#include "common/base/number_of.h"
#include "common/libcuda/atomic_capabilities.h"
#include "common/libcuda/device_properties.h"

// Device management, answered from what the worker said when the session opened.

namespace outboard::custom {
namespace {

// Runs body(const wire::DeviceInfo&) with the device of that number.
template <class Body>
CUresult DeviceCall(CUdevice ordinal, Body body) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    const auto& devices = process.worker().devices;
    if (ordinal < 0 || static_cast<size_t>(ordinal) >= devices.size()) return CUDA_ERROR_INVALID_DEVICE;
    return body(devices[ordinal]);
  });
}

int Attribute(const wire::DeviceInfo& device, unsigned number) {
  return shim::ClaimedValue(number, number <= device.attributes.size() ? device.attributes[number - 1] : 0);
}

// Bus, device and function of "[domain:]bus:device[.function]", domain included. False when it is none of that.
bool ParseBusId(const char* text, unsigned (*parts)[4]) {
  auto& [domain, bus, slot, function] = *parts;
  domain = bus = slot = function = 0;
  if (std::sscanf(text, "%x:%x:%x.%x", &domain, &bus, &slot, &function) >= 3) return true;
  domain = bus = slot = function = 0;
  return std::sscanf(text, "%x:%x.%x", &bus, &slot, &function) >= 2;
}

}  // namespace

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (device == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (ordinal < 0 || static_cast<size_t>(ordinal) >= process.worker().devices.size()) {
      return CUDA_ERROR_INVALID_DEVICE;
    }
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetCount(int* count) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    if (count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(process.worker().devices.size());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int len, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    if (name == nullptr || len <= 0) return CUDA_ERROR_INVALID_VALUE;
    const size_t length = std::min(device.name.size(), static_cast<size_t>(len) - 1);
    std::memcpy(name, device.name.data(), length);
    name[length] = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    if (uuid == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *uuid = device.uuid;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice dev) { return custom::cuDeviceGetUuid(uuid, dev); }

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *bytes = device.total_memory;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceTotalMem(unsigned int* bytes, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    if (bytes == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *bytes = static_cast<unsigned>(std::min<uint64_t>(device.total_memory, std::numeric_limits<unsigned>::max()));
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* pi, CUdevice_attribute attrib, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    const unsigned number = NumberOf(attrib);
    if (pi == nullptr || number == 0 || number >= CU_DEVICE_ATTRIBUTE_MAX) return CUDA_ERROR_INVALID_VALUE;
    *pi = Attribute(device, number);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetProperties(CUdevprop* prop, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    if (prop == nullptr) return CUDA_ERROR_INVALID_VALUE;
    FillDeviceProperties(prop, [&](CUdevice_attribute number) { return Attribute(device, number); });
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    if (major == nullptr || minor == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *major = Attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
    *minor = Attribute(device, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    return CUDA_SUCCESS;
  });
}

// Host and device do not share memory.
CUresult cuDeviceGetHostAtomicCapabilities(unsigned int* capabilities, const CUatomicOperation* operations,
                                           unsigned int count, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo&) {
    return AtomicCapabilities(capabilities, operations, count, [](CUatomicOperation) { return 0u; });
  });
}

// Contexts are made without it (cuCtxCreate_v3).
CUresult cuDeviceGetExecAffinitySupport(int* pi, CUexecAffinityType type, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo&) -> CUresult {
    if (pi == nullptr || NumberOf(type) >= CU_EXEC_AFFINITY_TYPE_MAX) return CUDA_ERROR_INVALID_VALUE;
    *pi = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetPCIBusId(char* pciBusId, int len, CUdevice dev) {
  return DeviceCall(dev, [&](const wire::DeviceInfo& device) -> CUresult {
    const std::string& id = device.pci_bus_id;
    if (pciBusId == nullptr || len <= 0 || static_cast<size_t>(len) <= id.size()) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(pciBusId, id.c_str(), id.size() + 1);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* dev, const char* pciBusId) {
  return shim::Local([&](shim::Process& process) -> CUresult {
    unsigned wanted[4];
    if (dev == nullptr || pciBusId == nullptr || !ParseBusId(pciBusId, &wanted)) return CUDA_ERROR_INVALID_VALUE;
    const auto& devices = process.worker().devices;
    const auto found = std::find_if(devices.begin(), devices.end(), [&](const wire::DeviceInfo& device) {
      unsigned its[4];
      return ParseBusId(device.pci_bus_id.c_str(), &its) && std::equal(std::begin(its), std::end(its), wanted);
    });
    if (found == devices.end()) return CUDA_ERROR_INVALID_DEVICE;
    *dev = static_cast<CUdevice>(found - devices.begin());
    return CUDA_SUCCESS;
  });
}

}  // namespace outboard::custom
