#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/ledger.h"
#include "server/pool/moment.h"
#include "server/pool/numbers.h"
#include "server/pool/settings.h"
#include "server/pool/state.h"

namespace outboard::pool {

// Leases from their grant to the word of their node that they are over. Each has its room in the cluster all the time,
// and counts in the ledger until it ends for its owner. Thread-confined.
class Leases {
 public:
  // All of them outlive this object.
  Leases(const Settings* settings, Moment* moment, Numbers* numbers, Cluster* cluster, Ledger* ledger);

  void Handle(const Renew& event);
  void Handle(const Release& event);
  void Handle(const Revoke& event);

  const std::map<LeaseId, LeaseState>& all() const { return leases_; }
  // Null: there is none, or nothing is left of it.
  LeaseState* Find(LeaseId id);
  const LeaseState* Find(LeaseId id) const;
  // The lease that an owner's request by that name has got; null: none, or it is over.
  const LeaseState* Of(const RequestName& request) const;
  // That have room on the node.
  std::set<LeaseId> On(const std::string& node) const;
  // Of these, those that have not ended.
  std::vector<LeaseState*> LiveOn(const std::string& node);
  std::vector<const LeaseState*> LiveOn(const std::string& node) const;
  // When a lease is to end, and why; nullopt: nobody has said so.
  static std::optional<Warning> NextWarning(const LeaseState& lease);

  // Precondition: the placement is free.
  LeaseState& Add(LeaseRecord record, Placement placement, LeaseState::Phase phase);
  // One that is over, and that its node still has: its room, so far as it is free, is taken until the node has ended
  // it.
  void AddEnding(LeaseRecord record, const Placement& placement);

  // What a node has under the number of another node's lease: its room, so far as it is free, is taken until the node
  // has ended it, as it is told to.
  void TakeStray(const StrayKey& stray, const Placement& placement);
  void FreeStray(const StrayKey& stray);
  // The node still has these, and no others.
  void KeepStrays(const std::string& node, const std::set<LeaseId>& reported);
  const std::map<StrayKey, Placement>& strays() const { return strays_; }
  // What was granted on these GPUs and their node does not have makes room for what it has.
  void GiveWay(const Placement& placement);

  // Its node asks for it. False: the node may not have it.
  bool Open(LeaseId id, const std::string& node, uint64_t epoch);
  // Its node says that nothing of it is left.
  void Over(LeaseId id, const std::string& node);
  // Its node says that it has it.
  void Confirm(LeaseState& lease, const HeldLease& held);
  // Its node does not have it.
  void Miss(LeaseState& lease);
  // For its owner it is over from now on, or has been since `ended`.
  void End(LeaseState& lease, const std::string& why, std::optional<Time> ended = std::nullopt);
  // Its room is free, and nothing is left of it.
  void Free(LeaseId id);

  // Other room than before, which is free beside what it has, and counts as `amount`.
  void SetRoom(LeaseState& lease, Placement placement, int64_t amount);
  // Null: the asker has been told that there is none of its own.
  LeaseState* FindOfOwner(Asker asker, const Identity& from, LeaseId id);

  // It will end at `deadline`, unless the same cause is withdrawn before.
  void Warn(LeaseState& lease, Cause cause, Time deadline, std::string text);
  void Reprieve(LeaseState& lease, Cause cause, const std::string& text);

  // Before its node gets another inventory.
  void LiftFrom(const std::string& node);
  // And afterwards; nullopt: its GPUs are not there.
  void SetDown(LeaseState& lease, int node, const std::optional<Placement>& placement);

  // What became due.
  void Unopened(LeaseId id);
  void WarnedLongEnough(LeaseId id);
  void HasNearlyHadItsTime(LeaseId id);
  // Nobody could have opened leases for a while: those that are not open have their time again.
  void ForgiveStall();

 private:
  void TellNodeToEnd(const LeaseState& lease);
  void SetWarningTimer(const LeaseState& lease);
  void SayWhatStands(const LeaseState& lease, const std::string& reprieve);
  void AwaitOpening(LeaseId id);
  void CheckIdle(LeaseState& lease);

  const Settings& settings_;
  Moment& moment_;
  Numbers& numbers_;
  Cluster& cluster_;
  Ledger& ledger_;

  std::map<LeaseId, LeaseState> leases_;
  std::map<std::string, std::set<LeaseId>> on_;  // by node
  std::map<RequestName, LeaseId> of_;            // of leases that are not over
  std::map<StrayKey, Placement> strays_;         // with the room that is taken
};

}  // namespace outboard::pool
