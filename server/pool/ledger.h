#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "server/pool/records.h"
#include "server/pool/settings.h"
#include "server/pool/tenants.h"
#include "server/pool/time.h"

namespace outboard::pool {

// Who has how much now, and had how much before. Amounts are in thousandths of a GPU. Thread-compatible.
class Ledger {
 public:
  using Usage = std::map<std::pair<std::string, std::string>, UsageRecord>;  // by tenant and user

  void Restore(const Snapshot& snapshot);
  // The account of a tenant, which nobody need have described. It stays where it is.
  const Tenants::Account& AccountOf(const std::string& tenant) { return tenants_[tenant]; }
  void SetTenant(const TenantRecord& tenant) { tenants_[tenant.name].record = tenant; }

  // A lease counts from Open to Close, which notes what was used since counted_at, for `ran`, and returns the record of
  // that.
  void Open(const LeaseRecord& lease);
  const UsageRecord& Close(const LeaseRecord& lease, Duration ran);
  // The same for one that goes on with another amount.
  const UsageRecord& Recount(LeaseRecord* lease, int64_t amount, Time now);
  // A lease whose place others are about to take, or are not any more.
  void Condemn(const LeaseRecord& lease) { tenants_[lease.tenant].condemned += lease.amount; }
  void Pardon(const LeaseRecord& lease) { tenants_[lease.tenant].condemned -= lease.amount; }
  // Room is kept for a request, or is not any more.
  void Promise(const std::string& tenant, const std::string& pool, int64_t amount);
  void TakeBack(const std::string& tenant, const std::string& pool, int64_t amount) { Promise(tenant, pool, -amount); }

  const Tenants& tenants() const { return tenants_; }
  int64_t used(const std::string& pool) const { return Of(used_, pool); }
  int64_t promised(const std::string& pool) const { return Of(promised_, pool); }
  const Usage& usage() const { return usage_; }
  bool HasLeaseBelow(int priority) const;

 private:
  using Amounts = std::map<std::string, int64_t>;  // by pool
  static int64_t Of(const Amounts& amounts, const std::string& pool);
  void Count(const LeaseRecord& lease, int sign);
  UsageRecord& Note(const LeaseRecord& lease, Duration ran);

  Tenants tenants_;
  Amounts used_;
  Amounts promised_;
  std::array<int, kMaxPriority + 1> leases_{};  // open ones, by priority
  Usage usage_;
};

}  // namespace outboard::pool
