#include <cuda.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstddef>
#include <iterator>
#include <string>

#include "client/nvml/library.h"
#include "common/base/unique_fd.h"

// The library itself, and what concerns no GPU.

namespace outboard::nvml {
namespace {

// The NVML of CUDA 13, by us.
constexpr const char* kNvmlVersion = "13." OUTBOARD_VERSION;

// Indexed by code.
constexpr const char* kErrors[] = {
    "success",
    "the library is not initialised",
    "an argument is not valid",
    "not supported for this GPU",
    "no permission",
    "already initialised",
    "not found",
    "the buffer is too small",
    "external power is missing",
    "no driver is loaded",
    "timeout",
    "an interrupt of the GPU does not arrive",
    "the library is not found",
    "this version of the library has no such function",
    "the infoROM is corrupted",
    "the GPU is lost",
    "the GPU has to be reset",
    "the operating system refuses it",
    "driver and library differ in version",
    "in use",
    "out of memory",
    "no data",
    "not supported with ECC",
    "out of resources",
    "the frequency is not supported",
    "the structure's version is not known",
    "deprecated",
    "not ready",
    "no GPU is found",
    "not in this state",
};

nvmlReturn_t GiveNone(unsigned* count) {
  if (Facts() == nullptr) return NVML_ERROR_UNINITIALIZED;
  if (count == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *count = 0;
  return NVML_SUCCESS;
}

nvmlReturn_t GiveCudaVersion(int* version) {
  if (version == nullptr) return NVML_ERROR_INVALID_ARGUMENT;
  *version = CUDA_VERSION;  // as the client's cuDriverGetVersion
  return NVML_SUCCESS;
}

// The word by which a process was started. Empty when there is no such process.
std::string ProcessName(unsigned pid) {
  const UniqueFd file(open(("/proc/" + std::to_string(pid) + "/cmdline").c_str(), O_RDONLY | O_CLOEXEC));
  char words[4096];
  const ssize_t bytes = file ? read(file.get(), words, sizeof words - 1) : 0;
  words[bytes > 0 ? bytes : 0] = '\0';
  return words;
}

}  // namespace
}  // namespace outboard::nvml

using namespace outboard::nvml;

nvmlReturn_t nvmlInit() {
  return Guard([] { return Open(); });
}
nvmlReturn_t nvmlInit_v2() { return nvmlInit(); }
nvmlReturn_t nvmlInitWithFlags(unsigned) { return nvmlInit(); }
nvmlReturn_t nvmlShutdown() { return Close(); }

const char* nvmlErrorString(nvmlReturn_t result) {
  return result < std::size(kErrors) ? kErrors[result] : "unknown error";
}

nvmlReturn_t nvmlSystemGetDriverVersion(char* version, unsigned length) {
  const auto* const facts = Facts();
  if (facts == nullptr) return NVML_ERROR_UNINITIALIZED;
  return GiveText(facts->driver_version.c_str(), version, length);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char* version, unsigned length) {
  // That of the GPUs' machine, which nvidia-smi compares with its own. It may be asked for before nvmlInit.
  const bool is_open = Guard([] { return Open(); }) == NVML_SUCCESS;
  const auto* const facts = Facts();
  const nvmlReturn_t result =
      GiveText(facts == nullptr ? kNvmlVersion : ("13." + facts->driver_version).c_str(), version, length);
  if (is_open) Close();
  return result;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int* cudaDriverVersion) { return GiveCudaVersion(cudaDriverVersion); }
nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int* cudaDriverVersion) { return GiveCudaVersion(cudaDriverVersion); }

nvmlReturn_t nvmlSystemGetProcessName(unsigned pid, char* name, unsigned length) {
  return Guard([&] {
    if (Facts() == nullptr) return NVML_ERROR_UNINITIALIZED;
    if (name == nullptr || length == 0) return NVML_ERROR_INVALID_ARGUMENT;
    std::string found = ProcessName(pid);
    if (found.empty()) return NVML_ERROR_NOT_FOUND;
    if (found.size() >= length) found.resize(length - 1);
    return GiveText(found.c_str(), name, length);
  });
}

nvmlReturn_t nvmlSystemGetHicVersion(unsigned* hwbcCount, nvmlHwbcEntry_t*) { return GiveNone(hwbcCount); }
nvmlReturn_t nvmlUnitGetCount(unsigned* unitCount) { return GiveNone(unitCount); }
nvmlReturn_t nvmlGetExcludedDeviceCount(unsigned* deviceCount) { return GiveNone(deviceCount); }
