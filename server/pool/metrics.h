#pragma once

#include <prometheus/collectable.h>
#include <prometheus/histogram.h>

#include <string>
#include <vector>

#include "server/pool/controller.h"
#include "server/pool/engine.h"

namespace outboard::pool {

// How long requests took. Thread-safe.
struct Meters {
  prometheus::Histogram decision_seconds{{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5}};
  prometheus::Histogram wait_seconds{{0.01, 0.1, 1, 10, 60, 300, 1800, 3600, 4 * 3600, 24 * 3600}};
};

// What can be read off the pool as it is.
std::vector<prometheus::MetricFamily> Describe(const Controller& pool);

// Part of the compute idle on ready nodes that is of no use for the shapes of requests that are typical (Settings), or
// for whole GPUs where none are said. From 0 to 1; 0 when nothing is idle.
double FragmentationRatio(const Controller& pool);

// What gpu-pool tells Prometheus. Thread-safe.
class Metrics final : public prometheus::Collectable {
 public:
  // Both outlive this object.
  Metrics(Engine* engine, const Meters* meters, std::string version);

  // Without what the pool itself says, when it does not answer within a few seconds: its store may hang.
  std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  Engine* const engine_;
  const Meters* const meters_;
  const std::string version_;
};

}  // namespace outboard::pool
