#include "server/softgpu/api/interop_host.h"

#include <mutex>

#include "common/interop/interop.h"
#include "server/softgpu/api/entry.h"
#include "server/softgpu/api/module.h"
#include "server/softgpu/api/stream.h"

namespace outboard::softgpu::api {
namespace {

class InteropHost : public interop::Host {
 public:
  CUresult CurrentContext(CUcontext* context) override { return cuCtxGetCurrent(context); }

  CUresult PrimaryContext(CUdevice ordinal, CUcontext* context) override {
    return Call([&](Driver& driver) -> CUresult {
      const Device* device = driver.FindDevice(ordinal);
      if (!device) return CUDA_ERROR_INVALID_DEVICE;
      *context = device->primary().cu();
      return CUDA_SUCCESS;
    });
  }

  CUresult ContextId(CUcontext context, unsigned long long* id) override { return cuCtxGetId(context, id); }

  CUresult StreamId(CUcontext handle, CUstream stream, unsigned long long* id) override {
    return Call([&](Driver& driver) -> CUresult {
      api::CurrentContext named;
      if (FindContext(driver, handle, &named) != CUDA_SUCCESS) return CUDA_ERROR_INVALID_CONTEXT;
      std::shared_ptr<Stream> found;
      const CUresult result = FindStream(*named.context, named.green.get(), stream, DefaultStream::kLegacy, &found);
      if (result == CUDA_SUCCESS) *id = found->id;
      return result;
    });
  }

  CUresult ModuleFunctions(CUmodule handle, std::vector<CUfunction>* functions) override {
    return Call([&](Driver& driver) -> CUresult {
      const auto module = driver.handles.Find<Module>(handle);
      if (!module) return CUDA_ERROR_INVALID_HANDLE;
      for (const std::string& name : module->linked->KernelNames()) {
        functions->push_back(static_cast<CUfunction>(module->FindFunction(name)->handle()));
      }
      return CUDA_SUCCESS;
    });
  }

  int DriverVersion() override { return CUDA_VERSION; }

  std::vector<interop::DeviceIdentity> Devices() override {
    std::vector<interop::DeviceIdentity> identities;
    for (const auto& device : Driver::Get().devices()) identities.push_back({device->uuid(), 0, device->pci_bus(), 0});
    return identities;
  }
};

}  // namespace

void InstallInteropHost() {
  static std::once_flag once;
  std::call_once(once, [] { interop::Install(new InteropHost); });  // lives forever
}

}  // namespace outboard::softgpu::api
