#include "common/nvml/nvml.h"

#include <cstdlib>
#include <cstring>

// A management library for tests: knows the GPU "GPU-1". Says what it is told to by FAKE_NVML: "refuse" to start,
// "old" to lack most figures, or "lost" to have lost every GPU. The GPU's processes are those of FAKE_NVML_PROCESSES,
// "PID:BYTES,PID:BYTES", and its memory is FAKE_NVML_MEMORY, "TOTAL RESERVED FREE".

namespace {

bool Is(const char* wanted) {
  const char* const what = std::getenv("FAKE_NVML");
  return what != nullptr && std::strcmp(what, wanted) == 0;
}

nvmlReturn_t Give(unsigned value, unsigned* to) {
  if (Is("old")) return NVML_ERROR_NOT_SUPPORTED;
  *to = value;
  return NVML_SUCCESS;
}

}  // namespace

nvmlReturn_t nvmlInit_v2() { return Is("refuse") ? NVML_ERROR_DRIVER_NOT_LOADED : NVML_SUCCESS; }
nvmlReturn_t nvmlShutdown() { return NVML_SUCCESS; }
nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned length) {
  std::strncpy(version, "570.1", length);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  if (Is("lost")) return NVML_ERROR_GPU_IS_LOST;
  if (std::strcmp(uuid, "GPU-1") != 0) return NVML_ERROR_NOT_FOUND;
  *device = reinterpret_cast<nvmlDevice_t>(1);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t, unsigned* power) { return Give(70'000, power); }
nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t, nvmlTemperatureSensors_t, unsigned* temp) { return Give(41, temp); }
nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t, nvmlClockType_t type, unsigned* clock) {
  return Give(1000 + type, clock);
}
nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t, unsigned* minLimit, unsigned* maxLimit) {
  const nvmlReturn_t first = Give(1, minLimit);
  return first == NVML_SUCCESS ? Give(2, maxLimit) : first;
}
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t, unsigned long long* energy) {
  *energy = 1ull << 40;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t, nvmlMemory_v2_t* memory) {
  const char* const text = std::getenv("FAKE_NVML_MEMORY");
  if (text == nullptr) return NVML_ERROR_NOT_SUPPORTED;
  char* end;
  memory->total = std::strtoull(text, &end, 10);
  memory->reserved = std::strtoull(end, &end, 10);
  memory->free = std::strtoull(end, &end, 10);
  memory->used = memory->total - memory->reserved - memory->free;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t, nvmlUtilization_t* utilization) {
  *utilization = {50, 25};
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t, nvmlPciInfo_t* pci) {
  *pci = {};
  pci->pciDeviceId = 0x233010de;
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t, unsigned* count, nvmlProcessInfo_v2_t* infos) {
  const char* at = std::getenv("FAKE_NVML_PROCESSES");
  unsigned found = 0;
  while (at != nullptr && *at != '\0') {
    char* end;
    const auto pid = static_cast<unsigned>(std::strtoul(at, &end, 10));
    const unsigned long long bytes = std::strtoull(end + 1, &end, 10);
    if (found < *count) infos[found] = {pid, bytes, ~0u, ~0u};
    ++found;
    at = *end == ',' ? end + 1 : end;
  }
  const bool has_room = found <= *count;
  *count = found;
  return has_room ? NVML_SUCCESS : NVML_ERROR_INSUFFICIENT_SIZE;
}
