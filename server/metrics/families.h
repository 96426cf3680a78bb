#pragma once

#include <prometheus/metric_family.h>

#include <initializer_list>
#include <string>
#include <utility>

// How metric families are put together. Names are in base units, ratios from 0 to 1.

namespace outboard::metrics {

using Label = prometheus::ClientMetric::Label;

class Family {
 public:
  static Family Gauge(const std::string& name, const std::string& help);
  static Family Counter(const std::string& name, const std::string& help);  // a name ends in _total

  void Add(double value, std::initializer_list<Label> labels = {});
  // Whether there is nothing to tell of it.
  bool empty() const { return family_.metric.empty(); }
  prometheus::MetricFamily Take() { return std::move(family_); }

 private:
  Family(const std::string& name, const std::string& help, prometheus::MetricType type);
  prometheus::MetricFamily family_;
};

// 1, with the program and its version.
prometheus::MetricFamily BuildInfo(const std::string& program, const std::string& version);

}  // namespace outboard::metrics
