// Other parts of its GPUs for a lease that runs. The pool takes the room that is to be had besides what the lease has,
// and stores that, before the node hears of it; room that is not needed any more is free when the node says so. So both
// may be restarted in between, and the node is told again when it comes back.

#include <algorithm>
#include <utility>

#include "common/base/show_bytes.h"
#include "server/pool/nodes.h"
#include "server/pool/room.h"
#include "server/pool/tenants.h"
#include "server/pool/wish.h"

namespace outboard::pool {
namespace {

// That who resizes waits for the node: less than gpu-admin waits for the pool.
constexpr Duration kTimeToAnswer = std::chrono::seconds(5);

std::string Percent(int share) { return GpusText(int64_t{share} * 100) + " %"; }

// "25 % of the compute and 12 GiB"
std::string SizeText(int share, uint64_t bytes) { return Percent(share) + " of the compute and " + ShowBytes(bytes); }

std::string SizeText(const LeaseRecord& lease) {
  const std::string of_each =
      lease.gpus.size() == 1 ? "" : " of each of its " + std::to_string(lease.gpus.size()) + " GPUs";
  return SizeText(lease.gpus[0].share, lease.gpus[0].memory_bytes) + of_each;
}

bool IsMore(const LeasedGpu& wanted, const LeasedGpu& has) {
  return wanted.share > has.share || wanted.memory_bytes > has.memory_bytes;
}

bool HaveSameGpus(const std::vector<LeasedGpu>& one, const std::vector<LeasedGpu>& other) {
  return std::equal(one.begin(), one.end(), other.begin(), other.end(),
                    [](const LeasedGpu& each, const LeasedGpu& its) { return each.uuid == its.uuid; });
}

// What is wrong with the wish, whatever is free; empty: nothing.
std::string Complaint(const Resize& event, const LeaseRecord& lease) {
  if (!event.memory_bytes && !event.share) return "a resize says how much memory or compute the lease is to have.";
  if (event.memory_bytes && (*event.memory_bytes == 0 || *event.memory_bytes > INT64_MAX)) {
    return "a lease has some memory of each of its GPUs, and no more than the GPU has.";
  }
  if (event.share && (*event.share < 1 || *event.share > kWholeGpu)) {
    return "a lease has from 0.1 % to 100 % of the compute of each of its GPUs.";
  }
  if (event.share && lease.gpus.size() > 1) {
    return "lease " + Text(lease.id) + " has " + std::to_string(lease.gpus.size()) +
           " GPUs, and the compute of several GPUs stays as it was given out. Its memory can be changed.";
  }
  return "";
}

}  // namespace

// What stands in the way, whatever is wanted; empty: nothing.
std::string Nodes::WhyNotResized(const LeaseState& lease, const NodeState& node) const {
  const std::string name = "lease " + Text(lease.record.id);
  if (lease.phase == LeaseState::Phase::kGranted) {
    return name + " has not begun on node " + node.record.name + " yet. Resize it when it has.";
  }
  if (!lease.confirmed || !node.up) {
    return "node " + node.record.name + " is not heard of. Resize " + name + " when it is back.";
  }
  if (lease.record.resizing) {
    return name + " is being resized to " +
           SizeText(lease.record.resizing->gpus[0].share, lease.record.resizing->gpus[0].memory_bytes) + ", and node " +
           node.record.name + " has not said yet what came of that.";
  }
  return "";
}

// Why the lease cannot have this room in the place of what it has; empty: it can.
std::string Nodes::WhyNoMore(const LeaseState& lease, const NodeState& node, const Placement& wanted) const {
  for (size_t i = 0; i < wanted.slices.size(); ++i) {
    const Slice& slice = wanted.slices[i];
    const Slice& has = lease.placement.slices[i];
    const int share = has.share + cluster_.free_share(node.number, slice.gpu);
    const uint64_t bytes = has.memory_bytes + cluster_.free_memory_bytes(node.number, slice.gpu);
    if (slice.share <= share && slice.memory_bytes <= bytes) continue;
    const GpuRecord& gpu = node.record.gpus[static_cast<size_t>(slice.gpu)];
    return "GPU " + gpu.uuid + " of node " + node.record.name + " has no room for that: lease " +
           Text(lease.record.id) + " could have at most " + SizeText(share, bytes) + " of it, and " +
           SizeText(slice.share, slice.memory_bytes) + " are wanted.";
  }
  const int64_t more = AmountOf(node, wanted) - lease.record.amount;
  if (more <= 0) return "";
  const Tenants::Account& tenant = ledger_.tenants().Of(lease.record.tenant);
  if (!IsWithinMaximum(tenant, tenant.promised + more)) {
    return "tenant " + lease.record.tenant + " has " + GpusText(tenant.used + tenant.promised) + " of at most " +
           GpusText(tenant.record.maximum) + " GPUs, and " + GpusText(more) + " more are wanted.";
  }
  const PoolSpec* const spec = FindPool(settings_.pools, lease.record.pool);
  const int64_t of_pool = ledger_.used(lease.record.pool) + ledger_.promised(lease.record.pool);
  if (spec != nullptr && spec->maximum >= 0 && of_pool + more > spec->maximum) {
    return "the pool " + spec->name + " lends out " + GpusText(of_pool) + " of at most " + GpusText(spec->maximum) +
           " GPUs, and " + GpusText(more) + " more are wanted.";
  }
  return "";
}

void Nodes::Handle(const Resize& event) {
  LeaseState* const lease = leases_.FindOfOwner(event.asker, event.from, event.lease);
  if (lease == nullptr) return;
  LeaseRecord& record = lease->record;
  const NodeState& node = *Find(record.node);
  if (const std::string complaint = Complaint(event, record); !complaint.empty()) {
    return moment_.Say(event.asker, Outcome::kInvalid, complaint);
  }
  if (const std::string why = WhyNotResized(*lease, node); !why.empty()) {
    return moment_.Say(event.asker, Outcome::kConflict, why);
  }
  Resizing resizing{0, record.gpus, event.when_free};
  bool is_more = false;
  for (size_t i = 0; i < record.gpus.size(); ++i) {
    LeasedGpu& gpu = resizing.gpus[i];
    gpu.memory_bytes = event.memory_bytes.value_or(gpu.memory_bytes);
    gpu.share = event.share.value_or(gpu.share);
    is_more = is_more || IsMore(gpu, record.gpus[i]);
  }
  if (is_more && !event.from.is_admin) {
    return moment_.Say(event.asker, Outcome::kForbidden,
                       "only administrators may make a lease larger, and " + event.from.user + " is none.");
  }
  if (resizing.gpus == record.gpus) return moment_.Say(event.asker, Outcome::kDone);

  record.resizing = std::move(resizing);
  const Placement wanted = *PlacementOf(record, lease->over_bytes);
  if (const std::string why = WhyNoMore(*lease, node, wanted); !why.empty()) {
    record.resizing.reset();
    return moment_.Say(event.asker, Outcome::kConflict, why);
  }
  record.resizing->epoch = numbers_.Next();
  moment_.Store(record);
  UpdateRoom(node, *lease);
  lease->resizer = event.asker;
  moment_.timers.Set(Due::kLeaseResizing, record.id.number, After(moment_.now, kTimeToAnswer));
  TellNodeToResize(*lease);
}

void Nodes::TellNodeToResize(const LeaseState& lease) {
  LeaseRecord wanted = lease.record;
  wanted.gpus = wanted.resizing->gpus;
  wanted.epoch = wanted.resizing->epoch;
  moment_.Do(ResizeAtNode{wanted.node, wanted, wanted.resizing->when_free});
}

void Nodes::ResizeUnanswered(LeaseId id) {
  LeaseState& lease = *leases_.Find(id);
  if (const Asker resizer = std::exchange(lease.resizer, 0)) {
    moment_.Say(resizer, Outcome::kUnavailable,
                "node " + lease.record.node + " has not said yet whether lease " + Text(id) +
                    " can have its new size. It gets it when the node can do that.");
  }
}

// What the node says of the size that it was told, and of what is still in use of a former one.
void Nodes::HearOfSize(const NodeState& node, LeaseState& lease, const HeldLease& held, bool registers) {
  if (lease.phase == LeaseState::Phase::kEnding) return;
  LeaseRecord& record = lease.record;
  if (!lease.confirmed && !AdoptSize(lease, held)) return;
  std::vector<uint64_t> over = held.over_bytes;
  over.resize(record.gpus.size());
  // There is never more of that than there was, unless this pool has just begun and does not know.
  const std::vector<LeasedGpu> had = RoomOf(record, lease.over_bytes);
  if (record.resizing && held.lease.epoch == record.resizing->epoch) {
    FinishResize(lease);
  } else if (record.resizing && held.refused_epoch == record.resizing->epoch) {
    DropResize(lease, held.why_refused.empty() ? "node " + record.node + " refuses it." : held.why_refused);
  } else if (record.resizing && registers) {
    TellNodeToResize(lease);
  }
  if (lease.confirmed) {
    for (size_t i = 0; i < over.size(); ++i) {
      over[i] = std::min(over[i], had[i].memory_bytes - std::min(had[i].memory_bytes, record.gpus[i].memory_bytes));
    }
  }
  lease.over_bytes = std::move(over);
  UpdateRoom(node, lease);
}

// A pool that has just begun, from a store that has lost what came of a resize: what the node has is so, if it can be.
// If not, it is false: the lease is about to end, and has until then as much room of that as there is.
bool Nodes::AdoptSize(LeaseState& lease, const HeldLease& held) {
  LeaseRecord wanted = lease.record;
  const bool is_pending = wanted.resizing && held.lease.epoch == wanted.resizing->epoch;
  const bool is_newer = held.lease.epoch > wanted.epoch && numbers_.IsCredible(held.lease.epoch);
  if (is_pending || !is_newer || !HaveSameGpus(held.lease.gpus, wanted.gpus)) return true;
  wanted.gpus = held.lease.gpus;
  wanted.epoch = held.lease.epoch;
  wanted.resizing.reset();
  const std::optional<Placement> room = PlacementOf(wanted, held.over_bytes);
  if (!room) return true;
  cluster_.Give(lease.placement);
  leases_.GiveWay(*room);
  if (!cluster_.IsFree(*room)) {
    lease.placement = TakeFree(&cluster_, *room);
    return false;
  }
  cluster_.Take(lease.placement);
  numbers_.Raise(wanted.epoch);
  lease.record = std::move(wanted);
  lease.over_bytes = held.over_bytes;
  moment_.Store(lease.record);
  leases_.SetRoom(lease, *room, AmountOf(Numbered(room->node), *room));
  return true;
}

void Nodes::FinishResize(LeaseState& lease) {
  LeaseRecord& record = lease.record;
  record.gpus = std::move(record.resizing->gpus);
  record.epoch = record.resizing->epoch;
  record.resizing.reset();
  moment_.Store(record);
  moment_.Do(Notice{record.id, Notice::Kind::kResized, "it has " + SizeText(record) + " now.", moment_.now});
  moment_.timers.Cancel(Due::kLeaseResizing, record.id.number);
  if (const Asker resizer = std::exchange(lease.resizer, 0)) moment_.Say(resizer, Outcome::kDone);
}

// It stays as it is.
void Nodes::DropResize(LeaseState& lease, const std::string& why) {
  lease.record.resizing.reset();
  moment_.Store(lease.record);
  moment_.timers.Cancel(Due::kLeaseResizing, lease.record.id.number);
  if (const Asker resizer = std::exchange(lease.resizer, 0)) moment_.Say(resizer, Outcome::kConflict, why);
}

void Nodes::UpdateRoom(const NodeState& node, LeaseState& lease) {
  const std::optional<Placement> room = PlacementOf(lease.record, lease.over_bytes);
  if (!room || *room == lease.placement) return;
  cluster_.Give(lease.placement);
  const bool is_free = cluster_.IsFree(*room);
  cluster_.Take(lease.placement);
  if (is_free) return leases_.SetRoom(lease, *room, AmountOf(node, *room));
  lease.over_bytes.clear();  // a node says so that others have it, too
}

}  // namespace outboard::pool
