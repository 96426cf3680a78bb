#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/events.h"
#include "server/pool/holds.h"
#include "server/pool/leases.h"
#include "server/pool/ledger.h"
#include "server/pool/moment.h"
#include "server/pool/nodes.h"
#include "server/pool/numbers.h"
#include "server/pool/queue.h"
#include "server/pool/settings.h"
#include "server/pool/state.h"

namespace outboard::pool {

// Who gets which slice of which GPU. A state machine: what it does and what it says depends on nothing but the settings
// and the events with their times. Thread-confined.
//
// What holds at all times:
// - Leases on a GPU never have more of its compute or memory together than it has. A lease that its node may know keeps
//   its room until the node says that it is over.
// - Nothing is granted beyond the maximum of a tenant or a pool.
// - Nobody takes the place of a lease before its minimum run is over. Whoever is within a tenant's quota loses nothing
//   to other tenants.
// - All GPUs of a request come together, on one node. A request that has waited long gets room kept for it on one node,
//   so that smaller ones do not overtake it for ever; requests that wait have no room that others could wait for but
//   this.
//
// Each part owns what its name says, and knows only the parts above it in the list of members.
class Controller {
 public:
  explicit Controller(Settings settings);
  Controller(const Controller&) = delete;
  Controller& operator=(const Controller&) = delete;

  // What was stored, once, before any event. Leases and nodes get their full time again: nobody could say that they
  // live while there was no pool.
  Effects Restore(const Snapshot& snapshot, Time now);

  // A time before that of the event before counts as that.
  Effects Handle(const Event& event, Time now);
  // When the next Tick is wanted; nullopt: none.
  std::optional<Time> NextDue() const { return moment_.timers.Next(); }

  const Settings& settings() const { return settings_; }
  const Cluster& cluster() const { return cluster_; }
  const Ledger& ledger() const { return ledger_; }
  const std::map<LeaseId, LeaseState>& leases() const { return leases_.all(); }
  size_t LeasesOn(const std::string& node) const { return leases_.On(node).size(); }  // that have room there
  const std::map<StrayKey, Placement>& strays() const { return leases_.strays(); }
  const Holds& holds() const { return holds_; }
  const std::map<std::string, NodeState>& nodes() const { return nodes_.all(); }
  const std::map<RequestId, WaitingRequest>& requests() const { return queue_.requests(); }

  // In the order in which requests get their turn now.
  std::vector<RequestId> Order() const { return queue_.Order(); }
  // nullopt: there is no such request in the queue. Changes nothing in the end.
  std::optional<Why> WhyWaiting(RequestId request) { return queue_.WhyWaiting(request); }

 private:
  void RestoreLease(LeaseRecord record);
  void On(const Event& event);
  void SetTenant(const pool::SetTenant& event);
  void RunDue();
  void OnDue(Due due, uint64_t number);
  void ForgiveStall(const Event& event, Time now);

  const Settings settings_;
  Moment moment_;
  Numbers numbers_{&moment_};
  Cluster cluster_;
  Ledger ledger_;
  Leases leases_{&settings_, &moment_, &numbers_, &cluster_, &ledger_};
  Holds holds_{&settings_, &moment_, &cluster_, &ledger_, &leases_};
  Nodes nodes_{&settings_, &moment_, &numbers_, &cluster_, &ledger_, &leases_, &holds_};
  Queue queue_{&settings_, &moment_, &numbers_, &cluster_, &ledger_, &leases_, &nodes_, &holds_};
};

}  // namespace outboard::pool
