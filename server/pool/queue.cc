#include "server/pool/queue.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"
#include "server/pool/fit.h"
#include "server/pool/ranking.h"

namespace outboard::pool {
namespace {

// Kinds of requests that are remembered to fit nowhere while others get their turn.
constexpr size_t kMaxFailedShapes = 64;

std::string DurationText(Duration duration) {
  if (duration < std::chrono::seconds(1)) return std::to_string(duration.count()) + " ms";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration).count();
  if (seconds % 3600 == 0 && seconds != 0) return std::to_string(seconds / 3600) + " h";
  if (seconds % 60 == 0 && seconds != 0) return std::to_string(seconds / 60) + " min";
  return std::to_string(seconds) + " s";
}

std::string BeyondMaximum(int64_t amount, const TenantRecord& tenant) {
  return GpusText(amount) + " GPUs were asked for, and the tenant " + tenant.name + " may have " +
         GpusText(tenant.maximum) + " at most.";
}

RequestName NameOf(const Ask& event) { return {event.from.tenant, event.from.user, event.request}; }

}  // namespace

Queue::Queue(const Settings* settings, Moment* moment, Numbers* numbers, Cluster* cluster, Ledger* ledger,
             Leases* leases, const Nodes* nodes, Holds* holds)
    : settings_(*settings),
      moment_(*moment),
      numbers_(*numbers),
      cluster_(*cluster),
      ledger_(*ledger),
      leases_(*leases),
      nodes_(*nodes),
      holds_(*holds),
      placer_(settings->policy, settings->shapes),
      plans_placer_(settings->policy, settings->shapes),
      plans_(settings, moment, cluster, ledger, leases, holds, &plans_placer_),
      maxima_(settings, ledger, holds) {}

// A name that was said before means the same thing: its answer may have been lost.
bool Queue::GoesOn(const Ask& event) {
  if (event.request.empty()) return false;
  if (const LeaseState* const lease = leases_.Of(NameOf(event)); lease != nullptr) {
    SayGranted(event.asker, *lease);
    return true;
  }
  const auto known = of_.find(NameOf(event));
  if (known == of_.end()) return false;
  WaitingRequest& request = requests_.at(known->second);
  moment_.Do(Refused{request.asker, "the request goes on at another connection, where it was made again.", true});
  askers_.erase(request.asker);
  request.asker = event.asker;
  askers_[event.asker] = request.id;
  moment_.Do(Queued{event.asker, request.id});
  return true;
}

void Queue::Handle(const Ask& event) {
  const auto refuse = [this, &event](std::string reason, bool no_capacity) {
    moment_.Do(Refused{event.asker, std::move(reason), no_capacity});
  };
  if (!event.from.is_user) return refuse("this connection is not for requests.", false);
  if (GoesOn(event)) return;
  Result<Demand> demand = ToDemand(event.wish, event.from.tenant, settings_.pools);
  if (!demand) return refuse(demand.error().message, false);
  demand->amount = Fit(cluster_, demand->request).Amount();
  const TenantRecord& tenant = ledger_.AccountOf(event.from.tenant).record;
  if (tenant.maximum >= 0 && demand->amount > tenant.maximum) {
    return refuse(BeyondMaximum(demand->amount, tenant), false);
  }
  const PoolSpec* const pool = FindPool(settings_.pools, event.wish.pool);
  if (pool != nullptr && pool->maximum >= 0 && demand->amount > pool->maximum) {
    return refuse(GpusText(demand->amount) + " GPUs were asked for, and the pool " + pool->name + " lends out " +
                      GpusText(pool->maximum) + " at most.",
                  false);
  }
  if (const std::string whose = WhoseQueueIsFull(event.from); !whose.empty()) {
    return refuse("the queue " + whose + "is full; try again when something of it has been granted.", true);
  }

  WaitingRequest& request = Add(event, *demand);
  if (MayTake(request) && TryToPlace(request)) return;
  if (!settings_.queue_impossible && !CouldEverFit(*demand)) {
    request.obstacle = WaitingRequest::Obstacle::kNodes;
    return Refuse(request.id, "no node could ever give this: " + WhyWaiting(request.id)->summary, false);
  }
  if (event.wish.wait <= Duration::zero()) return Refuse(request.id, WhyWaiting(request.id)->summary, true);
  moment_.timers.Set(Due::kRequestWaited, request.id, After(moment_.now, event.wish.wait));
  moment_.timers.Set(Due::kRequestAged, request.id, After(moment_.now, settings_.keep_room_after));
  moment_.Do(Queued{event.asker, request.id});
  if (IsOld(request) || plans_.AnybodyToReplace(request)) moment_.room_wanted = true;
}

