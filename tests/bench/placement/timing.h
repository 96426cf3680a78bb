#pragma once

#include <vector>

#include "server/pool/placement.h"

namespace outboard::bench {

// Seconds for one decision and the end of an earlier task on a cluster of so many nodes with eight GPUs each, once for
// each of some repetitions. The cluster is kept so full that some tasks find no place.
std::vector<double> TimePlacements(pool::Policy policy, int nodes);

// Seconds for one look at each GPU of the same cluster, to compare with.
std::vector<double> TimeLooks(int nodes);

}  // namespace outboard::bench
