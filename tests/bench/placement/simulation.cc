#include "tests/bench/placement/simulation.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "server/pool/fit.h"
#include "server/pool/gpu_choice.h"
#include "tests/bench/bench.h"
#include "tests/bench/placement/draw.h"

namespace outboard::bench {
namespace {

constexpr double kTypical = 0.95;
constexpr double kArrivals = 1.3;  // of the cluster's GPUs

int64_t Asked(const pool::Request& task) { return int64_t{task.gpus} * task.share; }

std::vector<pool::Request> Arrivals(const std::vector<pool::Request>& trace, double at_least, std::mt19937_64& random) {
  std::vector<pool::Request> tasks = trace;
  double asked = 0;
  for (const pool::Request& task : tasks) asked += Asked(task);
  while (asked < at_least) {
    tasks.push_back(trace[Draw(random, trace.size())]);
    asked += Asked(tasks.back());
  }
  Shuffle(tasks, random);
  return tasks;
}

std::optional<pool::Placement> PlaceAnywhere(const pool::Cluster& cluster, const pool::Request& task,
                                             std::mt19937_64& random) {
  const pool::Fit fit(cluster, task);
  std::vector<int> nodes;
  for (int node = 0; node < cluster.size(); ++node) {
    if (fit.Fits(node)) nodes.push_back(node);
  }
  if (nodes.empty()) return std::nullopt;
  const int node = nodes[Draw(random, nodes.size())];
  std::vector<int> gpus = pool::LeastFreeGpus(fit, node);
  Shuffle(gpus, random);
  return pool::OnGpus(fit, node, std::move(gpus));
}

// `place` takes the cluster, the task and the source of what is random.
template <class Place>
Run Replay(const std::vector<pool::Node>& nodes, const std::vector<pool::Request>& trace, uint64_t seed, Place place) {
  pool::Cluster cluster;
  int64_t there_is = 0;
  for (const pool::Node& node : nodes) {
    cluster.Add(node);
    there_is += static_cast<int64_t>(node.gpus.size()) * pool::kWholeGpu;
  }

  std::mt19937_64 random(seed);
  Run run;
  int64_t asked = 0;
  int64_t allocated = 0;
  double seconds = 0;
  for (const pool::Request& task : Arrivals(trace, kArrivals * static_cast<double>(there_is), random)) {
    asked += Asked(task);
    if (asked > there_is) break;
    std::optional<pool::Placement> placement;
    seconds += ::bench::Seconds([&] { placement = place(cluster, task, random); });
    ++run.decisions;
    if (!placement) continue;
    cluster.Take(*placement);
    allocated += Asked(task);
  }
  run.allocated = static_cast<double>(allocated) / static_cast<double>(there_is);
  run.seconds_per_decision = seconds / std::max(run.decisions, 1);
  return run;
}

}  // namespace

std::vector<pool::Shape> TypicalShapes(const std::vector<pool::Request>& tasks) {
  using Kind = std::tuple<int, int, int64_t, int64_t>;
  std::map<Kind, int> counts;
  for (const pool::Request& task : tasks) ++counts[{task.gpus, task.share, task.cpu_milli, task.memory_mib}];
  std::vector<std::pair<Kind, int>> kinds(counts.begin(), counts.end());
  std::stable_sort(kinds.begin(), kinds.end(), [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<pool::Shape> shapes;
  double covered = 0;
  for (const auto& [kind, count] : kinds) {
    if (covered >= kTypical * static_cast<double>(tasks.size())) break;
    const auto& [gpus, share, cpu_milli, memory_mib] = kind;
    shapes.push_back({static_cast<double>(count), gpus, share, cpu_milli, memory_mib});
    covered += count;
  }
  return shapes;
}

void Reorder(std::vector<pool::Node>& nodes, uint64_t seed) {
  std::mt19937_64 random(seed);
  Shuffle(nodes, random);
  for (size_t i = 0; i < nodes.size(); ++i) nodes[i].name = "renamed-" + std::to_string(i);
}

Run Simulate(const std::vector<pool::Node>& nodes, const std::vector<pool::Request>& tasks, pool::Policy policy,
             uint64_t seed) {
  pool::Placer placer(policy, TypicalShapes(tasks));
  Run run = Replay(nodes, tasks, seed, [&](const pool::Cluster& cluster, const pool::Request& task, std::mt19937_64&) {
    return placer.Place(cluster, task);
  });
  run.ties = static_cast<int>(placer.ties());
  return run;
}

Run SimulateRandom(const std::vector<pool::Node>& nodes, const std::vector<pool::Request>& tasks, uint64_t seed) {
  return Replay(nodes, tasks, seed, PlaceAnywhere);
}

}  // namespace outboard::bench
