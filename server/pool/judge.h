#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "server/pool/fit.h"
#include "server/pool/fragmentation.h"

namespace outboard::pool {

// Judges by how much a request would let the fragmentation of nodes fall. Remembers its judgements, which are void when
// the node has changed: of a large cluster few nodes change between two requests of a kind.
class Judge {
 public:
  struct Judgement {
    uint64_t stamp = 0;  // of the node that was judged; no node has this one
    int step = -1;       // how good it is, from 0 to 99; -1: the request does not fit
    int gpu = -1;        // which GPU makes it so, for requests of one; the first of those that do
  };

  explicit Judge(std::span<const Shape> shapes);

  // For each node. Valid until the next call.
  std::span<const Judgement> Of(const Fit& fit);

 private:
  struct Measured {
    uint64_t stamp = 0;
    int64_t useless = 0;
  };

  Judgement OfNode(const Fit& fit, int node);
  int StepOf(int64_t fall) const;

  const FragmentationMeasure measure_;
  std::array<int64_t, 100> smallest_falls_;  // by step
  std::map<Request, std::vector<Judgement>> judgements_;
  std::vector<Measured> measured_;                 // by node, as it is
  std::vector<FragmentationMeasure::Card> cards_;  // room to judge in
};

}  // namespace outboard::pool
