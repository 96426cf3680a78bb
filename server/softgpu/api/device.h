#pragma once

#include "server/softgpu/api/cuda_api.h"

#include <memory>
#include <string>
#include <string_view>

#include "common/base/result.h"
#include "common/graphs/memory.h"
#include "server/softgpu/device/config.h"
#include "server/softgpu/device/device_memory.h"

namespace outboard::softgpu::api {

class Context;
class Driver;

// The largest things that a kernel launch may ask of a device.
struct LaunchLimits {
  unsigned threads_per_block = 1024;
  unsigned block[3] = {1024, 1024, 64};
  unsigned grid[3] = {0x7fffffff, 65535, 65535};
  unsigned threads_per_sm = 2048;
  unsigned blocks_per_sm = 32;
  unsigned registers = 65536;            // per block and per SM
  unsigned shared_per_block = 48 << 10;  // bytes, without opting in
  unsigned shared_reserved = 1 << 10;    // bytes of each block's shared memory that the device keeps for itself
  unsigned shared_per_block_optin;       // bytes
  unsigned shared_per_sm;                // bytes
};

// One software GPU as this process sees it. Immutable but for what its members say of themselves.
class Device {
 public:
  static constexpr int kMaxPitchBytes = 0x7fffffff;

  // `physical` is the machine's number for it, `ordinal` the application's.
  Device(const Config& config, unsigned physical, CUdevice ordinal, std::unique_ptr<DeviceMemory> memory);

  const CUdevice ordinal;
  const unsigned physical;
  const int cc_major, cc_minor;
  const LaunchLimits limits;
  const std::unique_ptr<DeviceMemory> memory;
  graphs::MemoryUse graph_memory;

  CUuuid uuid() const;
  int pci_bus() const { return static_cast<int>(physical) + 1; }  // domain 0, device 0
  std::string PciBusId() const;                                   // "0000:01:00.0"

  int Attribute(CUdevice_attribute attribute) const;

  // Zeroes an allocation, as far as kernels reach it: what nobody but the driver can clear before a program has it.
  void Clear(uint64_t address, uint64_t bytes) const;

  // The primary context: one object with one handle for the life of the process, active or not. Thread-safe.
  Context& primary() const { return *primary_; }
  const std::shared_ptr<Context>& shared_primary() const { return primary_; }

 private:
  friend class Driver;
  std::shared_ptr<Context> primary_;  // set once, before the device is visible
};

// The name that all software GPUs have.
inline constexpr std::string_view kDeviceName = "Outboard software GPU";

}  // namespace outboard::softgpu::api
