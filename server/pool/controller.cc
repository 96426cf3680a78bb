#include "server/pool/controller.h"

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

namespace outboard::pool {

Controller::Controller(Settings settings) : settings_(std::move(settings)) {}

Effects Controller::Restore(const Snapshot& snapshot, Time now) {
  moment_.now = now;
  numbers_.Restore(snapshot.counter, now);
  ledger_.Restore(snapshot);
  for (const NodeRecord& record : snapshot.nodes) nodes_.Restore(record);
  for (const LeaseRecord& record : snapshot.leases) RestoreLease(record);
  nodes_.Restored();
  numbers_.Save();
  return moment_.TakeEffects();
}

void Controller::RestoreLease(LeaseRecord record) {
  numbers_.Raise(std::max(record.id.number, record.epoch));
  record.priority = std::clamp(record.priority, 0, kMaxPriority);
  std::optional<Placement> placement = nodes_.PlacementOf(record);
  if (!placement || !cluster_.IsFree(*placement)) {
    // Only a store that others have changed has such leases. The node, if it has it, is told to end it.
    return moment_.Store(EraseLease{record.id});
  }
  leases_.Add(std::move(record), *std::move(placement), LeaseState::Phase::kOpen).confirmed = false;
}

Effects Controller::Handle(const Event& event, Time now) {
  ForgiveStall(event, now);
  moment_.now = std::max(moment_.now, now);
  RunDue();
  queue_.Schedule();  // what became free then is for those who wait
  On(event);
  queue_.Schedule();
  numbers_.Save();
  return moment_.TakeEffects();
}

void Controller::On(const Event& event) {
  std::visit(
      [this](const auto& each) {
        using Each = std::decay_t<decltype(each)>;
        if constexpr (requires { nodes_.Handle(each); }) {
          nodes_.Handle(each);
        } else if constexpr (requires { leases_.Handle(each); }) {
          leases_.Handle(each);
        } else if constexpr (requires { queue_.Handle(each); }) {
          queue_.Handle(each);
        } else if constexpr (std::is_same_v<Each, pool::SetTenant>) {
          SetTenant(each);
        } else {
          static_assert(std::is_same_v<Each, Tick> || std::is_same_v<Each, Stalled>);
        }
      },
      event);
}

void Controller::SetTenant(const pool::SetTenant& event) {
  if (!event.from.is_admin) {
    return moment_.Say(event.asker, Outcome::kForbidden,
                       "only administrators may change tenants, and " + event.from.user + " is none.");
  }
  if (const std::string complaint = Complaint(event.tenant); !complaint.empty()) {
    return moment_.Say(event.asker, Outcome::kInvalid, complaint);
  }
  moment_.Say(event.asker, Outcome::kDone);
  if (ledger_.AccountOf(event.tenant.name).record == event.tenant) return;
  ledger_.SetTenant(event.tenant);
  moment_.Store(event.tenant);
  queue_.RefuseBeyondMaximum(event.tenant);
  moment_.room_came = true;
}

// What became due long ago while nobody handed events over: this process or its machine did not run. Whoever speaks up
// in time may not have been heard.
void Controller::ForgiveStall(const Event& event, Time now) {
  const std::optional<Time> due = moment_.timers.Next();
  const bool is_late = due && After(*due, settings_.stall) < now;
  if (!is_late && !std::holds_alternative<Stalled>(event)) return;
  moment_.now = std::max(moment_.now, now);
  nodes_.ForgiveStall();
  leases_.ForgiveStall();
}

void Controller::RunDue() {
  while (const auto due = moment_.timers.Take(moment_.now)) OnDue(due->first, due->second);
}

void Controller::OnDue(Due due, uint64_t number) {
  switch (due) {
    case Due::kNodeSilent:
      return nodes_.Silent(static_cast<int>(number));
    case Due::kNodeLeases:
      return nodes_.LeasesOver(static_cast<int>(number));
    case Due::kNodeDrained:
      return nodes_.Drained(static_cast<int>(number));
    case Due::kLeaseUnopened:
      return leases_.Unopened({number});
    case Due::kLeaseWarned:
      return leases_.WarnedLongEnough({number});
    case Due::kLeaseTooLong:
      return leases_.HasNearlyHadItsTime({number});
    case Due::kLeaseResizing:
      return nodes_.ResizeUnanswered({number});
    case Due::kLeaseReplaceable:
    case Due::kRequestAged:
    case Due::kKeepRoom:
      moment_.room_wanted = true;
      return;
    case Due::kRequestWaited:
      return queue_.Waited(number);
  }
}

}  // namespace outboard::pool
