#include <limits>

#include "client/shim/call.h"
#include "client/shim/memory_call.h"
#include "client/shim/modules.h"
#include "client/shim/process.h"
#include "client/shim/remote.gen.h"

// What the private tables of NVIDIA's runtime are told (common/interop). In a child forked before cuInit they still
// know the parent's object, whose place another has taken: so each asks for the present one.

namespace outboard::shim {
// Also when the process exits: the runtime puts away what it stored in contexts then.
CUresult Process::CurrentContext(CUcontext* context) {
  return Guard([&] {
    const Process& process = Get();
    if (process.state_.load(std::memory_order_acquire) == State::kNew || process.IsForkedChild()) {
      return CUDA_ERROR_NOT_INITIALIZED;
    }
    *context = shim::CurrentContext();
    return CUDA_SUCCESS;
  });
}

CUresult Process::PrimaryContext(CUdevice device, CUcontext* context) {
  return Guard([&] {
    return Local([&](Process& process) -> CUresult {
      if (device < 0 || static_cast<size_t>(device) >= process.worker().devices.size())
        return CUDA_ERROR_INVALID_DEVICE;
      *context = reinterpret_cast<CUcontext>(wire::PrimaryContextHandle(device));
      return CUDA_SUCCESS;
    });
  });
}

CUresult Process::ContextId(CUcontext context, unsigned long long* id) {
  return Guard([&] { return remote::cuCtxGetId(context, id); });
}

CUresult Process::StreamId(CUcontext context, CUstream stream, unsigned long long* id) {
  return Guard([&] {
    const InContext in_context(context);
    return remote::cuStreamGetId(LegacyStream(stream), id);
  });
}

CUresult Process::ModuleFunctions(CUmodule module, std::vector<CUfunction>* functions) {
  return Guard([&] {
    Process& process = Get();
    Current current;
    const CUresult result = FindCurrent(process, &current);
    constexpr unsigned kAll = std::numeric_limits<unsigned>::max();
    return result == CUDA_SUCCESS ? process.modules().GetFunctions(current, module, kAll, functions) : result;
  });
}

// What this library offers, whatever the worker's driver does beyond it: it must be the same before and after cuInit.
int Process::DriverVersion() { return CUDA_VERSION; }

std::vector<interop::DeviceIdentity> Process::Devices() {
  Process& process = Get();
  if (process.Enter() != CUDA_SUCCESS) return {};
  const auto attribute = [](const wire::DeviceInfo& device, CUdevice_attribute number) {
    return number <= device.attributes.size() ? device.attributes[number - 1] : 0;
  };
  std::vector<interop::DeviceIdentity> identities;
  for (const wire::DeviceInfo& device : process.worker().devices) {
    identities.push_back({device.uuid, attribute(device, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID),
                          attribute(device, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID),
                          attribute(device, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)});
  }
  return identities;
}

}  // namespace outboard::shim
