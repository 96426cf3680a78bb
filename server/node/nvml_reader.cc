#include "server/node/nvml_reader.h"

#include <dlfcn.h>

#include <algorithm>
#include <utility>

#include "common/nvml/nvml.h"

namespace outboard::node {
namespace {

using wire::Figure;

// A call that gives one number of a GPU.
struct NumberCall {
  Figure figure;
  const char* name;
};
constexpr NumberCall kNumberCalls[] = {
    {Figure::kBrand, "nvmlDeviceGetBrand"},
    {Figure::kCores, "nvmlDeviceGetNumGpuCores"},
    {Figure::kMemoryBusBits, "nvmlDeviceGetMemoryBusWidth"},
    {Figure::kMaxPcieGeneration, "nvmlDeviceGetMaxPcieLinkGeneration"},
    {Figure::kMaxPcieWidth, "nvmlDeviceGetMaxPcieLinkWidth"},
    {Figure::kPcieGeneration, "nvmlDeviceGetCurrPcieLinkGeneration"},
    {Figure::kPcieWidth, "nvmlDeviceGetCurrPcieLinkWidth"},
    {Figure::kFanPercent, "nvmlDeviceGetFanSpeed"},
    {Figure::kPowerMilliwatts, "nvmlDeviceGetPowerUsage"},
    {Figure::kPowerLimitMilliwatts, "nvmlDeviceGetPowerManagementLimit"},
    {Figure::kDefaultPowerLimitMilliwatts, "nvmlDeviceGetPowerManagementDefaultLimit"},
    {Figure::kEnforcedPowerLimitMilliwatts, "nvmlDeviceGetEnforcedPowerLimit"},
    {Figure::kPerformanceState, "nvmlDeviceGetPerformanceState"},
    {Figure::kPersistenceMode, "nvmlDeviceGetPersistenceMode"},
    {Figure::kComputeMode, "nvmlDeviceGetComputeMode"},
};

// The same with a kind, of which the call takes several.
struct KindCall {
  Figure figure;
  const char* name;
  unsigned kind;
};
constexpr KindCall kKindCalls[] = {
    {Figure::kCelsius, "nvmlDeviceGetTemperature", NVML_TEMPERATURE_GPU},
    {Figure::kShutdownCelsius, "nvmlDeviceGetTemperatureThreshold", NVML_TEMPERATURE_THRESHOLD_SHUTDOWN},
    {Figure::kSlowdownCelsius, "nvmlDeviceGetTemperatureThreshold", NVML_TEMPERATURE_THRESHOLD_SLOWDOWN},
    {Figure::kGraphicsMegahertz, "nvmlDeviceGetClockInfo", NVML_CLOCK_GRAPHICS},
    {Figure::kSmMegahertz, "nvmlDeviceGetClockInfo", NVML_CLOCK_SM},
    {Figure::kMemoryMegahertz, "nvmlDeviceGetClockInfo", NVML_CLOCK_MEM},
    {Figure::kVideoMegahertz, "nvmlDeviceGetClockInfo", NVML_CLOCK_VIDEO},
    {Figure::kMaxGraphicsMegahertz, "nvmlDeviceGetMaxClockInfo", NVML_CLOCK_GRAPHICS},
    {Figure::kMaxSmMegahertz, "nvmlDeviceGetMaxClockInfo", NVML_CLOCK_SM},
    {Figure::kMaxMemoryMegahertz, "nvmlDeviceGetMaxClockInfo", NVML_CLOCK_MEM},
    {Figure::kMaxVideoMegahertz, "nvmlDeviceGetMaxClockInfo", NVML_CLOCK_VIDEO},
};

// Two numbers.
struct PairCall {
  Figure first, second;
  const char* name;
};
constexpr PairCall kPairCalls[] = {
    {Figure::kMinPowerLimitMilliwatts, Figure::kMaxPowerLimitMilliwatts,
     "nvmlDeviceGetPowerManagementLimitConstraints"},
    {Figure::kEccMode, Figure::kPendingEccMode, "nvmlDeviceGetEccMode"},
};

// 64 bits.
constexpr NumberCall kLongCalls[] = {
    {Figure::kEnergyMillijoules, "nvmlDeviceGetTotalEnergyConsumption"},
    {Figure::kClockReasons, "nvmlDeviceGetCurrentClocksThrottleReasons"},
};

}  // namespace

struct NvmlReader::Calls {
  // Null when the library does not have it.
  template <class Call>
  Call Find(const char* name) const {
    return reinterpret_cast<Call>(dlsym(library, name));
  }

