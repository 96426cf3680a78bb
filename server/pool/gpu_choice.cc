#include "server/pool/gpu_choice.h"

#include <algorithm>
#include <span>
#include <utility>

namespace outboard::pool {
namespace {

using GpuState = Cluster::GpuState;

// Those with the smallest key first.
template <class Key>
std::vector<int> FittingGpus(const Fit& fit, int node, Key key) {
  const std::span<const GpuState> gpus = fit.cluster().gpus(node);
  std::vector<int> fitting;
  for (int i = 0; i < static_cast<int>(gpus.size()); ++i) {
    if (fit.FitsGpu(gpus[i])) fitting.push_back(i);
  }
  std::stable_sort(fitting.begin(), fitting.end(), [&](int a, int b) { return key(gpus[a]) < key(gpus[b]); });
  return fitting;
}

}  // namespace

std::vector<int> LeastFreeGpus(const Fit& fit, int node) {
  return FittingGpus(fit, node, [](const GpuState& gpu) { return std::pair(gpu.free_share, gpu.free_memory_bytes); });
}

std::vector<int> MostFreeGpus(const Fit& fit, int node) {
  return FittingGpus(fit, node, [](const GpuState& gpu) { return -gpu.free_share; });
}

Placement OnGpus(const Fit& fit, int node, std::vector<int> gpus) {
  const Request& request = fit.request();
  gpus.resize(request.gpus);
  std::sort(gpus.begin(), gpus.end());
  Placement placement{.node = node, .cpu_milli = request.cpu_milli, .memory_mib = request.memory_mib};
  for (const int gpu : gpus) {
    placement.slices.push_back({gpu, request.share, fit.MemoryOn(fit.cluster().gpus(node)[gpu])});
  }
  return placement;
}

}  // namespace outboard::pool
