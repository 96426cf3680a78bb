#include "server/pool/room_plans.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "server/pool/room.h"

namespace outboard::pool {
namespace {

// The highest priority that ends, how many end, and how long they have run together.
using Cost = std::tuple<int, size_t, int64_t>;

// The lowest priority first, then the youngest.
bool GoesBefore(const LeaseState* one, const LeaseState* other) {
  const auto rank = [](const LeaseRecord& lease) {
    return std::tuple(lease.priority, -lease.granted_at.time_since_epoch().count(), lease.id);
  };
  return rank(one->record) < rank(other->record);
}

}  // namespace

RoomPlans::RoomPlans(const Settings* settings, const Moment* moment, const Cluster* cluster, const Ledger* ledger,
                     const Leases* leases, const Holds* holds, Placer* placer)
    : settings_(*settings),
      moment_(*moment),
      cluster_(*cluster),
      ledger_(*ledger),
      leases_(*leases),
      holds_(*holds),
      placer_(*placer) {}

// `surplus` is what is left of what others may take back from the lease's tenant.
bool RoomPlans::MayReplace(const LeaseState& lease, const WaitingRequest& request, int64_t surplus) const {
  if (lease.warnings.contains(Cause::kReplaced)) return false;
  if (After(lease.record.granted_at, settings_.minimum_run) > After(moment_.now, settings_.grace)) return false;
  const bool outranked = lease.record.priority < request.wish.priority;
  if (lease.record.tenant == request.owner.tenant) return outranked;
  return surplus > 0 && (outranked || StaysWithinQuota(request));
}

bool RoomPlans::StaysWithinQuota(const WaitingRequest& request) const {
  const bool is_counted = holds_.Of(request.id) != nullptr;
  return IsWithinQuota(ledger_.tenants().Of(request.owner.tenant), is_counted ? 0 : request.demand.amount);
}

bool RoomPlans::AnybodyToReplace(const WaitingRequest& request) const {
  if (ledger_.HasLeaseBelow(request.wish.priority)) return true;
  if (!StaysWithinQuota(request)) return false;
  const auto& accounts = ledger_.tenants().all();
  return std::any_of(accounts.begin(), accounts.end(), [&request](const auto& each) {
    return each.first != request.owner.tenant && Surplus(each.second) > 0;
  });
}

std::vector<int> RoomPlans::NodesThatLackOnlyRoom(const WaitingRequest& request) const {
  std::vector<int> result;
  for (const Shortage& shortage : Explain(cluster_, request.demand.request)) {
    if (shortage.lack > Lack::kUnhealthy) result.push_back(shortage.node);
  }
  return result;
}

RoomPlans::Standing RoomPlans::Sort(const WaitingRequest& request, const std::string& node) const {
  Standing standing;
  std::vector<const LeaseState*> leases = leases_.LiveOn(node);
  standing.any_ending = leases.size() != leases_.On(node).size();
  std::sort(leases.begin(), leases.end(), GoesBefore);
  std::map<std::string, int64_t> surplus;  // that is left, by tenant
  for (const LeaseState* lease : leases) {
    const std::string& tenant = lease->record.tenant;
    int64_t& left = surplus.emplace(tenant, Surplus(ledger_.tenants().Of(tenant))).first->second;
    if (!MayReplace(*lease, request, left)) {
      standing.kept.push_back(lease->placement);
      continue;
    }
    left -= lease->record.amount;
    standing.removable.push_back(lease->placement);
    standing.removable_leases.push_back(&lease->record);
  }
  return standing;
}

std::optional<RoomPlans::Plan> RoomPlans::ToReplace(const WaitingRequest& request,
                                                    const std::vector<int>& nodes) const {
  std::optional<Cost> least;
  Plan best;
  for (const int number : nodes) {
    const Node& node = cluster_.node(number);
    const Standing standing = Sort(request, node.name);
    if (standing.removable.empty() && !standing.any_ending) continue;
    std::optional<Room> room = MakeRoom(&placer_, node, request.demand.request, holds_.PromisedOn(number, request.id),
                                        standing.kept, standing.removable);
    if (!room) continue;
    Cost cost{-1, room->removed.size(), 0};
    for (const size_t index : room->removed) {
      const LeaseRecord& lease = *standing.removable_leases[index];
      std::get<0>(cost) = std::max(std::get<0>(cost), lease.priority);
      std::get<2>(cost) += (moment_.now - lease.granted_at).count();
    }
    if (least && *least <= cost) continue;
    least = cost;
    best.wanted = std::move(room->placement);
    best.wanted.node = number;
    best.replaced.clear();
    for (const size_t index : room->removed) best.replaced.push_back(standing.removable_leases[index]->id);
  }
  if (!least) return std::nullopt;
  return best;
}

std::optional<Placement> RoomPlans::ToWait(const WaitingRequest& request, const std::vector<int>& nodes,
                                           bool beside_promises) const {
  std::optional<std::pair<int, size_t>> least;  // how often in vain, and how many leases have to end
  std::optional<Placement> wanted;
  for (const int number : nodes) {
    const Node& node = cluster_.node(number);
    std::vector<Placement> removable;
    for (const LeaseState* lease : leases_.LiveOn(node.name)) removable.push_back(lease->placement);
    std::vector<Placement> promised;
    if (beside_promises) promised = holds_.PromisedOn(number, request.id);
    std::optional<Room> room = MakeRoom(&placer_, node, request.demand.request, promised, {}, removable);
    if (!room) continue;
    const auto tried = request.in_vain.find(number);
    const std::pair cost(tried == request.in_vain.end() ? 0 : tried->second, room->removed.size());
    if (least && *least <= cost) continue;
    least = cost;
    wanted = std::move(room->placement);
    wanted->node = number;
  }
  return wanted;
}

}  // namespace outboard::pool
