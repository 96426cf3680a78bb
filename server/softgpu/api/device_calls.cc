#include "server/softgpu/api/cuda_api.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <limits>

#include "common/base/number_of.h"
#include "common/libcuda/atomic_capabilities.h"
#include "common/libcuda/device_properties.h"
#include "server/softgpu/api/entry.h"

// Device management.

using namespace outboard::softgpu::api;
using outboard::NumberOf;

namespace {

// Runs `body` with the device of that number.
template <class Body>
CUresult DeviceCall(CUdevice ordinal, Body body) {
  return Call([&](Driver& driver) -> CUresult {
    Device* device = driver.FindDevice(ordinal);
    if (!device) return CUDA_ERROR_INVALID_DEVICE;
    return body(*device);
  });
}

}  // namespace

CUresult cuDeviceGet(CUdevice* device, int ordinal) {
  return Call([&](Driver& driver) -> CUresult {
    if (!device) return CUDA_ERROR_INVALID_VALUE;
    if (!driver.FindDevice(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetCount(int* count) {
  return Call([&](Driver& driver) -> CUresult {
    if (!count) return CUDA_ERROR_INVALID_VALUE;
    *count = static_cast<int>(driver.devices().size());
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetName(char* name, int len, CUdevice dev) {
  return DeviceCall(dev, [&](Device&) -> CUresult {
    if (!name || len <= 0) return CUDA_ERROR_INVALID_VALUE;
    const size_t length = std::min(kDeviceName.size(), static_cast<size_t>(len) - 1);
    std::memcpy(name, kDeviceName.data(), length);
    name[length] = 0;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid(CUuuid* uuid, CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    if (!uuid) return CUDA_ERROR_INVALID_VALUE;
    *uuid = device.uuid();
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice dev) { return cuDeviceGetUuid(uuid, dev); }

CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = device.memory->facts().memory_bytes;
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetAttribute(int* pi, CUdevice_attribute attrib, CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    const unsigned number = NumberOf(attrib);
    if (!pi || number == 0 || number >= CU_DEVICE_ATTRIBUTE_MAX) return CUDA_ERROR_INVALID_VALUE;
    *pi = device.Attribute(attrib);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetPCIBusId(char* pciBusId, int len, CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    const std::string id = device.PciBusId();
    if (!pciBusId || len <= 0 || static_cast<size_t>(len) <= id.size()) return CUDA_ERROR_INVALID_VALUE;
    std::memcpy(pciBusId, id.c_str(), id.size() + 1);
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceGetByPCIBusId(CUdevice* dev, const char* pciBusId) {
  return Call([&](Driver& driver) -> CUresult {
    if (!dev || !pciBusId) return CUDA_ERROR_INVALID_VALUE;
    // [domain]:[bus]:[device].[function], the domain and the function may be missing.
    unsigned domain = 0, bus = 0, slot = 0, function = 0;
    if (sscanf(pciBusId, "%x:%x:%x.%x", &domain, &bus, &slot, &function) < 3) {
      domain = 0;
      if (sscanf(pciBusId, "%x:%x.%x", &bus, &slot, &function) < 2) return CUDA_ERROR_INVALID_VALUE;
    }
    for (const auto& device : driver.devices()) {
      if (domain != 0 || slot != 0 || function != 0 || bus != static_cast<unsigned>(device->pci_bus())) continue;
      *dev = device->ordinal;
      return CUDA_SUCCESS;
    }
    return CUDA_ERROR_INVALID_DEVICE;
  });
}

CUresult cuDeviceGetProperties(CUdevprop* prop, CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    if (!prop) return CUDA_ERROR_INVALID_VALUE;
    outboard::FillDeviceProperties(prop, [&](CUdevice_attribute number) { return device.Attribute(number); });
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    if (!major || !minor) return CUDA_ERROR_INVALID_VALUE;
    *major = device.cc_major;
    *minor = device.cc_minor;
    return CUDA_SUCCESS;
  });
}

// CU_DEVICE_ATTRIBUTE_HOST_NATIVE_ATOMIC_SUPPORTED is 0.
CUresult cuDeviceGetHostAtomicCapabilities(unsigned int* capabilities, const CUatomicOperation* operations,
                                           unsigned int count, CUdevice dev) {
  return DeviceCall(dev, [&](Device&) {
    return outboard::AtomicCapabilities(capabilities, operations, count, [](CUatomicOperation) { return 0u; });
  });
}

CUresult cuDeviceGetExecAffinitySupport(int* pi, CUexecAffinityType type, CUdevice dev) {
  return DeviceCall(dev, [&](Device&) -> CUresult {
    if (!pi || NumberOf(type) >= CU_EXEC_AFFINITY_TYPE_MAX) return CUDA_ERROR_INVALID_VALUE;
    *pi = 0;
    return CUDA_SUCCESS;
  });
}

// There are no textures, so none of any width.
CUresult cuDeviceGetTexture1DLinearMaxWidth(size_t* maxWidthInElements, CUarray_format, unsigned numChannels,
                                            CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    if (!maxWidthInElements || (numChannels != 1 && numChannels != 2 && numChannels != 4)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    *maxWidthInElements = static_cast<size_t>(device.Attribute(CU_DEVICE_ATTRIBUTE_MAXIMUM_TEXTURE1D_LINEAR_WIDTH));
    return CUDA_SUCCESS;
  });
}

CUresult cuDeviceTotalMem(unsigned int* bytes, CUdevice dev) {
  return DeviceCall(dev, [&](Device& device) -> CUresult {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    *bytes = static_cast<unsigned>(
        std::min<uint64_t>(device.memory->facts().memory_bytes, std::numeric_limits<unsigned>::max()));
    return CUDA_SUCCESS;
  });
}
