#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/leases.h"
#include "server/pool/ledger.h"
#include "server/pool/moment.h"
#include "server/pool/settings.h"
#include "server/pool/state.h"

namespace outboard::pool {

// Room on one node that is kept for a request until there is enough of it.
struct Hold {
  std::string tenant;  // that it is promised to
  std::string pool;
  int64_t amount = 0;
  Placement wanted;
  Placement taken;                // the part of it that is free so far, and taken in the cluster
  std::vector<LeaseId> replaced;  // that were told to end for it; none: it waits until leases end by themselves
  int64_t had = 0;                // thousandths of GPUs that were taken at the last review
  Time review{};                  // whether there are more by then
};

// The room that is kept: because leases were told to end for a request, or because one has waited so long that smaller
// ones must not overtake it for ever. Thread-confined.
class Holds {
 public:
  // All of them outlive this object.
  Holds(const Settings* settings, Moment* moment, Cluster* cluster, Ledger* ledger, Leases* leases);

  // Null: nothing is kept for it.
  const Hold* Of(RequestId request) const;
  const std::map<RequestId, Hold>& all() const { return holds_; }
  // Of those for which no lease was told to end.
  int patient() const;
  // Whether leases that were told to end for the request are still there.
  bool IsBeingMade(RequestId request) const;
  // What is kept on a node for others than this request.
  std::vector<Placement> PromisedOn(int node, RequestId except) const;

  // Whether more of the room is taken than at the last review. Precondition: there is one.
  bool GetsMore(RequestId request) const;
  // The next one is at `next`.
  void SetReview(RequestId request, Time next);

  // In the place of what was kept for the request before. Tells the leases of `replaced` that they end.
  void Start(const WaitingRequest& request, Placement wanted, std::vector<LeaseId> replaced);
  // Who was told to end for it and has not, goes on.
  void Drop(RequestId request);
  void DropOn(int node);

  // Drops those for which leases of other tenants were told to end that have come within their quota since; whoever
  // asked last loses first. Where the first lease has ended for a request, it gets the others too.
  void Review();

  // Gives back what is taken, so that the request itself can be placed there; Fill takes what is free again.
  void Give(RequestId request);
  void Fill(RequestId request);
  void FillAll();

 private:
  void Give(Hold& hold);
  void Fill(Hold& hold);
  bool TakesFromAQuota(const Hold& hold) const;
  bool IsWithinQuotaAgain(const std::string& tenant) const;

  const Settings& settings_;
  Moment& moment_;
  Cluster& cluster_;
  Ledger& ledger_;
  Leases& leases_;

  std::map<RequestId, Hold> holds_;
};

}  // namespace outboard::pool
