#include "server/node/metrics.h"

#include <gtest/gtest.h>
#include <prometheus/metric_family.h>

#include <map>
#include <string>
#include <vector>

namespace outboard::node {
namespace {

// Values by family and UUID.
std::map<std::string, std::map<std::string, double>> Told(const Metrics& metrics) {
  std::map<std::string, std::map<std::string, double>> told;
  for (const prometheus::MetricFamily& family : metrics.Collect()) {
    for (const prometheus::ClientMetric& metric : family.metric) {
      told[family.name][metric.label[0].name == "UUID" ? metric.label[0].value : ""] = metric.gauge.value;
    }
  }
  return told;
}

const std::vector<Gpu> kGpus = {{"NVIDIA H200", "GPU-1", uint64_t{1} << 37, {}}, {"NVIDIA H200", "GPU-2", 1000, {}}};

TEST(NodeMetrics, TellsOfGpusWithoutSensors) {
  const auto told = Told(Metrics(kGpus, nullptr, "1.2.3"));
  EXPECT_EQ(told.size(), 2u);
  EXPECT_EQ(told.at("outboard_build_info").at(""), 1);
  EXPECT_EQ(told.at("outboard_gpu_memory_total_bytes").at("GPU-1"), static_cast<double>(uint64_t{1} << 37));
  EXPECT_EQ(Told(Metrics({}, nullptr, "1.2.3")).size(), 1u);
}

TEST(NodeMetrics, FiguresAreInBaseUnitsAndOnlyThoseThatAreKnown) {
  Sensors sensors(
      [] {
        Readings readings;
        readings.gpus["GPU-1"][wire::Figure::kBusyPercent] = 50;
        readings.gpus["GPU-1"][wire::Figure::kPowerMilliwatts] = 350'000;
        readings.gpus["GPU-2"][wire::Figure::kBusyPercent] = 100;
        return readings;
      },
      {.first_patience = std::chrono::minutes(1)});
  const auto told = Told(Metrics(kGpus, &sensors, "1.2.3"));
  EXPECT_DOUBLE_EQ(told.at("outboard_gpu_utilization_ratio").at("GPU-1"), 0.5);
  EXPECT_DOUBLE_EQ(told.at("outboard_gpu_utilization_ratio").at("GPU-2"), 1);
  EXPECT_DOUBLE_EQ(told.at("outboard_gpu_power_watts").at("GPU-1"), 350);
  EXPECT_EQ(told.at("outboard_gpu_power_watts").count("GPU-2"), 0u);
  EXPECT_EQ(told.count("outboard_gpu_temperature_celsius"), 0u);
}

}  // namespace
}  // namespace outboard::node
