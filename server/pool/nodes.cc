#include "server/pool/nodes.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "common/base/limits.h"
#include "server/pool/inventory.h"
#include "server/pool/wish.h"

namespace outboard::pool {
namespace {

std::string TooManyLeases(const std::string& node) {
  return "node " + node + " says it has more leases than " + std::to_string(kMaxLeases) + ", which no node may have.";
}

// Whether the node that the pool knows by that name lives, and is not the one that registers.
bool IsAnother(const NodeState& node, const Register& event) {
  return event.other_is_attached && node.up && node.instance != event.instance;
}

}  // namespace

Nodes::Nodes(const Settings* settings, Moment* moment, Numbers* numbers, Cluster* cluster, const Ledger* ledger,
             Leases* leases, Holds* holds)
    : settings_(*settings),
      moment_(*moment),
      numbers_(*numbers),
      cluster_(*cluster),
      ledger_(*ledger),
      leases_(*leases),
      holds_(*holds) {}

void Nodes::Restore(const NodeRecord& record) {
  NodeState& node = Add(record);
  node.heard = moment_.now;
  moment_.timers.Set(Due::kNodeLeases, node.key(), After(moment_.now, settings_.lease_time));
  if (record.drain) moment_.timers.Set(Due::kNodeDrained, node.key(), record.drain->deadline);
}

void Nodes::Restored() {
  for (const auto& [name, node] : nodes_) WarnOfDrain(node);
}

NodeState* Nodes::Find(const std::string& name) {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : &found->second;
}

const NodeState* Nodes::Find(const std::string& name) const {
  const auto found = nodes_.find(name);
  return found == nodes_.end() ? nullptr : &found->second;
}

NodeState& Nodes::Numbered(int number) { return nodes_.at(cluster_.node(number).name); }

// Null: the asker has been told that it has to register.
NodeState* Nodes::FindRegistered(Asker asker, const Identity& from, const std::string& name) {
  NodeState* const node = from.MaySpeakFor(name) ? Find(name) : nullptr;
  if (node != nullptr && node->registered) return node;
  moment_.Say(asker, Outcome::kNotFound, "there is no node " + ShownName(name) + "; it has to register first.");
  return nullptr;
}

void Nodes::Handle(const Register& event) {
  const std::string& name = event.node.name;
  if (!event.from.MaySpeakFor(name)) {
    return moment_.Say(event.asker, Outcome::kForbidden,
                       event.from.user + " may not speak for node " + ShownName(name) + ".");
  }
  std::string complaint = ComplaintAbout(event.node);
  if (complaint.empty()) complaint = ComplaintAboutTwins(event.node);
  if (!complaint.empty()) return moment_.Say(event.asker, Outcome::kInvalid, complaint);
  if (event.held.size() > kMaxLeases) return moment_.Say(event.asker, Outcome::kInvalid, TooManyLeases(name));
  if (!numbers_.IsCredible(event.highest_epoch)) {
    return moment_.Say(event.asker, Outcome::kInvalid,
                       "node " + name + " says it saw epoch " + std::to_string(event.highest_epoch) +
                           ", which no pool gave out. Remove the file in which the node keeps it, after its leases " +
                           "have ended.");
  }
  NodeState* node = Find(name);
  if (node == nullptr && nodes_.size() >= kMaxNodes) {
    return moment_.Say(event.asker, Outcome::kConflict,
                       "the pool knows " + std::to_string(kMaxNodes) + " nodes already, and takes no more. An " +
                           "administrator has to forget those that will not come back.");
  }
  if (node != nullptr && IsAnother(*node, event)) {
    return moment_.Say(event.asker, Outcome::kConflict,
                       "another gpu-node called " + name + " is at " + node->record.address +
                           " and is heard of. Give one of the two another name.");
  }
  moment_.Say(event.asker, Outcome::kDone);
  numbers_.Raise(event.highest_epoch);
  NodeRecord record = event.node;
  record.cordoned = node != nullptr && node->record.cordoned;
  record.drain = node == nullptr ? std::nullopt : node->record.drain;
  if (node == nullptr) {
    node = &Add(record);
    moment_.Store(record);
  } else if (record != node->record) {
    if (!SameInventory(record, node->record)) ReplaceInventory(*node, record);
    node->record = record;
    moment_.Store(record);
  }
  node->registered = true;
  node->instance = event.instance;
  Heard(*node);
  Reconcile(*node, event.held, /*registers=*/true);
}

void Nodes::Handle(const Heartbeat& event) {
  NodeState* const node = FindRegistered(event.asker, event.from, event.node);
  if (node == nullptr) return;
  if (event.gpus.size() != node->record.gpus.size()) {
    return moment_.Say(event.asker, Outcome::kInvalid,
                       "node " + event.node + " reports on " + std::to_string(event.gpus.size()) +
                           " GPUs and has registered " + std::to_string(node->record.gpus.size()) +
                           "; it has to register again.");
  }
  if (event.held.size() > kMaxLeases) return moment_.Say(event.asker, Outcome::kInvalid, TooManyLeases(event.node));
  moment_.Say(event.asker, Outcome::kDone);
  TakeReports(*node, event.gpus);
  Heard(*node);
  Reconcile(*node, event.held, /*registers=*/false);
}

void Nodes::Handle(const Open& event) {
  if (FindRegistered(event.asker, event.from, event.node) == nullptr) return;
  if (leases_.Open(event.lease, event.node, event.epoch)) return moment_.Say(event.asker, Outcome::kDone);
  moment_.Say(event.asker, Outcome::kConflict,
              "lease " + Text(event.lease) + " is over, or not one of node " + event.node + ".");
}

void Nodes::Handle(const Over& event) {
  moment_.Say(event.asker, Outcome::kDone);  // that it was heard
  if (!event.from.MaySpeakFor(event.node)) return;
  leases_.FreeStray({event.node, event.lease});
  leases_.Over(event.lease, event.node);
}

void Nodes::TakeReports(NodeState& node, const std::vector<GpuReport>& reports) {
  node.reports = reports;
  for (size_t i = 0; i < reports.size(); ++i) {
    GpuReport& report = node.reports[i];
    report.utilization = std::isnan(report.utilization) ? 0 : std::clamp(report.utilization, 0.0, 1.0);
    report.used_bytes = std::min(report.used_bytes, node.record.gpus[i].memory_bytes);
    if (cluster_.node(node.number).gpus[i].usable == report.usable) continue;
    if (!report.usable) holds_.DropOn(node.number);
    cluster_.SetUsable(node.number, static_cast<int>(i), report.usable);
    moment_.room_came = true;
  }
}

void Nodes::NoteGpus(const std::string& node, const std::vector<GpuRecord>& former, const std::vector<GpuRecord>& now) {
  for (const GpuRecord& gpu : former) {
    const auto [first, end] = nodes_of_gpus_.equal_range(gpu.uuid);
    const auto found = std::find_if(first, end, [&node](const auto& each) { return each.second == node; });
    if (found != end) nodes_of_gpus_.erase(found);
  }
  for (const GpuRecord& gpu : now) nodes_of_gpus_.emplace(gpu.uuid, node);
}

// A GPU that another node has as well.
std::string Nodes::ComplaintAboutTwins(const NodeRecord& node) const {
  if (node.is_software) return "";  // software GPUs are named alike everywhere
  for (const GpuRecord& gpu : node.gpus) {
    const auto [first, end] = nodes_of_gpus_.equal_range(gpu.uuid);
    for (auto each = first; each != end; ++each) {
      const NodeState& other = nodes_.at(each->second);
      if (each->second == node.name || !other.up || other.record.is_software) continue;
      return "node " + node.name + " says it has GPU " + gpu.uuid + ", which node " + each->second +
             " has. Two nodes run on one machine, or one of them is wrong.";
    }
  }
  return "";
}

NodeState& Nodes::Add(const NodeRecord& record) {
  NoteGpus(record.name, {}, record.gpus);
  NodeState& node = nodes_[record.name];
  node.record = record;
  if (free_numbers_.empty()) {
    node.number = cluster_.Add(ClusterNode(record));
  } else {
    node.number = free_numbers_.back();
    free_numbers_.pop_back();
    cluster_.Replace(node.number, ClusterNode(record));
  }
  return node;
}

Node Nodes::ClusterNode(const NodeRecord& record) const {
  Node result;
  result.name = record.name;
  result.labels = record.labels;
  result.cuda_version = record.cuda_version;
  result.condition = Condition::kLost;  // until it is heard of
  for (const GpuRecord& gpu : record.gpus) {
    result.gpus.push_back({gpu.model, gpu.memory_bytes, true, PoolNumber(settings_.pools, record.name, gpu.uuid)});
  }
  return result;
}

// Leases keep the GPUs that are still there. One whose GPU is not, or became too small, is over.
void Nodes::ReplaceInventory(NodeState& node, const NodeRecord& record) {
  holds_.DropOn(node.number);
  leases_.LiftFrom(record.name);
  NoteGpus(record.name, node.record.gpus, record.gpus);
  node.record = record;
  node.reports.clear();
  cluster_.Replace(node.number, ClusterNode(record));
  node.up = false;  // which it has to become again there
  for (const LeaseId id : leases_.On(record.name)) {
    LeaseState& lease = *leases_.Find(id);
    leases_.SetDown(lease, node.number, PlacementOf(lease.record, lease.over_bytes));
  }
}

std::optional<Placement> Nodes::PlacementOf(const LeaseRecord& lease, std::span<const uint64_t> over_bytes) const {
  const NodeState* const node = Find(lease.node);
  return node == nullptr ? std::nullopt : PlacementOn(*node, RoomOf(lease, over_bytes));
}

std::optional<Placement> Nodes::PlacementOn(const NodeState& node, const std::vector<LeasedGpu>& leased) {
  const std::vector<GpuRecord>& gpus = node.record.gpus;
  Placement placement{node.number, {}};
  for (const LeasedGpu& gpu : leased) {
    const auto found =
        std::find_if(gpus.begin(), gpus.end(), [&gpu](const GpuRecord& each) { return each.uuid == gpu.uuid; });
    if (found == gpus.end()) return std::nullopt;
    placement.slices.push_back({static_cast<int>(found - gpus.begin()), gpu.share, gpu.memory_bytes});
  }
  std::sort(placement.slices.begin(), placement.slices.end(),
            [](const Slice& one, const Slice& other) { return one.gpu < other.gpu; });
  return placement;
}

void Nodes::Heard(NodeState& node) {
  const bool came_back = !node.up;
  node.heard = moment_.now;
  node.up = true;
  moment_.timers.Set(Due::kNodeSilent, node.key(), After(moment_.now, settings_.lost_after));
  moment_.timers.Cancel(Due::kNodeLeases, node.key());
  if (!came_back) return;
  UpdateCondition(node);
  for (LeaseState* lease : leases_.LiveOn(node.record.name)) {
    leases_.Reprieve(*lease, Cause::kNodeSilent, "node " + node.record.name + " is heard of.");
  }
}

int64_t Nodes::AmountOf(const NodeState& node, const Placement& placement) {
  int64_t amount = 0;
  for (const Slice& slice : placement.slices) {
    amount += pool::AmountOf(slice, node.record.gpus[static_cast<size_t>(slice.gpu)].memory_bytes);
  }
  return amount;
}

void Nodes::Reconcile(const NodeState& node, const std::vector<HeldLease>& held, bool registers) {
  const std::string& name = node.record.name;
  std::set<LeaseId> reported;
  for (const HeldLease& each : held) reported.insert(each.lease.id);
  for (const LeaseId id : leases_.On(name)) {
    if (reported.contains(id)) continue;
    leases_.Miss(*leases_.Find(id));
    // It may be opened yet, as its ticket says.
    LeaseState* const lease = leases_.Find(id);
    if (lease == nullptr || lease->phase == LeaseState::Phase::kEnding) continue;
    if (lease->record.resizing) DropResize(*lease, "node " + name + " does not have lease " + Text(id) + " any more.");
    lease->over_bytes.clear();
    UpdateRoom(node, *lease);
  }
  leases_.KeepStrays(name, reported);
  for (const HeldLease& each : held) {
    const LeaseId id = each.lease.id;
    LeaseState* const lease = leases_.Find(id);
    if (lease == nullptr) {
      TakeStranger(node, each);
    } else if (lease->record.node != name) {
      leases_.TakeStray({name, id},
                        PlacementOn(node, RoomOf(each.lease, each.over_bytes)).value_or(Placement{node.number, {}}));
    } else {
      HearOfSize(node, *lease, each, registers);
      leases_.Confirm(*lease, each);
    }
  }
}

// A lease that the pool does not know. If this pool gave its number out, it is over: its workers have to go, and until
// they have gone their room is taken. If not, the store lost it (it was put back from a copy): it goes on.
void Nodes::TakeStranger(const NodeState& node, const HeldLease& held) {
  LeaseRecord record = held.lease;
  record.node = node.record.name;
  record.granted_at = record.counted_at = moment_.now;
  record.priority = std::clamp(record.priority, 0, kMaxPriority);
  const std::optional<Placement> placement = PlacementOf(record, held.over_bytes);
  const bool lost = !numbers_.GaveOut(record.id.number) && numbers_.IsCredible(record.id.number) &&
                    numbers_.IsCredible(record.epoch) && placement && !placement->slices.empty() &&
                    !record.tenant.empty();
  if (lost) leases_.GiveWay(*placement);
  if (!lost || !cluster_.IsFree(*placement)) {
    return leases_.AddEnding(std::move(record), placement.value_or(Placement{node.number, {}}));
  }
  numbers_.Raise(std::max(record.id.number, record.epoch));
  record.amount = AmountOf(node, *placement);
  moment_.Store(record);
  LeaseState& lease = leases_.Add(std::move(record), *placement, LeaseState::Phase::kOpen);
  lease.idle = held.idle;
  lease.over_bytes = held.over_bytes;
}

void Nodes::UpdateCondition(const NodeState& node) {
  const Condition condition = !node.up               ? Condition::kLost
                              : node.record.drain    ? Condition::kDraining
                              : node.record.cordoned ? Condition::kCordoned
                                                     : Condition::kReady;
  if (cluster_.node(node.number).condition == condition) return;
  cluster_.SetCondition(node.number, condition);
  if (condition != Condition::kReady) holds_.DropOn(node.number);
  moment_.room_came = true;
}

void Nodes::Silent(int number) {
  NodeState& node = Numbered(number);
  node.up = false;
  UpdateCondition(node);
  const Time end = std::max(moment_.now, After(node.heard, settings_.lease_time));
  WarnOfSilence(node, end);
}

void Nodes::WarnOfSilence(const NodeState& node, Time end) {
  moment_.timers.Set(Due::kNodeLeases, node.key(), end);
  for (LeaseState* lease : leases_.LiveOn(node.record.name)) {
    leases_.Warn(*lease, Cause::kNodeSilent, end,
                 "node " + node.record.name + " is not heard of. If it stays so, the lease ends.");
  }
}

void Nodes::LeasesOver(int number) {
  const NodeState& node = Numbered(number);
  for (LeaseState* lease : leases_.LiveOn(node.record.name)) {
    leases_.End(*lease, "node " + node.record.name + " has not been heard of for too long.", node.heard);
  }
}

void Nodes::ForgiveStall() {
  for (auto& [name, node] : nodes_) {
    if (node.up) {
      Heard(node);
    } else if (!leases_.On(name).empty()) {
      WarnOfSilence(node, After(moment_.now, settings_.lease_time));
    }
  }
}

}  // namespace outboard::pool
