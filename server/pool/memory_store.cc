#include "server/pool/memory_store.h"

namespace outboard::pool {
namespace {

template <class Key, class Record>
std::vector<Record> Values(const std::map<Key, Record>& records) {
  std::vector<Record> result;
  for (const auto& [key, record] : records) result.push_back(record);
  return result;
}

}  // namespace

Result<Snapshot> MemoryStore::Load() {
  return Snapshot{Values(nodes_), Values(leases_), Values(tenants_), Values(usage_), counter_};
}

std::optional<Error> MemoryStore::Commit(std::span<const Change> changes) {
  for (const Change& change : changes) {
    std::visit([this](const auto& each) { Apply(each); }, change);
  }
  return std::nullopt;
}

}  // namespace outboard::pool
