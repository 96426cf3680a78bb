#include "server/pool/room.h"

#include <algorithm>
#include <utility>

namespace outboard::pool {
namespace {

Placement OnNodeZero(Placement placement) {
  placement.node = 0;
  return placement;
}

}  // namespace

Placement TakeFree(Cluster* cluster, const Placement& wanted) {
  Placement free{wanted.node,
                 {},
                 std::min(wanted.cpu_milli, cluster->free_cpu_milli(wanted.node)),
                 std::min(wanted.memory_mib, cluster->free_memory_mib(wanted.node))};
  int last = -1;
  for (const Slice& slice : wanted.slices) {
    if (slice.gpu <= last) continue;  // a node may say anything
    last = slice.gpu;
    const Slice part{slice.gpu, std::min(slice.share, cluster->free_share(wanted.node, slice.gpu)),
                     std::min(slice.memory_bytes, cluster->free_memory_bytes(wanted.node, slice.gpu))};
    // Where no compute is free, nobody else gets the memory either.
    if (part.share > 0) free.slices.push_back(part);
  }
  cluster->Take(free);
  return free;
}

std::optional<Room> MakeRoom(Placer* placer, const Node& node, const Request& request,
                             std::span<const Placement> promised, std::span<const Placement> kept,
                             std::span<const Placement> removable) {
  Cluster alone;
  Node ready = node;
  ready.condition = Condition::kReady;
  alone.Add(std::move(ready));
  for (const Placement& each : promised) TakeFree(&alone, OnNodeZero(each));
  for (const Placement& each : kept) TakeFree(&alone, OnNodeZero(each));
  // Where a promise overlaps with it, a lease has less than it says.
  std::vector<Placement> taken;
  for (const Placement& each : removable) taken.push_back(TakeFree(&alone, OnNodeZero(each)));

  Room room;
  std::optional<Placement> found = placer->Place(alone, request);
  for (size_t i = 0; !found && i < taken.size(); ++i) {
    alone.Give(taken[i]);
    room.removed.push_back(i);
    found = placer->Place(alone, request);
  }
  if (!found) return std::nullopt;
  // The last one was needed; some before it may not have been.
  for (size_t i = room.removed.size(); i-- > 1;) {
    const size_t index = room.removed[i - 1];
    alone.Take(taken[index]);
    if (std::optional<Placement> without = placer->Place(alone, request)) {
      found = std::move(without);
      room.removed.erase(room.removed.begin() + static_cast<std::ptrdiff_t>(i - 1));
    } else {
      alone.Give(taken[index]);
    }
  }
  room.placement = std::move(*found);
  return room;
}

}  // namespace outboard::pool
