#include "server/pool/holds.h"

#include <algorithm>
#include <utility>

#include "server/pool/room.h"

namespace outboard::pool {
namespace {

int64_t ShareOf(const Placement& placement) {
  int64_t share = 0;
  for (const Slice& slice : placement.slices) share += slice.share;
  return share;
}

}  // namespace

Holds::Holds(const Settings* settings, Moment* moment, Cluster* cluster, Ledger* ledger, Leases* leases)
    : settings_(*settings), moment_(*moment), cluster_(*cluster), ledger_(*ledger), leases_(*leases) {}

const Hold* Holds::Of(RequestId request) const {
  const auto found = holds_.find(request);
  return found == holds_.end() ? nullptr : &found->second;
}

int Holds::patient() const {
  return static_cast<int>(
      std::count_if(holds_.begin(), holds_.end(), [](const auto& each) { return each.second.replaced.empty(); }));
}

bool Holds::IsBeingMade(RequestId request) const {
  const Hold* const hold = Of(request);
  return hold != nullptr && std::any_of(hold->replaced.begin(), hold->replaced.end(),
                                        [this](LeaseId id) { return leases_.Find(id) != nullptr; });
}

std::vector<Placement> Holds::PromisedOn(int node, RequestId except) const {
  std::vector<Placement> result;
  for (const auto& [request, hold] : holds_) {
    if (request != except && hold.wanted.node == node) result.push_back(hold.wanted);
  }
  return result;
}

bool Holds::GetsMore(RequestId request) const {
  const Hold& hold = holds_.at(request);
  return ShareOf(hold.taken) > hold.had;
}

void Holds::SetReview(RequestId request, Time next) {
  Hold& hold = holds_.at(request);
  hold.had = ShareOf(hold.taken);
  hold.review = next;
}

void Holds::Start(const WaitingRequest& request, Placement wanted, std::vector<LeaseId> replaced) {
  Drop(request.id);
  for (const LeaseId id : replaced) {
    LeaseState& lease = *leases_.Find(id);
    const bool outranked = lease.record.priority < request.wish.priority;
    const std::string text =
        outranked ? "a request of priority " + std::to_string(request.wish.priority) + " takes its place."
                  : "tenant " + request.owner.tenant + " takes back what is within its quota.";
    const Time end =
        std::max(After(moment_.now, settings_.grace), After(lease.record.granted_at, settings_.minimum_run));
    leases_.Warn(lease, Cause::kReplaced, end, text);
  }
  Hold& hold = holds_[request.id];
  hold.tenant = request.owner.tenant;
  hold.pool = request.wish.pool;
  hold.amount = request.demand.amount;
  hold.wanted = std::move(wanted);
  hold.taken = TakeFree(&cluster_, hold.wanted);
  hold.replaced = std::move(replaced);
  ledger_.Promise(hold.tenant, hold.pool, hold.amount);
}

void Holds::Drop(RequestId request) {
  const auto found = holds_.find(request);
  if (found == holds_.end()) return;
  Give(found->second);
  const Hold hold = std::move(found->second);
  holds_.erase(found);
  ledger_.TakeBack(hold.tenant, hold.pool, hold.amount);
  for (const LeaseId id : hold.replaced) {
    LeaseState* const lease = leases_.Find(id);
    if (lease != nullptr) leases_.Reprieve(*lease, Cause::kReplaced, "its place is not needed any more.");
  }
  moment_.room_came = true;
}

void Holds::DropOn(int node) {
  std::vector<RequestId> dropped;
  for (const auto& [request, hold] : holds_) {
    if (hold.wanted.node == node) dropped.push_back(request);
  }
  for (const RequestId request : dropped) Drop(request);
}

// Whether the leases of this tenant that were told to end for others are not all beyond its quota any more. Of the last
// one of them, only a part need have been beyond it.
bool Holds::IsWithinQuotaAgain(const std::string& tenant) const {
  int64_t taken = 0;
  int64_t largest = 0;
  for (const auto& [request, hold] : holds_) {
    if (hold.tenant == tenant) continue;
    for (const LeaseId id : hold.replaced) {
      const LeaseState* const lease = leases_.Find(id);
      if (lease == nullptr || lease->phase == LeaseState::Phase::kEnding || lease->record.tenant != tenant) continue;
      taken += lease->record.amount;
      largest = std::max(largest, lease->record.amount);
    }
  }
  const Tenants::Account& account = ledger_.tenants().Of(tenant);
  return taken > 0 && account.used - taken + largest <= account.record.quota;
}

bool Holds::TakesFromAQuota(const Hold& hold) const {
  bool takes = false;
  for (const LeaseId id : hold.replaced) {
    const LeaseState* const lease = leases_.Find(id);
    if (lease == nullptr || lease->phase == LeaseState::Phase::kEnding) return false;  // it has begun
    takes = takes || (lease->record.tenant != hold.tenant && IsWithinQuotaAgain(lease->record.tenant));
  }
  return takes;
}

void Holds::Review() {
  std::vector<RequestId> requests;
  for (const auto& [request, hold] : holds_) requests.push_back(request);
  std::reverse(requests.begin(), requests.end());
  for (const RequestId request : requests) {
    if (TakesFromAQuota(holds_.at(request))) Drop(request);
  }
}

void Holds::Give(RequestId request) {
  const auto found = holds_.find(request);
  if (found != holds_.end()) Give(found->second);
}

void Holds::Fill(RequestId request) {
  const auto found = holds_.find(request);
  if (found != holds_.end()) Fill(found->second);
}

// Who asked first, first: promises do not overlap, but leases that stand in the way of several may.
void Holds::FillAll() {
  for (auto& [request, hold] : holds_) Fill(hold);
}

void Holds::Give(Hold& hold) {
  cluster_.Give(hold.taken);
  hold.taken = Placement{hold.wanted.node, {}};
}

void Holds::Fill(Hold& hold) {
  Give(hold);
  hold.taken = TakeFree(&cluster_, hold.wanted);
}

}  // namespace outboard::pool
