#include <algorithm>
#include <ctime>

#include "client/nvml/library.h"

// What is known of a GPU in numbers. Those that change are asked for anew by each call.

namespace outboard::nvml {
namespace {

using wire::Figure;

// A figure that does not change.
template <class T>
nvmlReturn_t GiveFact(nvmlDevice_t device, Figure figure, T* to) {
  return WithFacts(device, to != nullptr,
                   [&](const wire::GpuStatus& gpu, size_t) { return Give(gpu.figures[figure], to); });
}

// A figure as it is now. `valid`: of the call's other arguments.
template <class T>
nvmlReturn_t GiveNow(nvmlDevice_t device, Figure figure, T* to, bool valid = true) {
  return WithStatus(device, to != nullptr && valid,
                    [&](const wire::GpuStatus& gpu) { return Give(gpu.figures[figure], to); });
}

// Two figures, both or none.
template <class T>
nvmlReturn_t GiveTwo(nvmlDevice_t device, Figure first, T* to_first, Figure second, T* to_second) {
  return WithStatus(device, to_first != nullptr && to_second != nullptr, [&](const wire::GpuStatus& gpu) {
    T values[2];
    if (Give(gpu.figures[first], &values[0]) != NVML_SUCCESS || Give(gpu.figures[second], &values[1]) != NVML_SUCCESS) {
      return NVML_ERROR_NOT_SUPPORTED;
    }
    *to_first = values[0];
    *to_second = values[1];
    return NVML_SUCCESS;
  });
}

// The figure of a kind of clock; `first` is that of NVML_CLOCK_GRAPHICS.
nvmlReturn_t GiveClock(nvmlDevice_t device, Figure first, nvmlClockType_t type, unsigned* clock) {
  const uint32_t kind = type < NVML_CLOCK_COUNT ? type : NVML_CLOCK_GRAPHICS;
  return GiveNow(device, static_cast<Figure>(static_cast<uint32_t>(first) + kind), clock, kind == type);
}

// A slice that was made smaller than what is in use has nothing free: used and free are what there is, as with a GPU.
uint64_t Used(const wire::GpuStatus& gpu) { return std::min(gpu.used_bytes, gpu.total_bytes); }

nvmlReturn_t GiveDisabled(nvmlDevice_t device, nvmlEnableState_t* state) {
  return WithFacts(device, state != nullptr, [&](const wire::GpuStatus&, size_t) {
    *state = NVML_FEATURE_DISABLED;
    return NVML_SUCCESS;
  });
}

nvmlDeviceArchitecture_t ArchitectureOf(uint64_t major, uint64_t minor) {
  switch (major) {
    case 7:
      return minor < 5 ? NVML_DEVICE_ARCH_VOLTA : NVML_DEVICE_ARCH_TURING;
    case 8:
      return minor < 9 ? NVML_DEVICE_ARCH_AMPERE : NVML_DEVICE_ARCH_ADA;
    case 9:
      return NVML_DEVICE_ARCH_HOPPER;
    case 10:
    case 11:
    case 12:
      return NVML_DEVICE_ARCH_BLACKWELL;
    default:
      return NVML_DEVICE_ARCH_UNKNOWN;
  }
}

// Answers one of nvmlDeviceGetFieldValues.
void GiveField(const wire::GpuStatus& gpu, nvmlFieldValue_t* field) {
  switch (field->fieldId) {
    case NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION:
      field->valueType = NVML_VALUE_TYPE_UNSIGNED_LONG_LONG;
      field->nvmlReturn = Give(gpu.figures[Figure::kEnergyMillijoules], &field->value.ullVal);
      break;
    case NVML_FI_DEV_POWER_INSTANT:
      field->valueType = NVML_VALUE_TYPE_UNSIGNED_INT;
      field->nvmlReturn = Give(gpu.figures[Figure::kPowerMilliwatts], &field->value.uiVal);
      break;
    default:
      field->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
  }
}

}  // namespace
}  // namespace outboard::nvml

