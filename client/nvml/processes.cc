#include "client/nvml/library.h"

// The processes of the lease, by the numbers that they have on the machine where gpu-run runs.

namespace outboard::nvml {
namespace {

constexpr unsigned kNoInstance = ~0u;

void Fill(const wire::GpuProcess& process, nvmlProcessInfo_v1_t* info) {
  *info = {static_cast<unsigned>(process.pid), process.used_bytes};
}
void Fill(const wire::GpuProcess& process, nvmlProcessInfo_v2_t* info) {
  *info = {static_cast<unsigned>(process.pid), process.used_bytes, kNoInstance, kNoInstance};
}

// *count is the room of `infos` before, and the number of processes after.
template <class Info>
nvmlReturn_t GiveProcesses(nvmlDevice_t device, unsigned* count, Info* infos) {
  const bool valid = count != nullptr && (*count == 0 || infos != nullptr);
  return WithStatus(device, valid, [&](const wire::GpuStatus& gpu) {
    const unsigned room = *count;
    *count = static_cast<unsigned>(gpu.processes.size());
    if (*count > room) return NVML_ERROR_INSUFFICIENT_SIZE;
    for (const wire::GpuProcess& process : gpu.processes) Fill(process, infos++);
    return NVML_SUCCESS;
  });
}

// Nobody draws with a slice, and MPS serves none.
nvmlReturn_t GiveNoProcesses(nvmlDevice_t device, unsigned* count) {
  return WithFacts(device, count != nullptr, [&](const wire::GpuStatus&, size_t) {
    *count = 0;
    return NVML_SUCCESS;
  });
}

}  // namespace
}  // namespace outboard::nvml

using namespace outboard::nvml;

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned* count, nvmlProcessInfo_v1_t* infos) {
  return GiveProcesses(device, count, infos);
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned* count,
                                                     nvmlProcessInfo_v2_t* infos) {
  return GiveProcesses(device, count, infos);
}
nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned* count,
                                                     nvmlProcessInfo_v2_t* infos) {
  return GiveProcesses(device, count, infos);
}

nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses(nvmlDevice_t device, unsigned* count, nvmlProcessInfo_v1_t*) {
  return GiveNoProcesses(device, count);
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v2(nvmlDevice_t device, unsigned* count, nvmlProcessInfo_v2_t*) {
  return GiveNoProcesses(device, count);
}
nvmlReturn_t nvmlDeviceGetGraphicsRunningProcesses_v3(nvmlDevice_t device, unsigned* count, nvmlProcessInfo_v2_t*) {
  return GiveNoProcesses(device, count);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses(nvmlDevice_t device, unsigned* count, nvmlProcessInfo_v1_t*) {
  return GiveNoProcesses(device, count);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v2(nvmlDevice_t device, unsigned* count, nvmlProcessInfo_v2_t*) {
  return GiveNoProcesses(device, count);
}
nvmlReturn_t nvmlDeviceGetMPSComputeRunningProcesses_v3(nvmlDevice_t device, unsigned* count, nvmlProcessInfo_v2_t*) {
  return GiveNoProcesses(device, count);
}
