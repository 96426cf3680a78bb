#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>

#include "common/interop/own_memory.h"
#include "server/driver/driver_table.h"

namespace outboard::worker {

struct LeasedDevice;

// Charges the lease for device memory that the driver takes by itself, where the driver says so beforehand: the
// software GPU, of variables of modules and of the heap of malloc in kernels. Such memory is then refused past the
// slice like any other. Does nothing with other drivers.
//
// While it lives, this account alone is kept. Thread-safe.
class OwnMemory {
 public:
  // Both outlive this.
  OwnMemory(const driver::DriverTable& driver, std::span<const LeasedDevice> devices);
  ~OwnMemory();
  OwnMemory(const OwnMemory&) = delete;
  OwnMemory& operator=(const OwnMemory&) = delete;

 private:
  static bool Take(void* user, int device, uint64_t bytes);
  static void GiveBack(void* user, int device, uint64_t bytes);
  const LeasedDevice* FindDevice(int ordinal) const;

  const std::span<const LeasedDevice> devices_;
  const interop::OwnMemoryTable* table_ = nullptr;
};

}  // namespace outboard::worker
