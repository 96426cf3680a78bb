#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/holds.h"
#include "server/pool/leases.h"
#include "server/pool/ledger.h"
#include "server/pool/maxima.h"
#include "server/pool/moment.h"
#include "server/pool/nodes.h"
#include "server/pool/numbers.h"
#include "server/pool/placement.h"
#include "server/pool/room_plans.h"
#include "server/pool/settings.h"
#include "server/pool/state.h"

namespace outboard::pool {

// The requests: what is granted, what waits, whose turn it is, and for whom room is kept. Thread-confined.
class Queue {
 public:
  // All of them outlive this object.
  Queue(const Settings* settings, Moment* moment, Numbers* numbers, Cluster* cluster, Ledger* ledger, Leases* leases,
        const Nodes* nodes, Holds* holds);

  void Handle(const Ask& event);
  void Handle(const Withdraw& event);
  // What waits and is beyond the tenant's maximum, which was lowered, could never be granted.
  void RefuseBeyondMaximum(const TenantRecord& tenant);
  // A request's wait is over.
  void Waited(RequestId id);

  // Gives out whatever fits, and keeps room for those whose turn it is, until nothing more comes of it: what waits
  // afterwards does so for a reason.
  void Schedule();

  const std::map<RequestId, WaitingRequest>& requests() const { return requests_; }
  // In the order in which they get their turn now.
  std::vector<RequestId> Order() const;
  // nullopt: there is no such request. Changes nothing in the end.
  std::optional<Why> WhyWaiting(RequestId id);

 private:
  bool GoesOn(const Ask& event);
  WaitingRequest& Add(const Ask& event, const Demand& demand);
  bool MayTake(WaitingRequest& request);
  bool IsOld(const WaitingRequest& request) const;
  bool TryToPlace(const WaitingRequest& request);
  void Grant(const WaitingRequest& request, Placement placement);
  void SayGranted(Asker asker, const LeaseState& lease);
  bool CouldEverFit(const Demand& demand) const;
  std::string WhoseQueueIsFull(const Identity& owner) const;
  void Count(const WaitingRequest& request, int sign);
  void Refuse(RequestId id, std::string reason, bool no_capacity);
  void Remove(RequestId id);
  void GiveTurns();
  void KeepRoom();
  bool ReplaceOthers(const WaitingRequest& request, const std::vector<int>& nodes);
  bool WaitForRoom(WaitingRequest& request, const std::vector<int>& nodes);
  bool MoveRoom(WaitingRequest& request, std::vector<int> nodes);
  bool KeepsRoomInVain(const WaitingRequest& request);
  void ReviewLater(const WaitingRequest& request);

  std::string WhyMaximum(const WaitingRequest& request) const;
  NodeShortage Tell(const Shortage& shortage, const WaitingRequest& request) const;

  const Settings& settings_;
  Moment& moment_;
  Numbers& numbers_;
  Cluster& cluster_;
  Ledger& ledger_;
  Leases& leases_;
  const Nodes& nodes_;
  Holds& holds_;
  Placer placer_;
  Placer plans_placer_;  // of clusters of one node, which would have placer_ forget the others
  RoomPlans plans_;
  Maxima maxima_;

  RequestId last_request_ = 0;
  std::map<RequestId, WaitingRequest> requests_;
  std::map<RequestName, RequestId> of_;
  std::map<Asker, RequestId> askers_;
  std::map<std::string, int> waiting_of_tenant_;
  std::map<std::pair<std::string, std::string>, int> waiting_of_user_;  // tenant and user
  Time keep_room_from_{};  // not again before
  // One round of those who need room, which may take several passes.
  struct Round {
    std::set<RequestId> over;  // had their turn
    std::set<int> needed;      // nodes where one of these needs room that is kept for others
  };
  Round round_;
};

}  // namespace outboard::pool
