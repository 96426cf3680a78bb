#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/placement.h"

namespace outboard::pool {

// How much of what is idle on a node is useless for the requests that are typical here: the measure of fragmentation
// gradient descent (Weng et al., "Beware of Fragmentation", USENIX ATC 2023). For each shape, everything idle on the
// node is useless where the shape does not fit, and where it does, what is idle on GPUs too small for it; the mean over
// the shapes by their weight counts. For a shape without GPUs everything idle is useless.
//
// In whole numbers, so that nothing depends on the order in which it is added up. Immutable.
class FragmentationMeasure {
 public:
  // What the shapes' weights add up to, nearly.
  static constexpr int64_t kWeights = 1'000'000;

  // A GPU as a shape sees it, in thousandths.
  struct Card {
    int idle = 0;
    int reach = 0;  // what a shape can get of it, which memory may limit; at most `idle`
    bool operator==(const Card&) const = default;
  };

  explicit FragmentationMeasure(std::span<const Shape> shapes);

  // The card that is left when a share and memory have been taken of what is free.
  static Card CardOf(const Cluster::GpuState& gpu, int share_taken = 0, uint64_t bytes_taken = 0);

  // Of a node with these cards and so much of the machine left: useless thousandths of a GPU, times kWeights.
  int64_t Of(std::span<const Card> cards, int64_t cpu_milli, int64_t memory_mib) const;

 private:
  struct Weighed {
    Shape shape;
    int64_t weight;  // of kWeights
  };
  std::vector<Weighed> shapes_;  // those with GPUs
  int64_t weights_ = 0;          // of all shapes
};

}  // namespace outboard::pool
