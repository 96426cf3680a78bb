#pragma once

#include <cuda.h>

#include <cstdint>
#include <span>
#include <vector>

#include "common/wire/hello.h"
#include "server/driver/driver_table.h"
#include "server/worker/session.h"

namespace outboard::worker {

// What the worker says of the lease's devices, in the lease's order. Asks the driver, which cuInit has started.
std::vector<wire::DeviceInfo> DescribeDevices(const driver::DriverTable& driver, std::span<const LeasedDevice> devices);

struct Greeting {
  wire::WorkerHello hello;        // hello.error says why the session does not open
  std::vector<uint32_t> visible;  // indices of the lease's devices, by the client's ordinals
};
// The answer to a client's hello. `devices` describes the lease's. The ticket is for the caller to check.
Greeting Greet(const wire::ClientHello& client, std::span<const wire::DeviceInfo> devices, int32_t driver_version,
               uint64_t session);

}  // namespace outboard::worker
