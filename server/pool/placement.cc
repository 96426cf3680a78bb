#include "server/pool/placement.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/pool/fit.h"
#include "server/pool/fragmentation.h"
#include "server/pool/gpu_choice.h"
#include "server/pool/judge.h"

namespace outboard::pool {
namespace {

constexpr int kNone = -1;

// What is left over of a node when the request is on it, to compare with other nodes of the same cluster.
int64_t LeftOver(const Cluster& cluster, const Cluster::NodeState& state, const Request& request) {
  const int64_t cpu_milli = state.free_cpu_milli - request.cpu_milli;
  const int64_t share = state.free_share - request.gpus * request.share;
  return cpu_milli * std::max<int64_t>(cluster.largest_share(), 1) +
         share * std::max<int64_t>(cluster.largest_cpu_milli(), 1);
}

}  // namespace

Placer::Placer(Policy policy, const std::vector<Shape>& shapes)
    : policy_(policy == Policy::kFragmentation && shapes.empty() ? Policy::kBestFit : policy) {
  if (policy_ == Policy::kFragmentation) judge_ = std::make_unique<Judge>(shapes);
}

Placer::Placer(Placer&&) noexcept = default;
Placer& Placer::operator=(Placer&&) noexcept = default;
Placer::~Placer() = default;

std::optional<Placement> Placer::Place(const Cluster& cluster, const Request& request) {
  const Fit fit(cluster, request);
  switch (policy_) {
    case Policy::kBestFit:
      return BestFit(fit);
    case Policy::kSpread:
      return Spread(fit);
    case Policy::kFragmentation:
      break;
  }
  return LeastFragmented(fit);
}

std::optional<Placement> Placer::BestFit(const Fit& fit) {
  const Cluster& cluster = fit.cluster();
  int best = kNone;
  int64_t least = std::numeric_limits<int64_t>::max();
  bool tied = false;
  for (int node = 0; node < cluster.size(); ++node) {
    const Cluster::NodeState& state = cluster.state(node);
    if (!fit.MayFit(state)) continue;
    const int64_t left = LeftOver(cluster, state, fit.request());
    if (left > least || (left == least && tied) || !fit.Fits(node)) continue;
    tied = left == least;
    if (!tied) best = node;
    least = left;
  }
  if (best == kNone) return std::nullopt;
  ties_ += tied ? 1 : 0;
  return OnGpus(fit, best, LeastFreeGpus(fit, best));
}

std::optional<Placement> Placer::Spread(const Fit& fit) {
  const Cluster& cluster = fit.cluster();
  const int gpus = fit.request().gpus;
  int best = kNone;
  std::pair<int, int64_t> most;  // compute free of the GPU that counts, and what is left over of the node
  bool tied = false;
  for (int node = 0; node < cluster.size(); ++node) {
    const Cluster::NodeState& state = cluster.state(node);
    if (best != kNone && state.most_free_share < most.first) continue;
    if (!fit.Fits(node)) continue;
    const int share = gpus == 0 ? 0 : cluster.free_share(node, MostFreeGpus(fit, node)[gpus - 1]);
    const std::pair here{share, LeftOver(cluster, state, fit.request())};
    if (best != kNone && here <= most) {
      tied = tied || here == most;
      continue;
    }
    best = node;
    most = here;
    tied = false;
  }
  if (best == kNone) return std::nullopt;
  ties_ += tied ? 1 : 0;
  return OnGpus(fit, best, MostFreeGpus(fit, best));
}

std::optional<Placement> Placer::LeastFragmented(const Fit& fit) {
  const std::span<const Judge::Judgement> judgements = judge_->Of(fit);
  int best = kNone;
  int best_step = kNone;
  bool tied = false;
  for (int node = 0; node < static_cast<int>(judgements.size()); ++node) {
    const int step = judgements[node].step;
    tied = step > best_step ? false : tied || step == best_step;
    if (step <= best_step) continue;
    best = node;
    best_step = step;
  }
  if (best == kNone) return std::nullopt;
  ties_ += tied ? 1 : 0;
  if (fit.request().gpus != 1) return OnGpus(fit, best, LeastFreeGpus(fit, best));
  return OnGpus(fit, best, {judgements[best].gpu});
}

double Fragmentation(const Cluster& cluster, std::span<const Shape> shapes) {
  const FragmentationMeasure measure(shapes);
  std::vector<FragmentationMeasure::Card> cards;
  double idle = 0;
  double useless = 0;
  for (int node = 0; node < cluster.size(); ++node) {
    cards.clear();
    for (const Cluster::GpuState& gpu : cluster.gpus(node)) {
      cards.push_back(FragmentationMeasure::CardOf(gpu));
      idle += cards.back().idle;
    }
    const int64_t here = measure.Of(cards, cluster.free_cpu_milli(node), cluster.free_memory_mib(node));
    useless += static_cast<double>(here) / FragmentationMeasure::kWeights;
  }
  return idle == 0 ? 0 : useless / idle;
}

}  // namespace outboard::pool
