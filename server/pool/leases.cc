#include "server/pool/leases.h"

#include <algorithm>
#include <utility>

#include "server/pool/room.h"

namespace outboard::pool {
namespace {

constexpr size_t kMaxReasonBytes = 200;

std::string NoSuchLease(LeaseId id) { return "there is no lease " + Text(id) + " of yours. It is over, or another's."; }

RequestName NameOf(const LeaseRecord& lease) { return {lease.tenant, lease.user, lease.request}; }

template <class State, class All>
std::vector<State*> Live(All& leases, const std::set<LeaseId>& ids) {
  std::vector<State*> result;
  for (const LeaseId id : ids) {
    State& lease = leases.at(id);
    if (lease.phase != LeaseState::Phase::kEnding) result.push_back(&lease);
  }
  return result;
}

}  // namespace

Leases::Leases(const Settings* settings, Moment* moment, Numbers* numbers, Cluster* cluster, Ledger* ledger)
    : settings_(*settings), moment_(*moment), numbers_(*numbers), cluster_(*cluster), ledger_(*ledger) {}

LeaseState* Leases::Find(LeaseId id) {
  const auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

const LeaseState* Leases::Find(LeaseId id) const {
  const auto found = leases_.find(id);
  return found == leases_.end() ? nullptr : &found->second;
}

const LeaseState* Leases::Of(const RequestName& request) const {
  const auto found = of_.find(request);
  return found == of_.end() ? nullptr : &leases_.at(found->second);
}

std::set<LeaseId> Leases::On(const std::string& node) const {
  const auto found = on_.find(node);
  return found == on_.end() ? std::set<LeaseId>() : found->second;
}

std::vector<LeaseState*> Leases::LiveOn(const std::string& node) { return Live<LeaseState>(leases_, On(node)); }

std::vector<const LeaseState*> Leases::LiveOn(const std::string& node) const {
  return Live<const LeaseState>(leases_, On(node));
}

LeaseState& Leases::Add(LeaseRecord record, Placement placement, LeaseState::Phase phase) {
  cluster_.Take(placement);
  const LeaseId id = record.id;
  LeaseState& lease = leases_[id];
  lease.record = std::move(record);
  lease.placement = std::move(placement);
  lease.phase = phase;
  on_[lease.record.node].insert(id);
  if (!lease.record.request.empty()) of_[NameOf(lease.record)] = id;
  ledger_.Open(lease.record);
  if (phase == LeaseState::Phase::kGranted) AwaitOpening(id);
  const Duration longest = lease.record.longest;
  moment_.timers.Set(Due::kLeaseTooLong, id.number,
                     longest == kForever
                         ? Time::max()
                         : After(lease.record.granted_at, longest - std::min(settings_.grace, longest / 2)));
  const Time replaceable = After(lease.record.granted_at, settings_.minimum_run - settings_.grace);
  if (replaceable > moment_.now) moment_.timers.Set(Due::kLeaseReplaceable, id.number, replaceable);
  if (const std::optional<Revocation>& revoked = lease.record.revoked) {
    Warn(lease, Cause::kRevoked, revoked->deadline, revoked->text);
  }
  return lease;
}

void Leases::AddEnding(LeaseRecord record, const Placement& placement) {
  LeaseState& lease = leases_[record.id];
  lease.record = std::move(record);
  lease.record.epoch = numbers_.Next();
  lease.phase = LeaseState::Phase::kEnding;
  lease.why_ended = "the pool knows it to be over.";
  lease.placement = TakeFree(&cluster_, placement);
  on_[lease.record.node].insert(lease.record.id);
  TellNodeToEnd(lease);
}

void Leases::TakeStray(const StrayKey& stray, const Placement& placement) {
  const auto& [node, id] = stray;
  if (!strays_.contains(stray)) strays_[stray] = TakeFree(&cluster_, placement);
  moment_.Do(EndAtNode{node, id, numbers_.Next(),
                       "the pool has lost it, and lease " + Text(id) + " is one of another node now."});
}

void Leases::FreeStray(const StrayKey& stray) {
  const auto found = strays_.find(stray);
  if (found == strays_.end()) return;
  cluster_.Give(found->second);
  strays_.erase(found);
  moment_.room_came = true;
}

void Leases::KeepStrays(const std::string& node, const std::set<LeaseId>& reported) {
  std::vector<StrayKey> gone;
  for (auto each = strays_.lower_bound({node, {}}); each != strays_.end() && each->first.first == node; ++each) {
    const LeaseId id = each->first.second;
    const LeaseState* const same = Find(id);
    const bool is_stray = same != nullptr && same->record.node != node;
    if (!is_stray || !reported.contains(id)) gone.push_back(each->first);
  }
  for (const StrayKey& each : gone) FreeStray(each);
}

void Leases::GiveWay(const Placement& placement) {
  const auto overlaps = [&placement](const Placement& other) {
    return other.node == placement.node &&
           std::any_of(other.slices.begin(), other.slices.end(), [&placement](const Slice& one) {
             return std::any_of(placement.slices.begin(), placement.slices.end(),
                                [&one](const Slice& each) { return each.gpu == one.gpu; });
           });
  };
  std::vector<LeaseId> in_the_way;
  for (const auto& [id, lease] : leases_) {
    if (lease.phase == LeaseState::Phase::kGranted && overlaps(lease.placement)) in_the_way.push_back(id);
  }
  for (const LeaseId id : in_the_way) {
    if (!cluster_.IsFree(placement)) End(leases_.at(id), "its node does not have it, and has another in its place.");
  }
}

void Leases::AwaitOpening(LeaseId id) {
  moment_.timers.Set(Due::kLeaseUnopened, id.number, After(moment_.now, settings_.open_within));
}

bool Leases::Open(LeaseId id, const std::string& node, uint64_t epoch) {
  LeaseState* const lease = Find(id);
  if (lease == nullptr || lease->record.node != node || lease->phase == LeaseState::Phase::kEnding ||
      lease->record.epoch != epoch) {
    return false;
  }
  lease->phase = LeaseState::Phase::kOpen;
  lease->confirmed = true;
  moment_.timers.Cancel(Due::kLeaseUnopened, id.number);
  return true;
}

void Leases::Over(LeaseId id, const std::string& node) {
  LeaseState* const lease = Find(id);
  if (lease == nullptr || lease->record.node != node) return;
  if (lease->phase == LeaseState::Phase::kEnding) return Free(id);
  lease->phase = LeaseState::Phase::kGranted;  // its node has nothing of it
  End(*lease, "its last process has ended.");
}

void Leases::Confirm(LeaseState& lease, const HeldLease& held) {
  if (lease.phase == LeaseState::Phase::kEnding) return TellNodeToEnd(lease);
  lease.phase = LeaseState::Phase::kOpen;
  lease.confirmed = true;
  lease.idle = held.idle;
  lease.use = held.use;
  lease.heard = moment_.now;
  moment_.timers.Cancel(Due::kLeaseUnopened, lease.record.id.number);
  if (held.lease.gpus != lease.record.gpus) {
    return End(lease, "node " + lease.record.node + " says that it has other GPUs than were given out.");
  }
  CheckIdle(lease);
}

void Leases::Miss(LeaseState& lease) {
  switch (lease.phase) {
    case LeaseState::Phase::kGranted:
      return;
    case LeaseState::Phase::kEnding:
      return Free(lease.record.id);
    case LeaseState::Phase::kOpen:
      break;
  }
  lease.phase = LeaseState::Phase::kGranted;  // its node has nothing of it
  if (lease.confirmed) return End(lease, "node " + lease.record.node + " has ended it.");
  lease.confirmed = true;
  AwaitOpening(lease.record.id);
}

void Leases::End(LeaseState& lease, const std::string& why, std::optional<Time> ended) {
  if (lease.phase == LeaseState::Phase::kEnding) return;
  const LeaseRecord& record = lease.record;
  moment_.Store(EraseLease{record.id});
  moment_.Store(ledger_.Close(record, ended.value_or(moment_.now) - record.counted_at));
  if (lease.warnings.contains(Cause::kReplaced)) ledger_.Pardon(record);
  lease.warnings.clear();
  if (!record.request.empty()) of_.erase(NameOf(record));
  for (const Due due :
       {Due::kLeaseUnopened, Due::kLeaseWarned, Due::kLeaseTooLong, Due::kLeaseReplaceable, Due::kLeaseResizing}) {
    moment_.timers.Cancel(due, record.id.number);
  }
  if (const Asker resizer = std::exchange(lease.resizer, 0)) {
    moment_.Say(resizer, Outcome::kConflict, "lease " + Text(record.id) + " is over: " + why);
  }
  lease.why_ended = why;
  moment_.Do(Notice{record.id, Notice::Kind::kEnded, why, moment_.now});
  moment_.room_came = true;
  if (lease.phase == LeaseState::Phase::kGranted) return Free(record.id);
  lease.phase = LeaseState::Phase::kEnding;
  lease.record.epoch = numbers_.Next();
  TellNodeToEnd(lease);
}

void Leases::SetRoom(LeaseState& lease, Placement placement, int64_t amount) {
  cluster_.Give(lease.placement);
  cluster_.Take(placement);
  lease.placement = std::move(placement);
  moment_.room_came = true;
  LeaseRecord& record = lease.record;
  if (amount == record.amount) return;
  const bool is_condemned = lease.warnings.contains(Cause::kReplaced);
  if (is_condemned) ledger_.Pardon(record);
  moment_.Store(ledger_.Recount(&record, amount, moment_.now));
  if (is_condemned) ledger_.Condemn(record);
  moment_.Store(record);
}

void Leases::Free(LeaseId id) {
  const auto found = leases_.find(id);
  cluster_.Give(found->second.placement);
  const auto on = on_.find(found->second.record.node);
  on->second.erase(id);
  if (on->second.empty()) on_.erase(on);
  leases_.erase(found);
  moment_.room_came = true;
}

void Leases::TellNodeToEnd(const LeaseState& lease) {
  moment_.Do(EndAtNode{lease.record.node, lease.record.id, lease.record.epoch, lease.why_ended});
}

void Leases::LiftFrom(const std::string& node) {
  KeepStrays(node, {});  // the node says again what it has
  for (const LeaseId id : On(node)) cluster_.Give(leases_.at(id).placement);
}

void Leases::SetDown(LeaseState& lease, int node, const std::optional<Placement>& placement) {
  const bool fits = placement && cluster_.IsFree(*placement);
  lease.placement = TakeFree(&cluster_, placement.value_or(Placement{node, {}}));
  if (!fits) End(lease, "a GPU of it is not in node " + lease.record.node + " any more, or has less memory.");
}

LeaseState* Leases::FindOfOwner(Asker asker, const Identity& from, LeaseId id) {
  LeaseState* const lease = Find(id);
  if (lease != nullptr && lease->phase != LeaseState::Phase::kEnding &&
      from.Owns(lease->record.tenant, lease->record.user)) {
    return lease;
  }
  moment_.Say(asker, Outcome::kNotFound, NoSuchLease(id));
  return nullptr;
}

void Leases::Handle(const Renew& event) {
  const LeaseState* const lease = FindOfOwner(event.asker, event.from, event.lease);
  if (lease == nullptr) return;
  if (lease->phase == LeaseState::Phase::kGranted) AwaitOpening(event.lease);
  moment_.Say(event.asker, Outcome::kDone);
}

void Leases::Handle(const Release& event) {
  LeaseState* const lease = FindOfOwner(event.asker, event.from, event.lease);
  if (lease == nullptr) return;
  End(*lease, "it was given back.");
  moment_.Say(event.asker, Outcome::kDone);
}

void Leases::Handle(const Revoke& event) {
  LeaseState* const lease = FindOfOwner(event.asker, event.from, event.lease);
  if (lease == nullptr) return;
  const std::string reason = event.reason.substr(0, kMaxReasonBytes);
  const std::string text = event.from.user + " revoked it" + (reason.empty() ? "." : ": " + reason);
  const Time deadline = After(moment_.now, event.grace);
  const auto said = lease->warnings.find(Cause::kRevoked);
  if (event.grace <= Duration::zero()) {
    End(*lease, text);
  } else if (said != lease->warnings.end() && said->second.deadline < deadline && !event.from.is_admin) {
    return moment_.Say(event.asker, Outcome::kConflict,
                       "lease " + Text(event.lease) + " ends sooner than that already: " + said->second.text);
  } else {
    lease->record.revoked = Revocation{deadline, text};
    moment_.Store(lease->record);
    Warn(*lease, Cause::kRevoked, deadline, text);
  }
  moment_.Say(event.asker, Outcome::kDone);
}

std::optional<Warning> Leases::NextWarning(const LeaseState& lease) {
  std::optional<Warning> next;
  for (const auto& [cause, warning] : lease.warnings) {
    if (!next || warning.deadline < next->deadline) next = warning;
  }
  return next;
}

void Leases::SetWarningTimer(const LeaseState& lease) {
  Time next = Time::max();
  for (const auto& [cause, warning] : lease.warnings) {
    const bool waits_for_word = cause == Cause::kIdle && warning.deadline <= moment_.now;
    if (!waits_for_word) next = std::min(next, warning.deadline);
  }
  moment_.timers.Set(Due::kLeaseWarned, lease.record.id.number, next);
}

void Leases::Warn(LeaseState& lease, Cause cause, Time deadline, std::string text) {
  if (cause == Cause::kReplaced && !lease.warnings.contains(cause)) ledger_.Condemn(lease.record);
  lease.warnings[cause] = {deadline, text};
  SetWarningTimer(lease);
  moment_.Do(Notice{lease.record.id, Notice::Kind::kWarning, std::move(text), deadline});
}

void Leases::Reprieve(LeaseState& lease, Cause cause, const std::string& text) {
  if (lease.warnings.erase(cause) == 0) return;
  if (cause == Cause::kReplaced) ledger_.Pardon(lease.record);
  SetWarningTimer(lease);
  SayWhatStands(lease, text);
}

// To its holder: the warning that stands, or `reprieve`.
void Leases::SayWhatStands(const LeaseState& lease, const std::string& reprieve) {
  if (const std::optional<Warning> next = NextWarning(lease)) {
    moment_.Do(Notice{lease.record.id, Notice::Kind::kWarning, next->text, next->deadline});
  } else {
    moment_.Do(Notice{lease.record.id, Notice::Kind::kReprieve, reprieve, moment_.now});
  }
}

// The warning comes so long before the end that the owner can still do something.
void Leases::CheckIdle(LeaseState& lease) {
  const Duration limit = lease.record.idle_release;
  if (limit <= Duration::zero()) return;
  const Duration before = std::min(settings_.idle_warning, limit / 2);
  if (lease.idle < limit - before) return Reprieve(lease, Cause::kIdle, "it is in use again.");
  const auto warned = lease.warnings.find(Cause::kIdle);
  if (warned != lease.warnings.end()) {
    // The end has waited for this word of its node.
    if (warned->second.deadline <= moment_.now) End(lease, std::string(warned->second.text));
    return;
  }
  Warn(lease, Cause::kIdle, After(moment_.now, std::max(limit - lease.idle, before)), "it is not used.");
}

void Leases::Unopened(LeaseId id) { End(leases_.at(id), "nobody used it in time: its node was not asked for it."); }

void Leases::WarnedLongEnough(LeaseId id) {
  LeaseState& lease = leases_.at(id);
  const Warning next = *NextWarning(lease);
  const auto idle = lease.warnings.find(Cause::kIdle);
  const bool is_old_news = idle != lease.warnings.end() && idle->second.deadline == next.deadline &&
                           After(lease.heard, settings_.lost_after) < moment_.now;
  // It may be in use again: CheckIdle ends it when its node says that it is not.
  if (is_old_news) return SetWarningTimer(lease);
  End(lease, next.text);
}

void Leases::HasNearlyHadItsTime(LeaseId id) {
  LeaseState& lease = leases_.at(id);
  Warn(lease, Cause::kTooLong, After(lease.record.granted_at, lease.record.longest),
       "it has had the time that was asked for.");
}

void Leases::ForgiveStall() {
  for (const auto& [id, lease] : leases_) {
    if (lease.phase == LeaseState::Phase::kGranted) AwaitOpening(id);
  }
}

}  // namespace outboard::pool
