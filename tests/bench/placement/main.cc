// Where the pool's policies put the tasks of a trace, and how long they take to decide. Prints lines of JSON.

#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/bench.h"
#include "tests/bench/placement/simulation.h"
#include "tests/bench/placement/timing.h"
#include "tests/bench/placement/trace.h"

namespace outboard::bench {
namespace {

constexpr uint64_t kFirstSeed = 42;
constexpr int kSeeds = 10;

int Usage() {
  std::fprintf(stderr,
               "usage: placement trace bestfit|spread|fgd|random NODES.csv TASKS.csv [REORDER-SEED]\n"
               "       placement time bestfit|spread|fgd NODES\n");
  return 2;
}

// Without a policy tasks are put anywhere.
void RunTrace(std::optional<pool::Policy> policy, const char* nodes_file, const char* tasks_file,
              const char* reorder_seed) {
  std::vector<pool::Node> nodes = ReadNodes(nodes_file);
  const std::vector<pool::Request> tasks = ReadTasks(tasks_file);
  if (reorder_seed != nullptr) Reorder(nodes, std::strtoull(reorder_seed, nullptr, 10));
  std::map<const char*, std::vector<double>> samples;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + kSeeds; ++seed) {
    const Run run = policy ? Simulate(nodes, tasks, *policy, seed) : SimulateRandom(nodes, tasks, seed);
    samples["allocated"].push_back(run.allocated);
    samples["decisions"].push_back(run.decisions);
    samples["ties"].push_back(run.ties);
    samples["seconds"].push_back(run.seconds_per_decision);
  }
  for (const auto& [name, values] : samples) ::bench::Print(name, values);
}

int Main(const std::vector<const char*>& arguments) {
  if (arguments.size() < 3) return Usage();
  const std::map<std::string, std::optional<pool::Policy>> policies = {{"bestfit", pool::Policy::kBestFit},
                                                                       {"spread", pool::Policy::kSpread},
                                                                       {"fgd", pool::Policy::kFragmentation},
                                                                       {"random", std::nullopt}};
  const std::string what = arguments[0];
  const auto policy = policies.find(arguments[1]);
  if (policy == policies.end()) return Usage();
  if (what == "trace" && (arguments.size() == 4 || arguments.size() == 5)) {
    RunTrace(policy->second, arguments[2], arguments[3], arguments.size() == 5 ? arguments[4] : nullptr);
    return 0;
  }
  const int nodes = std::atoi(arguments[2]);
  if (what != "time" || arguments.size() != 3 || !policy->second || nodes < 1) return Usage();
  ::bench::Print("placement", TimePlacements(*policy->second, nodes));
  ::bench::Print("looks", TimeLooks(nodes));
  return 0;
}

}  // namespace
}  // namespace outboard::bench

int main(int count, char** arguments) { return outboard::bench::Main({arguments + 1, arguments + count}); }
