#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "server/pool/placement.h"

namespace outboard::pool {

// Takes what is free of `wanted`, whose GPUs exist, and says what that was.
Placement TakeFree(Cluster* cluster, const Placement& wanted);

struct Room {
  Placement placement;          // in the node's own cluster: its node is 0
  std::vector<size_t> removed;  // of `removable`; no smaller choice of these has room
};

// How a request fits on a node, whatever its condition, beside what is promised and kept, once some of `removable`, the
// first ones first, is gone. nullopt: it does not.
std::optional<Room> MakeRoom(Placer* placer, const Node& node, const Request& request,
                             std::span<const Placement> promised, std::span<const Placement> kept,
                             std::span<const Placement> removable);

}  // namespace outboard::pool
