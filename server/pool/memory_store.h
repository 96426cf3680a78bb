#pragma once

#include <map>
#include <string>
#include <utility>

#include "server/pool/store.h"

namespace outboard::pool {

// Keeps what is committed as long as it lives. Thread-compatible.
class MemoryStore final : public Store {
 public:
  Result<Snapshot> Load() override;
  std::optional<Error> Commit(std::span<const Change> changes) override;

 private:
  void Apply(const NodeRecord& record) { nodes_[record.name] = record; }
  void Apply(const LeaseRecord& record) { leases_[record.id] = record; }
  void Apply(const TenantRecord& record) { tenants_[record.name] = record; }
  void Apply(const UsageRecord& record) { usage_[{record.tenant, record.user}] = record; }
  void Apply(const CounterRecord& record) { counter_ = record; }
  void Apply(const EraseNode& erase) { nodes_.erase(erase.name); }
  void Apply(const EraseLease& erase) { leases_.erase(erase.id); }

  std::map<std::string, NodeRecord> nodes_;
  std::map<LeaseId, LeaseRecord> leases_;
  std::map<std::string, TenantRecord> tenants_;
  std::map<std::pair<std::string, std::string>, UsageRecord> usage_;
  CounterRecord counter_;
};

}  // namespace outboard::pool
