#include "server/pool/ledger.h"

#include <algorithm>

namespace outboard::pool {

void Ledger::Restore(const Snapshot& snapshot) {
  for (const TenantRecord& tenant : snapshot.tenants) SetTenant(tenant);
  for (const UsageRecord& usage : snapshot.usage) usage_[{usage.tenant, usage.user}] = usage;
}

void Ledger::Count(const LeaseRecord& lease, int sign) {
  const int64_t amount = sign * lease.amount;
  tenants_[lease.tenant].used += amount;
  used_[lease.pool] += amount;
  leases_[static_cast<size_t>(lease.priority)] += sign;
}

void Ledger::Open(const LeaseRecord& lease) {
  Count(lease, 1);
  Tenants::Account& account = tenants_[lease.tenant];
  account.last_grant = std::max(account.last_grant, lease.granted_at);
}

UsageRecord& Ledger::Note(const LeaseRecord& lease, Duration ran) {
  UsageRecord& usage = usage_[{lease.tenant, lease.user}];
  usage.tenant = lease.tenant;
  usage.user = lease.user;
  // Thousandths of a GPU for milliseconds.
  const auto milliseconds = static_cast<uint64_t>(std::max(Duration::zero(), ran).count());
  usage.gpu_microseconds += static_cast<uint64_t>(lease.amount) * milliseconds;
  return usage;
}

const UsageRecord& Ledger::Close(const LeaseRecord& lease, Duration ran) {
  Count(lease, -1);
  UsageRecord& usage = Note(lease, ran);
  ++usage.leases;
  return usage;
}

const UsageRecord& Ledger::Recount(LeaseRecord* lease, int64_t amount, Time now) {
  Count(*lease, -1);
  const UsageRecord& usage = Note(*lease, now - lease->counted_at);
  lease->amount = amount;
  lease->counted_at = now;
  Count(*lease, 1);
  return usage;
}

void Ledger::Promise(const std::string& tenant, const std::string& pool, int64_t amount) {
  tenants_[tenant].promised += amount;
  promised_[pool] += amount;
}

bool Ledger::HasLeaseBelow(int priority) const {
  return std::any_of(leases_.begin(), leases_.begin() + priority, [](int leases) { return leases > 0; });
}

int64_t Ledger::Of(const Amounts& amounts, const std::string& pool) {
  const auto found = amounts.find(pool);
  return found == amounts.end() ? 0 : found->second;
}

}  // namespace outboard::pool
