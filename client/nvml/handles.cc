#include <strings.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "client/nvml/library.h"

// The GPUs of the lease: how many there are, and how each one is named.

namespace outboard::nvml {
namespace {

using wire::Figure;

struct PciAddress {
  unsigned domain = 0, bus = 0, device = 0;
};

// Cuts a hexadecimal number off the front of *text.
bool TakeHex(std::string_view* text, unsigned* number) {
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), *number, 16);
  text->remove_prefix(static_cast<size_t>(end - text->data()));
  return failure == std::errc();
}

bool TakeLetter(std::string_view* text, char letter) {
  if (!text->starts_with(letter)) return false;
  text->remove_prefix(1);
  return true;
}

// The forms that nvmlDeviceGetHandleByPciBusId_v2 takes: domain:bus:device.function, domain:bus:device and
// bus:device.function, in hexadecimal. A GPU is function 0.
std::optional<PciAddress> ParsePciAddress(std::string_view text) {
  unsigned numbers[3] = {}, function = 0;
  size_t count = 0;
  do {
    if (count == std::size(numbers) || !TakeHex(&text, &numbers[count++])) return std::nullopt;
  } while (TakeLetter(&text, ':'));
  const bool has_function = TakeLetter(&text, '.');
  if (has_function && !TakeHex(&text, &function)) return std::nullopt;
  if (!text.empty() || function != 0) return std::nullopt;
  if (count == 3) return PciAddress{numbers[0], numbers[1], numbers[2]};
  if (count == 2 && has_function) return PciAddress{0, numbers[0], numbers[1]};
  return std::nullopt;
}

// Gives out the GPU of which matches(GpuStatus) is true.
template <class Matches>
nvmlReturn_t Find(const wire::LeaseStatus& facts, nvmlDevice_t* device, Matches matches) {
  for (size_t i = 0; i < facts.gpus.size(); ++i) {
    if (!matches(facts.gpus[i])) continue;
    *device = HandleOf(i);
    return NVML_SUCCESS;
  }
  return NVML_ERROR_NOT_FOUND;
}

bool HasUuid(const wire::GpuStatus& gpu, const char* uuid) { return strcasecmp(gpu.uuid.c_str(), uuid) == 0; }

std::string TextOfUuid(const unsigned char* bytes) {
  std::string text = "GPU-";
  for (unsigned i = 0; i < NVML_DEVICE_UUID_BINARY_LEN; ++i) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", bytes[i]);
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += digits;
  }
  return text;
}

unsigned OrZero(uint64_t figure) { return figure == wire::kNoFigure ? 0 : static_cast<unsigned>(figure); }

// Fills what the versions of the structure have in common, and the two forms of the address as text.
template <class Info>
void FillPci(const wire::GpuStatus& gpu, Info* pci, char* address, char* short_address) {
  *pci = {};
  pci->domain = OrZero(gpu.figures[Figure::kPciDomain]);
  pci->bus = OrZero(gpu.figures[Figure::kPciBus]);
  pci->device = OrZero(gpu.figures[Figure::kPciDevice]);
  pci->pciDeviceId = OrZero(gpu.figures[Figure::kPciDeviceId]);
  pci->pciSubSystemId = OrZero(gpu.figures[Figure::kPciSubsystemId]);
  if (address != nullptr) {
    std::snprintf(address, NVML_DEVICE_PCI_BUS_ID_BUFFER_SIZE, "%08X:%02X:%02X.0", pci->domain, pci->bus, pci->device);
  }
  if (short_address != nullptr) {
    std::snprintf(short_address, NVML_DEVICE_PCI_BUS_ID_BUFFER_V2_SIZE, "%04X:%02X:%02X.0", pci->domain & 0xffff,
                  pci->bus & 0xff, pci->device & 0xff);
  }
}

bool HasPci(const wire::GpuStatus& gpu) { return gpu.figures[Figure::kPciDevice] != wire::kNoFigure; }

nvmlReturn_t GivePci2(nvmlDevice_t device, nvmlPciInfo_v2_t* pci) {
  return WithFacts(device, pci != nullptr, [&](const wire::GpuStatus& gpu, size_t) {
    if (!HasPci(gpu)) return NVML_ERROR_NOT_SUPPORTED;
    FillPci(gpu, pci, nullptr, pci->busId);
    return NVML_SUCCESS;
  });
}

}  // namespace
}  // namespace outboard::nvml

