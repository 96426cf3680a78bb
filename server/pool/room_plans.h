#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/holds.h"
#include "server/pool/leases.h"
#include "server/pool/ledger.h"
#include "server/pool/moment.h"
#include "server/pool/placement.h"
#include "server/pool/settings.h"
#include "server/pool/state.h"

namespace outboard::pool {

// Where room could be kept for a request that fits nowhere now, and which leases would have to end for that. Changes
// nothing. Thread-confined.
class RoomPlans {
 public:
  struct Plan {
    Placement wanted;
    std::vector<LeaseId> replaced;
  };

  // All of them outlive this object.
  RoomPlans(const Settings* settings, const Moment* moment, const Cluster* cluster, const Ledger* ledger,
            const Leases* leases, const Holds* holds, Placer* placer);

  // A quick look: false is certain.
  bool AnybodyToReplace(const WaitingRequest& request) const;
  // The nodes, by their numbers in the cluster, where it would fit if leases ended.
  std::vector<int> NodesThatLackOnlyRoom(const WaitingRequest& request) const;
  // On one of these nodes, leases that may be told to end for it: such of the lowest priority, few of them, that have
  // run for a short time. nullopt: that would not help.
  std::optional<Plan> ToReplace(const WaitingRequest& request, const std::vector<int>& nodes) const;
  // Room on that of these nodes where it was kept in vain the fewest times, and then where the fewest leases have to
  // end by themselves, the oldest ones first; beside what is kept for others, or as if nothing were.
  std::optional<Placement> ToWait(const WaitingRequest& request, const std::vector<int>& nodes,
                                  bool beside_promises) const;

 private:
  // The leases of a node, by what a request may do to them.
  struct Standing {
    std::vector<Placement> kept;
    std::vector<Placement> removable;
    std::vector<const LeaseRecord*> removable_leases;  // of the same order
    bool any_ending = false;                           // leaves its room in any case
  };

  Standing Sort(const WaitingRequest& request, const std::string& node) const;
  bool MayReplace(const LeaseState& lease, const WaitingRequest& request, int64_t surplus) const;
  bool StaysWithinQuota(const WaitingRequest& request) const;

  const Settings& settings_;
  const Moment& moment_;
  const Cluster& cluster_;
  const Ledger& ledger_;
  const Leases& leases_;
  const Holds& holds_;
  Placer& placer_;
};

}  // namespace outboard::pool
