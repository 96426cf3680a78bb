#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/result.h"

// How the GPUs of a lease are, as gpu-run tells the programs that it started (docs/wire.md, "gpu-run's socket"). The
// figures' numbers are also those of proto/node.proto.

namespace outboard::wire {

// What there may be to know of a GPU. Numbers of figures are never used again.
enum class Figure : uint32_t {
  kComputeCapabilityMajor = 0,
  kComputeCapabilityMinor = 1,
  kPciDomain = 2,
  kPciBus = 3,
  kPciDevice = 4,
  kPciDeviceId = 5,  // as nvmlPciInfo_t.pciDeviceId
  kPciSubsystemId = 6,
  kBrand = 7,  // nvmlBrandType_t
  kCores = 8,
  kMemoryBusBits = 9,
  kMaxPcieGeneration = 10,
  kMaxPcieWidth = 11,
  kShutdownCelsius = 12,
  kSlowdownCelsius = 13,
  kPcieGeneration = 14,
  kPcieWidth = 15,
  kCelsius = 16,
  kFanPercent = 17,
  kPowerMilliwatts = 18,
  kPowerLimitMilliwatts = 19,
  kDefaultPowerLimitMilliwatts = 20,
  kMinPowerLimitMilliwatts = 21,
  kMaxPowerLimitMilliwatts = 22,
  kEnforcedPowerLimitMilliwatts = 23,
  kEnergyMillijoules = 24,
  kBusyPercent = 25,        // of a lease's share, by the lease; of a sensor's reading: whoever uses it
  kMemoryBusyPercent = 26,  // likewise
  kGraphicsMegahertz = 27,  // four in the order of nvmlClockType_t
  kSmMegahertz = 28,
  kMemoryMegahertz = 29,
  kVideoMegahertz = 30,
  kMaxGraphicsMegahertz = 31,  // likewise
  kMaxSmMegahertz = 32,
  kMaxMemoryMegahertz = 33,
  kMaxVideoMegahertz = 34,
  kClockReasons = 35,      // nvmlClocksEventReason bits
  kPerformanceState = 36,  // nvmlPstates_t
  kPersistenceMode = 37,   // nvmlEnableState_t
  kComputeMode = 38,       // nvmlComputeMode_t
  kEccMode = 39,           // nvmlEnableState_t
  kPendingEccMode = 40,
};
inline constexpr size_t kFigures = 41;
inline constexpr size_t kConstantFigures = 14;  // the first ones, which do not change
inline constexpr uint64_t kNoFigure = ~uint64_t{0};

// The figures of one GPU. What is not known is kNoFigure.
class Figures {
 public:
  Figures() { values_.fill(kNoFigure); }
  uint64_t operator[](Figure figure) const { return values_[static_cast<size_t>(figure)]; }
  uint64_t& operator[](Figure figure) { return values_[static_cast<size_t>(figure)]; }
  // By number; one that is not known here is ignored.
  void Set(uint64_t number, uint64_t value) {
    if (number < values_.size()) values_[number] = value;
  }
  const std::array<uint64_t, kFigures>& values() const { return values_; }
  // Takes what `other` knows.
  void Merge(const Figures& other) {
    for (size_t i = 0; i < values_.size(); ++i) {
      if (other.values_[i] != kNoFigure) values_[i] = other.values_[i];
    }
  }

 private:
  std::array<uint64_t, kFigures> values_;
};

// A process that has memory of the GPU.
struct GpuProcess {
  uint64_t pid = 0;  // where gpu-run runs
  uint64_t used_bytes = 0;
};

struct GpuStatus {
  std::string name;
  std::string uuid;          // "GPU-..."
  uint64_t total_bytes = 0;  // of the slice
  // By all processes of the lease: more than there is, where the slice was made smaller than what was in use.
  uint64_t used_bytes = 0;
  Figures figures;
  std::vector<GpuProcess> processes;
};

struct LeaseStatus {
  std::string driver_version;   // of the GPUs' machine, as people know it: "580.65.06"
  std::vector<GpuStatus> gpus;  // in the order of the lease
};

std::vector<std::byte> Encode(const LeaseStatus& status);
// Of bytes that nobody vouches for, aligned to 8. The message is consumed exactly.
Result<LeaseStatus> DecodeLeaseStatus(std::span<const std::byte> body);

}  // namespace outboard::wire
