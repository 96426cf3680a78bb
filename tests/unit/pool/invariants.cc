#include "tests/unit/pool/invariants.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace outboard::pool {
namespace {

using GpuKey = std::pair<std::string, std::string>;  // node, uuid

struct Use {
  int64_t share = 0;
  uint64_t bytes = 0;
};

std::map<GpuKey, Use> UsedByLeases(const Controller& pool) {
  std::map<GpuKey, Use> used;
  const auto add = [&](const std::string& name, const Placement& placement) {
    const NodeState& node = pool.nodes().at(name);
    for (const Slice& slice : placement.slices) {
      Use& use = used[{name, node.record.gpus.at(static_cast<size_t>(slice.gpu)).uuid}];
      use.share += slice.share;
      use.bytes += slice.memory_bytes;
    }
  };
  for (const auto& [id, lease] : pool.leases()) add(lease.record.node, lease.placement);
  for (const auto& [stray, placement] : pool.strays()) add(stray.first, placement);
  return used;
}

// Whether the GPU is one that the request could have, were it free.
bool Suits(const Controller& pool, const NodeState& node, size_t gpu, const Request& request) {
  const GpuRecord& record = node.record.gpus[gpu];
  if (!node.reports.empty() && !node.reports[gpu].usable) return false;
  if (PoolNumber(pool.settings().pools, node.record.name, record.uuid) != request.pool) return false;
  if (!request.filter.device_name.empty() && record.model.find(request.filter.device_name) == std::string::npos) {
    return false;
  }
  return record.memory_bytes >= std::max(request.filter.device_memory_bytes, request.memory_bytes);
}

// How many GPUs of the node the request could have now; with what is kept for other requests, or without.
int Fitting(const Controller& pool, const NodeState& node, const WaitingRequest& waiting, bool with_kept) {
  std::map<GpuKey, Use> used = UsedByLeases(pool);
  if (!with_kept) {
    for (const auto& [id, hold] : pool.holds().all()) {
      if (id == waiting.id || hold.taken.node != node.number) continue;
      for (const Slice& slice : hold.taken.slices) {
        Use& use = used[{node.record.name, node.record.gpus[static_cast<size_t>(slice.gpu)].uuid}];
        use.share += slice.share;
        use.bytes += slice.memory_bytes;
      }
    }
  }
  int fitting = 0;
  const Request& request = waiting.demand.request;
  for (size_t gpu = 0; gpu < node.record.gpus.size(); ++gpu) {
    const GpuRecord& record = node.record.gpus[gpu];
    const Use use = used[{node.record.name, record.uuid}];
    const uint64_t bytes = request.memory_bytes != 0
                               ? request.memory_bytes
                               : record.memory_bytes * static_cast<uint64_t>(request.share) / kWholeGpu;
    if (Suits(pool, node, gpu, request) && use.share + request.share <= kWholeGpu &&
        use.bytes + bytes <= record.memory_bytes) {
      ++fitting;
    }
  }
  return fitting;
}

std::string CheckNode(const Controller& pool, const WaitingRequest& waiting, const NodeShortage& said) {
  const NodeState& node = pool.nodes().at(said.node);
  const Request& request = waiting.demand.request;
  bool is_true = true;
  switch (said.lack) {
    case Lack::kNotAsked:
      is_true =
          std::find(request.filter.nodes.begin(), request.filter.nodes.end(), said.node) == request.filter.nodes.end();
      break;
    case Lack::kLabel:
      is_true = std::any_of(request.filter.labels.begin(), request.filter.labels.end(), [&node](const auto& label) {
        const auto found = node.record.labels.find(label.first);
        return found == node.record.labels.end() || found->second != label.second;
      });
      break;
    case Lack::kCudaVersion:
      is_true = node.record.cuda_version < request.filter.cuda_version;
      break;
    case Lack::kGpus:
      is_true = static_cast<int>(node.record.gpus.size()) < request.gpus;
      break;
    case Lack::kCordoned:
      is_true = node.record.cordoned;
      break;
    case Lack::kDraining:
      is_true = node.record.drain.has_value();
      break;
    case Lack::kLost:
      is_true = !node.up;
      break;
    case Lack::kPool:
    case Lack::kModel:
    case Lack::kDeviceMemory:
    case Lack::kUnhealthy: {
      int suitable = 0;
      for (size_t gpu = 0; gpu < node.record.gpus.size(); ++gpu) suitable += Suits(pool, node, gpu, request) ? 1 : 0;
      is_true = suitable < request.gpus;
      break;
    }
    case Lack::kFreeShare:
    case Lack::kFreeDeviceMemory:
      is_true =
          node.up && !node.record.cordoned && !node.record.drain && Fitting(pool, node, waiting, false) < request.gpus;
      // What others leave unused is not called taken by a lease.
      if (Fitting(pool, node, waiting, true) >= request.gpus && said.text.find("room is kept") == std::string::npos) {
        is_true = false;
      }
      break;
    default:
      is_true = false;  // nobody asked for CPUs
  }
  return is_true ? "" : "of node " + said.node + " it is not true that it " + said.text;
}

std::string CheckReason(Controller& pool, RequestId id) {
  const WaitingRequest& waiting = pool.requests().at(id);
  const Why why = *pool.WhyWaiting(id);
  if (why.summary.size() < 10 || why.summary.back() != '.') return "\"" + why.summary + "\" is no reason";
  const int64_t amount = waiting.demand.amount;
  int64_t tenant_promised = 0;
  int64_t pool_promised = 0;
  for (const auto& [other_id, hold] : pool.holds().all()) {
    if (other_id == id) continue;
    const WaitingRequest& other = pool.requests().at(other_id);
    if (other.owner.tenant == waiting.owner.tenant) tenant_promised += other.demand.amount;
    if (other.wish.pool == waiting.wish.pool) pool_promised += other.demand.amount;
  }
  const Tenants::Account& account = pool.ledger().tenants().Of(waiting.owner.tenant);
  switch (waiting.obstacle) {
    case WaitingRequest::Obstacle::kTenantMaximum:
      return account.record.maximum >= 0 && account.used + tenant_promised + amount > account.record.maximum
                 ? ""
                 : "the tenant's maximum is not reached: " + why.summary;
    case WaitingRequest::Obstacle::kPoolMaximum: {
      const PoolSpec* const spec = FindPool(pool.settings().pools, waiting.wish.pool);
      return spec != nullptr && spec->maximum >= 0 &&
                     pool.ledger().used(spec->name) + pool_promised + amount > spec->maximum
                 ? ""
                 : "the pool's maximum is not reached: " + why.summary;
    }
    case WaitingRequest::Obstacle::kOthersFirst: {
      const auto other = pool.requests().find(waiting.behind);
      const bool is_true =
          other != pool.requests().end() &&
          (other->second.obstacle == WaitingRequest::Obstacle::kTenantMaximum ||
           other->second.obstacle == WaitingRequest::Obstacle::kPoolMaximum) &&
          (other->second.owner.tenant == waiting.owner.tenant || other->second.wish.pool == waiting.wish.pool);
      return is_true ? "" : "nobody came first: " + why.summary;
    }
    case WaitingRequest::Obstacle::kNodes:
      break;
  }
  if (why.nodes.size() != pool.nodes().size()) {
    return "it waits, and lacks nothing on some node: " + why.summary;
  }
  for (const NodeShortage& node : why.nodes) {
    if (std::string untrue = CheckNode(pool, waiting, node); !untrue.empty()) return untrue;
  }
  return "";
}

// What is given out of each GPU, kept for requests, and free.
std::string CheckRoom(const Controller& pool) {
  std::map<GpuKey, Use> used = UsedByLeases(pool);
  for (const auto& [name, node] : pool.nodes()) {
    for (size_t gpu = 0; gpu < node.record.gpus.size(); ++gpu) {
      const GpuRecord& record = node.record.gpus[gpu];
      Use& use = used[{name, record.uuid}];
      if (use.share > kWholeGpu || use.bytes > record.memory_bytes) {
        return "GPU " + record.uuid + " of node " + name + " is given out more than once";
      }
      for (const auto& [id, hold] : pool.holds().all()) {
        if (hold.taken.node != node.number) continue;
        for (const Slice& slice : hold.taken.slices) {
          if (slice.gpu != static_cast<int>(gpu)) continue;
          use.share += slice.share;
          use.bytes += slice.memory_bytes;
        }
      }
      const int place = static_cast<int>(gpu);
      if (use.share + pool.cluster().free_share(node.number, place) != kWholeGpu ||
          use.bytes + pool.cluster().free_memory_bytes(node.number, place) != record.memory_bytes) {
        return "what is free of GPU " + record.uuid + " of node " + name + " is not what nobody has";
      }
    }
  }
  return "";
}

std::string CheckPlacements(const Controller& pool) {
  for (const auto& [id, lease] : pool.leases()) {
    if (lease.phase == LeaseState::Phase::kEnding) continue;
    const NodeState& node = pool.nodes().at(lease.record.node);
    std::set<std::string> has_room_on;
    int64_t compute = 0;
    for (const Slice& slice : lease.placement.slices) compute += slice.share;
    if (lease.record.amount < compute) return "lease " + Text(id) + " counts as less than its compute";
    for (const Slice& slice : lease.placement.slices) {
      const std::string& uuid = node.record.gpus.at(static_cast<size_t>(slice.gpu)).uuid;
      const std::vector<LeasedGpu> room = RoomOf(lease.record, lease.over_bytes);
      const bool is_recorded =
          std::find(room.begin(), room.end(), LeasedGpu{uuid, slice.share, slice.memory_bytes}) != room.end();
      if (lease.placement.node == node.number && is_recorded) has_room_on.insert(uuid);
    }
    if (has_room_on.size() != lease.record.gpus.size()) return "lease " + Text(id) + " has not the room of its record";
  }
  return "";
}

std::string CheckAccounts(const Controller& pool) {
  std::map<std::string, int64_t> by_tenant;
  std::map<std::string, int64_t> by_pool;
  for (const auto& [id, lease] : pool.leases()) {
    if (lease.phase == LeaseState::Phase::kEnding) continue;
    by_tenant[lease.record.tenant] += lease.record.amount;
    by_pool[lease.record.pool] += lease.record.amount;
  }
  for (const auto& [tenant, account] : pool.ledger().tenants().all()) {
    const int64_t amount = by_tenant[tenant];
    if (account.used != amount) return "the account of tenant " + tenant + " is wrong";
    if (account.record.maximum >= 0 && amount > account.record.maximum) {
      return "tenant " + tenant + " has more than its maximum";
    }
  }
  for (const auto& [name, amount] : by_pool) {
    if (pool.ledger().used(name) != amount) return "the account of pool " + name + " is wrong";
    const PoolSpec* const spec = FindPool(pool.settings().pools, name);
    if (spec != nullptr && spec->maximum >= 0 && amount > spec->maximum) {
      return "pool " + name + " lends out more than its maximum";
    }
  }
  return "";
}

// What others take back from a tenant: so much of it was beyond the quota that it would not do without its largest
// part. Those for whom leases have ended already may go on.
std::string CheckQuotas(const Controller& pool) {
  std::map<std::string, std::vector<int64_t>> taken;
  std::set<std::string> not_begun;
  for (const auto& [request, hold] : pool.holds().all()) {
    std::vector<const LeaseRecord*> live;
    for (const LeaseId id : hold.replaced) {
      const auto lease = pool.leases().find(id);
      if (lease == pool.leases().end() || lease->second.phase == LeaseState::Phase::kEnding) continue;
      live.push_back(&lease->second.record);
    }
    for (const LeaseRecord* lease : live) {
      if (lease->tenant == hold.tenant) continue;
      taken[lease->tenant].push_back(lease->amount);
      if (live.size() == hold.replaced.size()) not_begun.insert(lease->tenant);
    }
  }
  for (const std::string& tenant : not_begun) {
    std::vector<int64_t>& amounts = taken[tenant];
    std::sort(amounts.begin(), amounts.end());
    const Tenants::Account& account = pool.ledger().tenants().Of(tenant);
    int64_t left = account.used;
    for (size_t i = 0; i + 1 < amounts.size(); ++i) left -= amounts[i];
    if (left <= account.record.quota) return "others take what is within the quota of tenant " + tenant;
  }
  return "";
}

}  // namespace

