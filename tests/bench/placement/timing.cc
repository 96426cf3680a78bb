#include "tests/bench/placement/timing.h"

#include <optional>
#include <tuple>
#include <utility>

#include "tests/bench/bench.h"
#include "tests/bench/placement/draw.h"
#include "tests/bench/placement/simulation.h"

namespace outboard::bench {
namespace {

constexpr uint64_t kSeed = 42;
constexpr int kTurns = 5000;

// What the timed cluster is asked for; its memory is the share's part.
std::vector<pool::Request> Mix() {
  const std::vector<std::tuple<int, int, int>> counts = {{4, 1, 1000}, {3, 1, 500},  {3, 1, 250}, {2, 1, 100},
                                                         {1, 2, 1000}, {1, 4, 1000}, {1, 8, 1000}};
  std::vector<pool::Request> mix;
  for (const auto& [count, gpus, share] : counts) mix.resize(mix.size() + count, {.gpus = gpus, .share = share});
  return mix;
}

pool::Cluster EqualNodes(int count) {
  pool::Node node{.name = "node"};
  node.gpus.resize(8, {.model = "NVIDIA H200", .memory_bytes = uint64_t{141} << 30});
  pool::Cluster cluster;
  for (int i = 0; i < count; ++i) cluster.Add(node);
  return cluster;
}

// A cluster on which tasks come and go.
class Busy {
 public:
  Busy(pool::Policy policy, int nodes)
      : mix_(Mix()), cluster_(EqualNodes(nodes)), placer_(policy, TypicalShapes(mix_)), random_(kSeed) {
    while (Come()) {
    }
  }

  // One decision. A task ends before it unless the last one found no place, so that the cluster stays as full.
  void Turn() {
    if (found_place_) Go();
    found_place_ = Come();
  }

  const pool::Cluster& cluster() const { return cluster_; }

 private:
  bool Come() {
    std::optional<pool::Placement> placement = placer_.Place(cluster_, mix_[Draw(random_, mix_.size())]);
    if (!placement) return false;
    cluster_.Take(*placement);
    running_.push_back(*std::move(placement));
    return true;
  }

  void Go() {
    std::swap(running_[Draw(random_, running_.size())], running_.back());
    cluster_.Give(running_.back());
    running_.pop_back();
  }

  const std::vector<pool::Request> mix_;
  pool::Cluster cluster_;
  pool::Placer placer_;
  std::mt19937_64 random_;
  std::vector<pool::Placement> running_;
  bool found_place_ = false;  // the last task
};

// Seconds of one turn, once for each of some repetitions.
template <class Turn>
std::vector<double> TimeTurns(Turn turn) {
  std::vector<double> seconds = ::bench::Repeat([&] {
    for (int i = 0; i < kTurns; ++i) turn();
  });
  for (double& each : seconds) each /= kTurns;
  return seconds;
}

}  // namespace

std::vector<double> TimePlacements(pool::Policy policy, int nodes) {
  Busy busy(policy, nodes);
  return TimeTurns([&] { busy.Turn(); });
}

std::vector<double> TimeLooks(int nodes) {
  const Busy busy(pool::Policy::kBestFit, nodes);
  int64_t free = 0;
  std::vector<double> seconds = TimeTurns([&] {
    for (int node = 0; node < nodes; ++node) {
      for (const auto& gpu : busy.cluster().gpus(node)) free += gpu.free_share;
    }
  });
  if (free < 0) ::bench::Fail("free", static_cast<double>(free), 0);  // so that the looks are needed
  return seconds;
}

}  // namespace outboard::bench
