#include "server/pool/fragmentation.h"

#include <algorithm>
#include <cmath>

namespace outboard::pool {

FragmentationMeasure::FragmentationMeasure(std::span<const Shape> shapes) {
  double all = 0;
  for (const Shape& shape : shapes) all += std::max(shape.weight, 0.0);
  for (const Shape& shape : shapes) {
    if (!(shape.weight > 0)) continue;
    const auto weight = static_cast<int64_t>(std::llround(shape.weight / all * kWeights));
    weights_ += weight;
    if (shape.gpus > 0) shapes_.push_back({shape, weight});
  }
}

FragmentationMeasure::Card FragmentationMeasure::CardOf(const Cluster::GpuState& gpu, int share_taken,
                                                        uint64_t bytes_taken) {
  if (!gpu.usable) return {};
  const int idle = gpu.free_share - share_taken;
  if (gpu.memory_bytes == 0) return {idle, idle};
  // The largest share whose part of the memory, rounded down, is free.
  const uint64_t free_bytes = gpu.free_memory_bytes - bytes_taken;
  const uint64_t by_memory = (kWholeGpu * (free_bytes + 1) - 1) / gpu.memory_bytes;
  return {idle, static_cast<int>(std::min(static_cast<uint64_t>(idle), by_memory))};
}

int64_t FragmentationMeasure::Of(std::span<const Card> cards, int64_t cpu_milli, int64_t memory_mib) const {
  int64_t idle = 0;
  for (const Card& card : cards) idle += card.idle;
  int64_t useful = 0;
  for (const auto& [shape, weight] : shapes_) {
    if (shape.cpu_milli > cpu_milli || shape.memory_mib > memory_mib) continue;
    int count = 0;
    int64_t large_enough = 0;
    for (const Card& card : cards) {
      const bool fits = card.reach >= shape.share;
      count += fits ? 1 : 0;
      large_enough += fits ? card.idle : 0;
    }
    if (count >= shape.gpus) useful += weight * large_enough;
  }
  return weights_ * idle - useful;
}

}  // namespace outboard::pool
