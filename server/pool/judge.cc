#include "server/pool/judge.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "server/pool/gpu_choice.h"

namespace outboard::pool {
namespace {

// Kinds of request whose judgements are remembered. When there are more, all are forgotten.
constexpr size_t kKindsRemembered = 256;

}  // namespace

Judge::Judge(std::span<const Shape> shapes) : measure_(shapes) {
  smallest_falls_[0] = std::numeric_limits<int64_t>::min();
  for (int step = 1; step < 100; ++step) {
    const double gpus = -std::log(100.0 / step - 1);  // where 100 / (1 + exp(-gpus)) is the step
    smallest_falls_[step] = std::llround(gpus * kWholeGpu * FragmentationMeasure::kWeights);
  }
}

std::span<const Judge::Judgement> Judge::Of(const Fit& fit) {
  if (judgements_.size() >= kKindsRemembered && !judgements_.contains(fit.request())) judgements_.clear();
  const int nodes = fit.cluster().size();
  std::vector<Judgement>& judgements = judgements_[fit.request()];
  judgements.resize(nodes);
  measured_.resize(nodes);
  for (int node = 0; node < nodes; ++node) {
    if (judgements[node].stamp != fit.cluster().state(node).stamp) judgements[node] = OfNode(fit, node);
  }
  return judgements;
}

Judge::Judgement Judge::OfNode(const Fit& fit, int node) {
  const Cluster::NodeState& state = fit.cluster().state(node);
  const std::span<const Cluster::GpuState> gpus = fit.cluster().gpus(node);
  const Request& request = fit.request();
  Judgement judgement{.stamp = state.stamp};
  if (!fit.Fits(node)) return judgement;

  cards_.clear();
  for (const Cluster::GpuState& gpu : gpus) cards_.push_back(FragmentationMeasure::CardOf(gpu));
  Measured& before = measured_[node];
  if (before.stamp != state.stamp) {
    before = {state.stamp, measure_.Of(cards_, state.free_cpu_milli, state.free_memory_mib)};
  }
  const auto take_of = [&](int gpu) {
    cards_[gpu] = FragmentationMeasure::CardOf(gpus[gpu], request.share, fit.MemoryOn(gpus[gpu]));
  };
  const auto step = [&] {
    const int64_t after =
        measure_.Of(cards_, state.free_cpu_milli - request.cpu_milli, state.free_memory_mib - request.memory_mib);
    return StepOf(before.useless - after);
  };

  if (request.gpus != 1) {
    const std::vector<int> fitting = LeastFreeGpus(fit, node);
    std::for_each(fitting.begin(), fitting.begin() + request.gpus, take_of);
    judgement.step = step();
    return judgement;
  }
  for (int i = 0; i < static_cast<int>(gpus.size()); ++i) {
    const auto is_like_it = [&](const Cluster::GpuState& gpu) {
      return gpu.free_share == gpus[i].free_share && gpu.free_memory_bytes == gpus[i].free_memory_bytes &&
             gpu.memory_bytes == gpus[i].memory_bytes && fit.FitsGpu(gpu);
    };
    if (!fit.FitsGpu(gpus[i]) || std::any_of(gpus.begin(), gpus.begin() + i, is_like_it)) continue;
    const FragmentationMeasure::Card card = cards_[i];
    take_of(i);
    if (const int here = step(); here > judgement.step) {
      judgement.step = here;
      judgement.gpu = i;
    }
    cards_[i] = card;
  }
  return judgement;
}

int Judge::StepOf(int64_t fall) const {
  return static_cast<int>(std::upper_bound(smallest_falls_.begin(), smallest_falls_.end(), fall) -
                          smallest_falls_.begin()) -
         1;
}

}  // namespace outboard::pool
