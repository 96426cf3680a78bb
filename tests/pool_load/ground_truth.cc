#include "tests/pool_load/ground_truth.h"

namespace outboard::pool_load {
namespace {

constexpr int64_t kWhole = 1000;

}  // namespace

void GroundTruth::Granted(const Ticket& ticket) {
  std::lock_guard lock(mutex_);
  ++counts_.acknowledged;
  if (!leases_.emplace(ticket.lease(), Lease{ticket}).second) {
    ++counts_.doubled;
    return;
  }
  bool has_room = true;
  for (const Ticket::Gpu& gpu : ticket.gpus()) has_room = (shares_[gpu.uuid()] += gpu.share()) <= kWhole && has_room;
  if (!has_room) ++counts_.doubled;
}

void GroundTruth::Forget(std::map<uint64_t, Lease>::iterator lease) {
  for (const Ticket::Gpu& gpu : lease->second.ticket.gpus()) shares_[gpu.uuid()] -= gpu.share();
  leases_.erase(lease);
}

void GroundTruth::GivenBack(uint64_t lease, bool has_node) {
  std::lock_guard lock(mutex_);
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;  // lost, and counted
  found->second.given_back = true;
  if (!has_node) Forget(found);
}

void GroundTruth::Ended(uint64_t lease) {
  std::lock_guard lock(mutex_);
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  if (!found->second.given_back) ++counts_.lost;
  Forget(found);
}

void GroundTruth::Missed(uint64_t lease) {
  std::lock_guard lock(mutex_);
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return;
  ++counts_.lost;
  Forget(found);
}

GroundTruth::Counts GroundTruth::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

std::map<uint64_t, Ticket> GroundTruth::standing() const {
  std::lock_guard lock(mutex_);
  std::map<uint64_t, Ticket> standing;
  for (const auto& [number, lease] : leases_) {
    if (!lease.given_back) standing.emplace(number, lease.ticket);
  }
  return standing;
}

}  // namespace outboard::pool_load
