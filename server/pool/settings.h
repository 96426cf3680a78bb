#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "server/pool/placement.h"
#include "server/pool/time.h"

namespace outboard::pool {

// GPUs that requests ask for by a name.
struct PoolSpec {
  std::string name;
  std::vector<std::string> tenants;  // that may ask for it; empty: all
  // Static: these GPUs, "node" for all of a node or "node/uuid", which only requests for this pool get. A GPU that is
  // listed twice is of the first pool.
  std::vector<std::string> gpus;
  // Dynamic, where no GPUs are listed: whatever of the common GPUs passes this, and so much of it at a time.
  Filter filter;
  int64_t maximum = -1;  // thousandths of a GPU; -1: no limit. Counts for static ones too
};

struct Settings {
  Policy policy = Policy::kBestFit;
  std::vector<Shape> shapes;  // for Policy::kFragmentation
  std::vector<PoolSpec> pools;

  Duration lost_after = std::chrono::seconds(15);  // a node's silence, after which it gets no more leases
  Duration lease_time = std::chrono::minutes(5);   // a node's silence that its leases outlive
  Duration open_within = std::chrono::minutes(1);  // from a grant, or a renewal, until its node has the lease
  Duration minimum_run = std::chrono::minutes(5);  // before others may take a lease's place
  Duration grace =
      std::chrono::seconds(30);  // from the warning to the end of a lease whose place is taken, or whose time is over
  Duration idle_warning = std::chrono::minutes(2);     // from the warning to the end of an idle lease
  Duration keep_room_after = std::chrono::minutes(2);  // in the queue, after which room is kept for a request
  Duration priority_step = std::chrono::minutes(10);   // in the queue, which counts as one more priority
  Duration stall = std::chrono::seconds(5);            // the pool's own absence, in which others are not called silent

  // Requests that no node could ever hold wait for one that can, instead of being refused at once.
  bool queue_impossible = false;
};

// How often nodes have to speak up, so that one report that comes late makes nobody lost.
inline Duration HeartbeatEvery(const Settings& settings) {
  return std::min<Duration>(std::chrono::seconds(5), settings.lost_after / 3);
}

inline constexpr int kMaxPriority = 9;
inline constexpr int kDefaultPriority = 5;
inline constexpr const char* kDefaultTenant = "default";

}  // namespace outboard::pool