// To follow "the queue "; empty: nobody's.
std::string Queue::WhoseQueueIsFull(const Identity& owner) const {
  if (requests_.size() >= kMaxQueuedRequests) return "of all tenants ";
  const auto of_tenant = waiting_of_tenant_.find(owner.tenant);
  if (of_tenant != waiting_of_tenant_.end() && of_tenant->second >= int{kMaxQueuedRequestsOfTenant}) {
    return "of the tenant " + owner.tenant + " ";
  }
  const auto of_user = waiting_of_user_.find({owner.tenant, owner.user});
  if (of_user != waiting_of_user_.end() && of_user->second >= int{kMaxQueuedRequestsOfUser}) {
    return "of " + owner.user + " ";
  }
  return "";
}

void Queue::Count(const WaitingRequest& request, int sign) {
  const std::pair user(request.owner.tenant, request.owner.user);
  if ((waiting_of_tenant_[user.first] += sign) == 0) waiting_of_tenant_.erase(user.first);
  if ((waiting_of_user_[user] += sign) == 0) waiting_of_user_.erase(user);
}

WaitingRequest& Queue::Add(const Ask& event, const Demand& demand) {
  const RequestId id = ++last_request_;
  WaitingRequest& request = requests_[id];
  request = {.id = id,
             .asker = event.asker,
             .owner = event.from,
             .request = event.request,
             .wish = event.wish,
             .demand = demand,
             .asked = moment_.now};
  askers_[event.asker] = id;
  if (!event.request.empty()) of_[NameOf(event)] = id;
  Count(request, 1);
  return request;
}

void Queue::Handle(const Withdraw& event) {
  const auto found = askers_.find(event.asker);
  if (found != askers_.end()) Remove(found->second);
}

void Queue::RefuseBeyondMaximum(const TenantRecord& tenant) {
  if (tenant.maximum < 0) return;
  std::vector<RequestId> beyond;
  for (const auto& [id, request] : requests_) {
    if (request.owner.tenant == tenant.name && request.demand.amount > tenant.maximum) beyond.push_back(id);
  }
  for (const RequestId id : beyond) Refuse(id, BeyondMaximum(requests_.at(id).demand.amount, tenant), false);
}

void Queue::Waited(RequestId id) {
  Schedule();  // what came free in the same moment may be for it
  const auto found = requests_.find(id);
  if (found == requests_.end()) return;
  const Duration wait = found->second.wish.wait;
  Refuse(id, "waited for " + DurationText(wait) + " in vain: " + WhyWaiting(id)->summary, true);
}

// What is kept for a request counts as given to it, so nothing is where its maxima forbid it.
bool Queue::MayTake(WaitingRequest& request) {
  const bool may = maxima_.Let(request, IsOld(request));
  if (!may) holds_.Drop(request.id);
  return may;
}

bool Queue::IsOld(const WaitingRequest& request) const {
  return moment_.now >= After(request.asked, settings_.keep_room_after);
}

bool Queue::TryToPlace(const WaitingRequest& request) {
  holds_.Give(request.id);
  if (std::optional<Placement> placement = placer_.Place(cluster_, request.demand.request)) {
    Grant(request, std::move(*placement));
    return true;
  }
  holds_.Fill(request.id);
  return false;
}

