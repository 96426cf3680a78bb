// What administrators do to nodes.

#include <utility>

#include "server/pool/inventory.h"
#include "server/pool/nodes.h"

namespace outboard::pool {

// Null: the asker has been told why.
NodeState* Nodes::FindForAdmin(Asker asker, const Identity& from, const std::string& name) {
  if (!from.is_admin) {
    moment_.Say(asker, Outcome::kForbidden, "only administrators may change nodes, and " + from.user + " is none.");
    return nullptr;
  }
  NodeState* const node = Find(name);
  if (node == nullptr) moment_.Say(asker, Outcome::kNotFound, "there is no node " + ShownName(name) + ".");
  return node;
}

void Nodes::Handle(const Cordon& event) {
  NodeState* const node = FindForAdmin(event.asker, event.from, event.node);
  if (node == nullptr) return;
  moment_.Say(event.asker, Outcome::kDone);
  if (node->record.cordoned == event.on) return;
  node->record.cordoned = event.on;
  moment_.Store(node->record);
  UpdateCondition(*node);
}

void Nodes::Handle(const StartDrain& event) {
  NodeState* const node = FindForAdmin(event.asker, event.from, event.node);
  if (node == nullptr) return;
  if (event.evict && event.within == kForever) {
    return moment_.Say(event.asker, Outcome::kInvalid,
                       "a drain that ends leases needs a deadline, at which it ends them.");
  }
  moment_.Say(event.asker, Outcome::kDone);
  node->record.drain = Drain{After(moment_.now, event.within), event.evict};
  moment_.Store(node->record);
  moment_.timers.Set(Due::kNodeDrained, node->key(), node->record.drain->deadline);
  UpdateCondition(*node);
  WarnOfDrain(*node);
}

void Nodes::Handle(const StopDrain& event) {
  NodeState* const node = FindForAdmin(event.asker, event.from, event.node);
  if (node == nullptr) return;
  moment_.Say(event.asker, Outcome::kDone);
  if (!node->record.drain) return;
  node->record.drain.reset();
  moment_.Store(node->record);
  moment_.timers.Cancel(Due::kNodeDrained, node->key());
  WarnOfDrain(*node);
  UpdateCondition(*node);
}

void Nodes::WarnOfDrain(const NodeState& node) {
  const bool evicts = node.record.drain && node.record.drain->evict;
  for (LeaseState* lease : leases_.LiveOn(node.record.name)) {
    if (!evicts) {
      leases_.Reprieve(*lease, Cause::kDrained, "node " + node.record.name + " waits for it.");
    } else {
      leases_.Warn(*lease, Cause::kDrained, node.record.drain->deadline,
                   "node " + node.record.name + " is being emptied.");
    }
  }
}

void Nodes::Drained(int number) {
  const NodeState& node = Numbered(number);
  if (!node.record.drain || !node.record.drain->evict) return;
  for (LeaseState* lease : leases_.LiveOn(node.record.name)) {
    leases_.End(*lease, "node " + node.record.name + " was emptied.");
  }
}

void Nodes::Handle(const Forget& event) {
  NodeState* const node = FindForAdmin(event.asker, event.from, event.node);
  if (node == nullptr) return;
  if (node->up) {
    return moment_.Say(event.asker, Outcome::kConflict, "node " + event.node + " is there; stop its gpu-node first.");
  }
  moment_.Say(event.asker, Outcome::kDone);
  holds_.DropOn(node->number);
  for (LeaseState* lease : leases_.LiveOn(event.node)) {
    leases_.End(*lease, "node " + event.node + " will not come back.", node->registered ? node->heard : moment_.now);
  }
  for (const LeaseId id : leases_.On(event.node)) leases_.Free(id);
  leases_.KeepStrays(event.node, {});
  for (const Due due : {Due::kNodeSilent, Due::kNodeLeases, Due::kNodeDrained}) {
    moment_.timers.Cancel(due, node->key());
  }
  cluster_.Replace(node->number, {.name = "", .condition = Condition::kLost});
  free_numbers_.push_back(node->number);
  NoteGpus(event.node, node->record.gpus, {});
  moment_.Store(EraseNode{event.node});
  nodes_.erase(event.node);
}

}  // namespace outboard::pool
