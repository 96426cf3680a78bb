#include "server/metrics/families.h"

namespace outboard::metrics {

Family::Family(const std::string& name, const std::string& help, prometheus::MetricType type) {
  family_.name = name;
  family_.help = help;
  family_.type = type;
}

Family Family::Gauge(const std::string& name, const std::string& help) {
  return Family(name, help, prometheus::MetricType::Gauge);
}
Family Family::Counter(const std::string& name, const std::string& help) {
  return Family(name, help, prometheus::MetricType::Counter);
}

void Family::Add(double value, std::initializer_list<Label> labels) {
  prometheus::ClientMetric& metric = family_.metric.emplace_back();
  metric.label = labels;
  (family_.type == prometheus::MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
}

prometheus::MetricFamily BuildInfo(const std::string& program, const std::string& version) {
  Family family = Family::Gauge("outboard_build_info", "Which program of which version this is; always 1.");
  family.Add(1, {{"program", program}, {"version", version}});
  return family.Take();
}

}  // namespace outboard::metrics
