#pragma once

#include <vector>

#include "server/pool/fit.h"

namespace outboard::pool {

// The node's GPUs on which the request fits, in the order in which it takes them; of those that are as good the first
// first.
std::vector<int> LeastFreeGpus(const Fit& fit, int node);  // the least compute free, then the least memory
std::vector<int> MostFreeGpus(const Fit& fit, int node);   // the most compute free

// The request on the first GPUs of the list, which are enough.
Placement OnGpus(const Fit& fit, int node, std::vector<int> gpus);

}  // namespace outboard::pool
