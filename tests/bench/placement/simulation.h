#pragma once

#include <cstdint>
#include <vector>

#include "server/pool/placement.h"

namespace outboard::bench {

// The kinds of task of a trace, the most frequent first, that make up 95 % of it.
std::vector<pool::Shape> TypicalShapes(const std::vector<pool::Request>& tasks);

// The nodes under other names and in another order.
void Reorder(std::vector<pool::Node>& nodes, uint64_t seed);

struct Run {
  double allocated = 0;  // of all GPUs, when as many have been asked for as there are: 0 to 1
  int decisions = 0;
  int ties = 0;
  double seconds_per_decision = 0;  // in the placer alone
};

// Tasks come and never go: the trace, and tasks drawn from it again until they ask for 130 % of the cluster's GPUs
// together, in random order. A task that fits nowhere is not tried again. Precondition: there are GPUs, and tasks that
// ask for some.
Run Simulate(const std::vector<pool::Node>& nodes, const std::vector<pool::Request>& tasks, pool::Policy policy,
             uint64_t seed);

// The same tasks, each on any node where it fits and there on any GPUs, all as likely: what a policy has to beat.
Run SimulateRandom(const std::vector<pool::Node>& nodes, const std::vector<pool::Request>& tasks, uint64_t seed);

}  // namespace outboard::bench
