#include "server/slice/turns.h"

#include <algorithm>
#include <cmath>

namespace outboard::slice {
namespace {

using Duration = Turns::Duration;

// Of a turn that was not used up, half may be used in the next: where one more piece of work did not fit, and where a
// program waits for each of its kernels and leaves the device idle in between.
constexpr int kKeptPart = 2;
// A hard allowance grows to so many whole turns: one that is noticed late is not lost.
constexpr double kAllowanceTurns = 1.25;
// Turns are so much longer than the gaps between them that these cost 2 % of the time.
constexpr int kTurnsPerGap = 50;
constexpr Duration kLongestGap = std::chrono::milliseconds(5);  // that is learned from

Duration Part(double part, Duration of) {
  return Duration(static_cast<int64_t>(std::llround(part * static_cast<double>(of.count()))));
}

}  // namespace

Turns::Lease* Turns::Find(uint64_t lease) {
  const auto found =
      std::find_if(leases_.begin(), leases_.end(), [lease](const Lease& candidate) { return candidate.id == lease; });
  return found == leases_.end() ? nullptr : &*found;
}

Duration Turns::credit(uint64_t lease) const {
  const Lease* const found = const_cast<Turns*>(this)->Find(lease);
  return found == nullptr ? Duration(0) : found->credit;
}

Duration Turns::HardTurn(const Lease& lease) const { return Part(lease.share, round_); }
Duration Turns::Quantum(const Lease& lease) const {
  return std::max(Duration(1), Duration(std::llround(unit_ * lease.share)));
}

void Turns::Join(uint64_t lease, double share, bool is_hard, Time now) {
  Accrue(now);
  leases_.push_back({.id = lease, .share = share, .is_hard = is_hard});
  leases_.back().allowance = HardTurn(leases_.back());
}

void Turns::SetShare(uint64_t lease, double share, bool is_hard, Time now) {
  Accrue(now);  // what has passed, by the former share
  Lease* const found = Find(lease);
  if (found == nullptr) return;
  found->share = share;
  if (is_hard && !found->is_hard) found->allowance = HardTurn(*found);
  found->is_hard = is_hard;
  CapAllowance(*found);
  if (!is_hard) found->is_exhausted = false;
  if (is_hard && turn_ && turn_->lease == lease && turn_->until == Time::max()) {
    // What it has had while nothing kept it from the GPU is not counted.
    started_ = counted_ = now;
    allotment_ = found->allowance;
    turn_->until = now + allotment_;
  }
}

void Turns::Leave(uint64_t lease, Time now) {
  Accrue(now);
  if (turn_ && turn_->lease == lease) turn_.reset();
  const Lease* const found = Find(lease);
  if (found == nullptr) return;
  const auto place = static_cast<size_t>(found - leases_.data());
  leases_.erase(leases_.begin() + static_cast<ptrdiff_t>(place));
  if (place < next_) --next_;
}

void Turns::Want(uint64_t lease) {
  if (Lease* const found = Find(lease)) found->wants = true;
}

void Turns::Charge(uint64_t lease, Duration busy) {
  Lease* const found = Find(lease);
  if (found == nullptr || busy <= Duration(0)) return;
  found->credit -= busy;
  found->allowance -= busy;
  if (found->is_hard && found->allowance <= Duration(0)) found->is_exhausted = true;
}

void Turns::Done(const Used& used, Time now) {
  Accrue(now);
  if (!turn_) return;
  Lease& holder = *Find(turn_->lease);
  const bool was_shared = turn_->until != Time::max();
  Used clamped = used;
  clamped.busy = std::clamp(used.busy, Duration(0), was_shared ? Duration(now - counted_) : Duration(0));
  clamped.first = std::clamp(used.first, started_, now);
  clamped.last = std::clamp(used.last, clamped.first, now);
  turn_.reset();

  Charge(holder.id, clamped.busy);
  CapAllowance(holder);
  holder.wants = used.wants;
  holder.credit = std::min(holder.credit, used.wants ? Quantum(holder) / kKeptPart : Duration(0));
  // What is left of an allowance may be too little for a turn.
  if (holder.is_hard && used.wants && holder.allowance < HardTurn(holder) / 2) holder.is_exhausted = true;
  if (was_shared) Learn(clamped);
  has_ended_ = was_shared;
  last_end_ = clamped.last;
}

// The cost of changing turns decides how long they are.
void Turns::Learn(const Used& used) {
  if (followed_ && used.first >= last_end_) {
    gap_ += (std::min(kLongestGap, Duration(used.first - last_end_)) - gap_) / 8;
  }
  const auto wanting = std::count_if(leases_.begin(), leases_.end(), [](const Lease& lease) { return lease.wants; });
  round_ = std::clamp(gap_ * kTurnsPerGap * wanting, limits_.round, limits_.longest_round);
}

void Turns::CapAllowance(Lease& lease) {
  lease.allowance = std::min(lease.allowance, Part(kAllowanceTurns, HardTurn(lease)));
}

void Turns::Accrue(Time now) {
  const Duration passed = accrued_ == Time() ? Duration(0) : std::max(Duration(0), Duration(now - accrued_));
  accrued_ = now;
  for (Lease& lease : leases_) {
    if (!lease.is_hard) continue;
    lease.allowance += Part(lease.share, passed);
    // What the holder uses is not yet taken from it.
    if (!turn_ || turn_->lease != lease.id) CapAllowance(lease);
    if (lease.allowance >= HardTurn(lease)) lease.is_exhausted = false;
  }
}

bool Turns::OthersMayRun() const {
  return std::any_of(leases_.begin(), leases_.end(),
                     [this](const Lease& lease) { return lease.id != turn_->lease && MayRun(lease); });
}

// Somebody else has come: the turn ends when it would have ended had they been there from its beginning. For what it
// has lasted beyond that, the debts of others shrink as they would have in as many rounds.
void Turns::LimitHolder(Time now) {
  const Time end = started_ + allotment_;
  counted_ = now;
  turn_->until = std::max(now, end);
  if (now <= end) return;
  const double share = Find(turn_->lease)->share;
  for (Lease& lease : leases_) {
    if (lease.id == turn_->lease || lease.credit >= Duration(0)) continue;
    lease.credit = std::min(Duration(0), lease.credit + Part(lease.share / share, now - end));
  }
}

void Turns::TakeBackLost(Time now) {
  if (turn_->until == Time::max() || now - turn_->until < limits_.patience) return;
  Done({.busy = now - started_, .first = started_, .last = now, .wants = true}, now);
}

std::optional<Turns::Turn> Turns::Decide(Time now) {
  Accrue(now);
  if (turn_ && turn_->until == Time::max() && OthersMayRun()) LimitHolder(now);
  if (turn_) TakeBackLost(now);
  if (!turn_) GiveTurn(now);
  has_ended_ = false;
  FindDue(now);
  return turn_;
}

void Turns::BeginRound() {
  next_ = 0;
  double shares = 0;
  for (const Lease& lease : leases_) {
    if (MayRun(lease)) shares += lease.share;
  }
  unit_ = static_cast<double>(round_.count()) / shares;
  // Rounds in which nobody's debt is paid pass at once.
  int64_t rounds = INT64_MAX;
  for (const Lease& lease : leases_) {
    if (MayRun(lease)) rounds = std::min(rounds, std::max(Duration(0), -lease.credit) / Quantum(lease));
  }
  for (Lease& lease : leases_) {
    if (lease.credit < Duration(0)) {
      lease.credit = std::min(Duration(0), lease.credit + Part(static_cast<double>(rounds), Quantum(lease)));
    }
  }
}

void Turns::GiveTurn(Time now) {
  if (std::none_of(leases_.begin(), leases_.end(), [this](const Lease& lease) { return MayRun(lease); })) return;
  if (unit_ == 0) BeginRound();
  for (;; ++next_) {
    if (next_ >= leases_.size()) BeginRound();
    Lease& lease = leases_[next_];
    const Duration quantum = Quantum(lease);
    lease.credit += quantum;
    if (!lease.wants) lease.credit = std::min(lease.credit, Duration(0));
    if (lease.is_exhausted) lease.credit = std::min(lease.credit, quantum);
    if (!MayRun(lease) || lease.credit <= Duration(0)) continue;

    ++next_;
    started_ = counted_ = now;
    allotment_ = lease.is_hard ? std::min(lease.credit, lease.allowance) : lease.credit;
    turn_ = {++turns_, lease.id, Time::max()};
    if (lease.is_hard || OthersMayRun()) turn_->until = now + allotment_;
    followed_ = has_ended_;
    return;
  }
}

void Turns::FindDue(Time now) {
  due_ = Time::max();
  if (turn_ && turn_->until != Time::max()) {
    due_ = turn_->until + limits_.patience;
    return;
  }
  for (const Lease& lease : leases_) {
    if (!lease.wants || !lease.is_exhausted) continue;
    const Duration lacking = HardTurn(lease) - lease.allowance;
    due_ = std::min(due_, now + Part(1 / lease.share, lacking) + Duration(1));
  }
}

}  // namespace outboard::slice
