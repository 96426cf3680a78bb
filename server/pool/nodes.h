#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "server/pool/cluster.h"
#include "server/pool/holds.h"
#include "server/pool/leases.h"
#include "server/pool/ledger.h"
#include "server/pool/moment.h"
#include "server/pool/numbers.h"
#include "server/pool/settings.h"
#include "server/pool/state.h"

namespace outboard::pool {

// The nodes: what they have, whether they live, and what they say of leases. What a node says of leases is the truth
// about what runs; what the pool has stored is the truth about what may. Thread-confined.
class Nodes {
 public:
  // All of them outlive this object.
  Nodes(const Settings* settings, Moment* moment, Numbers* numbers, Cluster* cluster, const Ledger* ledger,
        Leases* leases, Holds* holds);

  // What was stored, before any event: the nodes, then the leases that have room on them, then Restored.
  void Restore(const NodeRecord& record);
  void Restored();

  void Handle(const Register& event);
  void Handle(const Heartbeat& event);
  void Handle(const Open& event);
  void Handle(const Over& event);
  void Handle(const Resize& event);
  void Handle(const Cordon& event);
  void Handle(const StartDrain& event);
  void Handle(const StopDrain& event);
  void Handle(const Forget& event);

  const std::map<std::string, NodeState>& all() const { return nodes_; }
  const NodeState* Find(const std::string& name) const;
  // What is taken for the lease (RoomOf) of its node's GPUs; nullopt: the node is not known or has not all of them.
  std::optional<Placement> PlacementOf(const LeaseRecord& lease, std::span<const uint64_t> over_bytes = {}) const;

  // What became due, by the node's number in the cluster.
  void Silent(int number);
  void LeasesOver(int number);
  void Drained(int number);
  void ResizeUnanswered(LeaseId lease);
  // Nobody could have been heard for a while: all have their time again.
  void ForgiveStall();

 private:
  NodeState* Find(const std::string& name);
  NodeState& Numbered(int number);
  // These parts of a node's GPUs.
  static std::optional<Placement> PlacementOn(const NodeState& node, const std::vector<LeasedGpu>& gpus);
  static int64_t AmountOf(const NodeState& node, const Placement& placement);
  std::string WhyNotResized(const LeaseState& lease, const NodeState& node) const;
  std::string WhyNoMore(const LeaseState& lease, const NodeState& node, const Placement& wanted) const;
  void HearOfSize(const NodeState& node, LeaseState& lease, const HeldLease& held, bool registers);
  bool AdoptSize(LeaseState& lease, const HeldLease& held);
  void TellNodeToResize(const LeaseState& lease);
  void FinishResize(LeaseState& lease);
  void DropResize(LeaseState& lease, const std::string& why);
  void UpdateRoom(const NodeState& node, LeaseState& lease);
  NodeState* FindForAdmin(Asker asker, const Identity& from, const std::string& name);
  NodeState* FindRegistered(Asker asker, const Identity& from, const std::string& name);
  NodeState& Add(const NodeRecord& record);
  void NoteGpus(const std::string& node, const std::vector<GpuRecord>& former, const std::vector<GpuRecord>& now);
  std::string ComplaintAboutTwins(const NodeRecord& node) const;
  Node ClusterNode(const NodeRecord& record) const;
  void ReplaceInventory(NodeState& node, const NodeRecord& record);
  void TakeReports(NodeState& node, const std::vector<GpuReport>& reports);
  void Heard(NodeState& node);
  void Reconcile(const NodeState& node, const std::vector<HeldLease>& held, bool registers);
  void TakeStranger(const NodeState& node, const HeldLease& held);
  void UpdateCondition(const NodeState& node);
  void WarnOfDrain(const NodeState& node);
  void WarnOfSilence(const NodeState& node, Time end);

  const Settings& settings_;
  Moment& moment_;
  Numbers& numbers_;
  Cluster& cluster_;
  const Ledger& ledger_;
  Leases& leases_;
  Holds& holds_;

  std::map<std::string, NodeState> nodes_;
  std::multimap<std::string, std::string> nodes_of_gpus_;  // by uuid
  std::vector<int> free_numbers_;                          // in the cluster, of nodes that were forgotten
};

}  // namespace outboard::pool
