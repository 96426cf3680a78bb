#include "server/worker/greeting.h"

#include <algorithm>
#include <string>

#include "common/wire/frame.h"
#include "common/wire/op.h"

namespace outboard::worker {
namespace {

wire::DeviceInfo Describe(const driver::DriverTable& driver, const LeasedDevice& device) {
  wire::DeviceInfo info;
  const auto ask = [](auto function, auto... arguments) {
    return function != nullptr && function(arguments...) == CUDA_SUCCESS;
  };
  char text[256] = {};
  if (ask(driver.cuDeviceGetName, text, static_cast<int>(sizeof text - 1), device.ordinal)) info.name = text;
  std::fill(std::begin(text), std::end(text), '\0');
  if (ask(driver.cuDeviceGetPCIBusId, text, static_cast<int>(sizeof text - 1), device.ordinal)) {
    info.pci_bus_id = text;
  }
  static_cast<void>(ask(driver.cuDeviceGetUuid_v2, &info.uuid, device.ordinal) ||
                    ask(driver.cuDeviceGetUuid, &info.uuid, device.ordinal));
  size_t memory = 0;
  static_cast<void>(ask(driver.cuDeviceTotalMem_v2, &memory, device.ordinal));
  info.total_memory = std::min<uint64_t>(memory, device.ledger->limit());
  info.attributes.resize(CU_DEVICE_ATTRIBUTE_MAX - 1);
  for (int i = 1; i < CU_DEVICE_ATTRIBUTE_MAX; ++i) {
    int value = 0;
    const bool is_known = ask(driver.cuDeviceGetAttribute, &value, static_cast<CUdevice_attribute>(i), device.ordinal);
    info.attributes[i - 1] = is_known ? value : 0;
  }
  return info;
}

// As CUDA reads a list of devices: it ends at the first entry that names none, and naming one twice leaves none.
std::vector<uint32_t> Visible(std::span<const int32_t> wanted, size_t count) {
  std::vector<uint32_t> visible;
  if (wanted.empty()) {
    for (uint32_t i = 0; i < count; ++i) visible.push_back(i);
    return visible;
  }
  for (const int32_t ordinal : wanted) {
    if (ordinal < 0 || static_cast<size_t>(ordinal) >= count) break;
    if (std::find(visible.begin(), visible.end(), static_cast<uint32_t>(ordinal)) != visible.end()) return {};
    visible.push_back(static_cast<uint32_t>(ordinal));
  }
  return visible;
}

Greeting Refuse(CUresult result, std::string why) {
  Greeting greeting;
  greeting.hello.major_version = wire::kMajorVersion;
  greeting.hello.result = result;
  greeting.hello.error = std::move(why);
  return greeting;
}

}  // namespace

std::vector<wire::DeviceInfo> DescribeDevices(const driver::DriverTable& driver,
                                              std::span<const LeasedDevice> devices) {
  std::vector<wire::DeviceInfo> infos;
  for (const LeasedDevice& device : devices) infos.push_back(Describe(driver, device));
  return infos;
}

Greeting Greet(const wire::ClientHello& client, std::span<const wire::DeviceInfo> devices, int32_t driver_version,
               uint64_t session) {
  if (client.major_version != wire::kMajorVersion) {
    return Refuse(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
                  "the client speaks version " + std::to_string(client.major_version) +
                      " of the protocol and the worker version " + std::to_string(wire::kMajorVersion) +
                      "; install the same version of Outboard on both machines");
  }
  if (client.abi != wire::kAbi) {
    return Refuse(CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
                  "client and worker lay out data differently; both have to be 64-bit little-endian machines with "
                  "versions of Outboard that were built for the same CUDA");
  }
  Greeting greeting;
  greeting.visible = Visible(client.visible_devices, devices.size());
  if (greeting.visible.empty()) {
    return Refuse(CUDA_ERROR_NO_DEVICE, "none of the lease's " + std::to_string(devices.size()) +
                                            " devices is visible; CUDA_VISIBLE_DEVICES names others");
  }
  wire::WorkerHello& hello = greeting.hello;
  hello.major_version = wire::kMajorVersion;
  hello.driver_version = driver_version;
  for (const uint32_t i : greeting.visible) hello.devices.push_back(devices[i]);
  hello.session = session;
  hello.op_hashes = wire::OpHashes();
  return greeting;
}

}  // namespace outboard::worker
