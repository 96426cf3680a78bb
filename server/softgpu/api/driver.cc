#include "server/softgpu/api/driver.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <string>

#include "common/base/log.h"
#include "common/base/visible_devices.h"
#include "server/softgpu/api/context.h"

namespace outboard::softgpu::api {
namespace {

std::atomic<Driver*> the_driver{nullptr};

unsigned CpusOfThisProcess() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

CUresult CodeOf(FaultKind kind) {
  switch (kind) {
    case FaultKind::kIllegalAddress:
      return CUDA_ERROR_ILLEGAL_ADDRESS;
    case FaultKind::kMisalignedAddress:
      return CUDA_ERROR_MISALIGNED_ADDRESS;
    case FaultKind::kIllegalInstruction:
      return CUDA_ERROR_ILLEGAL_INSTRUCTION;
    case FaultKind::kInvalidPc:
      return CUDA_ERROR_INVALID_PC;
    case FaultKind::kTrap:
      return CUDA_ERROR_LAUNCH_FAILED;
    case FaultKind::kAssert:
      return CUDA_ERROR_ASSERT;
    case FaultKind::kStackOverflow:
      return CUDA_ERROR_HARDWARE_STACK_ERROR;
    case FaultKind::kDeadlock:
      return CUDA_ERROR_LAUNCH_TIMEOUT;
  }
  return CUDA_ERROR_UNKNOWN;
}

}  // namespace

Driver& Driver::Get() {
  Driver* driver = the_driver.load(std::memory_order_acquire);
  while (!driver || (driver->lost() && !driver->initialised())) {
    auto* made = new Driver;
    if (the_driver.compare_exchange_strong(driver, made)) return *made;
    delete made;
  }
  return *driver;
}

Driver::Driver() {
  auto config = ConfigFromEnvironment();
  if (config) {
    config_ = std::move(*config);
  } else {
    config_error_ = config.error().message;
  }
}

CUresult Driver::Init() {
  if (initialised()) return CUDA_SUCCESS;
  std::lock_guard lock(init_mutex_);
  if (initialised()) return CUDA_SUCCESS;
  const auto& devices = this->devices();
  if (!config_error_.empty() || !attach_error_.empty()) {
    Log(LogLevel::kError, "%s", (config_error_.empty() ? attach_error_ : config_error_).c_str());
    return config_error_.empty() ? CUDA_ERROR_OPERATING_SYSTEM : CUDA_ERROR_SYSTEM_NOT_READY;
  }
  if (devices.empty()) return CUDA_ERROR_NO_DEVICE;
  const unsigned threads = config_.threads > 0 ? config_.threads : CpusOfThisProcess();
  engine_ = std::make_unique<Engine>(threads, config_.cpu_level > 0 ? config_.cpu_level : Engine::HighestCpuLevel(),
                                     config_.checks);
  initialised_.store(true, std::memory_order_release);
  return CUDA_SUCCESS;
}

const std::vector<std::unique_ptr<Device>>& Driver::devices() {
  std::call_once(attach_once_, [this] {
    if (config_error_.empty()) AttachDevices();
  });
  return devices_;
}

void Driver::AttachDevices() {
  std::vector<std::unique_ptr<DeviceMemory>> memories;
  std::vector<std::array<uint8_t, 16>> uuids;
  for (unsigned i = 0; i < config_.devices; ++i) {
    auto memory = DeviceMemory::Attach(config_, i);
    if (!memory) {
      attach_error_ = memory.error().message;
      return;
    }
    uuids.push_back((*memory)->facts().uuid);
    memories.push_back(std::move(*memory));
  }
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  for (unsigned physical : VisibleDevices(visible ? std::optional<std::string_view>(visible) : std::nullopt, uuids)) {
    const auto ordinal = static_cast<CUdevice>(devices_.size());
    auto device = std::make_unique<Device>(config_, physical, ordinal, std::move(memories[physical]));
    device->primary_ = Context::MakePrimary(*this, *device);
    devices_.push_back(std::move(device));
  }
}

Device* Driver::FindDevice(CUdevice ordinal) {
  const auto& all = devices();
  return ordinal >= 0 && static_cast<size_t>(ordinal) < all.size() ? all[ordinal].get() : nullptr;
}

Device* Driver::FindDevice(const CUuuid& uuid) {
  for (const auto& device : devices()) {
    const CUuuid own = device->uuid();
    if (std::memcmp(&own, &uuid, sizeof uuid) == 0) return device.get();
  }
  return nullptr;
}

void Driver::Report(const Fault& fault) {
  const std::lock_guard lock(fault_mutex_);
  if (this->fault() != CUDA_SUCCESS) return;
  Tell(fault);  // before: a program that sees the error may end at once
  fault_.store(CodeOf(fault.kind), std::memory_order_release);
}

void Driver::Tell(const Fault& fault) {
  if (fault.kind == FaultKind::kAssert) {
    // As the hardware's driver prints it: the bare text.
    const std::string line = fault.message + "\n";
    if (write(STDERR_FILENO, line.data(), line.size()) >= 0) return;
  }
  if (!fault.report.empty()) return check_reports.Tell(fault);
  Log(LogLevel::kError, "%s", fault.message.c_str());
}

uint64_t Driver::NextChaos() {
  if (config_.chaos == 0) return 0;
  // SplitMix64's mixing of seed and counter.
  uint64_t x = config_.chaos + NextId() * 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return (x ^ x >> 31) | 1;
}

}  // namespace outboard::softgpu::api
