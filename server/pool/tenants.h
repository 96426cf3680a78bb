#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "server/pool/records.h"

namespace outboard::pool {

// Who has how much, in thousandths of a GPU. A tenant that nobody described has no quota, weight 1 and no maximum.
// Thread-compatible.
class Tenants {
 public:
  struct Account {
    TenantRecord record;
    int64_t used = 0;       // by leases that have not ended
    int64_t condemned = 0;  // of these, by those whose place others are about to take
    int64_t promised = 0;   // to requests for which room is kept
    Time last_grant;        // long ago: none
  };

  Account& operator[](const std::string& name);
  const Account& Of(const std::string& name) const;
  const std::map<std::string, Account>& all() const { return accounts_; }

 private:
  std::map<std::string, Account> accounts_;
};

bool IsWithinMaximum(const Tenants::Account& account, int64_t more);
bool IsWithinQuota(const Tenants::Account& account, int64_t more);
// What others may take back from it: what it has beyond its quota.
int64_t Surplus(const Tenants::Account& account);
// Whose turn comes first, of two that are beyond their quotas: who has less of it for its weight. Below 0: `one`.
int64_t CompareSurplus(const Tenants::Account& one, const Tenants::Account& other);

// What is wrong with it, as a sentence; empty: nothing.
std::string Complaint(const TenantRecord& tenant);

}  // namespace outboard::pool
