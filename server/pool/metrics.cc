#include "server/pool/metrics.h"

#include <chrono>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <utility>

#include "server/metrics/families.h"
#include "server/pool/fragmentation.h"

namespace outboard::pool {
namespace {

using metrics::Family;

constexpr std::chrono::seconds kWaitForPool{5};

double Gpus(int64_t thousandths) { return static_cast<double>(thousandths) / kWholeGpu; }

prometheus::MetricFamily CountNodes(const Controller& pool) {
  std::map<std::string, int> counts = {{"ready", 0}, {"cordoned", 0}, {"draining", 0}, {"lost", 0}};
  for (const auto& [name, node] : pool.nodes()) {
    ++counts[!node.up ? "lost" : node.record.drain ? "draining" : node.record.cordoned ? "cordoned" : "ready"];
  }
  Family family = Family::Gauge("outboard_nodes", "Nodes by state; each counts once.");
  for (const auto& [state, count] : counts) family.Add(count, {{"state", state}});
  return family.Take();
}

void AddGpus(const Controller& pool, std::vector<prometheus::MetricFamily>* to) {
  Family total = Family::Gauge("outboard_gpu_memory_total_bytes", "Memory of a GPU.");
  Family leased = Family::Gauge("outboard_gpu_memory_leased_bytes", "Memory of a GPU that leases have.");
  Family used = Family::Gauge("outboard_gpu_memory_used_bytes", "Memory of a GPU in use, as its node measures.");
  Family share = Family::Gauge("outboard_gpu_leased_ratio", "Part of a GPU's compute that leases have.");
  Family busy = Family::Gauge("outboard_gpu_utilization_ratio", "How busy a GPU is, as its node measures.");
  Family warmth = Family::Gauge("outboard_gpu_temperature_celsius", "Temperature of a GPU.");
  Family usable = Family::Gauge("outboard_gpu_usable", "1 unless a GPU's health forbids new leases.");
  const Cluster& cluster = pool.cluster();
  for (const auto& [name, node] : pool.nodes()) {
    for (size_t i = 0; i < node.record.gpus.size(); ++i) {
      const GpuRecord& gpu = node.record.gpus[i];
      const auto number = static_cast<int>(i);
      const auto add = [&, &node_name = name](Family& family, double value) {
        family.Add(value, {{"node", node_name}, {"UUID", gpu.uuid}});
      };
      add(total, static_cast<double>(gpu.memory_bytes));
      add(leased, static_cast<double>(gpu.memory_bytes - cluster.free_memory_bytes(node.number, number)));
      add(share, 1 - Gpus(cluster.free_share(node.number, number)));
      // What was measured before the node fell silent is not so any more.
      if (!node.up || i >= node.reports.size()) continue;
      const GpuReport& report = node.reports[i];
      add(used, static_cast<double>(report.used_bytes));
      add(busy, report.utilization);
      add(usable, report.usable ? 1 : 0);
      if (report.temperature_celsius != 0) add(warmth, report.temperature_celsius);
    }
  }
  for (Family* family : {&total, &leased, &used, &share, &busy, &warmth, &usable}) {
    if (!family->empty()) to->push_back(family->Take());
  }
}

void AddLeases(const Controller& pool, std::vector<prometheus::MetricFamily>* to) {
  Family active = Family::Gauge("outboard_lease_active", "Leases that are not over for their owners.");
  int count = 0;
  for (const auto& [id, lease] : pool.leases()) count += lease.phase == LeaseState::Phase::kEnding ? 0 : 1;
  active.Add(count);
  to->push_back(active.Take());

  Family pending = Family::Gauge("outboard_lease_pending", "Requests that wait.");
  pending.Add(static_cast<double>(pool.requests().size()));
  to->push_back(pending.Take());

  Family wanted = Family::Gauge("outboard_gpus_wanted", "GPUs that requests wait for, together.");
  double gpus = 0;
  for (const auto& [id, request] : pool.requests()) gpus += request.wish.gpus;
  wanted.Add(gpus);
  to->push_back(wanted.Take());
}

void AddTenants(const Controller& pool, std::vector<prometheus::MetricFamily>* to) {
  Family used = Family::Gauge("outboard_tenant_used_gpus", "GPUs that a tenant has, parts of GPUs added up.");
  Family quota = Family::Gauge("outboard_tenant_quota_gpus", "GPUs that are a tenant's own.");
  for (const auto& [name, account] : pool.ledger().tenants().all()) {
    used.Add(Gpus(account.used), {{"tenant", name}});
    quota.Add(Gpus(account.record.quota), {{"tenant", name}});
  }
  std::map<std::string, double> seconds;
  for (const auto& [who, usage] : pool.ledger().usage()) {
    seconds[usage.tenant] += static_cast<double>(usage.gpu_microseconds) / 1e6;
  }
  Family had = Family::Counter("outboard_tenant_gpu_seconds_total", "What a tenant's leases had that have ended.");
  for (const auto& [tenant, sum] : seconds) had.Add(sum, {{"tenant", tenant}});
  for (Family* family : {&used, &quota, &had}) {
    if (!family->empty()) to->push_back(family->Take());
  }
}

prometheus::MetricFamily Times(const std::string& name, const std::string& help, const prometheus::Histogram& times) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Histogram;
  family.metric.push_back(times.Collect());
  return family;
}

}  // namespace