void Queue::Grant(const WaitingRequest& request, Placement placement) {
  const NodeState& node = *nodes_.Find(cluster_.node(placement.node).name);
  LeaseRecord record;
  record.id = {numbers_.Next()};
  record.epoch = record.id.number;
  record.request = request.request;
  record.tenant = request.owner.tenant;
  record.user = request.owner.user;
  record.client = request.wish.client;
  record.node = node.record.name;
  record.pool = request.wish.pool;
  for (const Slice& slice : placement.slices) {
    const GpuRecord& gpu = node.record.gpus[static_cast<size_t>(slice.gpu)];
    record.gpus.push_back({gpu.uuid, slice.share, slice.memory_bytes});
    record.amount += AmountOf(slice, gpu.memory_bytes);
  }
  // Where smaller GPUs have come since it was asked for, it counts as those that were there: so much was let.
  record.amount = std::min(record.amount, request.demand.amount);
  record.priority = request.wish.priority;
  record.hard = request.wish.hard;
  record.idle_release = request.wish.idle_release;
  record.longest = request.wish.longest;
  record.granted_at = record.counted_at = moment_.now;
  moment_.Store(record);
  SayGranted(request.asker, leases_.Add(std::move(record), std::move(placement), LeaseState::Phase::kGranted));
  Remove(request.id);
}

void Queue::SayGranted(Asker asker, const LeaseState& lease) {
  const NodeState& node = *nodes_.Find(lease.record.node);
  Granted granted{asker, lease.record, node.record.address, node.record.is_software, {}};
  for (const LeasedGpu& leased : lease.record.gpus) {
    for (const GpuRecord& gpu : node.record.gpus) {
      if (gpu.uuid == leased.uuid) granted.models.push_back(gpu.model);
    }
  }
  moment_.Do(std::move(granted));
}

bool Queue::CouldEverFit(const Demand& demand) const {
  if (nodes_.all().empty()) return true;  // who knows
  const std::vector<Shortage> shortages = Explain(cluster_, demand.request);
  return static_cast<int>(shortages.size()) < cluster_.size() ||
         std::any_of(shortages.begin(), shortages.end(), [](const Shortage& each) { return MayPass(each.lack); });
}

void Queue::Refuse(RequestId id, std::string reason, bool no_capacity) {
  moment_.Do(Refused{requests_.at(id).asker, std::move(reason), no_capacity});
  Remove(id);
}

void Queue::Remove(RequestId id) {
  const WaitingRequest& request = requests_.at(id);
  holds_.Drop(id);
  if (maxima_.IsInTheWay(id)) moment_.room_came = true;
  moment_.timers.Cancel(Due::kRequestWaited, id);
  moment_.timers.Cancel(Due::kRequestAged, id);
  askers_.erase(request.asker);
  if (!request.request.empty()) of_.erase({request.owner.tenant, request.owner.user, request.request});
  Count(request, -1);
  requests_.erase(id);
}

void Queue::Schedule() {
  while (moment_.room_came || moment_.room_wanted) {
    if (std::exchange(moment_.room_came, false)) {
      holds_.Review();
      holds_.FillAll();
      GiveTurns();
      moment_.room_wanted = true;
    } else {
      moment_.room_wanted = false;
      KeepRoom();
    }
  }
}

void Queue::GiveTurns() {
  maxima_.StartAnew();
  if (requests_.empty()) return;
  // Room only gets less here, but for that of holds, after which all have another turn.
  std::vector<Request> failed;
  Ranking ranking(requests_, ledger_.tenants(), settings_, moment_.now);
  while (const RequestId id = ranking.Next()) {
    WaitingRequest& request = requests_.at(id);
    if (!MayTake(request)) continue;
    const Request& shape = request.demand.request;
    const bool has_hold = holds_.Of(id) != nullptr;
    if (!has_hold && std::find(failed.begin(), failed.end(), shape) != failed.end()) continue;
    if (!TryToPlace(request) && !has_hold && failed.size() < kMaxFailedShapes) failed.push_back(shape);
  }
}

std::vector<RequestId> Queue::Order() const {
  std::vector<RequestId> result;
  Ranking ranking(requests_, ledger_.tenants(), settings_, moment_.now);
  while (const RequestId id = ranking.Next()) result.push_back(id);
  return result;
}

}  // namespace outboard::pool
