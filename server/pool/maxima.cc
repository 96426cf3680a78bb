#include "server/pool/maxima.h"

#include <algorithm>

#include "server/pool/tenants.h"
#include "server/pool/wish.h"

namespace outboard::pool {

Maxima::Maxima(const Settings* settings, const Ledger* ledger, const Holds* holds)
    : settings_(*settings), ledger_(*ledger), holds_(*holds) {}

bool Maxima::IsBehind(const Stopped& stopped, const std::string& name, WaitingRequest& request) {
  const auto found = stopped.find(name);
  if (found == stopped.end() || found->second == request.id) return false;
  request.obstacle = WaitingRequest::Obstacle::kOthersFirst;
  request.behind = found->second;
  return true;
}

bool Maxima::Let(WaitingRequest& request, bool is_old) {
  const std::string& tenant = request.owner.tenant;
  if (IsBehind(tenants_, tenant, request) || IsBehind(pools_, request.wish.pool, request)) return false;

  const int64_t amount = request.demand.amount;
  const int64_t own = holds_.Of(request.id) == nullptr ? 0 : amount;  // that is promised to it already
  const Tenants::Account& account = ledger_.tenants().Of(tenant);
  if (!IsWithinMaximum(account, account.promised - own + amount)) {
    request.obstacle = WaitingRequest::Obstacle::kTenantMaximum;
    if (is_old) tenants_.emplace(tenant, request.id);
    return false;
  }
  const PoolSpec* const pool = FindPool(settings_.pools, request.wish.pool);
  if (pool != nullptr && pool->maximum >= 0 &&
      ledger_.used(pool->name) + ledger_.promised(pool->name) - own + amount > pool->maximum) {
    request.obstacle = WaitingRequest::Obstacle::kPoolMaximum;
    if (is_old) pools_.emplace(pool->name, request.id);
    return false;
  }
  request.obstacle = WaitingRequest::Obstacle::kNodes;
  return true;
}

void Maxima::StartAnew() {
  tenants_.clear();
  pools_.clear();
}

bool Maxima::IsInTheWay(RequestId request) const {
  const auto is_it = [request](const auto& each) { return each.second == request; };
  return std::any_of(tenants_.begin(), tenants_.end(), is_it) || std::any_of(pools_.begin(), pools_.end(), is_it);
}

}  // namespace outboard::pool