std::string BrokenInvariant(const Controller& pool) {
  for (const auto& check : {CheckRoom, CheckPlacements, CheckAccounts, CheckQuotas}) {
    if (std::string broken = check(pool); !broken.empty()) return broken;
  }
  return "";
}

std::string StoredOtherwise(const Controller& pool, const Snapshot& stored) {
  Snapshot now;
  for (const auto& [name, node] : pool.nodes()) now.nodes.push_back(node.record);
  for (const auto& [id, lease] : pool.leases()) {
    if (lease.phase != LeaseState::Phase::kEnding) now.leases.push_back(lease.record);
  }
  for (const auto& [who, usage] : pool.ledger().usage()) now.usage.push_back(usage);
  if (now.nodes != stored.nodes) return "the nodes are stored otherwise";
  if (now.leases != stored.leases) return "the leases are stored otherwise";
  if (now.usage != stored.usage) return "what was used is stored otherwise";
  for (const TenantRecord& tenant : stored.tenants) {
    if (pool.ledger().tenants().Of(tenant.name).record != tenant)
      return "tenant " + tenant.name + " is stored otherwise";
  }
  return "";
}

std::string UntrueReason(Controller& pool) {
  std::vector<RequestId> ids;
  for (const auto& [id, request] : pool.requests()) ids.push_back(id);
  for (const RequestId id : ids) {
    if (std::string untrue = CheckReason(pool, id); !untrue.empty()) {
      return "request " + std::to_string(id) + ": " + untrue;
    }
  }
  return "";
}

}  // namespace outboard::pool