  void* library;
};

Result<std::unique_ptr<NvmlReader>> NvmlReader::Open(const std::string& path) {
  auto calls = std::make_unique<Calls>();
  calls->library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (calls->library == nullptr) {
    const char* const why = dlerror();
    return Error{why != nullptr ? why : "cannot open " + path};
  }
  const auto init = calls->Find<decltype(&nvmlInit_v2)>("nvmlInit_v2");
  const auto version = calls->Find<decltype(&nvmlSystemGetDriverVersion)>("nvmlSystemGetDriverVersion");
  if (init == nullptr || version == nullptr || calls->Find<void*>("nvmlDeviceGetHandleByUUID") == nullptr) {
    return Error{path + " lacks calls that every version since CUDA 5 has"};
  }
  if (const nvmlReturn_t result = init(); result != NVML_SUCCESS) {
    return Error{path + " answers nvmlInit with error " + std::to_string(result)};
  }
  std::unique_ptr<NvmlReader> reader(new NvmlReader(std::move(calls)));
  char text[80] = {};
  if (version(text, sizeof text - 1) == NVML_SUCCESS) reader->driver_version_ = text;
  return reader;
}

NvmlReader::NvmlReader(std::unique_ptr<const Calls> calls) : calls_(std::move(calls)) {}

NvmlReader::~NvmlReader() {
  if (const auto shutdown = calls_->Find<decltype(&nvmlShutdown)>("nvmlShutdown")) shutdown();
}

std::optional<NvmlReader::Memory> NvmlReader::ReadMemory(const std::string& uuid) const {
  nvmlDevice_t device;
  const auto find = calls_->Find<decltype(&nvmlDeviceGetHandleByUUID)>("nvmlDeviceGetHandleByUUID");
  const auto read = calls_->Find<decltype(&nvmlDeviceGetMemoryInfo_v2)>("nvmlDeviceGetMemoryInfo_v2");
  const auto list =
      calls_->Find<decltype(&nvmlDeviceGetComputeRunningProcesses_v3)>("nvmlDeviceGetComputeRunningProcesses_v3");
  nvmlMemory_v2_t memory{};
  memory.version = NvmlVersion(sizeof memory, 2);
  if (read == nullptr || find(uuid.c_str(), &device) != NVML_SUCCESS || read(device, &memory) != NVML_SUCCESS) {
    return std::nullopt;
  }
  Memory found{memory.total - std::min(memory.total, memory.reserved), memory.free};
  // What is not free although nobody has a context is never free.
  unsigned processes = 0;
  const bool is_idle = list != nullptr && list(device, &processes, nullptr) == NVML_SUCCESS && processes == 0;
  if (is_idle) found.idle_bytes = std::min<uint64_t>(found.idle_bytes, memory.free);
  return found;
}

bool NvmlReader::IsLost(const std::string& uuid) const {
  nvmlDevice_t device;
  const auto find = calls_->Find<decltype(&nvmlDeviceGetHandleByUUID)>("nvmlDeviceGetHandleByUUID");
  return find(uuid.c_str(), &device) == NVML_ERROR_GPU_IS_LOST;
}

wire::Figures NvmlReader::Read(const std::string& uuid) const {
  wire::Figures figures;
  nvmlDevice_t device;
  const auto find = calls_->Find<decltype(&nvmlDeviceGetHandleByUUID)>("nvmlDeviceGetHandleByUUID");
  if (find(uuid.c_str(), &device) != NVML_SUCCESS) return figures;

  unsigned one = 0, other = 0;
  for (const NumberCall& call : kNumberCalls) {
    const auto read = calls_->Find<nvmlReturn_t (*)(nvmlDevice_t, unsigned*)>(call.name);
    if (read != nullptr && read(device, &one) == NVML_SUCCESS) figures[call.figure] = one;
  }
  for (const KindCall& call : kKindCalls) {
    const auto read = calls_->Find<nvmlReturn_t (*)(nvmlDevice_t, unsigned, unsigned*)>(call.name);
    if (read != nullptr && read(device, call.kind, &one) == NVML_SUCCESS) figures[call.figure] = one;
  }
  for (const PairCall& call : kPairCalls) {
    const auto read = calls_->Find<nvmlReturn_t (*)(nvmlDevice_t, unsigned*, unsigned*)>(call.name);
    if (read == nullptr || read(device, &one, &other) != NVML_SUCCESS) continue;
    figures[call.first] = one;
    figures[call.second] = other;
  }
  unsigned long long number = 0;
  for (const NumberCall& call : kLongCalls) {
    const auto read = calls_->Find<nvmlReturn_t (*)(nvmlDevice_t, unsigned long long*)>(call.name);
    if (read != nullptr && read(device, &number) == NVML_SUCCESS) figures[call.figure] = number;
  }
  nvmlUtilization_t busy{};
  const auto read_busy = calls_->Find<decltype(&nvmlDeviceGetUtilizationRates)>("nvmlDeviceGetUtilizationRates");
  if (read_busy != nullptr && read_busy(device, &busy) == NVML_SUCCESS) {
    figures[Figure::kBusyPercent] = busy.gpu;
    figures[Figure::kMemoryBusyPercent] = busy.memory;
  }
  nvmlPciInfo_t pci{};
  const auto read_pci = calls_->Find<decltype(&nvmlDeviceGetPciInfo_v3)>("nvmlDeviceGetPciInfo_v3");
  if (read_pci != nullptr && read_pci(device, &pci) == NVML_SUCCESS) {
    figures[Figure::kPciDeviceId] = pci.pciDeviceId;
    figures[Figure::kPciSubsystemId] = pci.pciSubSystemId;
  }
  return figures;
}

}  // namespace outboard::node
