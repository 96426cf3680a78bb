#include "server/pool/tenants.h"

#include <algorithm>

namespace outboard::pool {
namespace {

constexpr int64_t kMaxWeight = 1'000'000;
constexpr int64_t kMaxAmount = 1'000'000'000;  // a million GPUs

int64_t BeyondQuota(const Tenants::Account& account) {
  return std::max<int64_t>(0, account.used - account.record.quota);
}

}  // namespace

Tenants::Account& Tenants::operator[](const std::string& name) {
  Account& account = accounts_[name];
  account.record.name = name;
  return account;
}

const Tenants::Account& Tenants::Of(const std::string& name) const {
  static const Account kNobody;
  const auto found = accounts_.find(name);
  return found == accounts_.end() ? kNobody : found->second;
}

bool IsWithinMaximum(const Tenants::Account& account, int64_t more) {
  return account.record.maximum < 0 || account.used + more <= account.record.maximum;
}

bool IsWithinQuota(const Tenants::Account& account, int64_t more) {
  return account.used + account.promised + more <= account.record.quota;
}

int64_t Surplus(const Tenants::Account& account) {
  return std::max<int64_t>(0, account.used - account.condemned - account.record.quota);
}

int64_t CompareSurplus(const Tenants::Account& one, const Tenants::Account& other) {
  return BeyondQuota(one) * other.record.weight - BeyondQuota(other) * one.record.weight;
}

std::string Complaint(const TenantRecord& tenant) {
  if (tenant.name.empty()) return "a tenant needs a name.";
  if (tenant.quota < 0 || tenant.quota > kMaxAmount) {
    return "the quota of tenant " + tenant.name + " is not between 0 and 1000000 GPUs.";
  }
  if (tenant.weight < 1 || tenant.weight > kMaxWeight) {
    return "the weight of tenant " + tenant.name + " is not between 1 and " + std::to_string(kMaxWeight) + ".";
  }
  if (tenant.maximum > kMaxAmount) return "the maximum of tenant " + tenant.name + " is above 1000000 GPUs.";
  if (tenant.maximum >= 0 && tenant.maximum < tenant.quota) {
    return "the maximum of tenant " + tenant.name + " is below its quota.";
  }
  return "";
}

}  // namespace outboard::pool
