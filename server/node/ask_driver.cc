#include "server/node/ask_driver.h"

#include <cuda.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "server/driver/uuid_text.h"
#include "server/node/nvml_reader.h"
#include "server/slice/unseen_memory.h"

namespace outboard::node {
namespace {

std::string Describe(const driver::DriverTable& driver, CUresult result) {
  const char* name = nullptr;
  if (driver.cuGetErrorName != nullptr) driver.cuGetErrorName(result, &name);
  return name != nullptr ? name : "error " + std::to_string(result);
}

// What the driver says in attributes. One that it does not know is left out.
wire::Figures ReadFigures(const driver::DriverTable& driver, CUdevice device) {
  constexpr std::pair<wire::Figure, CUdevice_attribute> kAttributes[] = {
      {wire::Figure::kComputeCapabilityMajor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR},
      {wire::Figure::kComputeCapabilityMinor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR},
      {wire::Figure::kPciDomain, CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID},
      {wire::Figure::kPciBus, CU_DEVICE_ATTRIBUTE_PCI_BUS_ID},
      {wire::Figure::kPciDevice, CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID},
      {wire::Figure::kComputeMode, CU_DEVICE_ATTRIBUTE_COMPUTE_MODE},
  };
  wire::Figures figures;
  for (const auto& [figure, attribute] : kAttributes) {
    int value = -1;
    if (driver.cuDeviceGetAttribute != nullptr &&
        driver.cuDeviceGetAttribute(&value, attribute, device) == CUDA_SUCCESS && value >= 0) {
      figures[figure] = static_cast<uint64_t>(value);
    }
  }
  return figures;
}

// What the driver takes for a context of this process on a GPU; 0 when that cannot be found out.
uint64_t MeasureContext(const driver::DriverTable& driver, CUdevice device, const NvmlReader& nvml,
                        const std::string& uuid, const slice::UnseenMemory::Read& read) {
  if (driver.cuDevicePrimaryCtxRetain == nullptr || driver.cuDevicePrimaryCtxRelease_v2 == nullptr) return 0;
  const std::optional<NvmlReader::Memory> before = nvml.ReadMemory(uuid);
  CUcontext context;
  if (driver.cuDevicePrimaryCtxRetain(&context, device) != CUDA_SUCCESS) return 0;
  const std::optional<uint64_t> has = read(static_cast<size_t>(device));
  const std::optional<NvmlReader::Memory> after = nvml.ReadMemory(uuid);
  driver.cuDevicePrimaryCtxRelease_v2(device);
  if (has) return *has;
  // It counts processes in another PID namespace.
  return before && after ? before->free_bytes - std::min(before->free_bytes, after->free_bytes) : 0;
}

}  // namespace

void MeasureMemory(const driver::DriverTable& driver, const std::string& management_library, std::vector<Gpu>* gpus) {
  const Result<std::unique_ptr<NvmlReader>> nvml = NvmlReader::Open(management_library);
  if (!nvml) return;
  std::vector<std::string> uuids;
  for (const Gpu& gpu : *gpus) uuids.push_back(gpu.uuid);
  const slice::UnseenMemory::Read read = slice::ReadProcessByNvml(management_library, uuids);
  std::map<std::string, uint64_t> contexts;  // by the GPU's name
  for (size_t i = 0; i < gpus->size(); ++i) {
    Gpu& gpu = (*gpus)[i];
    const std::optional<NvmlReader::Memory> memory = (*nvml)->ReadMemory(gpu.uuid);
    if (!memory) continue;
    gpu.memory_bytes = std::min(gpu.memory_bytes, memory->idle_bytes);
    const auto [of_this_name, is_new] = contexts.try_emplace(gpu.name, 0);
    if (is_new) {
      of_this_name->second = MeasureContext(driver, static_cast<CUdevice>(i), **nvml, gpu.uuid, read);
    }
    gpu.context_bytes = of_this_name->second;
  }
}

Result<std::vector<Gpu>> AskDriver(const std::string& path, const std::string& management_library) {
  const Result<std::unique_ptr<const driver::DriverTable>> loaded = driver::Load(path);
  if (!loaded) return loaded.error();
  const driver::DriverTable& driver = **loaded;
  if (driver.cuInit == nullptr || driver.cuDeviceGetCount == nullptr || driver.cuDeviceGet == nullptr ||
      driver.cuDeviceGetName == nullptr || driver.cuDeviceTotalMem_v2 == nullptr ||
      driver.cuDeviceGetUuid_v2 == nullptr) {
    return Error{"it lacks calls that every driver since CUDA 11.4 has"};
  }
  if (const CUresult result = driver.cuInit(0); result != CUDA_SUCCESS) {
    return Error{"cuInit answers " + Describe(driver, result)};
  }
  int count = 0;
  if (driver.cuDeviceGetCount(&count) != CUDA_SUCCESS || count <= 0) return Error{"it finds no GPU"};
  int version = 0;
  if (driver.cuDriverGetVersion != nullptr) driver.cuDriverGetVersion(&version);
  std::vector<Gpu> gpus;
  for (int i = 0; i < count; ++i) {
    CUdevice device;
    char name[256] = {};
    size_t bytes = 0;
    CUuuid uuid{};
    for (const CUresult result :
         {driver.cuDeviceGet(&device, i), driver.cuDeviceGetName(name, sizeof name - 1, device),
          driver.cuDeviceTotalMem_v2(&bytes, device), driver.cuDeviceGetUuid_v2(&uuid, device)}) {
      if (result != CUDA_SUCCESS) {
        return Error{"asked for GPU " + std::to_string(i) + ", it answers " + Describe(driver, result)};
      }
    }
    gpus.push_back({name, driver::UuidText(uuid), bytes, ReadFigures(driver, device), std::max(version, 0)});
  }
  if (!management_library.empty()) MeasureMemory(driver, management_library, &gpus);
  return gpus;
}

}  // namespace outboard::node
