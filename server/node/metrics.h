#pragma once

#include <prometheus/collectable.h>

#include <string>
#include <vector>

#include "server/node/gpus.h"
#include "server/node/sensors.h"

namespace outboard::node {

// What gpu-node tells Prometheus: its GPUs, and what their sensors say. Thread-safe.
class Metrics final : public prometheus::Collectable {
 public:
  // `sensors` may be null, and outlives this object.
  Metrics(std::vector<Gpu> gpus, Sensors* sensors, std::string version);

  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const std::vector<Gpu> gpus_;
  Sensors* const sensors_;
  const std::string version_;
};

}  // namespace outboard::node