double FragmentationRatio(const Controller& pool) {
  std::vector<Shape> shapes = pool.settings().shapes;
  if (shapes.empty()) shapes.push_back({.weight = 1});
  const FragmentationMeasure measure(shapes);
  const Cluster& cluster = pool.cluster();
  double idle = 0;
  double useless = 0;
  std::vector<FragmentationMeasure::Card> cards;
  for (int node = 0; node < cluster.size(); ++node) {
    if (cluster.state(node).condition != Condition::kReady) continue;
    cards.clear();
    for (const Cluster::GpuState& gpu : cluster.gpus(node)) {
      cards.push_back(FragmentationMeasure::CardOf(gpu));
      idle += cards.back().idle;
    }
    useless += static_cast<double>(measure.Of(cards, cluster.free_cpu_milli(node), cluster.free_memory_mib(node)));
  }
  return idle == 0 ? 0 : useless / static_cast<double>(FragmentationMeasure::kWeights) / idle;
}

std::vector<prometheus::MetricFamily> Describe(const Controller& pool) {
  std::vector<prometheus::MetricFamily> all;
  all.push_back(CountNodes(pool));
  AddGpus(pool, &all);
  AddLeases(pool, &all);
  AddTenants(pool, &all);
  Family fragmentation =
      Family::Gauge("outboard_fragmentation_ratio", "Part of the idle compute that is of no use for typical requests.");
  fragmentation.Add(FragmentationRatio(pool));
  all.push_back(fragmentation.Take());
  return all;
}

Metrics::Metrics(Engine* engine, const Meters* meters, std::string version)
    : engine_(engine), meters_(meters), version_(std::move(version)) {}

std::vector<prometheus::MetricFamily> Metrics::Collect() const {
  std::vector<prometheus::MetricFamily> all;
  all.push_back(metrics::BuildInfo("gpu-pool", version_));
  Family leader = Family::Gauge("outboard_leader", "1 where this controller is the one that decides.");
  leader.Add(1);
  all.push_back(leader.Take());
  all.push_back(Times("outboard_alloc_decision_seconds",
                      "From a request's arrival until it was granted, refused or queued.", meters_->decision_seconds));
  all.push_back(
      Times("outboard_lease_wait_seconds", "From a request's arrival until it was granted.", meters_->wait_seconds));

  const auto described = std::make_shared<std::promise<std::vector<prometheus::MetricFamily>>>();
  std::future<std::vector<prometheus::MetricFamily>> answer = described->get_future();
  engine_->Post([described](Controller& pool) { described->set_value(Describe(pool)); });
  if (answer.wait_for(kWaitForPool) == std::future_status::ready) {
    std::vector<prometheus::MetricFamily> families = answer.get();
    std::move(families.begin(), families.end(), std::back_inserter(all));
  }
  return all;
}

}  // namespace outboard::pool
