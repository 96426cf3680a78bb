#include "server/node/metrics.h"

#include <utility>

#include "common/wire/gpu_status.h"
#include "server/metrics/families.h"

namespace outboard::node {
namespace {

using metrics::Family;

// A figure of the sensors as a metric in its base unit.
struct Measured {
  wire::Figure figure;
  double unit;
  const char* name;
  const char* help;
};
constexpr Measured kMeasured[] = {
    {wire::Figure::kBusyPercent, 0.01, "outboard_gpu_utilization_ratio", "How busy a GPU is, whoever uses it."},
    {wire::Figure::kCelsius, 1, "outboard_gpu_temperature_celsius", "Temperature of a GPU."},
    {wire::Figure::kPowerMilliwatts, 0.001, "outboard_gpu_power_watts", "What a GPU draws."},
};

}  // namespace

Metrics::Metrics(std::vector<Gpu> gpus, Sensors* sensors, std::string version)
    : gpus_(std::move(gpus)), sensors_(sensors), version_(std::move(version)) {}

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<prometheus::MetricFamily> all;
  all.push_back(metrics::BuildInfo("gpu-node", version_));
  Family memory = Family::Gauge("outboard_gpu_memory_total_bytes", "Memory of a GPU.");
  for (const Gpu& gpu : gpus_) memory.Add(static_cast<double>(gpu.memory_bytes), {{"UUID", gpu.uuid}});
  if (!memory.empty()) all.push_back(memory.Take());
  if (sensors_ == nullptr) return all;

  const Readings readings = sensors_->Read();
  for (const Measured& measured : kMeasured) {
    Family family = Family::Gauge(measured.name, measured.help);
    for (const Gpu& gpu : gpus_) {
      const auto found = readings.gpus.find(gpu.uuid);
      if (found == readings.gpus.end()) continue;
      const uint64_t value = found->second[measured.figure];
      if (value != wire::kNoFigure) family.Add(static_cast<double>(value) * measured.unit, {{"UUID", gpu.uuid}});
    }
    if (!family.empty()) all.push_back(family.Take());
  }
  return all;
}

}  // namespace outboard::node