using namespace outboard::nvml;
using outboard::wire::Figure;
using outboard::wire::GpuStatus;

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int* major, int* minor) {
  return WithFacts(device, major != nullptr && minor != nullptr, [&](const GpuStatus& gpu, size_t) {
    const nvmlReturn_t given = Give(gpu.figures[Figure::kComputeCapabilityMajor], major);
    return given == NVML_SUCCESS ? Give(gpu.figures[Figure::kComputeCapabilityMinor], minor) : given;
  });
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t* arch) {
  return WithFacts(device, arch != nullptr, [&](const GpuStatus& gpu, size_t) {
    *arch = ArchitectureOf(gpu.figures[Figure::kComputeCapabilityMajor], gpu.figures[Figure::kComputeCapabilityMinor]);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t* type) {
  return GiveFact(device, Figure::kBrand, type);
}
nvmlReturn_t nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned* numCores) {
  return GiveFact(device, Figure::kCores, numCores);
}
nvmlReturn_t nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned* busWidth) {
  return GiveFact(device, Figure::kMemoryBusBits, busWidth);
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t* memory) {
  return WithStatus(device, memory != nullptr, [&](const GpuStatus& gpu) {
    const uint64_t used = Used(gpu);
    *memory = {gpu.total_bytes, gpu.total_bytes - used, used};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t* memory) {
  return WithStatus(device, memory != nullptr, [&](const GpuStatus& gpu) {
    if (memory->version != NvmlVersion(sizeof *memory, 2)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    const uint64_t used = Used(gpu);
    *memory = {memory->version, gpu.total_bytes, 0, gpu.total_bytes - used, used};
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t* utilization) {
  unsigned* const gpu = utilization != nullptr ? &utilization->gpu : nullptr;
  unsigned* const memory = utilization != nullptr ? &utilization->memory : nullptr;
  return GiveTwo(device, Figure::kBusyPercent, gpu, Figure::kMemoryBusyPercent, memory);
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensorType, unsigned* temp) {
  return GiveNow(device, Figure::kCelsius, temp, sensorType == NVML_TEMPERATURE_GPU);
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_v1_t* temperature) {
  if (Facts() == nullptr) return NVML_ERROR_UNINITIALIZED;
  if (temperature == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  if (temperature->version != NvmlVersion(sizeof *temperature, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
  if (temperature->sensorType != NVML_TEMPERATURE_GPU) return NVML_ERROR_INVALID_ARGUMENT;
  return GiveNow(device, Figure::kCelsius, &temperature->temperature);
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, nvmlTemperatureThresholds_t thresholdType,
                                               unsigned* temp) {
  if (Facts() == nullptr) return NVML_ERROR_UNINITIALIZED;
  if (thresholdType == NVML_TEMPERATURE_THRESHOLD_SHUTDOWN) return GiveFact(device, Figure::kShutdownCelsius, temp);
  if (thresholdType == NVML_TEMPERATURE_THRESHOLD_SLOWDOWN) return GiveFact(device, Figure::kSlowdownCelsius, temp);
  return thresholdType < NVML_TEMPERATURE_THRESHOLD_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned* speed) {
  return GiveNow(device, Figure::kFanPercent, speed);
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned* power) {
  return GiveNow(device, Figure::kPowerMilliwatts, power);
}
nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned* limit) {
  return GiveNow(device, Figure::kPowerLimitMilliwatts, limit);
}
nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned* defaultLimit) {
  return GiveNow(device, Figure::kDefaultPowerLimitMilliwatts, defaultLimit);
}
nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned* minLimit, unsigned* maxLimit) {
  return GiveTwo(device, Figure::kMinPowerLimitMilliwatts, minLimit, Figure::kMaxPowerLimitMilliwatts, maxLimit);
}
nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned* limit) {
  return GiveNow(device, Figure::kEnforcedPowerLimitMilliwatts, limit);
}
nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long* energy) {
  return GiveNow(device, Figure::kEnergyMillijoules, energy);
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned* clock) {
  return GiveClock(device, Figure::kGraphicsMegahertz, type, clock);
}
nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned* clock) {
  return GiveClock(device, Figure::kMaxGraphicsMegahertz, type, clock);
}
nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, nvmlClockType_t type, nvmlClockId_t id, unsigned* clockMHz) {
  if (Facts() == nullptr) return NVML_ERROR_UNINITIALIZED;
  if (id == NVML_CLOCK_ID_CURRENT) return nvmlDeviceGetClockInfo(device, type, clockMHz);
  return id < NVML_CLOCK_ID_COUNT ? NVML_ERROR_NOT_SUPPORTED : NVML_ERROR_INVALID_ARGUMENT;
}
nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long* reasons) {
  return GiveNow(device, Figure::kClockReasons, reasons);
}
nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long* reasons) {
  return GiveNow(device, Figure::kClockReasons, reasons);
}
nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t* pState) {
  return GiveNow(device, Figure::kPerformanceState, pState);
}
nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t device, nvmlPstates_t* pState) {
  return GiveNow(device, Figure::kPerformanceState, pState);
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t* mode) {
  return GiveNow(device, Figure::kPersistenceMode, mode);
}
nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t* mode) {
  return GiveNow(device, Figure::kComputeMode, mode);
}
nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t* current, nvmlEnableState_t* pending) {
  return GiveTwo(device, Figure::kEccMode, current, Figure::kPendingEccMode, pending);
}

nvmlReturn_t nvmlDeviceGetDisplayMode(nvmlDevice_t device, nvmlEnableState_t* display) {
  return GiveDisabled(device, display);
}
nvmlReturn_t nvmlDeviceGetDisplayActive(nvmlDevice_t device, nvmlEnableState_t* isActive) {
  return GiveDisabled(device, isActive);
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned* currLinkGen) {
  return GiveNow(device, Figure::kPcieGeneration, currLinkGen);
}
nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned* currLinkWidth) {
  return GiveNow(device, Figure::kPcieWidth, currLinkWidth);
}
nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned* maxLinkGen) {
  return GiveFact(device, Figure::kMaxPcieGeneration, maxLinkGen);
}
nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned* maxLinkWidth) {
  return GiveFact(device, Figure::kMaxPcieWidth, maxLinkWidth);
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int valuesCount, nvmlFieldValue_t* values) {
  return WithStatus(device, valuesCount > 0 && values != nullptr, [&](const GpuStatus& gpu) {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < valuesCount; ++i) {
      values[i].timestamp = now.tv_sec * 1'000'000ll + now.tv_nsec / 1000;
      values[i].latencyUsec = 0;
      GiveField(gpu, &values[i]);
    }
    return NVML_SUCCESS;
  });
}
