#include "common/wire/gpu_status.h"

#include "common/base/limits.h"
#include "common/wire/message.h"

namespace outboard::wire {

std::vector<std::byte> Encode(const LeaseStatus& status) {
  MessageWriter writer;
  writer.Put(status.driver_version);
  writer.Put(uint64_t{status.gpus.size()});
  for (const GpuStatus& gpu : status.gpus) {
    writer.Put(gpu.name);
    writer.Put(gpu.uuid);
    writer.Put(gpu.total_bytes);
    writer.Put(gpu.used_bytes);
    writer.Put(std::vector<uint64_t>(gpu.figures.values().begin(), gpu.figures.values().end()));
    writer.Put(gpu.processes);
  }
  return writer.Take();
}

Result<LeaseStatus> DecodeLeaseStatus(std::span<const std::byte> body) {
  const Error malformed{"gpu-run's answer about the GPUs is not understood; gpu-run and the library differ"};
  LeaseStatus status;
  MessageReader reader(body);
  reader.Get(&status.driver_version);
  uint64_t gpus = 0;
  reader.Get(&gpus);
  if (gpus > kMaxDevices) return malformed;
  for (uint64_t i = 0; i < gpus && reader.ok(); ++i) {
    GpuStatus& gpu = status.gpus.emplace_back();
    reader.Get(&gpu.name);
    reader.Get(&gpu.uuid);
    reader.Get(&gpu.total_bytes);
    reader.Get(&gpu.used_bytes);
    std::vector<uint64_t> figures;
    reader.Get(&figures);
    for (size_t number = 0; number < figures.size(); ++number) gpu.figures.Set(number, figures[number]);
    reader.Get(&gpu.processes);
    if (gpu.processes.size() > kMaxWorkersPerLease) return malformed;
  }
  if (!reader.AtEnd()) return malformed;
  return status;
}

}  // namespace outboard::wire
