#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "server/pool/placement.h"
#include "server/pool/settings.h"
#include "server/pool/time.h"

namespace outboard::pool {

// What somebody asks the pool for.
struct Wish {
  double gpus = 1;                   // a fraction below 1 of one GPU, or a whole number of GPUs of one node
  double share = 0;                  // of each GPU's compute, up to 1; 0: as `gpus` says
  bool hard = false;                 // the share is a ceiling even when the GPU is idle
  uint64_t memory_bytes = 0;         // per GPU; 0: as `gpus` says
  std::vector<std::string> filters;  // "key=value"
  std::string pool;                  // empty: the common GPUs
  int priority = kDefaultPriority;
  Duration wait{0};          // in the queue; 0: not at all
  Duration idle_release{0};  // 0: never
  Duration longest = kForever;
  std::string client;  // for people
};

// A wish in terms of placement.
struct Demand {
  Request request;
  int64_t amount = 0;  // thousandths of a GPU, of all GPUs together: by the compute, as Fit::Amount is by memory too
};

// `tenant` is who asks. The error says what is wrong with the wish.
Result<Demand> ToDemand(const Wish& wish, const std::string& tenant, const std::vector<PoolSpec>& pools);

// device.name, device.memory, node.name, node.label.KEY, cuda.version, each with "=value".
Result<Filter> ParseFilters(const std::vector<std::string>& filters);

// Null: there is none of that name.
const PoolSpec* FindPool(const std::vector<PoolSpec>& pools, const std::string& name);

// The number under which placement knows a GPU's pool: 0 for the common ones.
int PoolNumber(const std::vector<PoolSpec>& pools, const std::string& node, const std::string& uuid);

// "0.5", "2": thousandths of a GPU as people write them.
std::string GpusText(int64_t amount);

}  // namespace outboard::pool