using namespace outboard::nvml;
using outboard::wire::Figure;
using outboard::wire::GpuStatus;

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned* deviceCount) {
  const auto* const facts = Facts();
  if (facts == nullptr) return NVML_ERROR_UNINITIALIZED;
  if (deviceCount == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *deviceCount = static_cast<unsigned>(facts->gpus.size());
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetCount(unsigned* deviceCount) { return nvmlDeviceGetCount_v2(deviceCount); }

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned index, nvmlDevice_t* device) {
  const auto* const facts = Facts();
  if (facts == nullptr) return NVML_ERROR_UNINITIALIZED;
  if (device == nullptr || index >= facts->gpus.size()) return NVML_ERROR_INVALID_ARGUMENT;
  *device = HandleOf(index);
  return NVML_SUCCESS;
}
nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned index, nvmlDevice_t* device) {
  return nvmlDeviceGetHandleByIndex_v2(index, device);
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char* uuid, nvmlDevice_t* device) {
  return Guard([&] {
    const auto* const facts = Facts();
    if (facts == nullptr) return NVML_ERROR_UNINITIALIZED;
    if (uuid == nullptr || device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    return Find(*facts, device, [&](const GpuStatus& gpu) { return HasUuid(gpu, uuid); });
  });
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_v1_t* uuid, nvmlDevice_t* device) {
  return Guard([&] {
    const auto* const facts = Facts();
    if (facts == nullptr) return NVML_ERROR_UNINITIALIZED;
    if (uuid == nullptr || device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    if (uuid->version != NvmlVersion(sizeof *uuid, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    std::string text;
    if (uuid->type == NVML_UUID_TYPE_ASCII) {
      text.assign(uuid->value.str, strnlen(uuid->value.str, sizeof uuid->value.str));
    } else if (uuid->type == NVML_UUID_TYPE_BINARY) {
      text = TextOfUuid(uuid->value.bytes);
    } else {
      return NVML_ERROR_INVALID_ARGUMENT;
    }
    return Find(*facts, device, [&](const GpuStatus& gpu) { return HasUuid(gpu, text.c_str()); });
  });
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char* pciBusId, nvmlDevice_t* device) {
  return Guard([&] {
    const auto* const facts = Facts();
    if (facts == nullptr) return NVML_ERROR_UNINITIALIZED;
    if (pciBusId == nullptr || device == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
    const std::optional<PciAddress> address = ParsePciAddress(pciBusId);
    if (!address) return NVML_ERROR_INVALID_ARGUMENT;
    return Find(*facts, device, [&](const GpuStatus& gpu) {
      return gpu.figures[Figure::kPciDomain] == address->domain && gpu.figures[Figure::kPciBus] == address->bus &&
             gpu.figures[Figure::kPciDevice] == address->device;
    });
  });
}
nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char* pciBusId, nvmlDevice_t* device) {
  return nvmlDeviceGetHandleByPciBusId_v2(pciBusId, device);
}

nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned* index) {
  return WithFacts(device, index != nullptr, [&](const GpuStatus&, size_t place) {
    *index = static_cast<unsigned>(place);
    return NVML_SUCCESS;
  });
}

// There is no /dev/nvidiaN on this machine; the numbers are those of a machine that has these GPUs alone.
nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned* minorNumber) {
  return nvmlDeviceGetIndex(device, minorNumber);
}

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char* name, unsigned length) {
  return WithFacts(device, name != nullptr,
                   [&](const GpuStatus& gpu, size_t) { return GiveText(gpu.name.c_str(), name, length); });
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char* uuid, unsigned length) {
  return WithFacts(device, uuid != nullptr,
                   [&](const GpuStatus& gpu, size_t) { return GiveText(gpu.uuid.c_str(), uuid, length); });
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_v2_t* pci) { return GivePci2(device, pci); }
nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_v2_t* pci) { return GivePci2(device, pci); }

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t* pci) {
  return WithFacts(device, pci != nullptr, [&](const GpuStatus& gpu, size_t) {
    if (!HasPci(gpu)) return NVML_ERROR_NOT_SUPPORTED;
    FillPci(gpu, pci, pci->busId, pci->busIdLegacy);
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_v1_t* pci) {
  return WithFacts(device, pci != nullptr, [&](const GpuStatus& gpu, size_t) {
    const unsigned version = pci->version;
    if (version != NvmlVersion(sizeof *pci, 1)) return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (!HasPci(gpu)) return NVML_ERROR_NOT_SUPPORTED;
    FillPci(gpu, pci, pci->busId, nullptr);
    pci->version = version;
    pci->baseClass = 3;  // PCI's numbers of a display controller that has no display
    pci->subClass = 2;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned* isMigDevice) {
  return WithFacts(device, isMigDevice != nullptr, [&](const GpuStatus&, size_t) {
    *isMigDevice = 0;
    return NVML_SUCCESS;
  });
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned* count) {
  return nvmlDeviceIsMigDeviceHandle(device, count);  // none either
}
